"""Blobs: whether the content is text in UTF-8.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("is_utf8", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("blobs", "is_utf8")
