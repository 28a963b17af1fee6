"""Blobs: the index of those whose thumbnails are due.

Revision ID: 0029
Revises: 0028
"""

from dropbox_api import schema_changes

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    schema_changes.create_index(
        "blobs_to_thumbnail_idx",
        "blobs",
        ["id"],
        where="thumbnail_due_at IS NOT NULL AND content_status = 'verified'",
    )


def downgrade() -> None:
    schema_changes.drop_index("blobs_to_thumbnail_idx", "blobs")
