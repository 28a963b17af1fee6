"""Upload tokens: the index of an account's own ones.

Revision ID: 0037
Revises: 0036
"""

from dropbox_api import schema_changes

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    maker = "(session_id IS NOT NULL OR token_id IS NOT NULL)"
    schema_changes.create_index("links_upload_tokens_idx", "links", ["created_by", "id"], where=maker)


def downgrade() -> None:
    schema_changes.drop_index("links_upload_tokens_idx", "links")
