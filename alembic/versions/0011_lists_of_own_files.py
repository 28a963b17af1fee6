"""Indexes for the lists of recent files and of what an account shares.

Revision ID: 0011
Revises: 0010
"""

from dropbox_api import schema_changes

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    schema_changes.create_index(
        "nodes_recent_idx",
        "nodes",
        ["owner_id", "modified_at", "id"],
        where="kind = 'file' AND trashed_at IS NULL",
    )
    schema_changes.create_index("grants_by_owner_idx", "grants", ["owner_id", "id"])
    schema_changes.drop_index("grants_owner_id_idx", "grants")
    schema_changes.create_index("links_by_owner_idx", "links", ["owner_id", "id"])


def downgrade() -> None:
    schema_changes.create_index("grants_owner_id_idx", "grants", ["owner_id"])
    for table, index in (
        ("links", "links_by_owner_idx"),
        ("grants", "grants_by_owner_idx"),
        ("nodes", "nodes_recent_idx"),
    ):
        schema_changes.drop_index(index, table)
