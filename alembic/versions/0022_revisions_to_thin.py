"""Revisions: the index of those that may be thinned.

Revision ID: 0022
Revises: 0021
"""

from dropbox_api import schema_changes

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    schema_changes.create_index(
        "revisions_to_thin_idx", "revisions", ["node_id"], where="superseded_at IS NOT NULL AND NOT pinned"
    )


def downgrade() -> None:
    schema_changes.drop_index("revisions_to_thin_idx", "revisions")
