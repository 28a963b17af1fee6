"""The life of a session beside sending and finishing: find, bind its fingerprint, redirect, abort."""

import contextlib
import logging
import uuid
from typing import Any

from sqlalchemy import func, insert, select, text, update

from dropbox_api import problems
from dropbox_api.core import names
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Db, Tx, use_snapshot
from dropbox_api.files import folders, guard, paths, put, views
from dropbox_api.models import LIVE_UPLOAD, Blob, Node, Revision, Upload, UploadChunk, UploadDestination
from dropbox_api.plumbing import idempotency, page_cursors
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore, StoreError
from dropbox_api.uploads import finishing, rows, schemas, sending, starting

log = logging.getLogger(__name__)


async def get(db: Db, actor_id: uuid.UUID, upload_id: uuid.UUID) -> schemas.Upload:
    """Return one of the caller's sessions. Raises NotFound."""
    async with db.read() as tx:
        await rows.get(tx, actor_id, upload_id)
        return (await rows.views(tx, [upload_id]))[upload_id]


async def list_uploads(
    db: Db, actor_id: uuid.UUID, *, state: str | None, fingerprint: str | None, limit: int, cursor: str | None
) -> schemas.UploadList:
    """Return a page of the caller's sessions, newest first. Raises InvalidCursor."""
    page = select(Upload.id).where(Upload.uploader_id == actor_id, Upload.strategy != "stream")
    if state:
        page = page.where(Upload.state == state)
    if fingerprint:
        page = page.where(Upload.fingerprint == parse_sha256(fingerprint))
    if cursor:
        page = page.where(Upload.id < page_cursors.decode_id("uploads", cursor))
    async with db.read() as tx:
        ids = list((await tx.execute(page.order_by(Upload.id.desc()).limit(limit + 1))).scalars())
        found = await rows.views(tx, ids[:limit])
    more = page_cursors.encode_cursor("uploads", ids[limit - 1]) if len(ids) > limit else None
    return schemas.UploadList(items=[found[upload_id] for upload_id in ids[:limit]], next_cursor=more)


async def find_fingerprint(db: Db, actor_id: uuid.UUID, fingerprint: str) -> schemas.FingerprintHit:
    """Return what the caller has of a content: a file, a live session, or both. Raises NotFound.

    Only ever the caller's own: what others store makes no difference to the statements that run.
    """
    digest = parse_sha256(fingerprint)
    async with db.begin() as tx:
        await use_snapshot(tx)
        stored = (
            select(Node.id, Node.parent_id)
            .join(Revision, Revision.id == Node.head_revision_id)
            .join(Blob, Blob.id == Revision.blob_id)
            .where(
                Blob.owner_id == actor_id,
                Blob.fingerprint == digest,
                Blob.content_status.in_(("stored", "verified")),
                Node.trashed_at.is_(None),
            )
            .order_by(Node.id)
        )
        sending_it = select(Upload.id).where(
            Upload.uploader_id == actor_id, Upload.owner_id == actor_id, Upload.fingerprint == digest, text(LIVE_UPLOAD)
        )
        found = await views.read_live(tx, stored, 1)
        node_id = found[0].id if found else None
        upload_id = (await tx.execute(sending_it)).scalar_one_or_none()
        if node_id is None and upload_id is None:
            raise problems.NotFound("You have nothing of this content")
        file = (await views.find_files(tx, actor_id, [node_id])).get(node_id) if node_id else None
        upload = (await rows.views(tx, [upload_id])).get(upload_id) if upload_id else None
    return schemas.FingerprintHit(file=file, upload=upload)


