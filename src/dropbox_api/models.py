"""Every table, on one page. Constraints are named, because `db.CONSTRAINTS` speaks of them by name.

Rows belong to one user: `owner_id` (or `recipient_id`) stands in the keys and hot queries of the big tables, so that a
distributed Postgres can take over where one machine ends. Ids are UUIDv7 made by the server. Times are aware UTC.
Invariants that span tables (I1-I7) are written down in `docs/data.md` and checked by `dropbox-api doctor --check`.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

IN_TRASH = "trashed_at IS NOT NULL AND purged_at IS NULL"
LIVE_UPLOAD = "state IN ('creating', 'active', 'completing')"

Id = UUID(as_uuid=True)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way
        uuid.UUID: Id,
        datetime: DateTime(timezone=True),
        str: Text,
        int: BigInteger,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
    }


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class User(Base):
    """An account. Its row is the lock under which everything its owner has changes, one change at a time."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email", name="users_email_key"),
        CheckConstraint("kind IN ('person', 'service')", name="kind"),
        CheckConstraint("used_bytes >= 0 AND reserved_bytes >= 0", name="bytes"),
        CheckConstraint("used_nodes >= 0 AND reserved_nodes >= 0", name="nodes"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    """As typed, but in lower case: addresses are one per mailbox."""
    kind: Mapped[str] = mapped_column(server_default="person")
    """`service`: an account of a program. It has tokens, and neither password nor files of its own."""
    is_admin: Mapped[bool] = mapped_column(server_default=text("false"))
    password_hash: Mapped[str | None]
    """None: no way to sign in by password (OIDC only, or a service account)."""
    password_changed_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]
    """Since when we know that who has the account reads the mail of its address."""
    totp_secret: Mapped[bytes | None]
    """Encrypted with a key derived from the server's secret. Without `totp_enabled_at`: proposed, not yet confirmed."""
    totp_enabled_at: Mapped[datetime | None]
    totp_last_step: Mapped[int] = mapped_column(server_default="0")
    """Number of the 30 seconds whose code was used last: each code is good once."""
    created_at: Mapped[datetime] = _now()
    disabled_at: Mapped[datetime | None]
    quota_bytes: Mapped[int]
    used_bytes: Mapped[int] = mapped_column(server_default="0")
    """Bytes of the owner's blobs that are not being deleted, each once (I4)."""
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    """Bytes that live upload sessions may still turn into blobs (I4)."""
    quota_nodes: Mapped[int]
    used_nodes: Mapped[int] = mapped_column(server_default="0")
    """Files and folders, trashed ones too, the root not."""
    reserved_nodes: Mapped[int] = mapped_column(server_default="0")
    """Destinations of live upload sessions."""
    journal_seq: Mapped[int] = mapped_column(server_default="0")
    """Number of the newest event in the journal."""


