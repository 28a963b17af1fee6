"""Uploads: sessions under a link, and the limits of links.

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.add_column("uploads", sa.Column("link_id", postgresql.UUID(as_uuid=True), nullable=True))
    op.add_column("uploads", sa.Column("link_secret_hash", sa.LargeBinary(), nullable=True))
    op.add_column("uploads", sa.Column("client_ref", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("sender_address", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("reserved_bytes", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("confirmed_bytes", sa.BigInteger(), nullable=True))
    op.add_column("upload_destinations", sa.Column("folder_path", sa.Text(), nullable=True))
    for name in ("max_bytes", "max_file_bytes", "max_files"):
        op.add_column("links", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("received_bytes", "received_files"):
        op.add_column("links", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    # Without the column a session releases its whole size when it ends.
    op.execute("""
        UPDATE users SET reserved_bytes = users.reserved_bytes + missing.size FROM (
            SELECT owner_id, sum(size_bytes - reserved_bytes) AS size FROM uploads
            WHERE state IN ('creating', 'active', 'completing') AND reserved_bytes IS NOT NULL GROUP BY owner_id
        ) missing WHERE users.id = missing.owner_id
    """)
    for name in ("max_bytes", "max_file_bytes", "max_files", "received_bytes", "received_files"):
        op.drop_column("links", name)
    op.drop_column("upload_destinations", "folder_path")
    for name in (
        "link_id",
        "link_secret_hash",
        "client_ref",
        "sender_address",
        "reserved_bytes",
        "confirmed_bytes",
    ):
        op.drop_column("uploads", name)
