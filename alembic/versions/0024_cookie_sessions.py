"""Sessions: how the client keeps the refresh token.

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("transport", sa.Text(), nullable=False, server_default="bearer"))


def downgrade() -> None:
    # A session of a cookie would live on without the rules of cookies.
    op.execute("DELETE FROM sessions WHERE transport <> 'bearer'")
    op.drop_column("sessions", "transport")
