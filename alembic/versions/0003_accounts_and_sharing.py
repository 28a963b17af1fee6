"""Verified addresses, second factor, OIDC, tokens, administrators and service accounts; grants and links.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

NOW = sa.text("now()")


def _time(name: str, *, nullable: bool = True, now: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if now else None)


def _user(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.UUID(), nullable=nullable)


def _of_user(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["users.id"], name=op.f(f"{table}_{column}_fkey"), ondelete="CASCADE")


def _of_node(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f(f"{table}_node_id_fkey"), ondelete="CASCADE")


def upgrade() -> None:
    op.alter_column("users", "password_hash", nullable=True)
    op.add_column("users", sa.Column("kind", sa.Text(), server_default="person", nullable=False))
    op.add_column("users", sa.Column("is_admin", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("users", _time("email_verified_at"))
    op.add_column("users", _time("password_changed_at"))
    op.add_column("users", sa.Column("totp_secret", sa.LargeBinary(), nullable=True))
    op.add_column("users", _time("totp_enabled_at"))
    op.add_column("users", sa.Column("totp_last_step", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint(op.f("users_kind_check"), "users", "kind IN ('person', 'service')")
    op.add_column("sessions", sa.Column("address", sa.Text(), nullable=True))
    op.create_table(
        "oidc_identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        _user("user_id"),
        sa.Column("email", sa.Text(), nullable=True),
        _time("created_at", nullable=False, now=True),
        _time("last_used_at"),
        _of_user("oidc_identities", "user_id"),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("oidc_identities_pkey")),
    )
    op.create_index("oidc_identities_user_id_idx", "oidc_identities", ["user_id"])
    op.create_table(
        "recovery_codes",
        _user("user_id"),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        _time("used_at"),
        _of_user("recovery_codes", "user_id"),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("recovery_codes_pkey")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.UUID(), nullable=False),
        _user("user_id"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        _time("created_at", nullable=False, now=True),
        _time("last_used_at"),
        _time("expires_at"),
        _time("revoked_at"),
        _of_user("api_tokens", "user_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("token_hash", name="api_tokens_token_hash_key"),
    )
    op.create_index("api_tokens_user_id_idx", "api_tokens", ["user_id"])
    op.create_table(
        "mail_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        _user("user_id"),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        _time("created_at", nullable=False, now=True),
        _time("expires_at", nullable=False),
        _time("used_at"),
        sa.CheckConstraint("purpose IN ('verify', 'reset')", name=op.f("mail_tokens_purpose_check")),
        _of_user("mail_tokens", "user_id"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("mail_tokens_pkey")),
    )
    op.create_index("mail_tokens_user_id_idx", "mail_tokens", ["user_id", "purpose"])
    op.create_table(
        "grants",
        sa.Column("id", sa.UUID(), nullable=False),
        _user("owner_id"),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        _user("grantee_id", nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        _user("created_by"),
        _time("created_at", nullable=False, now=True),
        sa.CheckConstraint("role IN ('viewer', 'editor')", name=op.f("grants_role_check")),
        _of_user("grants", "owner_id"),
        _of_user("grants", "grantee_id"),
        _of_user("grants", "created_by"),
        _of_node("grants"),
        sa.PrimaryKeyConstraint("id", name=op.f("grants_pkey")),
    )
    op.create_index("grants_email_key", "grants", ["node_id", "email"], unique=True)
    op.create_index("grants_grantee_key", "grants", ["grantee_id", "node_id"], unique=True)
    op.create_index("grants_invited_idx", "grants", ["email"], postgresql_where=sa.text("grantee_id IS NULL"))
    op.create_table(
        "links",
        sa.Column("id", sa.UUID(), nullable=False),
        _user("owner_id"),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        _time("expires_at"),
        sa.Column("max_downloads", sa.BigInteger(), nullable=True),
        sa.Column("downloads", sa.BigInteger(), server_default="0", nullable=False),
        _user("created_by"),
        _time("created_at", nullable=False, now=True),
        _time("revoked_at"),
        sa.CheckConstraint("mode IN ('view', 'download', 'upload')", name=op.f("links_mode_check")),
        sa.CheckConstraint("downloads >= 0", name=op.f("links_downloads_check")),
        _of_user("links", "owner_id"),
        _of_user("links", "created_by"),
        _of_node("links"),
        sa.PrimaryKeyConstraint("id", name=op.f("links_pkey")),
    )
    op.create_index("links_node_id_idx", "links", ["node_id"])


def downgrade() -> None:
    """Accounts without a password stay but cannot sign in: revision 0002 supports only passwords."""
    for table in ("links", "grants", "mail_tokens", "api_tokens", "recovery_codes", "oidc_identities"):
        op.drop_table(table)
    op.drop_column("sessions", "address")
    op.drop_constraint(op.f("users_kind_check"), "users")
    for column in (
        "totp_last_step",
        "totp_enabled_at",
        "totp_secret",
        "password_changed_at",
        "email_verified_at",
        "is_admin",
        "kind",
    ):
        op.drop_column("users", column)
    op.execute("UPDATE users SET password_hash = '' WHERE password_hash IS NULL")
    op.alter_column("users", "password_hash", nullable=False)
