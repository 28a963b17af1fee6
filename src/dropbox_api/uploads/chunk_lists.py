"""Chunk lists: the client lists the chunks of its file, and the server reuses those that the account stores.

The list of content-defined chunks grows by pages until it covers the file. Fixed chunks exist from the start, and the
list only registers their hashes. Both may be repeated, and continued by another client.
"""

import uuid
from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import Row, func, select, text, update

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx, wake_readers
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.uploads import destinations, multipart, parts, plans, queries, reuse, schemas, sessions
from dropbox_api.uploads.sessions import UploadSession


async def list_chunks(
    context: Context,
    upload_id: uuid.UUID,
    first: int,
    listed: Sequence[schemas.ListedChunk],
    mode: schemas.ReuseMode,
) -> schemas.Upload:
    """Record the chunks from number `first` on, and have those reused that are stored; return the session.

    Raises NotFound, InvalidRequest (a gap before `first`, or sizes that the file's parts cannot have), ChunkMismatch
    (listed or signed otherwise), ParentGone, UploadCompleting, UploadEnded, UploadExpired, UploadFailed, Unavailable,
    StoreError.
    Transaction: one. Idempotent: by number.
    """
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, upload_id)
    await multipart.ensure_open_session(context, session)
    async with context.db.begin() as tx:
        session = await sessions.lock_session(tx, context.actor_id, upload_id)
        await destinations.require_open_destination(tx, session)
        parts.require_active(session)
        new = await _record(tx, session, first, listed)
        if new and mode != "off" and await reuse.plan_reuse(tx, session, new, relay=mode == "relay"):
            wake_readers(tx, session.owner_id)  # so that a worker begins at once
        await sessions.touch_session(tx, upload_id, context.settings)
    await failpoint("uploads.list_chunks.after_t1")
    async with context.db.read() as tx:
        return await queries.load_view(tx, upload_id)


async def _record(
    tx: Tx, session: UploadSession, first: int, listed: Sequence[schemas.ListedChunk]
) -> list[parts.RegisteredChunk]:
    """Record chunks; return those whose hash is new. Raises InvalidRequest, ChunkMismatch.

    Transaction: joins tx, which holds the session's lock.
    """
    if first > session.chunk_count + 1:
        raise problems.InvalidRequest.at("/from", f"the next chunk of the list is number {session.chunk_count + 1}")
    known = {row.number: row for row in await _read(tx, session.id, first, len(listed))}
    numbered = list(enumerate(listed, first))
    differing = [
        number
        for number, chunk in numbered
        if (row := known.get(number)) and row.sha256 is not None and row.sha256 != parse_sha256(chunk.sha256)
    ]
    if differing:
        raise problems.ChunkMismatch(numbers=differing)
    for number, chunk in numbered:
        if (row := known.get(number)) and row.size_bytes != chunk.size_bytes:
            raise problems.InvalidRequest.at(
                f"/chunks/{number - first}/size_bytes", f"chunk {number} has {row.size_bytes} bytes"
            )
    more = [(number, chunk) for number, chunk in numbered if number not in known]
    if more and session.chunking == "fixed":
        raise problems.InvalidRequest.at("/chunks", f"the plan has {session.chunk_count} chunks")
    hashes = {
        number: parse_sha256(chunk.sha256)
        for number, chunk in numbered
        if (row := known.get(number)) and row.sha256 is None
    }
    registered = list((await parts.register_hashes(tx, session, hashes)).values()) if hashes else []
    return registered + (await _append(tx, session, more, first) if more else [])


async def _read(tx: Tx, upload_id: uuid.UUID, first: int, count: int) -> Sequence[Row[int, int, bytes | None]]:
    page = select(UploadChunk.number, UploadChunk.size_bytes, UploadChunk.sha256).where(
        UploadChunk.upload_id == upload_id, UploadChunk.number >= first, UploadChunk.number < first + count
    )
    return (await tx.execute(page)).all()


_APPEND = text("""
    INSERT INTO upload_chunks (upload_id, number, offset_bytes, size_bytes, sha256)
    SELECT :upload_id, * FROM unnest(
        CAST(:numbers AS int[]), CAST(:offsets AS bigint[]), CAST(:sizes AS bigint[]), CAST(:hashes AS bytea[]))
""")


async def _append(
    tx: Tx, session: UploadSession, more: Sequence[tuple[int, schemas.ListedChunk]], first: int
) -> list[parts.RegisteredChunk]:
    """Append content-defined chunks to the list. Raises InvalidRequest for sizes that the file's parts cannot have."""
    covered = select(func.coalesce(func.sum(UploadChunk.size_bytes), 0)).where(UploadChunk.upload_id == session.id)
    start = int((await tx.execute(covered)).scalar_one())
    sizes = [chunk.size_bytes for _, chunk in more]
    numbers = [number for number, _ in more]
    plans.require_next_chunks(sizes, session.size_bytes - start, session.size_bytes, index=numbers[0] - first)
    offsets = list(accumulate(sizes, initial=start))[:-1]
    hashes = [parse_sha256(chunk.sha256) for _, chunk in more]
    values = {"upload_id": session.id, "numbers": numbers, "offsets": offsets, "sizes": sizes, "hashes": hashes}
    await tx.execute(_APPEND, values)
    await tx.execute(update(Upload).where(Upload.id == session.id).values(chunk_count=numbers[-1]))
    return [parts.RegisteredChunk(*row) for row in zip(numbers, offsets, sizes, hashes, strict=True)]
