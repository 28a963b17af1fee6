"""While a session is being sent: sign parts, and believe what S3 lists, never what a client says."""

import contextlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, func, literal, select, text, update

from dropbox_api import access, problems
from dropbox_api.core.fingerprint import parse_sha256, to_base64
from dropbox_api.db import Db, Tx
from dropbox_api.files import guard
from dropbox_api.models import Upload, UploadChunk, UploadDestination
from dropbox_api.plumbing import page_cursors
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore, Part, PartToSign
from dropbox_api.uploads import rows, schemas, starting
from dropbox_api.uploads.reconcile import Known, diff


async def sign_parts(
    db: Db,
    store: ObjectStore,
    settings: Settings,
    actor_id: uuid.UUID,
    upload_id: uuid.UUID,
    wanted: Sequence[schemas.ChunkHash],
) -> list[schemas.SignedPart]:
    """Register the hashes of 1..1,000 chunks and return a signed URL for each, in their order.

    A URL accepts exactly the bytes that hash to what was registered: content-length and checksum are signed. No two
    hashes are ever signed for one chunk.
    Raises NotFound, InvalidRequest (no such chunk, or one twice), ChunkMismatch, UploadCompleting, UploadEnded,
    UploadExpired, UploadFailed.
    Transaction: one; signing is local.
    """
    hashes = {part.number: parse_sha256(part.sha256) for part in wanted}
    if len(hashes) < len(wanted):
        raise problems.InvalidRequest(errors=[{"pointer": "/parts", "detail": "a part number appears twice"}])
    await _require_open(db, store, settings, actor_id, upload_id)
    async with db.begin() as tx:
        upload = await rows.get(tx, actor_id, upload_id, lock=True)
        await require_place(tx, upload)
        _require_active(upload)
        chunks = await _register(tx, upload, hashes)
        await rows.touch(tx, upload_id, settings)
    return sign(store, settings, upload, [chunks[part.number] for part in wanted])


def sign(store: ObjectStore, settings: Settings, upload: Any, chunks: Sequence[Any]) -> list[schemas.SignedPart]:
    """Return signed URLs for chunks (number, offset_bytes, size_bytes, sha256) whose hashes are registered."""
    ttl_s = settings.uploads.url_ttl_s
    if upload.strategy == "single":
        signed = [store.sign_put(upload.storage_key, upload.size_bytes, upload.fingerprint, ttl_s)]
    else:
        parts = [PartToSign(chunk.number, chunk.size_bytes, chunk.sha256) for chunk in chunks]
        signed = store.sign_parts(upload.storage_key, upload.s3_upload_id, parts, ttl_s)
    return [
        schemas.SignedPart(
            number=chunk.number,
            url=request.url,
            headers=dict(request.headers),
            offset_bytes=chunk.offset_bytes,
            size_bytes=chunk.size_bytes,
            expires_at=request.expires_at,
        )
        for chunk, request in zip(chunks, signed, strict=True)
    ]


_CHUNK_COLUMNS = (
    UploadChunk.number,
    UploadChunk.offset_bytes,
    UploadChunk.size_bytes,
    UploadChunk.sha256,
    UploadChunk.state,
    UploadChunk.etag,
)

_REGISTER = text("""
    UPDATE upload_chunks chunk SET sha256 = wanted.sha256
    FROM unnest(CAST(:numbers AS int[]), CAST(:hashes AS bytea[])) AS wanted(number, sha256)
    WHERE chunk.upload_id = :upload_id AND chunk.number = wanted.number AND chunk.sha256 IS NULL
    RETURNING chunk.number, chunk.offset_bytes, chunk.size_bytes, chunk.sha256
""")


async def _register(tx: Tx, upload: Any, hashes: dict[int, bytes]) -> dict[int, Any]:
    """Bind hashes to chunks that have none yet; return all the chunks by number."""
    beyond = sorted(number for number in hashes if number > upload.chunk_count)
    if beyond:
        raise problems.InvalidRequest(
            f"The plan has {upload.chunk_count} chunks",
            errors=[{"pointer": "/parts", "detail": f"there is no chunk {beyond[0]}"}],
        )
    values = {"upload_id": upload.id, "numbers": list(hashes), "hashes": list(hashes.values())}
    chunks = {row.number: row for row in await tx.execute(_REGISTER, values)}
    others = [number for number in hashes if number not in chunks]
    if others:
        known = select(*_CHUNK_COLUMNS).where(UploadChunk.upload_id == upload.id, UploadChunk.number.in_(others))
        chunks |= {row.number: row for row in await tx.execute(known)}
    differing = [number for number, sha256 in hashes.items() if chunks[number].sha256 != sha256]
    if differing:
        raise problems.ChunkMismatch(numbers=sorted(differing))
    return chunks


async def require_place(tx: Tx, upload: Any) -> None:
    """See that somebody who uploads into another's tree may still do so; for one's own, `files.put` sees to it.

    Raises ParentGone when they may put nothing into any of the session's destinations any more.
    """
    if upload.uploader_id == upload.owner_id:
        return
    parents = select(UploadDestination.parent_id).where(UploadDestination.upload_id == upload.id)
    for parent_id in set((await tx.execute(parents)).scalars()):
        with contextlib.suppress(problems.NotFound, problems.Forbidden):
            await access.require(tx, upload.uploader_id, parent_id, "editor")
            return
    raise problems.ParentGone


