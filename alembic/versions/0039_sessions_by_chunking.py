"""Uploads: one live session for each content and chunking.

Revision ID: 0039
Revises: 0038
"""

from alembic import op

from dropbox_api import schema_changes

revision = "0039"
down_revision = "0038"

_LIVE = "state IN ('creating', 'active', 'completing') AND fingerprint IS NOT NULL AND link_id IS NULL"
_COLUMNS = ("uploader_id", "owner_id", "fingerprint", "encoding")


def upgrade() -> None:
    schema_changes.create_index("uploads_own_content_key", "uploads", [*_COLUMNS, "chunking"], unique=True, where=_LIVE)
    schema_changes.drop_index("uploads_own_live_key", "uploads")
    op.execute("ALTER TABLE upload_chunks VALIDATE CONSTRAINT upload_chunks_state_check")


def downgrade() -> None:
    # The former version has one session for each content. Without a fingerprint the others expire.
    schema_changes.backfill("uploads", "fingerprint = NULL", f"chunking <> 'fixed' AND {_LIVE}")
    schema_changes.create_index("uploads_own_live_key", "uploads", list(_COLUMNS), unique=True, where=_LIVE)
    schema_changes.drop_index("uploads_own_content_key", "uploads")
