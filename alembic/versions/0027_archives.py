"""Archives that are fetched by a URL of their own.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_table(
        "archives",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("session_id", sa.UUID(), nullable=True),
        sa.Column("token_id", sa.UUID(), nullable=True),
        sa.Column("node_ids", sa.ARRAY(sa.UUID()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("num_nonnulls(session_id, token_id) = 1", name="archives_maker_check"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="archives_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name="archives_pkey"),
    )
    op.create_index("archives_user_id_idx", "archives", ["user_id"])
    op.create_index("archives_expires_at_idx", "archives", ["expires_at"])


def downgrade() -> None:
    op.drop_table("archives")
