"""The session of a direct upload: claimed before the bytes come (T1), turned into content afterwards (T2)."""

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, update

from dropbox_api import access, problems
from dropbox_api.db import Tx, new_id
from dropbox_api.files import blobs, guard, put, views
from dropbox_api.files.schemas import File
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.settings import Settings
from dropbox_api.uploads import destinations, plans, quota, record, sessions
from dropbox_api.uploads.sessions import SESSION_COLUMNS, UploadSession

SILENCE = timedelta(hours=1)
"""A session of which no part was stored for so long belongs to a dead process."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The quota that a direct upload needs: of its owner, and of the uploader's live sessions."""

    uploader_id: uuid.UUID
    owner_id: uuid.UUID
    size_bytes: int
    """Upper bound of the content's size."""
    nodes: int
    """New files and folders that must be free as well."""


@dataclass(frozen=True, slots=True)
class DirectSession:
    """A claimed session; its strategy in the database is `stream`."""

    id: uuid.UUID
    owner_id: uuid.UUID
    storage_key: str


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the server sent to S3 and hashed."""

    number: int
    size_bytes: int
    etag: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class SentObject:
    """The object that the server made at S3 and looked at."""

    parts: tuple[SentPart, ...]
    """A whole object is one part."""
    etag: str
    digest: str | None
    """Composite digest of a multipart object."""


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """A body, read to its end and hashed."""

    fingerprint: bytes
    size_bytes: int
    is_utf8: bool
    object: SentObject | None
    """None where no session was claimed: the request was answered before."""


def build_server_activity() -> dict[str, Any]:
    """Return the column values that show that this process still works on a session."""
    return {"last_activity_at": func.now(), "expires_at": func.now() + SILENCE}


# T1


async def claim_session(tx: Tx, settings: Settings, wanted: Reservation) -> DirectSession:
    """Make a session and reserve the bytes of its content; its nodes must be free but are not reserved.

    Raises QuotaExceeded, TooManyFiles, TooManyUploads. Transaction: joins tx; takes the owner's lock.
    """
    needed = (wanted.uploader_id, wanted.owner_id, wanted.size_bytes, wanted.nodes)
    return await open_session(tx, settings, wanted, await quota.make_room(tx, settings, *needed))


async def open_session(tx: Tx, settings: Settings, wanted: Reservation, allowance: quota.Allowance) -> DirectSession:
    """Make a session as `claim_session` does, from what the owner's account may still take.

    Raises as `claim_session` does. Transaction: joins tx, which holds the owner's lock.
    """
    owner_id = wanted.owner_id
    if problem := allowance.take(wanted.size_bytes, nodes=wanted.nodes, sessions=1):
        raise problem
    upload_id = new_id()
    session = DirectSession(upload_id, owner_id, f"blobs/{owner_id}/late/{upload_id}")
    row = {
        "id": upload_id,
        "uploader_id": wanted.uploader_id,
        "owner_id": owner_id,
        "size_bytes": wanted.size_bytes,
        "strategy": "stream",
        "chunk_size_bytes": plans.direct_part_bytes(settings),
        "chunk_count": 0,
        "state": "active",
        "storage_key": session.storage_key,
    }
    await tx.execute(insert(Upload).values(**row | sessions.build_client_activity(settings) | build_server_activity()))
    await quota.reserve_quota(tx, owner_id, wanted.size_bytes, 0)
    return session


async def claim_in_own_tree(
    tx: Tx, settings: Settings, wanted: Reservation, once: Once | None
) -> DirectSession | problems.Problem | None:
    """Claim a session in the uploader's own tree for a form's file, before any of it is read.

    Returns None when the request was answered before. Returns QuotaExceeded or TooManyFiles, instead of raising it,
    to an uploader who can edit folders of other accounts: the form may name one, and `claim_at_place` decides.
    Raises and takes locks as `claim_session` does. Transaction: joins tx.
    """
    if await idempotency.is_answered(tx, once):
        return None
    try:
        return await claim_session(tx, settings, wanted)
    except (problems.QuotaExceeded, problems.TooManyFiles) as problem:
        if not await access.has_editor_grant(tx, wanted.uploader_id):
            raise
        return problem


async def claim_at_place(
    tx: Tx,
    settings: Settings,
    wanted: Reservation,
    place: destinations.Place | None,
    provisional: DirectSession | problems.Problem,
) -> DirectSession:
    """Return the session for a form's file, now that the fields before the file say on whose quota it counts.

    `provisional` is what `claim_in_own_tree` returned for `wanted`. Where the folder or file has another owner, its
    session, still empty, ends.
    Raises NotFound, Forbidden, NotAFolder, NotAFile, ParentGone, and what `claim_session` raises.
    Transaction: joins tx; takes both owners' locks.
    """
    actor_id = wanted.uploader_id
    owner_id = await destinations.require_owner(tx, actor_id, place)
    if owner_id == actor_id:
        if isinstance(provisional, problems.Problem):
            raise provisional
        return provisional
    for user_id in sorted({actor_id, owner_id}):
        await guard.lock_owner(tx, user_id)
    if isinstance(provisional, DirectSession):
        await sessions.end_sessions(tx, actor_id, [provisional.id], "aborted", has_leftovers=False)
    return await claim_session(tx, settings, replace(wanted, owner_id=owner_id))


# T2


async def record_content(tx: Tx, session: DirectSession | None, received: ReceivedBody) -> put.Content:
    """Turn the object of a session into content, or take the equal one that the owner has; end the session.

    Raises UploadExpired; Unavailable without a session: T1 found an answer to the key that has been forgotten since.
    Transaction: joins tx, which holds the owner's lock.
    """
    if session is None or received.object is None:
        raise problems.Unavailable("The answer to this Idempotency-Key has just been forgotten", retry_after_s=1)
    # First: the release counts on the row, whose size must still be the one that was reserved.
    if not await sessions.end_sessions(tx, session.owner_id, [session.id], "completed", has_leftovers=False):
        raise problems.UploadExpired
    parts = received.object.parts
    own = update(Upload).where(Upload.id == session.id)
    sized = own.values(
        fingerprint=received.fingerprint,
        size_bytes=received.size_bytes,
        chunk_count=len(parts),
        chunk_size_bytes=max(part.size_bytes for part in parts),
    )
    upload = UploadSession(*(await tx.execute(sized.returning(*SESSION_COLUMNS))).one())
    await tx.execute(insert(UploadChunk), _chunk_rows(session.id, parts))
    stored = record.StoredObject(session.id, None, received.object.etag, received.object.digest, is_verified=True)
    content = (await record.record_blobs(tx, session.owner_id, [upload], {session.id: stored}))[session.id]
    await blobs.record_encoding(tx, content.blob_id, is_utf8=received.is_utf8)
    # The owner has an equal blob already: the object just sent is not needed.
    await tx.execute(own.values(blob_id=content.blob_id, leftover=content.blob_id != session.id))
    return content


def _chunk_rows(upload_id: uuid.UUID, parts: tuple[SentPart, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    offset_bytes = 0
    for part in parts:
        rows.append(
            {
                "upload_id": upload_id,
                "number": part.number,
                "offset_bytes": offset_bytes,
                "size_bytes": part.size_bytes,
                "sha256": part.sha256,
                "state": "uploaded",
                "etag": part.etag,
            }
        )
        offset_bytes += part.size_bytes
    return rows


async def place_content(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, placement: put.Placement) -> File:
    """Make content the file of its name. Raises the problem of a placement that is refused."""
    (result,) = await put.put_files(tx, owner_id, [placement])
    if isinstance(result, problems.Problem):
        raise result
    return await views.get_file(tx, actor_id, result.node_id)