async def _require_open(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID
) -> Any:
    """Return the caller's live session, its S3 upload created if its creator died before that."""
    async with db.read() as tx:
        upload = await rows.get(tx, actor_id, upload_id)
    if upload.state != "creating":
        return upload
    await starting.activate(db, store, settings, upload_id)
    async with db.read() as tx:
        return await rows.get(tx, actor_id, upload_id)


def _require_active(upload: Any) -> None:
    rows.require_live(upload)
    if upload.state == "completing":
        raise problems.UploadCompleting(retry_after_s=1)
    if upload.state == "creating":
        raise problems.Unavailable("The upload is being prepared", retry_after_s=1)


async def reconcile(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID, *, alive: bool = True
) -> Any:
    """Record what S3 holds of a session's chunks; return the session's row as it is afterwards.

    A session that is completing or has ended is left alone: its chunks are frozen. `alive` is False when no client
    asked: the session's life is not prolonged then.
    Raises NotFound; ParentGone, as `require_place` does; UploadExpired when S3 has discarded the upload (the session
    ends, the client starts again); StoreError.
    Transaction: read, S3, then one that applies the listing only if no newer one was applied.
    """
    upload = await _require_open(db, store, settings, actor_id, upload_id)
    if upload.state != "active":
        return upload
    async with db.read() as tx:
        await require_place(tx, upload)
        listed_at: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    try:
        parts = await list_stored(store, upload)
    except ObjectNotFound:
        try:
            await store.head(upload.storage_key)
        except ObjectNotFound:
            return await _discarded(db, upload)
        return upload  # assembled by a Complete that was given up too early: the next one finds the object
    await failpoint("uploads.reconcile.after_list")
    async with db.begin() as tx:
        upload = await rows.get(tx, actor_id, upload_id, lock=True)
        if upload.state == "active" and (upload.listed_at is None or upload.listed_at < listed_at):
            await apply_listing(tx, upload_id, parts)
            values = {"listed_at": listed_at} | (rows.activity(settings) if alive else {})
            await tx.execute(update(Upload).where(Upload.id == upload_id).values(**values))
    return upload


async def list_stored(store: ObjectStore, upload: Any) -> list[Part]:
    """Return what S3 holds of a session: its parts, or the object of a single upload as part 1.

    Raises ObjectNotFound when S3 does not know the multipart upload (an absent object is an empty list), StoreError.
    """
    if upload.strategy == "multipart":
        return await store.list_parts(upload.storage_key, upload.s3_upload_id)
    try:
        found = await store.head(upload.storage_key)
    except ObjectNotFound:
        return []
    # The checksum of a single object is the fingerprint itself; a store that does not tell it has still enforced it.
    proven = found.checksum_sha256 in {None, to_base64(upload.fingerprint)}
    return [Part(1, found.size_bytes, found.etag, upload.fingerprint if proven else b"")]


_OBSERVE = text("""
    UPDATE upload_chunks chunk SET state = seen.state, etag = seen.etag
    FROM unnest(CAST(:numbers AS int[]), CAST(:states AS text[]), CAST(:etags AS text[])) AS seen(number, state, etag)
    WHERE chunk.upload_id = :upload_id AND chunk.number = seen.number
""")


async def apply_listing(tx: Tx, upload_id: uuid.UUID, parts: Sequence[Part]) -> int:
    """Record a listing in the session's chunks; return how many changed.

    Transaction: joins tx, which holds the session's lock and has seen that it may change.
    """
    chunks = await tx.execute(
        select(
            UploadChunk.number, UploadChunk.size_bytes, UploadChunk.sha256, UploadChunk.state, UploadChunk.etag
        ).where(UploadChunk.upload_id == upload_id)
    )
    seen = diff((Known(*row) for row in chunks), parts)
    if seen:
        values = {
            "upload_id": upload_id,
            "numbers": [chunk.number for chunk in seen],
            "states": [chunk.state for chunk in seen],
            "etags": [chunk.etag for chunk in seen],
        }
        await tx.execute(_OBSERVE, values)
    return len(seen)


async def _discarded(db: Db, upload: Any) -> Any:
    """End a session whose multipart upload S3 does not know any more, unless it moved on meanwhile."""
    async with db.begin() as tx:
        await guard.lock_owner(tx, upload.owner_id)
        now = await rows.get(tx, upload.uploader_id, upload.id, lock=True)
        if now.state != "active" or now.s3_upload_id != upload.s3_upload_id:
            return now
        await rows.end(tx, now.owner_id, [now.id], "expired", leftover=True)
    raise problems.UploadExpired("The store has discarded the parts; start again")


async def list_chunks(
    db: Db, actor_id: uuid.UUID, upload_id: uuid.UUID, *, limit: int, cursor: str | None
) -> schemas.ChunkList:
    """Return a page of a session's chunks, by number. Raises NotFound, InvalidCursor."""
    after = page_cursors.decode_key("chunks", cursor, int)[0] if cursor else 0
    async with db.read() as tx:
        await rows.get(tx, actor_id, upload_id)
        page = select(*_CHUNK_COLUMNS).where(
            UploadChunk.upload_id == upload_id, UploadChunk.number > literal(after, BigInteger)
        )
        found = (await tx.execute(page.order_by(UploadChunk.number).limit(limit + 1))).all()
    items = [
        schemas.Chunk(
            number=row.number,
            offset_bytes=row.offset_bytes,
            size_bytes=row.size_bytes,
            sha256=row.sha256.hex() if row.sha256 else None,
            state=row.state,
            etag=row.etag,
        )
        for row in found[:limit]
    ]
    more = page_cursors.encode_cursor("chunks", items[-1].number) if len(found) > limit else None
    return schemas.ChunkList(items=items, next_cursor=more)
