"""Nodes: index the folders of a folder in the order of their names, for lists of folders alone.

Revision ID: 0017
Revises: 0016
"""

from dropbox_api import schema_changes

revision = "0017"
down_revision = "0016"

FOLDERS = "kind = 'folder'"


def upgrade() -> None:
    columns = ["parent_id", "name_sort", "id"]
    schema_changes.create_index("nodes_folders_by_name_idx", "nodes", columns, where=FOLDERS)
    schema_changes.drop_index("nodes_folders_idx", "nodes")


def downgrade() -> None:
    schema_changes.create_index("nodes_folders_idx", "nodes", ["parent_id"], where=FOLDERS)
    schema_changes.drop_index("nodes_folders_by_name_idx", "nodes")