class Session(Base):
    """A sign-in: a family of refresh tokens of which only the newest is valid."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_user_id_idx", "user_id"), Index("sessions_expires_at_idx", "expires_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    refresh_hash: Mapped[bytes]
    """SHA-256 of the newest refresh token."""
    previous_hash: Mapped[bytes | None]
    """SHA-256 of the token that was exchanged for it: good once more for a moment, should the answer be lost."""
    generation: Mapped[int] = mapped_column(Integer, server_default="1")
    """How often the token was rotated; a token of an older generation is a reuse."""
    user_agent: Mapped[str | None]
    address: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Node(Base):
    """The identity of a file or folder; survives rename and move. One root folder a user (no parent, no name)."""

    __tablename__ = "nodes"
    __table_args__ = (
        Index("nodes_name_key", "parent_id", "name_key", unique=True, postgresql_where=text("trashed_at IS NULL")),
        Index("nodes_root_key", "owner_id", unique=True, postgresql_where=text("parent_id IS NULL")),
        Index("nodes_owner_id_idx", "owner_id", "id"),
        # The three orders of a list: whoever asks for a page reads that page, however large the folder is.
        Index("nodes_by_size_idx", "parent_id", "size_bytes", "id", postgresql_where=text("trashed_at IS NULL")),
        Index("nodes_by_time_idx", "parent_id", "modified_at", "id", postgresql_where=text("trashed_at IS NULL")),
        # Trashed children, too: what a purge walks, and what the foreign key asks when a node is deleted.
        Index("nodes_parent_id_idx", "parent_id"),
        Index("nodes_folders_idx", "parent_id", postgresql_where=text("kind = 'folder'")),
        Index(
            "nodes_trash_idx",
            "owner_id",
            "trashed_at",
            "id",
            postgresql_where=text(IN_TRASH),
        ),
        Index("nodes_to_purge_idx", "trashed_at", postgresql_where=text(IN_TRASH)),
        Index("nodes_purged_idx", "owner_id", postgresql_where=text("purged_at IS NOT NULL")),
        Index(
            "nodes_name_trgm_idx",
            "name_key",
            postgresql_using="gin",
            postgresql_ops={"name_key": "gin_trgm_ops"},
            postgresql_where=text("trashed_at IS NULL"),
        ),
        CheckConstraint("kind IN ('file', 'folder')", name="kind"),
        CheckConstraint("kind = 'file' OR head_revision_id IS NULL", name="head"),
        CheckConstraint("parent_id IS NOT NULL OR (kind = 'folder' AND trashed_at IS NULL)", name="root"),
        CheckConstraint("purged_at IS NULL OR trashed_at IS NOT NULL", name="purged"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("nodes.id", ondelete="RESTRICT"))
    kind: Mapped[str]
    name: Mapped[str]
    """As typed, in NFC."""
    name_key: Mapped[str]
    """Case-folded NFC: what must be unique in a folder."""
    head_revision_id: Mapped[uuid.UUID | None]
    size_bytes: Mapped[int] = mapped_column(server_default="0")
    """Of the head revision, for ordering; 0 for folders."""
    version: Mapped[int] = mapped_column(server_default="1")
    """Grows with every change of the node: the ETag."""
    created_at: Mapped[datetime] = _now()
    modified_at: Mapped[datetime] = _now()
    trashed_at: Mapped[datetime | None]
    """Since when it is in the trash, with all below it: only the node that was deleted has it, not those below."""
    purged_at: Mapped[datetime | None]
    """Deleted for good: nobody sees it any more, a worker removes it and all below it."""


class Blob(Base):
    """One immutable stored object: the content of one or more revisions."""

    __tablename__ = "blobs"
    __table_args__ = (
        Index(
            "blobs_verified_key",
            "owner_id",
            "fingerprint",
            "encoding",
            unique=True,
            postgresql_where=text("content_status = 'verified'"),
        ),
        Index("blobs_owner_id_fingerprint_idx", "owner_id", "fingerprint"),
        Index("blobs_owner_id_size_bytes_idx", "owner_id", "size_bytes"),
        UniqueConstraint("storage_key", name="blobs_storage_key_key"),
        Index("blobs_to_verify_idx", "size_bytes", postgresql_where=text("content_status = 'stored'")),
        Index("blobs_unreferenced_idx", "unreferenced_at", postgresql_where=text("unreferenced_at IS NOT NULL")),
        Index("blobs_to_delete_idx", "deleting_at", postgresql_where=text("content_status = 'deleting'")),
        Index(
            "blobs_to_scrub_idx",
            "scrubbed_at",
            postgresql_where=text("content_status IN ('verified', 'damaged')"),
        ),
        CheckConstraint(
            "content_status IN ('stored', 'verified', 'quarantined', 'damaged', 'deleting')", name="content_status"
        ),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        CheckConstraint("size_bytes >= 0", name="size"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    fingerprint: Mapped[bytes]
    """What was claimed; when `content_status` is verified, what it is."""
    true_fingerprint: Mapped[bytes | None]
    """What the verifier found where that differs from the claim (quarantined)."""
    size_bytes: Mapped[int]
    encoding: Mapped[str] = mapped_column(server_default="identity")
    storage_key: Mapped[str]
    etag: Mapped[str]
    composite_digest: Mapped[str | None]
    """S3's SHA-256 of the object: base64 (single), base64 + "-N" (multipart)."""
    content_status: Mapped[str]
    created_at: Mapped[datetime] = _now()
    verified_at: Mapped[datetime | None]
    scrubbed_at: Mapped[datetime | None]
    """When it was last read again, or found damaged."""
    deleting_at: Mapped[datetime | None]
    unreferenced_at: Mapped[datetime | None]
    """Since when no revision needs it; collected some time after, if that is still so."""
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]


