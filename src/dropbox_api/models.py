"""Every table, on one page. Constraints have names, because `db.CONSTRAINTS` maps them to problems.

Every row belongs to one user: keys and hot queries of the big tables contain `owner_id` (or `recipient_id`), so that a
distributed Postgres can partition them. Ids are UUIDv7 made by the server. Times are aware UTC. `docs/data.md` defines
the invariants that span tables (I1-I7); `dropbox-api doctor --check` checks them.
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
HAS_OTHER_SORT = "split_part(name_sort, chr(1), 2) <> name_key"
"""The place in natural order belongs to another name: a server of an older version wrote the name."""
UPLOAD_TOKEN = "(session_id IS NOT NULL OR token_id IS NOT NULL)"  # noqa: S105 - SQL
"""SQL condition on `links`: the row is an upload token. The same text as in the partial index."""
IS_TO_DECODE = "state = 'completing' AND encoded_etag IS NOT NULL"
LIVE_UPLOAD = "state IN ('creating', 'active', 'completing')"
IS_FAR_BEHIND = "last_seen_at > now() - interval '1 day' AND journal_seq - coalesce(seq, 0) > 10000"
"""Of `devices` and its `users`: the device runs, and yet does not read its events."""

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
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain dict
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
    """An account. Its row is the lock for every change in its tree and journal."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email", name="users_email_key"),
        Index("users_to_purge_idx", "purge_at", postgresql_where=text("purge_at IS NOT NULL AND deleted_at IS NULL")),
        CheckConstraint("kind IN ('person', 'service')", name="kind"),
        CheckConstraint("used_bytes >= 0 AND reserved_bytes >= 0", name="bytes"),
        CheckConstraint("used_nodes >= 0 AND reserved_nodes >= 0", name="nodes"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    """As typed, in lower case, so that one mailbox has one account."""
    display_name: Mapped[str | None]
    """Shown beside the address to the people with whom the account shares."""
    kind: Mapped[str] = mapped_column(server_default="person")
    """`service`: the account of a program, with tokens and without password and files."""
    is_admin: Mapped[bool] = mapped_column(server_default=text("false"))
    password_hash: Mapped[str | None]
    """None: the account cannot sign in by password (OIDC only, or a service account)."""
    password_changed_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]
    """When the account proved that it receives the mail of its address."""
    totp_secret: Mapped[bytes | None]
    """Encrypted with a key derived from the server's secret. Unconfirmed while `totp_enabled_at` is None."""
    totp_enabled_at: Mapped[datetime | None]
    totp_last_step: Mapped[int] = mapped_column(server_default="0")
    """Number of the 30-second step of the last used code: each code is valid once."""
    passkeys_only: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the password alone signs in no more, although no app is set up."""
    created_at: Mapped[datetime] = _now()
    disabled_at: Mapped[datetime | None]
    purge_at: Mapped[datetime | None]
    """When the account is deleted for good: its user has requested that, and may restore the account until then."""
    purge_started_at: Mapped[datetime | None]
    """When job `delete-accounts` began: nothing leads back from here."""
    deleted_at: Mapped[datetime | None]
    """When everything but this row was deleted: it is the tombstone that what others have refers to."""
    quota_bytes: Mapped[int]
    used_bytes: Mapped[int] = mapped_column(server_default="0")
    """Bytes of the owner's blobs that are not being deleted, each once (I4)."""
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    """Bytes that live upload sessions may still turn into blobs (I4)."""
    quota_nodes: Mapped[int]
    used_nodes: Mapped[int] = mapped_column(server_default="0")
    """Files and folders, including trashed ones, excluding the root."""
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
    """SHA-256 of the token for which the newest was issued: it may come again, because the answer may be lost."""
    generation: Mapped[int] = mapped_column(Integer, server_default="1")
    """Number of rotations; a token of an older generation is a reuse."""
    transport: Mapped[str] = mapped_column(server_default="bearer")
    """How the client keeps the refresh token: `bearer`, `cookie`, or `temporary-cookie` (until the browser closes)."""
    user_agent: Mapped[str | None]
    address: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    """When the caller last proved the password or a passkey after the sign-in."""
    second_factor_at: Mapped[datetime | None]
    """When the caller proved a second factor; None: the first factor alone."""


