"""Event ids, recipients, relay leases, webhooks and deliveries, job runs, scrubbing.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "job_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("runs_total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done_total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed_total", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("job_runs_pkey")),
    )
    op.create_table(
        "relay_leases",
        sa.Column("queue_id", sa.UUID(), nullable=False),
        sa.Column("token", sa.UUID(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("queue_id", name=op.f("relay_leases_pkey")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("webhooks_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("webhooks_pkey")),
    )
    op.create_index("webhooks_user_id_idx", "webhooks", ["user_id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("webhook_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("deliveries_state_check")),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("deliveries_webhook_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("deliveries_pkey")),
        sa.UniqueConstraint("webhook_id", "event_id", "kind", name="deliveries_event_key"),
    )
    op.create_index(
        "deliveries_due_idx",
        "deliveries",
        ["webhook_id", "next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("deliveries_node_id_idx", "deliveries", ["node_id"], unique=False)
    op.create_index("deliveries_webhook_id_idx", "deliveries", ["webhook_id", "id"], unique=False)
    op.add_column("blobs", sa.Column("scrubbed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "blobs_to_scrub_idx",
        "blobs",
        ["scrubbed_at"],
        unique=False,
        postgresql_where=sa.text("content_status IN ('verified', 'damaged')"),
    )
    op.create_index(
        "uploads_s3_upload_id_idx",
        "uploads",
        ["s3_upload_id"],
        unique=False,
        postgresql_where=sa.text("s3_upload_id IS NOT NULL"),
    )
    # Until here every journal held only the changes of its own account.
    op.add_column("events", sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False))
    op.alter_column("events", "id", server_default=None)
    op.add_column("events", sa.Column("owner_id", sa.UUID(), nullable=True))
    op.execute("UPDATE events SET owner_id = recipient_id")
    op.alter_column("events", "owner_id", nullable=False)
    # Until here the outbox had no reader and every event had one recipient: old rows are garbage.
    op.execute("DELETE FROM outbox")
    op.add_column("outbox", sa.Column("seq", sa.BigInteger(), nullable=False))
    op.add_column("outbox", sa.Column("recipients", sa.ARRAY(sa.UUID()), nullable=False))
    op.add_column("outbox", sa.Column("fanned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("outbox", sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("failure", sa.Text(), nullable=True))
    op.drop_index(op.f("outbox_aggregateid_idx"), table_name="outbox")
    op.create_index("outbox_aggregateid_idx", "outbox", ["aggregateid", "seq"], unique=False)
    op.create_index(
        "outbox_to_fan_out_idx",
        "outbox",
        ["aggregateid", "seq"],
        unique=False,
        postgresql_where=sa.text("fanned_at IS NULL AND parked_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "outbox_to_fan_out_idx",
        table_name="outbox",
        postgresql_where=sa.text("fanned_at IS NULL AND parked_at IS NULL"),
    )
    op.drop_index("outbox_aggregateid_idx", table_name="outbox")
    op.create_index(op.f("outbox_aggregateid_idx"), "outbox", ["aggregateid", "id"], unique=False)
    op.drop_column("outbox", "failure")
    op.drop_column("outbox", "parked_at")
    op.drop_column("outbox", "attempts")
    op.drop_column("outbox", "fanned_at")
    op.drop_column("outbox", "recipients")
    op.drop_column("outbox", "seq")
    op.drop_index(
        "uploads_s3_upload_id_idx", table_name="uploads", postgresql_where=sa.text("s3_upload_id IS NOT NULL")
    )
    op.drop_column("events", "owner_id")
    op.drop_column("events", "id")
    op.drop_index(
        "blobs_to_scrub_idx", table_name="blobs", postgresql_where=sa.text("content_status IN ('verified', 'damaged')")
    )
    op.drop_column("blobs", "scrubbed_at")
    op.drop_index("deliveries_webhook_id_idx", table_name="deliveries")
    op.drop_index("deliveries_node_id_idx", table_name="deliveries")
    op.drop_index("deliveries_due_idx", table_name="deliveries", postgresql_where=sa.text("state = 'pending'"))
    op.drop_table("deliveries")
    op.drop_index("webhooks_user_id_idx", table_name="webhooks")
    op.drop_table("webhooks")
    op.drop_table("relay_leases")
    op.drop_table("job_runs")
