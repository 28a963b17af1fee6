"""Finalise: turn a session whose every part S3 confirmed into a blob and its revisions.

A  T1 (`_claim`): `active -> completing` with a lease. From here on the chunk rows are frozen: they are the list
   (number, ETag, SHA-256, size) that Complete carries.
B  S3 (`_assemble`): CompleteMultipartUpload with that list, then HEAD: size and composite digest must be ours.
C  T2 (`record`): blob, revisions, head, quota, journal, state `completed`, all under the owner's lock, by the lease's
   holder only.

Each step can be repeated, and whoever finds a lapsed lease (the client's next call, or a worker) goes on from where it
stopped: `drive` is the same for all. Single uploads need no A and B: the object stands as soon as S3 took the PUT, its
checksum being the fingerprint.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, text, update

from dropbox_api import problems
from dropbox_api.core import ranges
from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.db import Db, Tx
from dropbox_api.files import guard, put, views
from dropbox_api.files.blobs import mark_verified, replace_damaged
from dropbox_api.models import Blob, Node, Revision, Upload, UploadChunk, UploadDestination, User
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.heartbeat import heartbeat
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import (
    CompletedPart,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    StoreConflict,
    StoreError,
    StoreRejected,
)
from dropbox_api.uploads import rows, schemas, sending, starting

log = logging.getLogger(__name__)

POLL_S = 0.2
HEADS_AT_ONCE = 32
MAX_REJECTIONS = 2

_driving: set[asyncio.Task[None]] = set()
"""Drives whose client was answered 202; referenced here so that they are not collected."""


async def complete(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID, *, alive: bool = True
) -> schemas.Completed | None:
    """Finalise a session; return what became of its destinations, or None when S3 needs longer (ask again).

    Repeating it returns the same. `alive` is False when no client asked (see `sending.reconcile`).
    Raises NotFound, ParentGone (`sending.require_place`), FingerprintRequired, PartsMissing, UploadEnded,
    UploadExpired, UploadFailed, DestinationRefused, Unavailable.
    Transaction: T1, S3, T2.
    """
    async with db.read() as tx:
        upload = await rows.get(tx, actor_id, upload_id)
        if upload.state != "completed":
            await sending.require_place(tx, upload)
    if upload.state in rows.LIVE:
        if upload.fingerprint is None:
            raise problems.FingerprintRequired("Bind the fingerprint first", uploads=[])
        if upload.state != "completing":
            upload = await sending.reconcile(db, store, settings, actor_id, upload_id, alive=alive)
        if upload.state == "active" and upload.strategy == "single":
            for problem in (await _complete_singles(db, store, upload.owner_id, [upload])).values():
                raise problem
        elif upload.state in rows.LIVE and not await _finish_in_time(db, store, settings, upload):
            return None
    async with db.read() as tx:
        return await _result(tx, actor_id, await rows.get(tx, actor_id, upload_id))


async def complete_batch(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, upload_ids: Sequence[uuid.UUID]
) -> list[schemas.Completed | problems.Problem]:
    """Finalise up to 500 sessions; return what became of each, in order.

    Singles are confirmed by HEADs in parallel and recorded in one transaction; the others go one by one.
    """
    wanted = select(*Upload.__table__.c).where(Upload.id.in_(upload_ids), Upload.uploader_id == actor_id)
    async with db.read() as tx:
        singles = [
            row
            for row in await tx.execute(wanted.order_by(Upload.id))
            if row.strategy == "single" and row.state == "active"
        ]
        failed = {row.id: refused for row in singles if (refused := await _homeless(tx, row))}
    for owner_id in {row.owner_id for row in singles}:
        of_owner = [row for row in singles if row.owner_id == owner_id and row.id not in failed]
        failed |= await _complete_singles(db, store, owner_id, of_owner)
    alone = {row.id for row in singles}
    async with db.read() as tx:
        results = await _results(tx, actor_id, [row.id for row in singles])
    answers: list[schemas.Completed | problems.Problem] = []
    for upload_id in upload_ids:
        if upload_id in alone:
            answers.append(failed.get(upload_id) or results[upload_id])
            continue
        try:
            done = await complete(db, store, settings, actor_id, upload_id)
        except problems.Problem as problem:
            answers.append(problem)
        except StoreError as error:
            answers.append(to_problem(error))
        else:
            answers.append(done or problems.UploadCompleting(retry_after_s=1))
    return answers


async def _homeless(tx: Tx, upload: Any) -> problems.Problem | None:
    """Return the problem of a session into another's tree that has no place left there: its content is not theirs."""
    try:
        await sending.require_place(tx, upload)
    except problems.ParentGone as gone:
        return gone
    return None