async def started(
    db: Db,
    store: ObjectStore,
    settings: Settings,
    actor_id: uuid.UUID,
    wanted: list[schemas.StartUpload],
    once: Once | None,
    *,
    alone: bool = False,
) -> list[tuple[schemas.StartedUpload | problems.Problem, bool]]:
    """Start uploads and return the answer to each, in order, and whether it made a new session.

    What can be signed without asking comes along: the one part of a single upload, and the parts whose hashes the
    request brought, if the plan is the one they were cut for.
    """
    outcomes = await starting.start(db, store, settings, actor_id, wanted, once, alone=alone)
    sessions = [outcome.upload_id for outcome in outcomes if isinstance(outcome, starting.Session)]
    nodes = [outcome.node_id for outcome in outcomes if isinstance(outcome, starting.Instant)]
    async with db.read() as tx:
        uploads = await rows.views(tx, sessions)
        by_node = await views.find_files(tx, actor_id, nodes) if nodes else {}
        single_rows = await _singles(tx, sessions)
    answers: list[tuple[schemas.StartedUpload | problems.Problem, bool]] = []
    for request, outcome in zip(wanted, outcomes, strict=True):
        if isinstance(outcome, problems.Problem):
            answers.append((outcome, False))
        elif isinstance(outcome, starting.Instant):
            file = by_node.get(outcome.node_id)  # unless it has been deleted for good since
            answer = schemas.StartedUpload(upload=None, file=file) if file else problems.NotFound()
            answers.append((answer, False))
        else:
            upload = uploads[outcome.upload_id]
            parts: list[schemas.SignedPart] = []
            if upload.state == "active" and upload.strategy == "single" and upload.missing:
                parts = sending.sign(store, settings, *single_rows[upload.id])
            elif outcome.is_new and request.parts and request.chunk_size_bytes == upload.chunk_size_bytes:
                try:
                    parts = await sending.sign_parts(db, store, settings, actor_id, upload.id, request.parts)
                except problems.Problem as problem:
                    answers.append((problem, False))
                    continue
            answers.append((schemas.StartedUpload(upload=upload, file=None, parts=tuple(parts)), outcome.is_new))
    return answers


async def _singles(tx: Tx, upload_ids: list[uuid.UUID]) -> dict[uuid.UUID, tuple[Any, list[Any]]]:
    """Return each single session with its one chunk, as `sending.sign` takes them."""
    if not upload_ids:
        return {}
    found = select(
        Upload.id,
        Upload.strategy,
        Upload.storage_key,
        Upload.fingerprint,
        Upload.size_bytes,
        UploadChunk.number,
        UploadChunk.offset_bytes,
        UploadChunk.sha256,
    ).join(UploadChunk, UploadChunk.upload_id == Upload.id)
    singles = await tx.execute(found.where(Upload.id.in_(upload_ids), Upload.strategy == "single"))
    return {row.id: (row, [row]) for row in singles}


async def bind_fingerprint(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID, fingerprint: str
) -> schemas.StartedUpload:
    """Tell a session that was started without one its fingerprint; return what to go on with.

    That is the session itself; or a live session of the same content that holds more of it (it takes over this one's
    destinations, and this one ends); or the file, when the content is stored and verified already.
    Raises NotFound, ParentGone (`sending.require_place`), FingerprintMismatch (bound to another one, or the sizes
    differ), UploadCompleting, UploadEnded.
    Idempotent: by fingerprint.
    """
    digest = parse_sha256(fingerprint)
    async with db.read() as tx:
        upload = await rows.get(tx, actor_id, upload_id)
        await sending.require_place(tx, upload)
        rival = await _rival(tx, upload, digest)
    if rival and upload.fingerprint is None:
        # Which of the two holds more is for S3 to say.
        await sending.reconcile(db, store, settings, actor_id, upload_id)
        with contextlib.suppress(problems.UploadExpired):  # then there is no rival any more
            await sending.reconcile(db, store, settings, actor_id, rival.id)
    async with db.begin() as tx:
        await guard.lock_owner(tx, upload.owner_id)
        bound_to, node_id = await _bind(tx, settings, actor_id, upload_id, digest)
    await failpoint("uploads.bind.after_t1")
    if bound_to != upload_id or node_id:
        await discard(db, store, upload_id)
    async with db.read() as tx:
        if node_id:
            return schemas.StartedUpload(upload=None, file=await views.get_file(tx, actor_id, node_id))
        return schemas.StartedUpload(upload=(await rows.views(tx, [bound_to]))[bound_to], file=None)


async def _rival(tx: Tx, upload: Any, digest: bytes, *, lock: bool = False) -> Any:
    """Return another live session of the same uploader, owner and content, None if there is none.

    With `lock` its row is locked: whoever locks two sessions holds their owner's lock.
    """
    others = select(*Upload.__table__.c).where(
        Upload.uploader_id == upload.uploader_id,
        Upload.owner_id == upload.owner_id,
        Upload.fingerprint == digest,
        Upload.encoding == upload.encoding,
        Upload.id != upload.id,
        text(LIVE_UPLOAD),
    )
    return (await tx.execute(others.with_for_update() if lock else others)).one_or_none()


