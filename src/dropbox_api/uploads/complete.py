"""Complete: turn a session whose every part S3 confirmed into a blob and its revisions.

A  T1 (`_claim`): `active -> completing` with a lease. From here on the chunk rows are frozen: they are the list
   (number, ETag, SHA-256, size) that Complete carries.
B  S3 (`assembly.assemble_session`): CompleteMultipartUpload with that list, then HEAD: size and composite digest must
   be the expected ones.
C  T2 (`record.record_completion`): blob, revisions, head, quota, journal, state `completed`, all under the owner's
   lock, by the lease's holder only.

Each step can be repeated. The client's next call, or a worker, takes over a lapsed lease and goes on from where the
former holder stopped. Single uploads need no A and B: the object is complete as soon as S3 took the PUT, its checksum
being the fingerprint.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select, update

from dropbox_api import problems
from dropbox_api.context import Context, Services
from dropbox_api.core import ranges
from dropbox_api.core.fingerprint import to_base64
from dropbox_api.db import Db, Tx
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.responses import describe_problem
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import assembly, destinations, queries, reconcile, schemas, sessions
from dropbox_api.uploads.proof import STORED_STATES, is_expected_object
from dropbox_api.uploads.record import StoredObject, delete_objects, record_completion
from dropbox_api.uploads.sessions import UploadSession

POLL_S = 0.2
HEADS_AT_ONCE = 32
MULTIPARTS_AT_ONCE = 8
"""Of one batch: each holds a connection to the database for a moment, and one to the store while it assembles."""


async def complete_upload(context: Context, upload_id: uuid.UUID) -> schemas.CompletedUpload | None:
    """Complete the caller's session; return its file and destinations, or None when S3 needs longer (ask again).

    Also None while chunks are being reused. Repeating it returns the same.
    Raises NotFound, ParentGone (`destinations.require_open_destination`), FingerprintRequired, ChunksMissing,
    PartsMissing, UploadEnded, UploadExpired, UploadFailed, DestinationRefused, Unavailable, StoreError.
    Transaction: T1, S3, T2.
    """
    session = await _get_completable(context.db, context.actor_id, upload_id)
    return await _complete_in_time(context, session, find_deadline(context))


async def _complete_in_time(
    context: Context, session: UploadSession, deadline: float
) -> schemas.CompletedUpload | None:
    """Complete a session as `complete_upload` does, with an answer by the deadline (`time.monotonic`)."""
    if session.is_live and time.monotonic() > deadline:
        return None
    if _needs_listing(session):
        try:
            session = await reconcile.reconcile_upload(context, session.id, deadline)
        except TimeoutError:
            return None
    if not await _complete_reconciled(context, session, deadline):
        return None
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, session.id)
        _require_completed(session)
        result = (await queries.load_results(tx, context.actor_id, [session.id]))[session.id]
    if isinstance(result, problems.Problem):
        raise result
    return result


async def complete_session(services: Services, upload_id: uuid.UUID, deadline: float | None = None) -> bool:
    """Complete a session for a worker, which does not prolong its life; return False when S3 needs longer.

    `deadline` is that of a batch (`time.monotonic`).

    Raises what `complete_upload` does, but not DestinationRefused: a refused destination settles the session too.
    Transaction: T1, S3, T2.
    """
    async with services.db.read() as tx:
        session = await _require_completable(tx, await sessions.read_session(tx, upload_id))
    deadline = deadline or find_deadline(services)
    if session.is_live and time.monotonic() > deadline:
        return False
    if _needs_listing(session):
        try:
            session = await reconcile.reconcile_session(services, upload_id, deadline)
        except TimeoutError:
            return False
    if not await _complete_reconciled(services, session, deadline):
        return False
    async with services.db.read() as tx:
        _require_completed(await sessions.read_session(tx, upload_id))
    return True


def find_deadline(services: Services) -> float:
    """Return the time (`time.monotonic`) by which a call to complete, also of a batch, answers."""
    return time.monotonic() + services.settings.uploads.complete_wait_s


def _needs_listing(session: UploadSession) -> bool:
    """Whether to reconcile a session first. Of a single upload `_complete_singles` sends the HEAD itself."""
    return session.state == "creating" or (session.state == "active" and not session.is_single)


async def _get_completable(db: Db, uploader_id: uuid.UUID, upload_id: uuid.UUID) -> UploadSession:
    """Return a session that may be completed, or has ended. Raises NotFound, ParentGone, FingerprintRequired."""
    async with db.read() as tx:
        return await _require_completable(tx, await sessions.get_session(tx, uploader_id, upload_id))


async def _require_completable(tx: Tx, session: UploadSession) -> UploadSession:
    if session.state != "completed":
        await destinations.require_open_destination(tx, session)
    if session.is_live and session.fingerprint is None:
        raise problems.FingerprintRequired("Bind the fingerprint first", uploads=[])
    return session


def _require_completed(session: UploadSession) -> None:
    if session.state != "completed":
        sessions.require_live(session)
        raise problems.UploadCompleting(retry_after_s=1)


async def _complete_reconciled(services: Services, session: UploadSession, deadline: float) -> bool:
    """Bring a session to its end, unless it has ended; return False when S3 or a worker needs longer.

    A multipart is reconciled. Raises ChunksMissing, PartsMissing, UploadFailed, Unavailable.
    """
    if session.state == "active" and session.is_single:
        for problem in (await _complete_singles(services, session.owner_id, [session], deadline)).values():
            if isinstance(problem, problems.UploadCompleting):
                return False
            raise problem
        return True
    try:
        return not session.is_live or await _assemble_in_time(services, session, deadline)
    except problems.UploadCompleting:  # chunks are being reused
        return False


async def complete_batch(context: Context, upload_ids: Sequence[uuid.UUID]) -> schemas.CompletedUploadBatch:
    """Complete up to 500 sessions; each has its own file or problem, in order.

    Single uploads are confirmed by HEADs in parallel and recorded in one transaction; of the others, a few are
    assembled at a time. After `complete_wait_s` those that S3 has not confirmed are UploadCompleting, and the worker
    completes them unless the caller repeats the call.
    """
    deadline = find_deadline(context)
    wanted = sessions.select_sessions(
        Upload.id.in_(upload_ids),
        Upload.uploader_id == context.actor_id,
        sessions.IS_OWN,
        or_(Upload.state == "completed", and_(Upload.strategy == "single", Upload.state == "active")),
    )
    async with context.db.read() as tx:
        known = [UploadSession(*row) for row in await tx.execute(wanted.order_by(Upload.id))]
        singles = [session for session in known if session.state == "active"]
        closed = await destinations.find_closed_sessions(tx, context.actor_id, singles)
        failed: dict[uuid.UUID, problems.Problem] = {upload_id: problems.ParentGone() for upload_id in closed}
    for owner_id in {session.owner_id for session in singles}:
        of_owner = [session for session in singles if session.owner_id == owner_id and session.id not in failed]
        failed |= await _complete_singles(context, owner_id, of_owner, deadline)
    async with context.db.read() as tx:
        results = await queries.load_results(tx, context.actor_id, [session.id for session in known]) | failed
    gate = asyncio.Semaphore(MULTIPARTS_AT_ONCE)

    async def complete_one(upload_id: uuid.UUID) -> schemas.CompletedUpload | problems.Problem:
        if upload_id in results:
            return results[upload_id]
        async with gate:
            return await _complete_one(context, upload_id, deadline)

    outcomes = await asyncio.gather(*map(complete_one, upload_ids))
    pairs = list(zip(upload_ids, outcomes, strict=True))
    late = [upload_id for upload_id, outcome in pairs if isinstance(outcome, problems.UploadCompleting)]
    if late:
        await _leave_to_worker(context.db, late)
    return schemas.CompletedUploadBatch(items=[_view(upload_id, outcome) for upload_id, outcome in pairs])


async def _complete_one(
    context: Context, upload_id: uuid.UUID, deadline: float
) -> schemas.CompletedUpload | problems.Problem:
    """Complete one session of a batch by the deadline; return its problem."""
    try:
        session = await _get_completable(context.db, context.actor_id, upload_id)
        completed = await _complete_in_time(context, session, deadline)
    except problems.Problem as problem:
        return problem
    except StoreError as error:
        return to_problem(error)
    return completed or problems.UploadCompleting(retry_after_s=1)


def _view(upload_id: uuid.UUID, result: schemas.CompletedUpload | problems.Problem) -> schemas.CompletedUploadItem:
    if isinstance(result, problems.Problem):
        return schemas.CompletedUploadItem(upload_id=upload_id, problem=describe_problem(result))
    return schemas.CompletedUploadItem(upload_id=upload_id, file=result.file)


# Single uploads: HEAD is the proof


async def _complete_singles(
    services: Services, owner_id: uuid.UUID, uploads: Sequence[UploadSession], deadline: float
) -> dict[uuid.UUID, problems.Problem]:
    """Record the active single uploads of one owner whose object S3 holds; return the problems of the others.

    That is UploadCompleting where S3 does not say so by the deadline.
    """
    gate = asyncio.Semaphore(HEADS_AT_ONCE)

    async def confirm(session: UploadSession) -> StoredObject | problems.Problem:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())), gate:
                info = await reconcile.find_object(services.store, session)
        except TimeoutError:
            return problems.UploadCompleting(retry_after_s=1)
        except StoreError as error:
            return to_problem(error)
        if info is None:
            return problems.PartsMissing(missing="1", mismatched="")
        if not is_expected_object(info, session.size_bytes, to_base64(session.known_fingerprint)):
            return problems.PartsMissing(missing="1", mismatched="1")
        return StoredObject(session.id, None, info.etag, None, is_verified=True)

    confirmed = await asyncio.gather(*map(confirm, uploads))
    await failpoint("uploads.complete.after_head_single")
    stored = [item for item in confirmed if isinstance(item, StoredObject)]
    if stored:
        async with services.db.begin() as tx:
            refused = await record_completion(tx, owner_id, stored)
        await delete_objects(services, refused)
        await failpoint("uploads.complete.after_t2")
    pairs = zip(uploads, confirmed, strict=True)
    return {session.id: item for session, item in pairs if isinstance(item, problems.Problem)}


# Multipart uploads: claim, assemble at S3, record


async def _assemble_in_time(services: Services, session: UploadSession, deadline: float) -> bool:
    """Claim a session and assemble it, or wait for the process that does; return False after the deadline.

    A task does it: it continues after the deadline, or is cancelled with the services; then the lease lapses, and a
    worker or the client's next call goes on. Without room for the task, a worker completes the session.
    Raises what `_claim` and `assembly.assemble_session` raise.
    """
    while True:
        task = services.tasks.start(
            session.link_id or session.uploader_id, lambda: _claim_and_assemble(services, session.id)
        )
        if task is not None:
            await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
            if not task.done():
                return False
            task.result()
        async with services.db.read() as tx:
            now = await sessions.read_session(tx, session.id)
        if not now.is_live or (task is not None and now.state != "completing"):
            return True
        if time.monotonic() > deadline:
            await _leave_to_worker(services.db, [session.id])
            return False
        await asyncio.sleep(POLL_S)


async def _claim_and_assemble(services: Services, upload_id: uuid.UUID) -> None:
    """Assemble a session, unless another process holds it or it has ended."""
    token = await _claim(services.db, services.settings, upload_id)
    if token is not None:
        await failpoint("uploads.complete.after_t1")
        await assembly.assemble_session(services, upload_id, token)


async def _leave_to_worker(db: Db, upload_ids: Sequence[uuid.UUID]) -> None:
    """Let the next runs of `finish-idle` or `finish-stale` complete sessions, unless a process holds them."""
    due = update(Upload).where(Upload.id.in_(upload_ids), Upload.state.in_(("active", "completing")))
    async with db.begin() as tx:
        await tx.execute(due.values(next_check_at=func.now(), checks=0))


async def _claim(db: Db, settings: Settings, upload_id: uuid.UUID) -> uuid.UUID | None:
    """Make a session `completing`, or take over one whose lease has lapsed; return the fencing token.

    None: another process holds it, a worker is to decode its content, or it has ended.
    Raises ChunksMissing when the list of chunks is not whole, PartsMissing when not every chunk is stored,
    UploadCompleting when the only chunks that are not are being reused.
    """
    token = uuid.uuid4()
    async with db.begin() as tx:
        columns = (Upload.state, Upload.size_bytes, Upload.encoded_etag)
        locked = select(*columns).where(Upload.id == upload_id).with_for_update()
        state, size_bytes, encoded_etag = (await tx.execute(locked)).one()
        if state == "active":
            await _require_stored(tx, upload_id, size_bytes)
        elif state != "completing" or encoded_etag is not None:
            return None
        values: dict[str, Any] = {
            "state": "completing",
            "lease_token": token,
            "lease_until": func.now() + timedelta(seconds=settings.uploads.lease_s),
        }
        if state == "active":  # a worker may look as soon as the lease lapses
            values |= {"next_check_at": func.now(), "checks": 0}
        claimed = await tx.execute(
            update(Upload).where(Upload.id == upload_id, sessions.IS_LEASE_FREE).values(**values)
        )
    return token if claimed.rowcount else None


async def _require_stored(tx: Tx, upload_id: uuid.UUID, size_bytes: int) -> None:
    """Raise ChunksMissing, PartsMissing or UploadCompleting unless every chunk of an active session is stored."""
    of_upload = UploadChunk.upload_id == upload_id
    listed = select(func.count(), func.coalesce(func.sum(UploadChunk.size_bytes), 0)).where(of_upload)
    count, listed_bytes = (await tx.execute(listed)).one()
    if listed_bytes < size_bytes:
        raise problems.ChunksMissing(listed_bytes=int(listed_bytes), next_number=count + 1)
    lacking = select(UploadChunk.number, UploadChunk.state).where(of_upload, UploadChunk.state.not_in(STORED_STATES))
    rows = (await tx.execute(lacking)).all()
    missing = [row for row in rows if row.state != "reusing"]
    if missing:
        raise problems.PartsMissing(
            missing=ranges.encode_ranges(row.number for row in missing),
            mismatched=ranges.encode_ranges(row.number for row in missing if row.state == "mismatched"),
        )
    if rows:
        raise problems.UploadCompleting(retry_after_s=1)