# Single uploads: HEAD is the proof


async def _complete_singles(
    db: Db, store: ObjectStore, owner_id: uuid.UUID, uploads: Sequence[Any]
) -> dict[uuid.UUID, problems.Problem]:
    """Record the active single uploads of one owner whose object S3 holds; return the problems of the others."""
    gate = asyncio.Semaphore(HEADS_AT_ONCE)

    async def confirmed(upload: Any) -> "Assembled | problems.Problem":
        async with gate:
            try:
                parts = await sending.list_stored(store, upload)
            except StoreError as error:
                return to_problem(error)
        if not parts:
            return problems.PartsMissing(missing="1", mismatched="")
        (part,) = parts
        if part.size_bytes != upload.size_bytes or part.sha256 != upload.fingerprint:
            return problems.PartsMissing(missing="1", mismatched="1")
        return Assembled(upload.id, None, part.etag, None, verified=True)

    found = await asyncio.gather(*map(confirmed, uploads))
    await failpoint("uploads.complete.after_head_single")
    assembled = [item for item in found if isinstance(item, Assembled)]
    if assembled:
        async with db.begin() as tx:
            await record(tx, owner_id, assembled)
        await failpoint("uploads.complete.after_t2")
    return {upload.id: item for upload, item in zip(uploads, found, strict=True) if isinstance(item, problems.Problem)}


# Multipart uploads: claim, ask S3, record


async def _finish_in_time(db: Db, store: ObjectStore, settings: Settings, upload: Any) -> bool:
    """Claim a session and drive it, or wait for whoever does; return False when it takes longer than a client waits.

    Raises PartsMissing and what `drive` raises.
    """
    give_up = time.monotonic() + settings.uploads.complete_wait_s
    while True:
        token = await _claim(db, settings, upload.id)
        if token:
            await failpoint("uploads.complete.after_t1")
            task = asyncio.create_task(drive(db, store, settings, upload.id, token))
            _driving.add(task)
            task.add_done_callback(_retire)
            await asyncio.wait({task}, timeout=max(0.0, give_up - time.monotonic()))
            if not task.done():
                return False
            task.result()
        async with db.read() as tx:
            upload = await rows.get(tx, upload.uploader_id, upload.id)
        if upload.state != "completing":
            return True
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(POLL_S)


def _retire(task: asyncio.Task[None]) -> None:
    _driving.discard(task)
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, problems.Problem):
        log.error("finalising failed", exc_info=error)


_FREE = or_(Upload.lease_until.is_(None), Upload.lease_until < func.now())


async def is_let_go(tx: Tx, upload_id: uuid.UUID) -> bool:
    """Tell whether nobody drives a session: what its last holder still records is refused once it has ended."""
    return (await tx.execute(select(Upload.id).where(Upload.id == upload_id, _FREE))).scalar_one_or_none() is not None


async def _claim(db: Db, settings: Settings, upload_id: uuid.UUID) -> uuid.UUID | None:
    """Make a session `completing`, or take over one whose holder is gone; return the fencing token.

    None: somebody else holds it, or it has ended.
    Raises PartsMissing when not every chunk is uploaded.
    """
    token = uuid.uuid4()
    async with db.begin() as tx:
        upload = (
            await tx.execute(select(Upload.state, Upload.lease_until).where(Upload.id == upload_id).with_for_update())
        ).one()
        if upload.state == "active":
            lacking = select(UploadChunk.number, UploadChunk.state).where(
                UploadChunk.upload_id == upload_id, UploadChunk.state != "uploaded"
            )
            missing = (await tx.execute(lacking)).all()
            if missing:
                raise problems.PartsMissing(
                    missing=ranges.encode_ranges(row.number for row in missing),
                    mismatched=ranges.encode_ranges(row.number for row in missing if row.state == "mismatched"),
                )
        elif upload.state != "completing":
            return None
        values: dict[str, Any] = {
            "state": "completing",
            "lease_token": token,
            "lease_until": func.now() + timedelta(seconds=settings.uploads.lease_s),
        }
        if upload.state == "active":  # a worker may look as soon as the lease lapses
            values |= {"next_check_at": func.now(), "checks": 0}
        claimed = await tx.execute(update(Upload).where(Upload.id == upload_id, _FREE).values(**values))
    return token if claimed.rowcount else None