class Node(Base):
    """The identity of a file or folder; survives rename and move. One root folder per user (no parent, no name)."""

    __tablename__ = "nodes"
    __table_args__ = (
        Index("nodes_name_key", "parent_id", "name_key", unique=True, postgresql_where=text("trashed_at IS NULL")),
        Index("nodes_root_key", "owner_id", unique=True, postgresql_where=text("parent_id IS NULL")),
        Index("nodes_owner_id_idx", "owner_id", "id"),
        # The three orders of a list: a page costs the same for every folder size.
        Index("nodes_by_name_idx", "parent_id", "name_sort", "id", postgresql_where=text("trashed_at IS NULL")),
        Index("nodes_by_size_idx", "parent_id", "size_bytes", "id", postgresql_where=text("trashed_at IS NULL")),
        Index("nodes_by_time_idx", "parent_id", "modified_at", "id", postgresql_where=text("trashed_at IS NULL")),
        Index(
            "nodes_recent_idx",
            "owner_id",
            "modified_at",
            "id",
            postgresql_where=text("kind = 'file' AND trashed_at IS NULL"),
        ),
        # Includes trashed children: for the purge, and for the foreign key when a node is deleted.
        Index("nodes_parent_id_idx", "parent_id"),
        Index("nodes_folders_by_name_idx", "parent_id", "name_sort", "id", postgresql_where=text("kind = 'folder'")),
        Index("nodes_to_sort_idx", "id", postgresql_where=text(HAS_OTHER_SORT)),
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
            "nodes_search_trgm_idx",
            func.coalesce(text("folded_key"), text("name_key")).label("search_key"),
            postgresql_using="gin",
            postgresql_ops={"search_key": "gin_trgm_ops"},
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
    """Case-folded NFC, unique among the live nodes of a folder."""
    folded_key: Mapped[str | None]
    """The key without accents, for searches; None where it is `name_key` itself."""
    name_sort: Mapped[str] = mapped_column(Text(collation="C"), server_default="")
    """The place in natural order, of `names.make_sort_key`; "" for the root folder."""
    head_revision_id: Mapped[uuid.UUID | None]
    size_bytes: Mapped[int] = mapped_column(server_default="0")
    """Of the head revision, for ordering; 0 for folders."""
    executable: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the client's copy of a file may be run; false for folders."""
    version: Mapped[int] = mapped_column(server_default="1")
    """Incremented by every change of the node: the ETag."""
    created_at: Mapped[datetime] = _now()
    modified_at: Mapped[datetime] = _now()
    trashed_at: Mapped[datetime | None]
    """When the node went to the trash, with everything below it. Only the deleted node has it, not its descendants."""
    trashed_by: Mapped[uuid.UUID | None]
    """The account that moved the node to the trash; None for nodes deleted before this column, and outside the trash.
    No foreign key: the node outlives the account of an editor."""
    purged_at: Mapped[datetime | None]
    """When the node was deleted permanently: it is hidden until a worker removes it and everything below it."""


class Tombstone(Base):
    """The id of a node whose row was removed: tells a deleted node from one that never existed."""

    __tablename__ = "tombstones"
    __table_args__ = (Index("tombstones_deleted_at_idx", "deleted_at"),)

    owner_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    node_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    deleted_at: Mapped[datetime] = _now()
    """When the row was removed. The node was hidden before, since `nodes.purged_at`."""


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
        Index(
            "blobs_unverified_idx",
            "content_status",
            "size_bytes",
            postgresql_where=text("content_status <> 'verified'"),
        ),
        Index("blobs_to_delete_idx", "deleting_at", postgresql_where=text("content_status = 'deleting'")),
        Index(
            "blobs_to_thumbnail_idx",
            "id",
            postgresql_where=text("thumbnail_due_at IS NOT NULL AND content_status = 'verified'"),
        ),
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
    """The client's claim until `content_status` is verified."""
    true_fingerprint: Mapped[bytes | None]
    """The verifier's result if it differs from the claim (quarantined)."""
    size_bytes: Mapped[int]
    encoding: Mapped[str] = mapped_column(server_default="identity")
    chunking: Mapped[str] = mapped_column(server_default="fixed")
    """How the chunks were cut: `fixed` (all but the last of one size) or `cdc1`."""
    storage_key: Mapped[str]
    etag: Mapped[str]
    composite_digest: Mapped[str | None]
    """S3's SHA-256 of the object: base64 (single), base64 + "-N" (multipart)."""
    is_utf8: Mapped[bool | None]
    """Whether the content is text in UTF-8; None until the server has read it for another purpose."""
    content_status: Mapped[str]
    created_at: Mapped[datetime] = _now()
    verified_at: Mapped[datetime | None]
    scrubbed_at: Mapped[datetime | None]
    """When scrub last read the object, or found it damaged."""
    deleting_at: Mapped[datetime | None]
    thumbnail_due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    """From when on the worker makes thumbnails; None: it has made them, or found that the content gives none."""
    unreferenced_at: Mapped[datetime | None]
    """When the last reference disappeared; garbage collection removes the blob a grace period later."""
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]


