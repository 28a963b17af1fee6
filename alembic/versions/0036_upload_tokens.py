"""Upload tokens: the sign-in or personal token that an upload token ends with.

Revision ID: 0036
Revises: 0035
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.add_column("links", sa.Column("session_id", sa.UUID(), nullable=True))
    op.add_column("links", sa.Column("token_id", sa.UUID(), nullable=True))


def downgrade() -> None:
    # Without the columns an upload token would be a link.
    op.execute("DELETE FROM links WHERE session_id IS NOT NULL OR token_id IS NOT NULL")
    for name in ("session_id", "token_id"):
        op.drop_column("links", name)
