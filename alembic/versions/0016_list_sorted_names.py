"""Nodes: compute the place of each name in natural order, and index it for lists.

Job `sort-names` completes the names that a server of the version before writes meanwhile.

Revision ID: 0016
Revises: 0015
"""

from dropbox_api import schema_changes
from dropbox_api.core import names

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    schema_changes.backfill_computed(
        "nodes", "name_sort", "name_key", names.make_sort_key, "parent_id IS NOT NULL", unset="= ''"
    )
    columns = ["parent_id", "name_sort", "id"]
    schema_changes.create_index("nodes_by_name_idx", "nodes", columns, where="trashed_at IS NULL")
    other = "split_part(name_sort, chr(1), 2) <> name_key"
    schema_changes.create_index("nodes_to_sort_idx", "nodes", ["id"], where=other)


def downgrade() -> None:
    schema_changes.drop_index("nodes_to_sort_idx", "nodes")
    schema_changes.drop_index("nodes_by_name_idx", "nodes")