class Thumbnail(Base):
    """The thumbnails of a blob: two objects derived from its content, whose keys `files.thumbnails` makes."""

    __tablename__ = "thumbnails"
    __table_args__ = (
        Index("thumbnails_version_idx", "version"),
        CheckConstraint("state IN ('making', 'ready', 'none')", name="state"),
    )

    blob_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    """Of the code that made them; part of the keys."""
    state: Mapped[str] = mapped_column(server_default="making")
    """`making`: there may be objects; `none`: the content gives no thumbnail."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    """Attempts that ended without a result, because the worker died."""
    reason: Mapped[str | None]
    """Why there is none."""
    made_at: Mapped[datetime] = _now()


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
    """A version of a file: its content never changes; its type, time and processing state may."""

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("node_id", "number", name="revisions_number_key"),
        Index("revisions_blob_id_idx", "blob_id"),
        Index("revisions_destination_key", "upload_destination_id", unique=True),
        Index("revisions_superseded_idx", "superseded_at", postgresql_where=text("superseded_at IS NOT NULL")),
        Index("revisions_to_thin_idx", "node_id", postgresql_where=text("superseded_at IS NOT NULL AND NOT pinned")),
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
    """The upload destination that created it; unique, so that completing twice creates one revision (I6)."""
    created_at: Mapped[datetime] = _now()
    superseded_at: Mapped[datetime | None]
    """When another revision became the head."""
    pinned: Mapped[bool] = mapped_column(server_default=text("false"))
    """Neither thinned nor pruned, until it is unpinned or the file is purged."""
    processing_state: Mapped[str | None]
    """The last report of a downstream processor; None before the first one."""
    processing_detail: Mapped[str | None]
    processing_at: Mapped[datetime | None]


class Upload(Base):
    """An upload session: the durable record of one content on its way into S3."""

    __tablename__ = "uploads"
    __table_args__ = (
        Index(
            "uploads_own_content_key",
            "uploader_id",
            "owner_id",
            "fingerprint",
            "encoding",
            "chunking",
            unique=True,
            postgresql_where=text(f"{LIVE_UPLOAD} AND fingerprint IS NOT NULL AND link_id IS NULL"),
        ),
        Index(
            "uploads_sender_key",
            "link_id",
            "link_secret_hash",
            "client_ref",
            unique=True,
            postgresql_where=text(f"link_id IS NOT NULL AND ({LIVE_UPLOAD} OR state = 'completed')"),
        ),
        Index("uploads_link_id_idx", "link_id", "id", postgresql_where=text("link_id IS NOT NULL")),
        Index(
            "uploads_open_by_link_idx",
            "owner_id",
            "link_id",
            postgresql_where=text(f"{LIVE_UPLOAD} AND link_id IS NOT NULL"),
        ),
        Index("uploads_owner_id_idx", "owner_id", "size_bytes", postgresql_where=text(LIVE_UPLOAD)),
        Index("uploads_uploader_id_idx", "uploader_id", "id"),
        Index("uploads_next_check_idx", "next_check_at", postgresql_where=text(LIVE_UPLOAD)),
        UniqueConstraint("storage_key", name="uploads_storage_key_key"),
        Index("uploads_s3_upload_id_idx", "s3_upload_id", postgresql_where=text("s3_upload_id IS NOT NULL")),
        Index("uploads_blob_id_idx", "blob_id"),
        Index("uploads_open_idx", "uploader_id", postgresql_where=text(LIVE_UPLOAD)),
        Index("uploads_expires_at_idx", "expires_at", postgresql_where=text(LIVE_UPLOAD)),
        Index("uploads_to_discard_idx", "next_check_at", postgresql_where=text("leftover")),
        Index("uploads_to_decode_idx", "next_check_at", postgresql_where=text(IS_TO_DECODE)),
        CheckConstraint(
            "state IN ('creating', 'active', 'completing', 'completed', 'aborted', 'expired', 'failed')", name="state"
        ),
        CheckConstraint("strategy IN ('single', 'multipart', 'stream')", name="strategy"),
        CheckConstraint("fingerprint IS NULL OR octet_length(fingerprint) = 32", name="fingerprint"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    uploader_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    """The account that is charged and that will own the blob."""
    fingerprint: Mapped[bytes | None]
    """None until the client binds it (late fingerprint)."""
    encoding: Mapped[str] = mapped_column(server_default="identity")
    size_bytes: Mapped[int]
    strategy: Mapped[str]
    chunking: Mapped[str] = mapped_column(server_default="fixed")
    """As `blobs.chunking`."""
    chunk_size_bytes: Mapped[int]
    """The size of fixed chunks; the largest possible size of others."""
    chunk_count: Mapped[int] = mapped_column(Integer)
    """Of `cdc1`: the chunks that the client has listed so far."""
    state: Mapped[str]
    storage_key: Mapped[str]
    s3_upload_id: Mapped[str | None]
    """S3's own id: never accepted from a client and never answered."""
    created_at: Mapped[datetime] = _now()
    last_activity_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime]
    """When a worker checks the session next, unless activity postpones it; once it has ended, its leftovers."""
    checks: Mapped[int] = mapped_column(Integer, server_default="0")
    """Number of checks without result since the last activity or the end (backoff)."""
    listed_at: Mapped[datetime | None]
    """When the newest recorded listing of S3 began; results of older listings are ignored."""
    lease_token: Mapped[uuid.UUID | None]
    """Fencing token: only the lease holder may record S3's answers while `creating` or `completing`."""
    lease_until: Mapped[datetime | None]
    rejections: Mapped[int] = mapped_column(Integer, server_default="0")
    """Number of refusals of S3 to assemble the parts; the second one ends the session."""
    gone_since: Mapped[datetime | None]
    """When S3 first reported neither the multipart upload nor the object while `completing`."""
    failure: Mapped[str | None]
    blob_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("blobs.id", ondelete="SET NULL"))
    leftover: Mapped[bool] = mapped_column(server_default=text("false"))
    """The session has ended, and a worker must still remove its parts or object from S3."""
    link_id: Mapped[uuid.UUID | None]
    """The upload link whose bearer sends; `uploader_id` is then the owner. No foreign key: sessions outlive links."""
    link_secret_hash: Mapped[bytes | None]
    """SHA-256 of the secret that the sender made; it alone gives access to the session. As the next three columns, only
    of sessions under a link."""
    client_ref: Mapped[str | None]
    """The sender's own name of the session."""
    sender_address: Mapped[str | None]
    """The network address that started the session, as limits count it."""
    confirmed_bytes: Mapped[int | None]
    """Bytes of the parts that S3 had reported when the session was last reconciled."""
    reserved_bytes: Mapped[int | None]
    """What the session reserves of the owner's quota; None: `size_bytes`."""
    content_bytes: Mapped[int | None]
    """Of compressed content: its size when it is decoded. `size_bytes`, the chunks and the object are compressed."""
    encoded_etag: Mapped[str | None]
    """ETag of the compressed object, once S3 has assembled it; a worker decodes it then."""


