"""Trash, list orders, search, processing state, audit log and idempotency keys.

Building the indexes blocks writes to `nodes` (about a minute for ten million rows).

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

LIVE = sa.text("trashed_at IS NULL")
IN_TRASH = sa.text("trashed_at IS NOT NULL AND purged_at IS NULL")
PURGED = sa.text("purged_at IS NOT NULL")


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")

    op.add_column("revisions", sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("revisions", sa.Column("processing_state", sa.Text(), nullable=True))
    op.add_column("revisions", sa.Column("processing_detail", sa.Text(), nullable=True))
    op.add_column("revisions", sa.Column("processing_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("revisions_processing_state_check"),
        "revisions",
        "processing_state IN ('queued', 'running', 'succeeded', 'failed')",
    )
    op.execute("""
        UPDATE revisions SET superseded_at = later.created_at FROM (
            SELECT id, lead(created_at) OVER (PARTITION BY node_id ORDER BY number) AS created_at FROM revisions
        ) later
        WHERE later.id = revisions.id AND later.created_at IS NOT NULL
    """)
    op.create_index(
        "revisions_superseded_idx",
        "revisions",
        ["superseded_at"],
        postgresql_where=sa.text("superseded_at IS NOT NULL"),
    )
    op.create_index(
        "revisions_processing_idx",
        "revisions",
        ["owner_id", "processing_state", "node_id"],
        postgresql_where=sa.text("processing_state IS NOT NULL"),
    )

    op.add_column("nodes", sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("nodes", sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("nodes_purged_check"), "nodes", "purged_at IS NULL OR trashed_at IS NOT NULL")
    op.execute("""
        UPDATE nodes SET size_bytes = head.size_bytes FROM revisions head WHERE head.id = nodes.head_revision_id
    """)
    op.drop_index("nodes_owner_id_idx", table_name="nodes")
    op.create_index("nodes_owner_id_idx", "nodes", ["owner_id", "id"])
    op.create_index("nodes_by_size_idx", "nodes", ["parent_id", "size_bytes", "id"], postgresql_where=LIVE)
    op.create_index("nodes_by_time_idx", "nodes", ["parent_id", "modified_at", "id"], postgresql_where=LIVE)
    op.create_index("nodes_parent_id_idx", "nodes", ["parent_id"])
    op.create_index("nodes_folders_idx", "nodes", ["parent_id"], postgresql_where=sa.text("kind = 'folder'"))
    op.create_index("nodes_trash_idx", "nodes", ["owner_id", "trashed_at", "id"], postgresql_where=IN_TRASH)
    op.create_index("nodes_to_purge_idx", "nodes", ["trashed_at"], postgresql_where=IN_TRASH)
    op.create_index("nodes_purged_idx", "nodes", ["owner_id"], postgresql_where=PURGED)
    op.create_index(
        "nodes_name_trgm_idx",
        "nodes",
        ["name_key"],
        postgresql_using="gin",
        postgresql_ops={"name_key": "gin_trgm_ops"},
        postgresql_where=LIVE,
    )

    # Destinations without a problem held JSON null instead of SQL NULL.
    op.execute("UPDATE upload_destinations SET problem = NULL WHERE problem = 'null'")
    op.drop_constraint(op.f("uploads_strategy_check"), "uploads")
    op.create_check_constraint(
        op.f("uploads_strategy_check"), "uploads", "strategy IN ('single', 'multipart', 'stream')"
    )

    op.create_table(
        "audit_log",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("actor_id", sa.UUID(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index("audit_log_node_id_idx", "audit_log", ["owner_id", "node_id", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("idempotency_keys_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index("idempotency_keys_created_at_idx", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    """Nodes in the trash stay hidden: revision 0001 has `trashed_at` and reads them as deleted."""
    op.drop_table("idempotency_keys")
    op.drop_table("audit_log")
    op.execute("UPDATE uploads SET strategy = 'multipart' WHERE strategy = 'stream'")
    op.drop_constraint(op.f("uploads_strategy_check"), "uploads")
    op.create_check_constraint(op.f("uploads_strategy_check"), "uploads", "strategy IN ('single', 'multipart')")
    for index in (
        "nodes_name_trgm_idx",
        "nodes_purged_idx",
        "nodes_to_purge_idx",
        "nodes_trash_idx",
        "nodes_folders_idx",
        "nodes_parent_id_idx",
        "nodes_by_time_idx",
        "nodes_by_size_idx",
        "nodes_owner_id_idx",
    ):
        op.drop_index(index, table_name="nodes")
    op.create_index("nodes_owner_id_idx", "nodes", ["owner_id"])
    op.drop_constraint(op.f("nodes_purged_check"), "nodes")
    op.drop_column("nodes", "purged_at")
    op.drop_column("nodes", "size_bytes")
    op.drop_index("revisions_processing_idx", table_name="revisions")
    op.drop_index("revisions_superseded_idx", table_name="revisions")
    op.drop_constraint(op.f("revisions_processing_state_check"), "revisions")
    for column in ("processing_at", "processing_detail", "processing_state", "superseded_at"):
        op.drop_column("revisions", column)
    # Keep the extension: other schemas of the database may use it.