async def drive(db: Db, store: ObjectStore, settings: Settings, upload_id: uuid.UUID, token: uuid.UUID) -> None:
    """Bring a claimed session to its end, from wherever the last holder stopped: B and C.

    Raises PartsMissing (S3 refused; the session is active again), UploadFailed, Unavailable (S3 or the database does
    not answer; the lease is given back and anybody may go on).
    """
    async with db.read() as tx:
        upload = (await tx.execute(select(*Upload.__table__.c).where(Upload.id == upload_id))).one()
        frozen = (
            select(UploadChunk.number, UploadChunk.etag, UploadChunk.sha256)
            .where(UploadChunk.upload_id == upload_id)
            .order_by(UploadChunk.number)
        )
        parts = [CompletedPart(row.number, row.etag or "", row.sha256 or b"") for row in await tx.execute(frozen)]
    try:
        held = update(Upload).where(Upload.id == upload_id, Upload.lease_token == token)
        async with heartbeat(db, held, settings.uploads.lease_s):
            assembled = await _assemble(db, store, settings, upload, parts, token)
    except StoreError as error:
        await _give_back(db, upload_id, token)
        raise to_problem(error) from error
    except problems.Unavailable:
        await _give_back(db, upload_id, token)
        raise
    await failpoint("uploads.complete.after_head")
    async with db.begin() as tx:
        await record(tx, upload.owner_id, [assembled])
    await failpoint("uploads.complete.after_t2")


@dataclass(frozen=True, slots=True)
class Assembled:
    """An object that S3 holds and that is what the session promised."""

    upload_id: uuid.UUID
    token: uuid.UUID | None
    """The fencing token of a multipart session; a single one has none."""
    etag: str
    digest: str | None
    verified: bool
    """Whether S3 itself has proven the whole fingerprint (single)."""


async def _assemble(
    db: Db, store: ObjectStore, settings: Settings, upload: Any, parts: Sequence[CompletedPart], token: uuid.UUID
) -> Assembled:
    """Complete at S3 and look at what came of it; the answer to Complete alone is not believed."""
    gone = False
    try:
        await store.complete_multipart(upload.storage_key, upload.s3_upload_id, parts, upload.size_bytes)
    except ObjectNotFound:
        gone = True  # completed by an earlier holder, or discarded: the object tells
    except StoreConflict as conflict:
        raise problems.Unavailable("The store is still busy with this upload", retry_after_s=2) from conflict
    except StoreRejected as rejected:
        await _rejected(db, store, upload, rejected, token)
    await failpoint("uploads.complete.after_s3")
    try:
        found = await store.head(upload.storage_key)
    except ObjectNotFound:
        await _missing(db, settings, upload, token, gone=gone)
        raise problems.Unavailable("The store does not show the object yet", retry_after_s=5) from None
    digest = composite_digest([part.sha256 for part in parts])
    if not is_ours(found, upload.size_bytes, digest):
        await _fail(db, upload, token, "the assembled object is not what was sent")
        raise problems.UploadFailed(reason="the assembled object is not what was sent")
    return Assembled(upload.id, token, found.etag, digest, verified=False)


def is_ours(found: ObjectInfo, size_bytes: int, digest: str) -> bool:
    """Compare an object with what was sent. Some stores add no "-N" to the composite digest, or tell none."""
    bare = digest.partition("-")[0]
    return found.size_bytes == size_bytes and found.checksum_sha256 in {None, digest, bare}


