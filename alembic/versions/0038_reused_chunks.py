"""Content-defined chunks, and parts made from stored chunks.

Revision ID: 0038
Revises: 0037
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"

_STATE = "upload_chunks_state_check"


def upgrade() -> None:
    # Constant defaults: no row is written.
    for table in ("uploads", "blobs"):
        op.add_column(table, sa.Column("chunking", sa.Text(), server_default="fixed", nullable=False))
    op.drop_constraint(op.f(_STATE), "upload_chunks")
    op.create_check_constraint(
        op.f(_STATE),
        "upload_chunks",
        "state IN ('planned', 'uploaded', 'mismatched', 'reusing', 'reused')",
        postgresql_not_valid=True,
    )
    op.create_table(
        "chunk_reuses",
        sa.Column("upload_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("blob_id", sa.UUID(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("relay", sa.Boolean(), nullable=False),
        sa.Column("excluded", sa.ARRAY(sa.UUID()), server_default="{}", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("chunk_reuses_upload_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("chunk_reuses_pkey")),
    )
    op.create_index("chunk_reuses_blob_id_idx", "chunk_reuses", ["blob_id"])


def downgrade() -> None:
    op.drop_table("chunk_reuses")
    op.execute("UPDATE upload_chunks SET state = 'planned' WHERE state = 'reusing'")
    op.execute("UPDATE upload_chunks SET state = 'uploaded' WHERE state = 'reused'")
    op.drop_constraint(op.f(_STATE), "upload_chunks")
    op.create_check_constraint(op.f(_STATE), "upload_chunks", "state IN ('planned', 'uploaded', 'mismatched')")
    for table in ("uploads", "blobs"):
        op.drop_column(table, "chunking")
