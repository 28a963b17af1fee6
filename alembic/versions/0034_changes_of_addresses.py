"""Accounts: tokens that change the address, and undo that.

Revision ID: 0034
Revises: 0033
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"

_NAME = "mail_tokens_purpose_check"


def upgrade() -> None:
    op.add_column("mail_tokens", sa.Column("session_id", sa.UUID(), nullable=True))
    op.drop_constraint(op.f(_NAME), "mail_tokens")
    op.create_check_constraint(
        op.f(_NAME),
        "mail_tokens",
        "purpose IN ('verify', 'reset', 'change', 'undo')",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.execute("DELETE FROM mail_tokens WHERE purpose IN ('change', 'undo')")
    op.drop_constraint(op.f(_NAME), "mail_tokens")
    op.create_check_constraint(op.f(_NAME), "mail_tokens", "purpose IN ('verify', 'reset')")
    op.drop_column("mail_tokens", "session_id")
