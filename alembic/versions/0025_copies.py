"""Copies into the tree of another owner.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "copies",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("actor_id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("source_id", sa.UUID(), nullable=False),
        sa.Column("parent_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("on_conflict", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("left_out", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("copied_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_nodes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=True),
        sa.Column("problem", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'done', 'failed', 'cancelled')", name=op.f("copies_state_check")),
        sa.CheckConstraint("(state = 'running') = (ended_at IS NULL)", name=op.f("copies_ended_check")),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name=op.f("copies_actor_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("copies_owner_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("copies_pkey")),
    )
    op.create_index("copies_actor_id_idx", "copies", ["actor_id"])
    op.create_index("copies_owner_id_idx", "copies", ["owner_id"])
    op.create_index("copies_running_idx", "copies", ["id"], postgresql_where=sa.text("state = 'running'"))
    op.create_table(
        "copied_blobs",
        sa.Column("copy_id", sa.UUID(), nullable=False),
        sa.Column("source_blob_id", sa.UUID(), nullable=False),
        sa.Column("blob_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(["copy_id"], ["copies.id"], name=op.f("copied_blobs_copy_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("copy_id", "source_blob_id", name=op.f("copied_blobs_pkey")),
    )
    op.create_index("copied_blobs_blob_id_idx", "copied_blobs", ["blob_id"])


def downgrade() -> None:
    op.drop_table("copied_blobs")
    op.drop_table("copies")
