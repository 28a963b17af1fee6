"""Uploads: a file as the destination.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("upload_destinations", sa.Column("file_id", postgresql.UUID(as_uuid=True), nullable=True))
    op.alter_column("upload_destinations", "content_type", nullable=True)


def downgrade() -> None:
    op.execute("UPDATE upload_destinations SET content_type = 'application/octet-stream' WHERE content_type IS NULL")
    op.alter_column("upload_destinations", "content_type", nullable=False)
    op.drop_column("upload_destinations", "file_id")