async def _bind(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID, digest: bytes
) -> tuple[uuid.UUID, uuid.UUID | None]:
    """Return the session that goes on, and the file where nothing needs to.

    Transaction: joins tx, which holds the owner's lock.
    """
    upload = await rows.get(tx, actor_id, upload_id, lock=True)
    if upload.state in rows.LIVE and upload.fingerprint is None:
        # What the owner stores is nothing to an editor: not whether, and not of what size.
        is_own = upload.uploader_id == upload.owner_id
        content = (await starting.verified_content(tx, upload.owner_id, {digest})).get(digest) if is_own else None
        rival = await _rival(tx, upload, digest, lock=True)
        if (content and content.size_bytes != upload.size_bytes) or (rival and rival.size_bytes != upload.size_bytes):
            raise problems.FingerprintMismatch("You have content of this fingerprint, and it has another size")
        if content:
            return upload_id, await _finish_with(tx, upload, content)
        if rival:
            kept_id = await _merge(tx, upload, rival, digest)
            await rows.touch(tx, kept_id, settings)
            return kept_id, None
        await tx.execute(update(Upload).where(Upload.id == upload_id).values(fingerprint=digest))
        await rows.touch(tx, upload_id, settings)
        return upload_id, None
    if upload.fingerprint not in {None, digest}:
        raise problems.FingerprintMismatch
    if upload.state not in rows.LIVE:
        rival = await _rival(tx, upload, digest)
        if upload.state == "aborted" and upload.fingerprint == digest and rival:
            return rival.id, None  # merged by an earlier call whose answer was lost
        if upload.state != "completed":
            rows.require_live(upload)
    return upload_id, None


async def _finish_with(tx: Tx, upload: Any, content: put.Content) -> uuid.UUID:
    """End a session with content that is stored already; return the file. Raises the destinations' own problem."""
    await rows.end(tx, upload.owner_id, [upload.id], "completed", leftover=True)
    done = {"fingerprint": content.fingerprint, "blob_id": content.blob_id}
    await tx.execute(update(Upload).where(Upload.id == upload.id).values(**done))
    await finishing.place_destinations(tx, upload.owner_id, {upload.id: content})
    view = (await rows.views(tx, [upload.id]))[upload.id]
    placed = next((place.file_id for place in view.destinations if place.file_id), None)
    if placed is None:
        refusals = [place.problem.model_dump(exclude_none=True) for place in view.destinations if place.problem]
        raise problems.DestinationRefused(problems=refusals)
    return placed


async def _merge(tx: Tx, upload: Any, rival: Any, digest: bytes) -> uuid.UUID:
    """Keep the fuller of two live sessions of one content with the destinations of both; end the other."""
    found = await rows.views(tx, [upload.id, rival.id])
    keeps_rival = rival.state == "completing" or found[rival.id].uploaded_bytes >= found[upload.id].uploaded_bytes
    kept, dropped = (rival, upload) if keeps_rival else (upload, rival)
    standing = {(place.parent_id, names.make_key(place.name)) for place in found[kept.id].destinations}
    moving = [
        place.id
        for place in found[dropped.id].destinations
        if (place.parent_id, names.make_key(place.name)) not in standing
    ]
    await rows.end(tx, upload.owner_id, [dropped.id], "aborted", leftover=True)
    if moving:
        mine = update(UploadDestination).where(UploadDestination.id.in_(moving))
        await tx.execute(mine.values(upload_id=kept.id))
        await starting.reserve(tx, upload.owner_id, 0, len(moving))
    await tx.execute(update(Upload).where(Upload.id.in_([kept.id, dropped.id])).values(fingerprint=digest))
    kept_id: uuid.UUID = kept.id
    return kept_id


