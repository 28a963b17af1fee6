"""Thumbnails: the table of derived objects; every blob is due.

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "thumbnails",
        sa.Column("blob_id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="making", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("state IN ('making', 'ready', 'none')", name=op.f("thumbnails_state_check")),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("thumbnails_blob_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("thumbnails_pkey")),
    )
    op.create_index("thumbnails_version_idx", "thumbnails", ["version"])
    # The default is evaluated once, so no row is written.
    op.add_column(
        "blobs",
        sa.Column("thumbnail_due_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=True),
    )


def downgrade() -> None:
    op.drop_column("blobs", "thumbnail_due_at")
    op.drop_table("thumbnails")
