"""Upload sessions: the typed row, its locks, when it is live, and how it ends."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select, and_, func, select, text, update

from dropbox_api import problems
from dropbox_api.db import Tx
from dropbox_api.models import LIVE_UPLOAD, Upload
from dropbox_api.plumbing.row_leases import is_lease_free
from dropbox_api.settings import Settings

LIVE_STATES = ("creating", "active", "completing")
IS_LIVE = text(LIVE_UPLOAD)
"""SQL condition on `uploads`: the session is live. The same text as in the partial indexes."""
IS_DIRECT = Upload.strategy == "stream"
"""SQL condition on `uploads`: a direct upload, whose client knows no session."""
IS_OWN = and_(~IS_DIRECT, Upload.link_id.is_(None))
"""SQL condition on `uploads`: a session of an account; the sender of a link has other sessions (`senders`)."""
IS_LEASE_FREE = is_lease_free(Upload.lease_until)
"""SQL condition on `uploads`: no process holds the session, or its lease has lapsed."""


@dataclass(frozen=True, slots=True)
class UploadSession:
    """A row of `uploads`, as it was when it was read."""

    id: uuid.UUID
    uploader_id: uuid.UUID
    owner_id: uuid.UUID
    """Whose quota the content counts on, and whose blob it becomes."""
    fingerprint: bytes | None
    """None until the client binds it (late fingerprint)."""
    encoding: str
    size_bytes: int
    strategy: str
    chunking: str
    chunk_size_bytes: int
    chunk_count: int
    state: str
    storage_key: str
    s3_upload_id: str | None
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    listed_at: datetime | None
    """When the newest recorded listing of S3 began; older listings are ignored."""
    rejections: int
    """How often S3 refused to assemble the parts."""
    failure: str | None
    blob_id: uuid.UUID | None
    link_id: uuid.UUID | None
    """The link whose bearer sends the content; None: an account does."""
    confirmed_bytes: int | None
    """Under a link: what S3 held when the session was last reconciled."""
    content_bytes: int | None
    """Of compressed content: its size when it is decoded."""
    encoded_etag: str | None
    """ETag of the compressed object that waits for a worker to decode it."""

    @property
    def stored_bytes(self) -> int:
        """The size of the content, which the chunks have unless it is compressed."""
        return self.size_bytes if self.content_bytes is None else self.content_bytes

    @property
    def known_link_id(self) -> uuid.UUID:
        """The link of a session that is under one."""
        if self.link_id is None:
            raise ValueError(f"upload {self.id} is under no link")
        return self.link_id

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def is_single(self) -> bool:
        """Whether the content is one plain object, sent with one PUT."""
        return self.strategy == "single"

    @property
    def is_in_own_tree(self) -> bool:
        """Whether the uploader owns the tree that the content goes into."""
        return self.uploader_id == self.owner_id

    @property
    def known_fingerprint(self) -> bytes:
        """The fingerprint of a session that has one: single ones from the start, all others before they complete."""
        if self.fingerprint is None:
            raise ValueError(f"upload {self.id} has no fingerprint")
        return self.fingerprint

    @property
    def known_s3_upload_id(self) -> str:
        """S3's id of the multipart upload; a session of strategy `multipart` has one from `active` on."""
        if self.s3_upload_id is None:
            raise ValueError(f"upload {self.id} has no multipart upload")
        return self.s3_upload_id


SESSION_COLUMNS = tuple(getattr(Upload, field.name) for field in fields(UploadSession))


def select_sessions(*conditions: Any) -> Select[Any]:
    """Return a statement whose rows are the arguments of `UploadSession`."""
    return select(*SESSION_COLUMNS).where(*conditions)


async def get_session(tx: Tx, uploader_id: uuid.UUID, upload_id: uuid.UUID) -> UploadSession:
    """Return one of the uploader's own sessions. Raises NotFound, also for a direct upload or one under a link."""
    return await _require_one(tx, _select_own(uploader_id, upload_id))


async def lock_session(tx: Tx, uploader_id: uuid.UUID, upload_id: uuid.UUID) -> UploadSession:
    """Lock one of the uploader's own sessions and return it. Raises NotFound as `get_session`.

    Transaction: joins tx; a transaction that needs the owner's lock too takes that one first.
    """
    return await _require_one(tx, _select_own(uploader_id, upload_id).with_for_update())