async def add_destination(
    db: Db,
    settings: Settings,
    actor_id: uuid.UUID,
    upload_id: uuid.UUID,
    wanted: schemas.AddDestination,
    once: Once | None,
) -> schemas.Upload:
    """Give a session another place: taken when it completes, or at once when it has.

    Raises NotFound, NotAFolder, InvalidName, TooManyFiles; for a completed session NameTaken, RevisionConflict;
    NothingToPlace (its content has been collected), UploadEnded, IdempotencyMismatch.
    """
    name = paths.clean_name(wanted.destination.name)
    path = tuple(paths.split_path(wanted.destination.folder_path or ""))
    async with db.read() as tx:
        owner_id = (await rows.get(tx, actor_id, upload_id)).owner_id
    async with db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        await idempotency.claim_key(tx, once)
        upload = await rows.get(tx, actor_id, upload_id, lock=True)
        if upload.state != "completed":
            rows.require_live(upload)
        if wanted.destination.parent_id:
            granted = await starting.folder(tx, actor_id, wanted.destination.parent_id)
            if isinstance(granted, problems.Problem):
                raise granted
            if granted.owner_id != owner_id:
                raise problems.CrossOwner("The content belongs to another owner than this folder")
            parent: uuid.UUID | problems.Problem = granted.node_id
        elif owner_id != actor_id:
            raise problems.CrossOwner("The content belongs to somebody else: name a folder of theirs by its id")
        else:
            parent = (await folders.ensure_folders(tx, owner_id, [path]))[path]
        if isinstance(parent, problems.Problem):
            raise parent
        has = select(func.count()).where(UploadDestination.upload_id == upload_id)
        if (await tx.execute(has)).scalar_one() >= starting.MAX_DESTINATIONS:
            raise problems.TooManyFiles(f"One upload goes to at most {starting.MAX_DESTINATIONS} places")
        row = starting.destination_row(upload_id, wanted.destination, name, parent, wanted)
        await tx.execute(insert(UploadDestination), [row])
        if upload.state == "completed":
            await _place_late(tx, upload, row["id"])
        else:
            user = await guard.lock_owner(tx, owner_id)
            if user.quota_nodes - user.used_nodes - user.reserved_nodes < 1:
                raise problems.TooManyFiles
            await starting.reserve(tx, owner_id, 0, 1)
            await rows.touch(tx, upload_id, settings)
        view = (await rows.views(tx, [upload_id]))[upload_id]
        await idempotency.keep_answer(tx, once, 200, view)
        return view


async def _place_late(tx: Tx, upload: Any, destination_id: uuid.UUID) -> None:
    """Place the content of a completed session at a new destination. Raises the problem of one that is refused."""
    columns = (Blob.id, Blob.fingerprint, Blob.size_bytes)
    kept = select(*columns).where(Blob.id == upload.blob_id, Blob.content_status != "deleting").with_for_update()
    blob = (await tx.execute(kept)).one_or_none()
    if blob is None:
        raise problems.NothingToPlace
    await finishing.place_destinations(tx, upload.owner_id, {upload.id: put.Content(*blob, is_verified=False)})
    view = (await rows.views(tx, [upload.id]))[upload.id]
    refusal = next(place.problem for place in view.destinations if place.id == destination_id)
    if refusal:
        raise problems.all_problems()[refusal.code](refusal.detail, **(refusal.model_extra or {}))


async def abort(db: Db, store: ObjectStore, actor_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """End a session, release its quota, and discard what S3 holds of it. Aborting twice is fine.

    Raises NotFound, UploadCompleting (somebody is at it just now), UploadEnded (completed).
    Transaction: T1, S3; what S3 does not do now a worker does later.
    """
    async with db.read() as tx:
        owner_id = (await rows.get(tx, actor_id, upload_id)).owner_id
    async with db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        upload = await rows.get(tx, actor_id, upload_id, lock=True)
        if upload.state == "completing" and not await finishing.is_let_go(tx, upload_id):
            raise problems.UploadCompleting(retry_after_s=1)
        if upload.state == "completed":
            raise problems.UploadEnded("The upload is completed: it is a file now", state="completed")
        await rows.end(tx, owner_id, [upload_id], "aborted", leftover=True)
    await failpoint("uploads.abort.after_t1")
    await discard(db, store, upload_id)


async def end_homeless(tx: Tx, owner_id: uuid.UUID, uploader_id: uuid.UUID) -> None:
    """End somebody's sessions into another's tree that have no place left there; the owner's quota is free again.

    Transaction: joins tx, which holds the owner's lock and has narrowed what they may do.
    """
    theirs = (Upload.owner_id == owner_id, Upload.uploader_id == uploader_id, Upload.strategy != "stream")
    live = await tx.execute(select(Upload.id, Upload.owner_id, Upload.uploader_id).where(*theirs, text(LIVE_UPLOAD)))
    homeless = []
    for upload in live.all():
        try:
            await sending.require_place(tx, upload)
        except problems.ParentGone:
            homeless.append(upload.id)
    await rows.end(tx, owner_id, homeless, "aborted", leftover=True)


async def discard(db: Db, store: ObjectStore, upload_id: uuid.UUID) -> None:
    """Free what S3 holds of an ended session now; a worker looks again once no URL of it lives any more."""
    async with db.read() as tx:
        ended = select(Upload.storage_key, Upload.s3_upload_id).where(Upload.id == upload_id, Upload.leftover)
        row = (await tx.execute(ended)).one_or_none()
    if row is None or row.s3_upload_id is None:
        return
    try:
        await store.abort_multipart(row.storage_key, row.s3_upload_id)
    except StoreError as error:
        log.warning("abort at the store failed, a worker will repeat it: %s", error)