async def _rejected(db: Db, store: ObjectStore, upload: Any, rejected: StoreRejected, token: uuid.UUID) -> None:
    """S3 refused the list and does not say which part: list again, so that only what differs is sent again.

    Raises UploadFailed at the second refusal, else PartsMissing or, when the list is what it was, Unavailable.
    """
    log.warning("complete refused", extra={"upload_id": str(upload.id), "s3_code": rejected.code})
    async with db.read() as tx:
        listed_at = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    try:
        parts = await store.list_parts(upload.storage_key, upload.s3_upload_id)
    except ObjectNotFound:
        return  # assembled or discarded meanwhile: HEAD decides
    if upload.rejections + 1 >= MAX_REJECTIONS:
        await _fail(db, upload, token, f"the store refused to assemble the parts: {rejected.code}")
        raise problems.UploadFailed(reason=rejected.code)
    async with db.begin() as tx:
        held = await tx.execute(
            update(Upload)
            .where(Upload.id == upload.id, Upload.state == "completing", Upload.lease_token == token)
            .values(
                state="active",
                rejections=Upload.rejections + 1,
                listed_at=listed_at,
                lease_token=None,
                lease_until=None,
            )
        )
        changed = await sending.apply_listing(tx, upload.id, parts) if held.rowcount else 0
        view = (await rows.views(tx, [upload.id]))[upload.id]
    if changed and view.missing:
        raise problems.PartsMissing(missing=view.missing, mismatched=view.mismatched)
    raise problems.Unavailable(f"The store refused to assemble the parts: {rejected.code}", retry_after_s=1)


async def _missing(db: Db, settings: Settings, upload: Any, token: uuid.UUID, *, gone: bool) -> None:
    """Neither multipart upload nor object: another holder's call may still run, so give up only after a while."""
    async with db.begin() as tx:
        held = update(Upload).where(Upload.id == upload.id, Upload.lease_token == token)
        since = func.coalesce(Upload.gone_since, func.now()) if gone else None
        row = await tx.execute(
            held.values(gone_since=since, lease_token=None, lease_until=None).returning(
                Upload.gone_since < func.now() - timedelta(seconds=settings.uploads.gone_grace_s)
            )
        )
        lost = row.scalar_one_or_none()
    if lost:
        await _fail(db, upload, None, "the store has lost the parts")
        raise problems.UploadFailed(reason="the store has lost the parts")


async def _fail(db: Db, upload: Any, token: uuid.UUID | None, reason: str) -> None:
    """End a session that cannot be assembled; its quota is free again, a worker removes what S3 still holds."""
    async with db.begin() as tx:
        await guard.lock_owner(tx, upload.owner_id)
        holder = select(Upload.lease_token, Upload.state).where(Upload.id == upload.id).with_for_update()
        now = (await tx.execute(holder)).one()
        if now.state == "completing" and now.lease_token == token:
            await rows.end(tx, upload.owner_id, [upload.id], "failed", leftover=True, failure=reason)


async def _give_back(db: Db, upload_id: uuid.UUID, token: uuid.UUID) -> None:
    with contextlib.suppress(problems.Unavailable):  # else it lapses by itself
        async with db.begin() as tx:
            held = update(Upload).where(Upload.id == upload_id, Upload.lease_token == token)
            await tx.execute(held.values(lease_token=None, lease_until=None))


# T2


async def record(tx: Tx, owner_id: uuid.UUID, assembled: Sequence[Assembled]) -> None:
    """Turn assembled objects of one owner into blobs and revisions, and end their sessions.

    Sessions that somebody else has ended or holds meanwhile are left alone: their outcome is already written, or will
    be. Every destination is decided again under the lock; a refused one keeps its problem, and content that no
    destination took is kept for a while.
    Transaction: joins tx; takes the owner's lock, then the sessions'.
    """
    await guard.lock_owner(tx, owner_id)
    by_id = {item.upload_id: item for item in assembled}
    locked = select(*Upload.__table__.c).where(Upload.id.in_(by_id), Upload.owner_id == owner_id)
    uploads = [
        row for row in await tx.execute(locked.order_by(Upload.id).with_for_update()) if _may_record(row, by_id[row.id])
    ]
    if not uploads:
        return
    content = await store_blobs(tx, owner_id, uploads, by_id)
    await rows.end(tx, owner_id, content, "completed", leftover=False)
    outcomes = [
        {
            "upload_id": row.id,
            "blob": content[row.id].blob_id,
            # An equal blob is there already: the object just sent is not needed.
            "is_spare": content[row.id].blob_id != row.id,
        }
        for row in uploads
    ]
    await tx.execute(_SET_BLOB, outcomes)
    seen = [{"of_upload": row.id, "seen_etag": by_id[row.id].etag} for row in uploads if row.strategy == "single"]
    if seen:
        await tx.execute(_SET_CHUNK, seen)
    await place_destinations(tx, owner_id, content)