class UploadChunk(Base):
    """The status of one chunk as S3 reported it. Frozen while the session is `completing`."""

    __tablename__ = "upload_chunks"
    __table_args__ = (
        CheckConstraint("state IN ('planned', 'uploaded', 'mismatched', 'reusing', 'reused')", name="state"),
        CheckConstraint("sha256 IS NULL OR octet_length(sha256) = 32", name="sha256"),
    )

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    offset_bytes: Mapped[int]
    size_bytes: Mapped[int]
    sha256: Mapped[bytes | None]
    """Registered when the chunk is listed or its first URL is signed; immutable afterwards."""
    state: Mapped[str] = mapped_column(server_default="planned")
    """`reusing`: a worker makes the part from stored bytes, and the chunk has a row in `chunk_reuses`."""
    etag: Mapped[str | None]


class ChunkReuse(Base):
    """The work of making one part from stored bytes; the row exists while its chunk is `reusing`."""

    __tablename__ = "chunk_reuses"
    __table_args__ = (Index("chunk_reuses_blob_id_idx", "blob_id"),)

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    blob_id: Mapped[uuid.UUID]
    """The source. No foreign key: it delays the deletion of the object for a day, and does not prevent it."""
    offset_bytes: Mapped[int]
    """In the source."""
    relay: Mapped[bool]
    """The worker reads the bytes and sends them; else the store copies them."""
    excluded: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Id), server_default="{}")
    """Sources whose bytes were gone or wrong."""
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    """Attempts with this source that had no outcome, the present one included."""
    created_at: Mapped[datetime] = _now()
    lease_token: Mapped[uuid.UUID | None]
    """Fencing token of the worker: a chunk whose row is gone, or has another token, takes no result."""
    lease_until: Mapped[datetime | None]


