"""Accounts: the index of those whose deletion was requested.

Revision ID: 0033
Revises: 0032
"""

from dropbox_api import schema_changes

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    schema_changes.create_index(
        "users_to_purge_idx", "users", ["purge_at"], where="purge_at IS NOT NULL AND deleted_at IS NULL"
    )


def downgrade() -> None:
    schema_changes.drop_index("users_to_purge_idx", "users")
