"""Uploads of compressed content: the index of those to decode.

Revision ID: 0041
Revises: 0040
"""

from dropbox_api import schema_changes

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    waiting = "state = 'completing' AND encoded_etag IS NOT NULL"
    schema_changes.create_index("uploads_to_decode_idx", "uploads", ["next_check_at"], where=waiting)


def downgrade() -> None:
    schema_changes.drop_index("uploads_to_decode_idx", "uploads")
