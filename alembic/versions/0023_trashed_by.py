"""Files: the account that moved a node to the trash.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("trashed_by", sa.UUID(), nullable=True))


def downgrade() -> None:
    op.drop_column("nodes", "trashed_by")