class BlobChunk(Base):
    """The manifest of a blob."""

    __tablename__ = "blob_chunks"
    __table_args__ = (Index("blob_chunks_owner_id_sha256_idx", "owner_id", "sha256"),)

    blob_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner_id: Mapped[uuid.UUID]
    offset_bytes: Mapped[int]
    size_bytes: Mapped[int]
    sha256: Mapped[bytes]


class Revision(Base):
    """A version of a file: its content never changes; its content type and processing state may."""

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("node_id", "number", name="revisions_number_key"),
        Index("revisions_blob_id_idx", "blob_id"),
        Index("revisions_destination_key", "upload_destination_id", unique=True),
        Index("revisions_superseded_idx", "superseded_at", postgresql_where=text("superseded_at IS NOT NULL")),
        Index(
            "revisions_processing_idx",
            "owner_id",
            "processing_state",
            "node_id",
            postgresql_where=text("processing_state IS NOT NULL"),
        ),
        CheckConstraint("processing_state IN ('queued', 'running', 'succeeded', 'failed')", name="processing_state"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID]
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id", ondelete="RESTRICT"))
    number: Mapped[int] = mapped_column(Integer)
    blob_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("blobs.id", ondelete="RESTRICT"))
    size_bytes: Mapped[int]
    content_type: Mapped[str]
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    client_modified_at: Mapped[datetime | None]
    upload_destination_id: Mapped[uuid.UUID | None]
    """Which destination made it: one revision per destination, however often it is finalised (I6)."""
    created_at: Mapped[datetime] = _now()
    superseded_at: Mapped[datetime | None]
    """Since when another revision is the head."""
    processing_state: Mapped[str | None]
    """What a downstream processor last reported; None before the first report."""
    processing_detail: Mapped[str | None]
    processing_at: Mapped[datetime | None]


class Upload(Base):
    """An upload session: the durable record of one content on its way into S3."""

    __tablename__ = "uploads"
    __table_args__ = (
        Index(
            "uploads_live_key",
            "uploader_id",
            "owner_id",
            "fingerprint",
            "encoding",
            unique=True,
            postgresql_where=text(f"{LIVE_UPLOAD} AND fingerprint IS NOT NULL"),
        ),
        Index("uploads_owner_id_idx", "owner_id", "size_bytes", postgresql_where=text(LIVE_UPLOAD)),
        Index("uploads_uploader_id_idx", "uploader_id", "id"),
        Index("uploads_next_check_idx", "next_check_at", postgresql_where=text(LIVE_UPLOAD)),
        UniqueConstraint("storage_key", name="uploads_storage_key_key"),
        Index("uploads_s3_upload_id_idx", "s3_upload_id", postgresql_where=text("s3_upload_id IS NOT NULL")),
        Index("uploads_blob_id_idx", "blob_id"),
        Index("uploads_leftover_idx", "ended_at", postgresql_where=text("leftover")),
        CheckConstraint(
            "state IN ('creating', 'active', 'completing', 'completed', 'aborted', 'expired', 'failed')", name="state"
        ),
        CheckConstraint("strategy IN ('single', 'multipart', 'stream')", name="strategy"),
        CheckConstraint("fingerprint IS NULL OR octet_length(fingerprint) = 32", name="fingerprint"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    uploader_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    """Whose quota it counts on and whose blob it becomes."""
    fingerprint: Mapped[bytes | None]
    """None while the client still hashes (late fingerprint)."""
    encoding: Mapped[str] = mapped_column(server_default="identity")
    size_bytes: Mapped[int]
    strategy: Mapped[str]
    chunk_size_bytes: Mapped[int]
    chunk_count: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    storage_key: Mapped[str]
    s3_upload_id: Mapped[str | None]
    """S3's own id: never accepted from a client, never shown."""
    created_at: Mapped[datetime] = _now()
    last_activity_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime]
    """When a worker looks at it next, if nothing happens before."""
    checks: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often a worker looked in vain since the last activity (backoff)."""
    listed_at: Mapped[datetime | None]
    """When the newest recorded listing of S3 began: older ones are ignored."""
    lease_token: Mapped[uuid.UUID | None]
    """Fencing: only the holder may record what S3 said while `creating` or `completing`."""
    lease_until: Mapped[datetime | None]
    rejections: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often S3 refused to assemble the parts; the second time ends the session."""
    gone_since: Mapped[datetime | None]
    """Since when S3 knows neither the multipart upload nor the object, while `completing`."""
    failure: Mapped[str | None]
    blob_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("blobs.id", ondelete="SET NULL"))
    leftover: Mapped[bool] = mapped_column(server_default=text("false"))
    """Ended, but S3 may still hold parts or an object under its key: a worker removes them."""