def _select_own(uploader_id: uuid.UUID, upload_id: uuid.UUID) -> Select[Any]:
    return select_sessions(Upload.id == upload_id, Upload.uploader_id == uploader_id, IS_OWN)


async def read_session(tx: Tx, upload_id: uuid.UUID) -> UploadSession:
    """Return any session but a direct upload, for a caller that has checked permission, or none. Raises NotFound."""
    return await _require_one(tx, select_sessions(Upload.id == upload_id, ~IS_DIRECT))


async def lock_known_session(tx: Tx, upload_id: uuid.UUID) -> UploadSession:
    """Lock the session that `read_session` returns, and return it. Transaction: joins tx, as `lock_session`."""
    return await _require_one(tx, select_sessions(Upload.id == upload_id, ~IS_DIRECT).with_for_update())


async def _require_one(tx: Tx, statement: Select[Any]) -> UploadSession:
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        raise problems.NotFound
    return UploadSession(*row)


def require_live(session: UploadSession) -> None:
    """Raise UploadExpired, UploadFailed or UploadEnded for a session that has ended."""
    if session.state == "expired":
        raise problems.UploadExpired
    if session.state == "failed":
        raise problems.UploadFailed(reason=session.failure)
    if not session.is_live:
        raise problems.UploadEnded(f"The upload is {session.state}", state=session.state)


async def has_free_lease(tx: Tx, upload_id: uuid.UUID) -> bool:
    """Tell whether no process drives a session. What a former holder still records is refused once it has ended."""
    free = select(Upload.id).where(Upload.id == upload_id, IS_LEASE_FREE)
    return (await tx.execute(free)).scalar_one_or_none() is not None


def build_client_activity(settings: Settings) -> dict[str, Any]:
    """Return the column values that record a request of the client and prolong the session."""
    return {
        "last_activity_at": func.now(),
        "expires_at": func.now() + timedelta(seconds=settings.uploads.session_ttl_s),
        "next_check_at": func.now() + timedelta(seconds=settings.uploads.idle_finalise_s),
        "checks": 0,
    }


async def touch_session(tx: Tx, upload_id: uuid.UUID, settings: Settings) -> None:
    """Record a request of the client. Transaction: joins tx."""
    await tx.execute(update(Upload).where(Upload.id == upload_id).values(**build_client_activity(settings)))


_END = text(f"""
    WITH ended AS (
        UPDATE uploads SET state = :state, ended_at = now(), leftover = :leftover, failure = :failure,
            lease_token = NULL, lease_until = NULL, next_check_at = now(), checks = 0
        WHERE id = ANY(CAST(:ids AS uuid[])) AND owner_id = :owner_id AND {LIVE_UPLOAD}
        RETURNING id, coalesce(reserved_bytes, size_bytes) AS reserved
    ), unused AS (
        DELETE FROM chunk_reuses WHERE upload_id IN (SELECT id FROM ended)
    ), released AS (
        UPDATE users SET
            reserved_bytes = reserved_bytes - (SELECT coalesce(sum(reserved), 0) FROM ended),
            reserved_nodes = reserved_nodes
                - (SELECT count(*) FROM upload_destinations d JOIN ended ON ended.id = d.upload_id
                    WHERE d.file_id IS NULL)
        WHERE id = :owner_id
    )
    SELECT id FROM ended
""")


async def end_sessions(
    tx: Tx,
    owner_id: uuid.UUID,
    upload_ids: Iterable[uuid.UUID],
    state: Literal["completed", "aborted", "expired", "failed"],
    *,
    has_leftovers: bool,
    failure: str | None = None,
) -> set[uuid.UUID]:
    """End live sessions of one owner, release the quota that they reserved, and the stored content that they hold.

    Returns those that this call ended.

    No other code releases a reservation. `has_leftovers`: S3 may still hold parts or an object of them, which a
    worker removes.
    Transaction: joins tx, which holds the owner's lock.
    """
    values = {
        "state": state,
        "leftover": has_leftovers,
        "failure": failure,
        "owner_id": owner_id,
        "ids": list(upload_ids),
    }
    return set((await tx.execute(_END, values)).scalars())
