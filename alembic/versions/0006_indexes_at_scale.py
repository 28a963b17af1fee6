"""Indexes for statements that scanned whole tables, built while the server runs.

Revision ID: 0006
Revises: 0005
"""

from dropbox_api import schema_changes

revision = "0006"
down_revision = "0005"

LIVE = "state IN ('creating', 'active', 'completing')"


def upgrade() -> None:
    schema_changes.create_index("grants_owner_id_idx", "grants", ["owner_id"])
    schema_changes.create_index("uploads_open_idx", "uploads", ["uploader_id"], where=LIVE)
    schema_changes.create_index("uploads_expires_at_idx", "uploads", ["expires_at"], where=LIVE)
    schema_changes.create_index("uploads_to_discard_idx", "uploads", ["next_check_at"], where="leftover")
    schema_changes.drop_index("uploads_leftover_idx", "uploads")
    schema_changes.create_index(
        "blobs_unverified_idx", "blobs", ["content_status", "size_bytes"], where="content_status <> 'verified'"
    )
    schema_changes.create_index("deliveries_failed_idx", "deliveries", ["webhook_id"], where="state = 'failed'")


def downgrade() -> None:
    schema_changes.create_index("uploads_leftover_idx", "uploads", ["ended_at"], where="leftover")
    for table, index in (
        ("deliveries", "deliveries_failed_idx"),
        ("blobs", "blobs_unverified_idx"),
        ("uploads", "uploads_to_discard_idx"),
        ("uploads", "uploads_expires_at_idx"),
        ("uploads", "uploads_open_idx"),
        ("grants", "grants_owner_id_idx"),
    ):
        schema_changes.drop_index(index, table)
