"""Journal and outbox: who made a change.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = ("events", "outbox")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("actor_kind", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("actor_id", sa.UUID(), nullable=True))
        op.add_column(table, sa.Column("actor_token", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        for column in ("actor_token", "actor_id", "actor_kind"):
            op.drop_column(table, column)
