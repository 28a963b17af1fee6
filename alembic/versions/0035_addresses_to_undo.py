"""Accounts: the index of addresses to which a change may be undone.

Revision ID: 0035
Revises: 0034
"""

from alembic import op

from dropbox_api import schema_changes

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    schema_changes.create_index("mail_tokens_undo_idx", "mail_tokens", ["email"], where="purpose = 'undo'")
    op.execute("ALTER TABLE mail_tokens VALIDATE CONSTRAINT mail_tokens_purpose_check")


def downgrade() -> None:
    schema_changes.drop_index("mail_tokens_undo_idx", "mail_tokens")