def _may_record(upload: Any, item: Assembled) -> bool:
    if upload.strategy == "single":
        return bool(upload.state == "active")
    return bool(upload.state == "completing" and upload.lease_token == item.token)


_SET_BLOB = (
    update(Upload)
    .where(Upload.id == bindparam("upload_id"))
    .values(blob_id=bindparam("blob"), leftover=bindparam("is_spare"))
)


_SET_CHUNK = (
    update(UploadChunk)
    .where(UploadChunk.upload_id == bindparam("of_upload"))
    .values(state="uploaded", etag=bindparam("seen_etag"))
)
"""A single upload's HEAD is its reconcile."""


async def store_blobs(
    tx: Tx, owner_id: uuid.UUID, uploads: Sequence[Any], assembled: dict[uuid.UUID, Assembled]
) -> dict[uuid.UUID, put.Content]:
    """Make a blob of each upload (its id is the upload's), or take the verified one of the same content.

    Of what somebody else sent a blob is always made, which replaces the one that the owner had (see `files.blobs`).
    """
    proven = {row.fingerprint for row in uploads if assembled[row.id].verified}
    known = await starting.verified_content(tx, owner_id, proven) if proven else {}
    content: dict[uuid.UUID, put.Content] = {}
    blobs: list[dict[str, Any]] = []
    for row in uploads:
        item = assembled[row.id]
        is_equal = item.verified and row.fingerprint in known
        if is_equal and row.uploader_id == owner_id:
            content[row.id] = known[row.fingerprint]
            continue
        content[row.id] = put.Content(row.id, row.fingerprint, row.size_bytes, is_verified=item.verified)
        blobs.append(
            {
                "id": row.id,
                "owner_id": owner_id,
                "fingerprint": row.fingerprint,
                "size_bytes": row.size_bytes,
                "encoding": row.encoding,
                "storage_key": row.storage_key,
                "etag": item.etag,
                "composite_digest": item.digest,
                "content_status": "verified" if item.verified and not is_equal else "stored",
            }
        )
    if blobs:
        await tx.execute(insert(Blob), blobs)
        ids = {"ids": [blob["id"] for blob in blobs]}
        proven_now = update(Blob).where(Blob.id.in_(ids["ids"]), Blob.content_status == "verified")
        await tx.execute(proven_now.values(verified_at=func.now()))
        await tx.execute(_MANIFESTS, ids | {"owner_id": owner_id})
        added = sum(blob["size_bytes"] for blob in blobs)
        await tx.execute(update(User).where(User.id == owner_id).values(used_bytes=User.used_bytes + added))
        await replace_damaged(tx, owner_id, [blob["id"] for blob in blobs if blob["content_status"] == "verified"])
    for blob in blobs:
        if assembled[blob["id"]].verified and blob["content_status"] == "stored":
            await mark_verified(tx, owner_id, blob["id"])
    return content


_MANIFESTS = text("""
    INSERT INTO blob_chunks (blob_id, number, owner_id, offset_bytes, size_bytes, sha256)
    SELECT upload_id, number, :owner_id, offset_bytes, size_bytes, sha256
    FROM upload_chunks WHERE upload_id = ANY(CAST(:ids AS uuid[]))
""")