class UploadChunk(Base):
    """The status of one chunk, as S3 itself reported it. Frozen while the session is `completing`."""

    __tablename__ = "upload_chunks"
    __table_args__ = (
        CheckConstraint("state IN ('planned', 'uploaded', 'mismatched')", name="state"),
        CheckConstraint("sha256 IS NULL OR octet_length(sha256) = 32", name="sha256"),
    )

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    offset_bytes: Mapped[int]
    size_bytes: Mapped[int]
    sha256: Mapped[bytes | None]
    """Registered when its URL was signed; never changes afterwards."""
    state: Mapped[str] = mapped_column(server_default="planned")
    etag: Mapped[str | None]


class UploadDestination(Base):
    """Where the content of a session goes. Each succeeds or is refused on its own."""

    __tablename__ = "upload_destinations"
    __table_args__ = (
        Index("upload_destinations_upload_id_idx", "upload_id"),
        CheckConstraint("on_conflict IN ('fail', 'rename', 'replace')", name="on_conflict"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"))
    parent_id: Mapped[uuid.UUID]
    """No foreign key: the folder may be gone by the time the bytes are there."""
    name: Mapped[str]
    on_conflict: Mapped[str]
    base_revision_id: Mapped[uuid.UUID | None]
    content_type: Mapped[str]
    client_modified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()
    revision_id: Mapped[uuid.UUID | None]
    """What came of it."""
    node_id: Mapped[uuid.UUID | None]
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Or why nothing did."""


class Event(Base):
    """A recipient's journal, numbered without gaps in commit order (the counter is `users.journal_seq`)."""

    __tablename__ = "events"
    __table_args__ = {"postgresql_partition_by": "HASH (recipient_id)"}  # noqa: RUF012 - SQLAlchemy's own way

    recipient_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID]
    """Of what happened: the same in all journals, in webhooks and messages."""
    kind: Mapped[str]
    owner_id: Mapped[uuid.UUID]
    """Whose node it is."""
    node_id: Mapped[uuid.UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = _now()


class Outbox(Base):
    """What everybody else is to be told: written with the change it announces, read by the relay.

    The first columns are those of Debezium's outbox event router.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_aggregateid_idx", "aggregateid", "seq"),
        Index(
            "outbox_to_fan_out_idx",
            "aggregateid",
            "seq",
            postgresql_where=text("fanned_at IS NULL AND parked_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    aggregatetype: Mapped[str]
    aggregateid: Mapped[uuid.UUID]
    """The owner: order is kept per owner."""
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    seq: Mapped[int]
    """Its number in the owner's journal: ids are made before the lock is held, numbers under it."""
    recipients: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Id))
    """Who had access before the change, or has since, but for the owner: as of the change's own transaction."""
    fanned_at: Mapped[datetime | None]
    """Since when it is in all journals, and its deliveries are planned."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    parked_at: Mapped[datetime | None]
    """It failed too often: what follows goes ahead of it, and an operator looks (`dropbox-api doctor`)."""
    failure: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class RelayLease(Base):
    """Who sends an owner's changes to the bus, or calls a webhook: one worker a queue, so that its order is kept."""

    __tablename__ = "relay_leases"

    queue_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """A user or a webhook."""
    token: Mapped[uuid.UUID]
    """Fences: whoever records an outcome names it."""
    until: Mapped[datetime]


