"""Nodes: the place of a name in natural order, for lists.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("name_sort", sa.Text(collation="C"), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("nodes", "name_sort")