async def place_destinations(tx: Tx, owner_id: uuid.UUID, content: dict[uuid.UUID, put.Content]) -> None:
    """Give each undecided destination of these sessions its file or its problem.

    Transaction: joins tx, which holds the owner's lock.
    """
    waiting = (
        select(*UploadDestination.__table__.c, Upload.uploader_id)
        .join(Upload, Upload.id == UploadDestination.upload_id)
        .where(
            UploadDestination.upload_id.in_(content),
            UploadDestination.revision_id.is_(None),
            UploadDestination.problem.is_(None),
        )
        .order_by(UploadDestination.created_at, UploadDestination.id)
    )
    destinations = (await tx.execute(waiting)).all()
    placements = [
        put.Placement(
            destination_id=row.id,
            parent_id=row.parent_id,
            name=row.name,
            on_conflict=row.on_conflict,
            base_revision_id=row.base_revision_id,
            content_type=row.content_type,
            client_modified_at=row.client_modified_at,
            author_id=row.uploader_id,
            content=content[row.upload_id],
        )
        for row in destinations
    ]
    if not placements:
        return
    results = await put.put_files(tx, owner_id, placements)
    decided = [
        {
            "destination_id": row.id,
            "node": result.node_id if isinstance(result, put.PlacedFile) else None,
            "revision": result.revision_id if isinstance(result, put.PlacedFile) else None,
            "refusal": None if isinstance(result, put.PlacedFile) else result.body(),
        }
        for row, result in zip(destinations, results, strict=True)
    ]
    await tx.execute(_DECIDE, decided)
    # Refused everywhere, or left aside because its place holds this very content already.
    referenced = select(Revision.id).where(Revision.blob_id == Blob.id).exists()
    blob_ids = {item.blob_id for item in content.values()}
    idle = update(Blob).where(Blob.id.in_(blob_ids), ~referenced)
    await tx.execute(idle.values(unreferenced_at=func.now()))


_DECIDE = (
    update(UploadDestination)
    .where(UploadDestination.id == bindparam("destination_id"))
    .values(node_id=bindparam("node"), revision_id=bindparam("revision"), problem=bindparam("refusal"))
)


# Answers


async def _result(tx: Tx, actor_id: uuid.UUID, upload: Any) -> schemas.Completed:
    """Return what became of a session. Raises the problem of one that ended otherwise."""
    if upload.state != "completed":
        rows.require_live(upload)
        raise problems.UploadCompleting(retry_after_s=1)
    result = (await _results(tx, actor_id, [upload.id]))[upload.id]
    if isinstance(result, problems.Problem):
        raise result
    return result


async def _results(
    tx: Tx, actor_id: uuid.UUID, upload_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, schemas.Completed | problems.Problem]:
    """Return the file and the destinations of completed sessions.

    DestinationRefused where nothing was placed, NotFound where what was placed is not the actor's to see any more.
    """
    found = await rows.views(tx, upload_ids)
    node_ids = [place.file_id for view in found.values() for place in view.destinations if place.file_id]
    live = select(Node.id, Node.parent_id).where(Node.id.in_(node_ids), Node.trashed_at.is_(None))
    still = await views.read_live(tx, live.order_by(Node.id), len(node_ids)) if node_ids else []
    by_node = await views.find_files(tx, actor_id, [row.id for row in still])
    results: dict[uuid.UUID, schemas.Completed | problems.Problem] = {}
    for upload_id, view in found.items():
        placed = [place for place in view.destinations if place.file_id in by_node and place.file_id]
        if view.state != "completed":
            results[upload_id] = problems.UploadCompleting(retry_after_s=1)
        elif placed and placed[0].file_id:
            results[upload_id] = schemas.Completed(file=by_node[placed[0].file_id], destinations=view.destinations)
        elif any(place.file_id for place in view.destinations):
            results[upload_id] = problems.NotFound("It has been deleted since, or is not yours to see any more")
        else:
            refusals = [place.problem.model_dump(exclude_none=True) for place in view.destinations if place.problem]
            results[upload_id] = problems.DestinationRefused(problems=refusals)
    return results


async def stop() -> None:
    """Cancel what this process is driving: leases lapse, and a worker or the next call goes on."""
    for task in _driving:
        task.cancel()
    await asyncio.gather(*_driving, return_exceptions=True)