class Webhook(Base):
    """An address that is told what its user's journal says."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("webhooks_user_id_idx", "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    url: Mapped[str]
    secret: Mapped[bytes]
    """Encrypted with a key derived from the server's secret."""
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Which kinds it is told of; none named: all."""
    description: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = _now()
    failing_since: Mapped[datetime | None]
    """The first failure after the last success."""
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class Delivery(Base):
    """One event on its way to one webhook: the log of what was tried, and the queue of what is to be."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id", "kind", name="deliveries_event_key"),
        Index("deliveries_due_idx", "webhook_id", "next_attempt_at", "id", postgresql_where=text("state = 'pending'")),
        Index("deliveries_webhook_id_idx", "webhook_id", "id"),
        Index("deliveries_node_id_idx", "node_id"),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    node_id: Mapped[uuid.UUID]
    body: Mapped[bytes]
    """What is signed and sent, the same at each attempt."""
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = _now()
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    delivered_at: Mapped[datetime | None]


class JobRun(Base):
    """What the last run of a job did, and all runs together: for `doctor` and `/metrics`, whichever process ran it."""

    __tablename__ = "job_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    found: Mapped[int] = mapped_column(server_default="0")
    done: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
    runs_total: Mapped[int] = mapped_column(server_default="0")
    done_total: Mapped[int] = mapped_column(server_default="0")
    failed_total: Mapped[int] = mapped_column(server_default="0")


class AuditEntry(Base):
    """Who did what to which node, from where. Written with the change itself, read by the node's owner."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_node_id_idx", "owner_id", "node_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID]
    node_id: Mapped[uuid.UUID]
    """No foreign keys: the log outlives what it tells of."""
    actor_id: Mapped[uuid.UUID | None]
    """None: the server itself (a worker)."""
    action: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class IdempotencyKey(Base):
    """A creating request that may be repeated: written with what it creates, answered once, replayed for a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created_at_idx", "created_at"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    """SHA-256 of method, address and body: another body under the same key is a mistake of the client's."""
    status: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[bytes | None]
    """None until there is one: a repetition then runs again."""
    created_at: Mapped[datetime] = _now()


class OidcIdentity(Base):
    """Who an OpenID provider says somebody is: its issuer and subject, which never change hands."""

    __tablename__ = "oidc_identities"
    __table_args__ = (Index("oidc_identities_user_id_idx", "user_id"),)

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """What replaces a second factor that was lost, once."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    """HMAC-SHA256 under a key derived from the server's secret: the codes are random, but short."""
    used_at: Mapped[datetime | None]


class ApiToken(Base):
    """A personal access token, or a service account's: lives until it is revoked or expires."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        Index("api_tokens_user_id_idx", "user_id"),
        UniqueConstraint("token_hash", name="api_tokens_token_hash_key"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    token_hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class MailToken(Base):
    """What a link in a mail proves: that its reader owns the address. Good once, for a while."""

    __tablename__ = "mail_tokens"
    __table_args__ = (
        Index("mail_tokens_user_id_idx", "user_id", "purpose"),
        CheckConstraint("purpose IN ('verify', 'reset')", name="purpose"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    email: Mapped[str]
    """The address that is proven; of no use once the account has another one."""
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Grant(Base):
    """Somebody may see (viewer) or change (editor) a node and all below it."""

    __tablename__ = "grants"
    __table_args__ = (
        Index("grants_email_key", "node_id", "email", unique=True),
        Index("grants_grantee_key", "grantee_id", "node_id", unique=True),
        Index("grants_invited_idx", "email", postgresql_where=text("grantee_id IS NULL")),
        CheckConstraint("role IN ('viewer', 'editor')", name="role"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """Of the node."""
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    email: Mapped[str]
    """As it was invited, in lower case."""
    grantee_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """None: an invitation that waits for an account whose address is verified."""
    role: Mapped[str]
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = _now()


class Link(Base):
    """A bearer share: whoever has its token has its access, within password, expiry and budget."""

    __tablename__ = "links"
    __table_args__ = (
        Index("links_node_id_idx", "node_id"),
        CheckConstraint("mode IN ('view', 'download', 'upload')", name="mode"),
        CheckConstraint("downloads >= 0", name="downloads"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """The token is made of it and a MAC: it is stored nowhere."""
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    mode: Mapped[str]
    password_hash: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    max_downloads: Mapped[int | None]
    downloads: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = _now()
    revoked_at: Mapped[datetime | None]
