"""Accounts, folders, blobs, upload sessions and the journal of events.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

PARTITIONS = 16


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("recipient_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("recipient_id", "seq", name=op.f("events_pkey")),
        postgresql_partition_by="HASH (recipient_id)",
    )
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE events_p{remainder:02} PARTITION OF events "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder})"
        )
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("aggregatetype", sa.Text(), nullable=False),
        sa.Column("aggregateid", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index("outbox_aggregateid_idx", "outbox", ["aggregateid", "id"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quota_nodes", sa.BigInteger(), nullable=False),
        sa.Column("used_nodes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_nodes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("journal_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("used_bytes >= 0 AND reserved_bytes >= 0", name=op.f("users_bytes_check")),
        sa.CheckConstraint("used_nodes >= 0 AND reserved_nodes >= 0", name=op.f("users_nodes_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name="users_email_key"),
    )
    op.create_table(
        "blobs",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("true_fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("encoding", sa.Text(), server_default="identity", nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("composite_digest", sa.Text(), nullable=True),
        sa.Column("content_status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleting_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unreferenced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.CheckConstraint(
            "content_status IN ('stored', 'verified', 'quarantined', 'damaged', 'deleting')",
            name=op.f("blobs_content_status_check"),
        ),
        sa.CheckConstraint("octet_length(fingerprint) = 32", name=op.f("blobs_fingerprint_check")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("blobs_size_check")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("blobs_owner_id_fkey"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("blobs_pkey")),
        sa.UniqueConstraint("storage_key", name="blobs_storage_key_key"),
    )
    op.create_index("blobs_owner_id_fingerprint_idx", "blobs", ["owner_id", "fingerprint"], unique=False)
    op.create_index("blobs_owner_id_size_bytes_idx", "blobs", ["owner_id", "size_bytes"], unique=False)
    op.create_index(
        "blobs_to_delete_idx",
        "blobs",
        ["deleting_at"],
        unique=False,
        postgresql_where=sa.text("content_status = 'deleting'"),
    )
    op.create_index(
        "blobs_to_verify_idx",
        "blobs",
        ["size_bytes"],
        unique=False,
        postgresql_where=sa.text("content_status = 'stored'"),
    )
    op.create_index(
        "blobs_unreferenced_idx",
        "blobs",
        ["unreferenced_at"],
        unique=False,
        postgresql_where=sa.text("unreferenced_at IS NOT NULL"),
    )
    op.create_index(
        "blobs_verified_key",
        "blobs",
        ["owner_id", "fingerprint", "encoding"],
        unique=True,
        postgresql_where=sa.text("content_status = 'verified'"),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("parent_id", sa.UUID(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("head_revision_id", sa.UUID(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("trashed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind = 'file' OR head_revision_id IS NULL", name=op.f("nodes_head_check")),
        sa.CheckConstraint("kind IN ('file', 'folder')", name=op.f("nodes_kind_check")),
        sa.CheckConstraint(
            "parent_id IS NOT NULL OR (kind = 'folder' AND trashed_at IS NULL)", name=op.f("nodes_root_check")
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("nodes_owner_id_fkey"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["parent_id"], ["nodes.id"], name=op.f("nodes_parent_id_fkey"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("nodes_pkey")),
    )
    op.create_index(
        "nodes_name_key",
        "nodes",
        ["parent_id", "name_key"],
        unique=True,
        postgresql_where=sa.text("trashed_at IS NULL"),
    )
    op.create_index("nodes_owner_id_idx", "nodes", ["owner_id"], unique=False)
    op.create_index("nodes_root_key", "nodes", ["owner_id"], unique=True, postgresql_where=sa.text("parent_id IS NULL"))
    op.create_table(
        "sessions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("sessions_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("sessions_pkey")),
    )
    op.create_index("sessions_expires_at_idx", "sessions", ["expires_at"], unique=False)
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"], unique=False)
    op.create_table(
        "blob_chunks",
        sa.Column("blob_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("blob_chunks_blob_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("blob_id", "number", name=op.f("blob_chunks_pkey")),
    )
    op.create_index("blob_chunks_owner_id_sha256_idx", "blob_chunks", ["owner_id", "sha256"], unique=False)
    op.create_table(
        "revisions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("blob_id", sa.UUID(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("author_id", sa.UUID(), nullable=False),
        sa.Column("client_modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("upload_destination_id", sa.UUID(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name=op.f("revisions_author_id_fkey"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("revisions_blob_id_fkey"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("revisions_node_id_fkey"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("revisions_pkey")),
        sa.UniqueConstraint("node_id", "number", name="revisions_number_key"),
    )
    op.create_index("revisions_blob_id_idx", "revisions", ["blob_id"], unique=False)
    op.create_index("revisions_destination_key", "revisions", ["upload_destination_id"], unique=True)
    op.create_table(
        "uploads",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("uploader_id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("encoding", sa.Text(), server_default="identity", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("chunk_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("s3_upload_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_activity_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("listed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rejections", sa.Integer(), server_default="0", nullable=False),
        sa.Column("gone_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("blob_id", sa.UUID(), nullable=True),
        sa.Column("leftover", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "state IN ('creating', 'active', 'completing', 'completed', 'aborted', 'expired', 'failed')",
            name=op.f("uploads_state_check"),
        ),
        sa.CheckConstraint("strategy IN ('single', 'multipart')", name=op.f("uploads_strategy_check")),
        sa.CheckConstraint(
            "fingerprint IS NULL OR octet_length(fingerprint) = 32", name=op.f("uploads_fingerprint_check")
        ),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("uploads_blob_id_fkey"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("uploads_owner_id_fkey"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["uploader_id"], ["users.id"], name=op.f("uploads_uploader_id_fkey"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("uploads_pkey")),
        sa.UniqueConstraint("storage_key", name="uploads_storage_key_key"),
    )
    op.create_index("uploads_blob_id_idx", "uploads", ["blob_id"], unique=False)
    op.create_index("uploads_leftover_idx", "uploads", ["ended_at"], unique=False, postgresql_where=sa.text("leftover"))
    op.create_index(
        "uploads_live_key",
        "uploads",
        ["uploader_id", "owner_id", "fingerprint", "encoding"],
        unique=True,
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing') AND fingerprint IS NOT NULL"),
    )
    op.create_index(
        "uploads_next_check_idx",
        "uploads",
        ["next_check_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing')"),
    )
    op.create_index(
        "uploads_owner_id_idx",
        "uploads",
        ["owner_id", "size_bytes"],
        unique=False,
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing')"),
    )
    op.create_index("uploads_uploader_id_idx", "uploads", ["uploader_id", "id"], unique=False)
    op.create_table(
        "upload_chunks",
        sa.Column("upload_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('planned', 'uploaded', 'mismatched')", name=op.f("upload_chunks_state_check")),
        sa.CheckConstraint("sha256 IS NULL OR octet_length(sha256) = 32", name=op.f("upload_chunks_sha256_check")),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("upload_chunks_upload_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("upload_chunks_pkey")),
    )
    op.create_table(
        "upload_destinations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("upload_id", sa.UUID(), nullable=False),
        sa.Column("parent_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("on_conflict", sa.Text(), nullable=False),
        sa.Column("base_revision_id", sa.UUID(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("client_modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revision_id", sa.UUID(), nullable=True),
        sa.Column("node_id", sa.UUID(), nullable=True),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "on_conflict IN ('fail', 'rename', 'replace')", name=op.f("upload_destinations_on_conflict_check")
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("upload_destinations_upload_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("upload_destinations_pkey")),
    )
    op.create_index("upload_destinations_upload_id_idx", "upload_destinations", ["upload_id"], unique=False)


def downgrade() -> None:
    op.drop_index("upload_destinations_upload_id_idx", table_name="upload_destinations")
    op.drop_table("upload_destinations")
    op.drop_table("upload_chunks")
    op.drop_index("uploads_uploader_id_idx", table_name="uploads")
    op.drop_index(
        "uploads_owner_id_idx",
        table_name="uploads",
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing')"),
    )
    op.drop_index(
        "uploads_next_check_idx",
        table_name="uploads",
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing')"),
    )
    op.drop_index(
        "uploads_live_key",
        table_name="uploads",
        postgresql_where=sa.text("state IN ('creating', 'active', 'completing') AND fingerprint IS NOT NULL"),
    )
    op.drop_index("uploads_blob_id_idx", table_name="uploads")
    op.drop_index("uploads_leftover_idx", table_name="uploads", postgresql_where=sa.text("leftover"))
    op.drop_table("uploads")
    op.drop_index("revisions_destination_key", table_name="revisions")
    op.drop_index("revisions_blob_id_idx", table_name="revisions")
    op.drop_table("revisions")
    op.drop_index("blob_chunks_owner_id_sha256_idx", table_name="blob_chunks")
    op.drop_table("blob_chunks")
    op.drop_index("sessions_user_id_idx", table_name="sessions")
    op.drop_index("sessions_expires_at_idx", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("nodes_root_key", table_name="nodes", postgresql_where=sa.text("parent_id IS NULL"))
    op.drop_index("nodes_owner_id_idx", table_name="nodes")
    op.drop_index("nodes_name_key", table_name="nodes", postgresql_where=sa.text("trashed_at IS NULL"))
    op.drop_table("nodes")
    op.drop_index("blobs_verified_key", table_name="blobs", postgresql_where=sa.text("content_status = 'verified'"))
    op.drop_index("blobs_unreferenced_idx", table_name="blobs", postgresql_where=sa.text("unreferenced_at IS NOT NULL"))
    op.drop_index("blobs_to_verify_idx", table_name="blobs", postgresql_where=sa.text("content_status = 'stored'"))
    op.drop_index("blobs_to_delete_idx", table_name="blobs", postgresql_where=sa.text("content_status = 'deleting'"))
    op.drop_index("blobs_owner_id_size_bytes_idx", table_name="blobs")
    op.drop_index("blobs_owner_id_fingerprint_idx", table_name="blobs")
    op.drop_table("blobs")
    op.drop_table("users")
    op.drop_index("outbox_aggregateid_idx", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("events")