class UploadDestination(Base):
    """A destination of a session's content. Each one succeeds or is refused independently."""

    __tablename__ = "upload_destinations"
    __table_args__ = (
        Index("upload_destinations_upload_id_idx", "upload_id"),
        CheckConstraint("on_conflict IN ('fail', 'rename', 'replace')", name="on_conflict"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"))
    parent_id: Mapped[uuid.UUID]
    """No foreign key: the folder may be deleted before the upload completes."""
    name: Mapped[str]
    file_id: Mapped[uuid.UUID | None]
    """The file that gets the content, wherever it is; folder and name are then those of the start."""
    on_conflict: Mapped[str]
    base_revision_id: Mapped[uuid.UUID | None]
    content_type: Mapped[str | None]
    """None: that of the file."""
    client_modified_at: Mapped[datetime | None]
    executable: Mapped[bool | None]
    """None: as the file is."""
    folder_path: Mapped[str | None]
    """Of a session under a link: the folders below `parent_id`, made when the session completes."""
    created_at: Mapped[datetime] = _now()
    revision_id: Mapped[uuid.UUID | None]
    """The created or changed file, if the destination succeeded."""
    node_id: Mapped[uuid.UUID | None]
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The problem, if the destination was refused."""


class Copy(Base):
    """A copy into the tree of another owner, on which job `copy` works while it is `running`."""

    __tablename__ = "copies"
    __table_args__ = (
        Index("copies_actor_id_idx", "actor_id"),
        Index("copies_owner_id_idx", "owner_id"),
        Index("copies_running_idx", "id", postgresql_where=text("state = 'running'")),
        CheckConstraint("state IN ('running', 'done', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    actor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """The owner of the target, who is charged."""
    source_id: Mapped[uuid.UUID]
    """The node to copy. No foreign key, as `parent_id` and `node_id`: nodes may be deleted before and after."""
    parent_id: Mapped[uuid.UUID]
    name: Mapped[str]
    on_conflict: Mapped[str]
    state: Mapped[str]
    items: Mapped[int]
    left_out: Mapped[int]
    """Files with quarantined or damaged content, which are not copied."""
    total_bytes: Mapped[int]
    copied_bytes: Mapped[int] = mapped_column(server_default="0")
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    """Part of `users.reserved_bytes` (I4): content that is not copied yet. 0 after the end, as `reserved_nodes`."""
    reserved_nodes: Mapped[int] = mapped_column(server_default="0")
    node_id: Mapped[uuid.UUID | None]
    """The copy, once it is made."""
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Why it failed."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """How often the store failed."""
    created_at: Mapped[datetime] = _now()
    ended_at: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]


class CopiedBlob(Base):
    """The content that a copy has copied: the blob of the target's owner for each blob of the source."""

    __tablename__ = "copied_blobs"
    __table_args__ = (Index("copied_blobs_blob_id_idx", "blob_id"),)

    copy_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("copies.id", ondelete="CASCADE"), primary_key=True)
    source_blob_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    blob_id: Mapped[uuid.UUID]
    """No foreign key: the blob may be collected later."""


class Event(Base):
    """A recipient's journal, numbered without gaps in commit order (the counter is `users.journal_seq`)."""

    __tablename__ = "events"
    __table_args__ = {"postgresql_partition_by": "HASH (recipient_id)"}  # noqa: RUF012 - SQLAlchemy reads a plain dict

    recipient_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID]
    """The same in all journals, in webhooks and in messages."""
    kind: Mapped[str]
    owner_id: Mapped[uuid.UUID]
    """The owner of the node."""
    node_id: Mapped[uuid.UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    actor_kind: Mapped[str | None]
    """`account`, `link` or `server`; None for events older than this column."""
    actor_id: Mapped[uuid.UUID | None]
    """The account, or the link. No foreign key: the event outlives both."""
    actor_token: Mapped[str | None]
    """Name of the account's personal token, if it used one."""
    created_at: Mapped[datetime] = _now()


class Device(Base):
    """A device that reports how far it has read the journal of its account."""

    __tablename__ = "devices"
    __table_args__ = (Index("devices_last_seen_at_idx", "last_seen_at"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """Made by the client, so it is unique within an account only."""
    name: Mapped[str]
    seq: Mapped[int | None]
    """Number of the last event that it has read; None before its first one."""
    pending: Mapped[int]
    created_at: Mapped[datetime] = _now()
    last_seen_at: Mapped[datetime] = _now()


class StorageReport(Base):
    """What the storage of an account holds, computed when it was last asked for."""

    __tablename__ = "storage_reports"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    bytes_by_use: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """By use; uses without bytes are left out."""
    computed_at: Mapped[datetime]
    fresh_until: Mapped[datetime]
    """Until then the report is answered again."""


class Outbox(Base):
    """Changes for other recipients, webhooks and the topic: written with the change, read by the relay.

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
    """Its number in the owner's journal. Numbers are assigned under the lock, ids before it."""
    recipients: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Id))
    """Accounts with access before or after the change, except the owner, as of the change's transaction."""
    actor_kind: Mapped[str | None]
    """As in the journal, to which the relay copies all three."""
    actor_id: Mapped[uuid.UUID | None]
    actor_token: Mapped[str | None]
    fanned_at: Mapped[datetime | None]
    """When the relay had copied it into all journals and planned its deliveries."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    parked_at: Mapped[datetime | None]
    """When it was parked after too many failures: later rows overtake it; `dropbox-api doctor` reports it."""
    failure: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class RelayLease(Base):
    """The lease on a message queue (an owner's for the topic, or a webhook's): one worker per queue keeps its order."""

    __tablename__ = "relay_leases"

    queue_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """The id of a user or a webhook."""
    token: Mapped[uuid.UUID]
    """Fencing token: recording a result requires it."""
    until: Mapped[datetime]


class Webhook(Base):
    """A URL that receives the events of its user's journal."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("webhooks_user_id_idx", "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    url: Mapped[str]
    secret: Mapped[bytes]
    """Encrypted with a key derived from the server's secret."""
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """The kinds of events that it receives; empty means all."""
    description: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = _now()
    failing_since: Mapped[datetime | None]
    """The first failure after the last success."""
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class Delivery(Base):
    """One event for one webhook: both the queue of planned calls and the log of past ones."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id", "kind", name="deliveries_event_key"),
        Index("deliveries_due_idx", "webhook_id", "next_attempt_at", "id", postgresql_where=text("state = 'pending'")),
        Index("deliveries_failed_idx", "webhook_id", postgresql_where=text("state = 'failed'")),
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
    """The signed bytes, the same at each attempt."""
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = _now()
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    delivered_at: Mapped[datetime | None]


class Instance(Base):
    """This installation, in one row: its id, and the epoch of its data. `plumbing.epoch` reads and changes it."""

    __tablename__ = "instance"
    __table_args__ = (CheckConstraint("is_only", name="is_only"),)

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    instance_id: Mapped[uuid.UUID]
    """The same over restores; another installation has another one."""
    first_epoch: Mapped[str]
    data_epoch: Mapped[str]
    """12 hex digits. Read it by `current_data_epoch()`, which compares the database's identity."""
    epoch_started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    system_identifier: Mapped[str | None]
    """Of the Postgres cluster in which the epoch began; None where it is not known, as `timeline`."""
    timeline: Mapped[str | None]


class JobRun(Base):
    """The last run of a job and the totals of all runs, of all processes: for `doctor` and `/metrics`."""

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
    """Audit trail: actor, action, node and network address. Written with the change, read by the node's owner."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_node_id_idx", "owner_id", "node_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID]
    node_id: Mapped[uuid.UUID]
    """No foreign keys: the log outlives nodes."""
    actor_id: Mapped[uuid.UUID | None]
    """None: the server itself (a worker)."""
    action: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class IdempotencyKey(Base):
    """A creating request and its answer: written with the created rows, replayed for a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created_at_idx", "created_at"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    """SHA-256 of method, path and body: the same key with another body is a client error."""
    status: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[bytes | None]
    """None until the answer is recorded; until then a repetition runs again."""
    created_at: Mapped[datetime] = _now()


class OidcIdentity(Base):
    """A user's identity at an OpenID provider: issuer and subject, which are never reassigned."""

    __tablename__ = "oidc_identities"
    __table_args__ = (Index("oidc_identities_user_id_idx", "user_id"),)

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """A single-use replacement for a lost second factor."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    """HMAC-SHA256 under a key derived from the server's secret, because the codes are random but short."""
    used_at: Mapped[datetime | None]


class Passkey(Base):
    """The public key of a credential that signs in by itself (WebAuthn)."""

    __tablename__ = "passkeys"
    __table_args__ = (
        Index("passkeys_user_id_idx", "user_id"),
        UniqueConstraint("credential_id", name="passkeys_credential_id_key"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    credential_id: Mapped[bytes]
    public_key: Mapped[bytes]
    """A COSE key."""
    sign_count: Mapped[int]
    """The last count that the authenticator reported; 0 for those that do not count."""
    transports: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime | None]


class PasskeyChallenge(Base):
    """A challenge that an authenticator signs: valid once, for one purpose and one session, for five minutes."""

    __tablename__ = "passkey_challenges"
    __table_args__ = (
        Index("passkey_challenges_expires_at_idx", "expires_at"),
        CheckConstraint("purpose IN ('registration', 'sign-in', 'confirmation')", name="purpose"),
    )

    challenge_hash: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    session_id: Mapped[uuid.UUID | None]
    """None: for a sign-in, which has no session yet."""
    expires_at: Mapped[datetime]


class PersonalToken(Base):
    """A token of a user or a service account, valid until it expires or is revoked."""

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


class ArchiveToken(Base):
    """Files and folders whose zip the holder of a token may begin to fetch, for minutes."""

    __tablename__ = "archives"
    __table_args__ = (
        Index("archives_user_id_idx", "user_id"),
        Index("archives_expires_at_idx", "expires_at"),
        CheckConstraint("num_nonnulls(session_id, token_id) = 1", name="maker"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None]
    """The sign-in that made it, or the personal token (`token_id`): the archive ends with it."""
    token_id: Mapped[uuid.UUID | None]
    node_ids: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Id))
    expires_at: Mapped[datetime]


class MailToken(Base):
    """The token of a link in a mail, which proves access to the address. Single-use, short-lived."""

    __tablename__ = "mail_tokens"
    __table_args__ = (
        Index("mail_tokens_user_id_idx", "user_id", "purpose"),
        Index("mail_tokens_undo_idx", "email", postgresql_where=text("purpose = 'undo'")),
        CheckConstraint("purpose IN ('verify', 'reset', 'change', 'undo')", name="purpose"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    email: Mapped[str]
    """The address that it confirms: of the account (verify, reset), the next one (change), or an earlier one (undo)."""
    session_id: Mapped[uuid.UUID | None]
    """Of a change: the sign-in that requested it, and with which it ends."""
    created_at: Mapped[datetime] = _now()
    """Of an undo: when the change was requested."""
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Grant(Base):
    """An account may see (viewer) or change (editor) a node and everything below it."""

    __tablename__ = "grants"
    __table_args__ = (
        Index("grants_email_key", "node_id", "email", unique=True),
        Index("grants_grantee_key", "grantee_id", "node_id", unique=True),
        Index("grants_by_owner_idx", "owner_id", "id"),
        Index("grants_invited_idx", "email", postgresql_where=text("grantee_id IS NULL")),
        CheckConstraint("role IN ('viewer', 'editor')", name="role"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """The owner of the node."""
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    email: Mapped[str]
    """The invited address, in lower case."""
    grantee_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """None while the grant is pending: no account has verified the address."""
    role: Mapped[str]
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = _now()


class Link(Base):
    """A bearer share: its token grants access, within password, expiry and budget; or an upload token."""

    __tablename__ = "links"
    __table_args__ = (
        Index("links_node_id_idx", "node_id"),
        Index("links_by_owner_idx", "owner_id", "id"),
        Index("links_upload_tokens_idx", "created_by", "id", postgresql_where=text(UPLOAD_TOKEN)),
        CheckConstraint("mode IN ('view', 'download', 'upload')", name="mode"),
        CheckConstraint("downloads >= 0", name="downloads"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """The token is this id and a MAC; the token itself is not stored."""
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    mode: Mapped[str]
    password_hash: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    max_downloads: Mapped[int | None]
    downloads: Mapped[int] = mapped_column(server_default="0")
    max_bytes: Mapped[int | None]
    """Of an upload link, as the next four columns: how many bytes it takes."""
    max_file_bytes: Mapped[int | None]
    max_files: Mapped[int | None]
    received_bytes: Mapped[int] = mapped_column(server_default="0")
    received_files: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    """The owner; of an upload token, the owner or an editor."""
    session_id: Mapped[uuid.UUID | None]
    """Of an upload token: the sign-in that made it, or the personal token (`token_id`); it ends with its maker."""
    token_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = _now()
    revoked_at: Mapped[datetime | None]
