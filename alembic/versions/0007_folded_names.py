"""Nodes: the name without accents, for searches.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("folded_key", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("nodes", "folded_key")
