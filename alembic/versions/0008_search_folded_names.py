"""Nodes: fold the names that have accents, and index them for searches.

Names in ASCII, most of them, stay as they are: for them `folded_key` is null.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa

from dropbox_api import schema_changes
from dropbox_api.core import names

revision = "0008"
down_revision = "0007"

LIVE = "trashed_at IS NULL"


def _fold(key: str) -> str | None:
    folded = names.fold_key(key)
    return None if folded == key else folded


def upgrade() -> None:
    schema_changes.backfill_computed(
        "nodes", "folded_key", "name_key", _fold, "octet_length(name_key) > length(name_key)"
    )
    expression = sa.text("coalesce(folded_key, name_key) gin_trgm_ops")
    schema_changes.create_index("nodes_search_trgm_idx", "nodes", [expression], using="gin", where=LIVE)
    schema_changes.drop_index("nodes_name_trgm_idx", "nodes")


def downgrade() -> None:
    expression = sa.text("name_key gin_trgm_ops")
    schema_changes.create_index("nodes_name_trgm_idx", "nodes", [expression], using="gin", where=LIVE)
    schema_changes.drop_index("nodes_search_trgm_idx", "nodes")
