"""Files: whether a copy on disk may be run.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("executable", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("upload_destinations", sa.Column("executable", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("upload_destinations", "executable")
    op.drop_column("nodes", "executable")
