"""Tombstones: keep the ids of removed nodes.

Nodes that were removed before have none. The journal still names some of them, but only the tops of removed folders,
so tombstones made from it would be as incomplete as none.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "node_id", name="tombstones_pkey"),
    )
    op.create_index("tombstones_deleted_at_idx", "tombstones", ["deleted_at"])


def downgrade() -> None:
    op.drop_table("tombstones")
