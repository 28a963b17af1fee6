"""Devices, which report how far they have read the journal.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "devices",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="devices_user_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "id", name="devices_pkey"),
    )
    op.create_index("devices_last_seen_at_idx", "devices", ["last_seen_at"])


def downgrade() -> None:
    op.drop_table("devices")
