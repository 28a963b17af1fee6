"""Uploads of compressed content.

Revision ID: 0040
Revises: 0039
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.add_column("uploads", sa.Column("content_bytes", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("encoded_etag", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("encoded_etag", "content_bytes"):
        op.drop_column("uploads", name)
