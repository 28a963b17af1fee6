"""Uploads: the indexes of sessions under a link, which no look-up by fingerprint finds.

Revision ID: 0031
Revises: 0030
"""

from dropbox_api import schema_changes

revision = "0031"
down_revision = "0030"

_LIVE = "state IN ('creating', 'active', 'completing')"
_CONTENT = ["uploader_id", "owner_id", "fingerprint", "encoding"]


def upgrade() -> None:
    own = f"{_LIVE} AND fingerprint IS NOT NULL AND link_id IS NULL"
    schema_changes.create_index("uploads_own_live_key", "uploads", _CONTENT, unique=True, where=own)
    schema_changes.drop_index("uploads_live_key", "uploads")
    schema_changes.create_index(
        "uploads_sender_key",
        "uploads",
        ["link_id", "link_secret_hash", "client_ref"],
        unique=True,
        where=f"link_id IS NOT NULL AND ({_LIVE} OR state = 'completed')",
    )
    schema_changes.create_index("uploads_link_id_idx", "uploads", ["link_id", "id"], where="link_id IS NOT NULL")
    schema_changes.create_index(
        "uploads_open_by_link_idx", "uploads", ["owner_id", "link_id"], where=f"{_LIVE} AND link_id IS NOT NULL"
    )


def downgrade() -> None:
    # The older index allows one session of a content: those under links stay without a fingerprint, and expire.
    schema_changes.backfill(
        "uploads", "fingerprint = NULL", f"link_id IS NOT NULL AND fingerprint IS NOT NULL AND {_LIVE}"
    )
    schema_changes.create_index(
        "uploads_live_key", "uploads", _CONTENT, unique=True, where=f"{_LIVE} AND fingerprint IS NOT NULL"
    )
    for name in ("uploads_own_live_key", "uploads_sender_key", "uploads_link_id_idx", "uploads_open_by_link_idx"):
        schema_changes.drop_index(name, "uploads")
