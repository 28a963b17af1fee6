"""Job `reuse`: make parts of uploads from stored chunks.

A worker leases a few chunks, makes their parts without a transaction, and records each under the session's lock, only
if the chunk is still its own: the client may have asked for a URL meanwhile, or the session may have ended. After a
crash the lease lapses, and another worker makes the part again. A chunk without a good source, or whose attempts have
no outcome, goes back to its client.
"""

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, select, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.models import Blob, ChunkReuse
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.row_leases import NO_LEASE, keep_lease
from dropbox_api.storage.object_store import (
    NoSpace,
    ObjectNotFound,
    Part,
    StoreError,
    StoreThrottled,
    StoreUnavailable,
)
from dropbox_api.storage.reuse import (
    MAX_RELAYED_BYTES,
    CopyUnproven,
    StoredRange,
    WantedPart,
    WrongBytes,
    can_copy,
    copy_part,
    relay_part,
)
from dropbox_api.uploads import reuse, sessions
from dropbox_api.uploads.parts import RegisteredChunk, end_reuse
from dropbox_api.uploads.sessions import UploadSession
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

PARTS_AT_ONCE = 4
PARTS_OF_OWNER = 2
"""Of one owner at once, so that one large upload does not hold up the others."""
MAX_FAILURES = 5
"""After so many attempts without an outcome the client sends the chunk."""
SLOW_COPY_S = 1.0
SLOW_COPY_BYTES_S = 20 * 1024**2
"""A store that takes longer than a second and this rate for a copy reads the source from its beginning: relay."""


@dataclass(frozen=True, slots=True)
class LeasedChunk:
    """A chunk that this worker makes a part of, as of the moment when it took the lease."""

    upload_id: uuid.UUID
    number: int
    lease_token: uuid.UUID
    blob_id: uuid.UUID
    source: StoredRange | None
    """None: the source is gone, or known to be damaged."""
    part: WantedPart
    relay: bool
    failures: int
    """This attempt included, until it has an outcome: a chunk that ends its worker is not taken for ever."""


async def reuse_chunks(services: Services) -> Report:
    """Make the parts of a few chunks."""
    chunks = await _claim(services)
    await failpoint("workers.reuse.after_claim")
    outcomes = await asyncio.gather(*(_reuse(services, chunk) for chunk in chunks), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, problems.Unavailable):
            raise outcome
    failed = sum(outcome is not True for outcome in outcomes)
    # A failed chunk waits: with it alone there is nothing to do at once.
    return Report(len(chunks), len(chunks) - failed, failed)


_CLAIM = text("""
    WITH waiting AS (
        SELECT upload_id, number, row_number() OVER (
            PARTITION BY uploads.owner_id ORDER BY chunk_reuses.created_at, upload_id, number
        ) AS turn
        FROM chunk_reuses JOIN uploads ON uploads.id = upload_id
        WHERE uploads.state = 'active'
            AND (chunk_reuses.lease_until IS NULL OR chunk_reuses.lease_until < now())
    ), chosen AS (
        SELECT mine.upload_id, mine.number FROM chunk_reuses mine
        JOIN waiting ON waiting.upload_id = mine.upload_id AND waiting.number = mine.number
        WHERE turn <= :of_owner AND (mine.lease_until IS NULL OR mine.lease_until < now())
        ORDER BY turn, mine.created_at LIMIT :at_once FOR UPDATE OF mine SKIP LOCKED
    ), leased AS (
        UPDATE chunk_reuses SET lease_token = gen_random_uuid(), lease_until = now() + CAST(:lease AS interval),
            failures = failures + 1
        FROM chosen WHERE chunk_reuses.upload_id = chosen.upload_id AND chunk_reuses.number = chosen.number
        RETURNING chunk_reuses.*
    )
    SELECT leased.upload_id, leased.number, leased.lease_token, leased.blob_id, leased.offset_bytes,
        leased.relay, leased.failures, uploads.storage_key, uploads.s3_upload_id, upload_chunks.size_bytes,
        upload_chunks.sha256, blobs.storage_key AS source_key, blobs.etag AS source_etag,
        blobs.size_bytes AS source_bytes
    FROM leased JOIN uploads ON uploads.id = leased.upload_id
    JOIN upload_chunks ON upload_chunks.upload_id = leased.upload_id AND upload_chunks.number = leased.number
    LEFT JOIN blobs ON blobs.id = leased.blob_id AND blobs.content_status IN ('stored', 'verified', 'deleting')
""")


async def _claim(services: Services) -> list[LeasedChunk]:
    """Lease the chunks that have waited for the longest time, those of several owners in turn."""
    bound = {
        "at_once": PARTS_AT_ONCE,
        "of_owner": PARTS_OF_OWNER,
        "lease": timedelta(seconds=services.settings.uploads.lease_s),
    }
    async with services.db.begin() as tx:
        rows = (await tx.execute(_CLAIM, bound)).all()
    return [
        LeasedChunk(
            row.upload_id,
            row.number,
            row.lease_token,
            row.blob_id,
            StoredRange(row.source_key, row.source_etag, row.source_bytes, row.offset_bytes)
            if row.source_key
            else None,
            WantedPart(row.storage_key, row.s3_upload_id, row.number, row.size_bytes, row.sha256),
            row.relay,
            row.failures,
        )
        for row in rows
    ]


def _is_held(chunk: LeasedChunk) -> ColumnElement[bool]:
    return and_(
        ChunkReuse.upload_id == chunk.upload_id,
        ChunkReuse.number == chunk.number,
        ChunkReuse.lease_token == chunk.lease_token,
    )


async def _reuse(services: Services, chunk: LeasedChunk) -> bool:
    """Make one part and record it, or say how the chunk goes on; return False when it has to wait."""
    if chunk.failures > MAX_FAILURES:
        return await _postpone(services, chunk)
    held = update(ChunkReuse).where(_is_held(chunk))
    try:
        async with keep_lease(services.db, held, services.settings.uploads.lease_s):
            part = await _make_part(services, chunk)
    except (StoreThrottled, StoreUnavailable, NoSpace) as error:
        log.warning("chunk %d of upload %s was not reused: %s", chunk.number, chunk.upload_id, error)
        return await _postpone(services, chunk)
    except (WrongBytes, StoreError) as error:  # gone, replaced, or refused for what it is
        if isinstance(error, WrongBytes):
            log.warning("blob %s has other bytes than its manifest says", chunk.blob_id)
        return await _take_other_source(services, chunk, is_damaged=isinstance(error, WrongBytes))
    await failpoint("workers.reuse.after_s3")
    async with services.db.begin() as tx:
        if await _lock_held(tx, chunk):
            await tx.execute(_RECORD, {"upload_id": chunk.upload_id, "number": chunk.number, "etag": part.etag})
    await failpoint("workers.reuse.after_record")
    return True


async def _make_part(services: Services, chunk: LeasedChunk) -> Part:
    """Raises WrongBytes, StoreError; ObjectNotFound also for a source that is known to be gone."""
    if chunk.source is None:
        raise ObjectNotFound(f"blob {chunk.blob_id} is no source any more")
    if not chunk.relay and can_copy(chunk.source, chunk.part):
        began_at = time.monotonic()
        try:
            part = await copy_part(services.store, chunk.source, chunk.part)
        except CopyUnproven:
            await _relay_from_now_on(services, chunk)
        else:
            if time.monotonic() - began_at > SLOW_COPY_S + chunk.part.size_bytes / SLOW_COPY_BYTES_S:
                await _relay_from_now_on(services, chunk)
            return part
    if chunk.part.size_bytes > MAX_RELAYED_BYTES:
        raise ObjectNotFound(f"chunk {chunk.number} is too large to be relayed")
    return await relay_part(services.store, chunk.source, chunk.part)


async def _relay_from_now_on(services: Services, chunk: LeasedChunk) -> None:
    """Have the other chunks of the session relayed."""
    others = update(ChunkReuse).where(ChunkReuse.upload_id == chunk.upload_id, ~ChunkReuse.relay)
    async with services.db.begin() as tx:
        if await _lock_held(tx, chunk):
            await tx.execute(others.values(relay=True))


_RECORD = text("""
    WITH ended AS (DELETE FROM chunk_reuses WHERE upload_id = :upload_id AND number = :number)
    UPDATE upload_chunks SET state = 'reused', etag = :etag
    WHERE upload_id = :upload_id AND number = :number AND state = 'reusing'
""")


async def _lock_held(tx: Tx, chunk: LeasedChunk) -> UploadSession | None:
    """Lock the session, and return it if it is active and the chunk still this worker's. Transaction: joins tx."""
    try:
        session = await sessions.lock_known_session(tx, chunk.upload_id)
    except problems.NotFound:  # ended, and deleted since
        return None
    is_held = (await tx.execute(select(ChunkReuse.number).where(_is_held(chunk)))).first() is not None
    return session if is_held and session.state == "active" else None


async def _postpone(services: Services, chunk: LeasedChunk) -> bool:
    """Let the chunk wait, longer with each failure; after the last one its client sends it. Return whether it does."""
    async with services.db.begin() as tx:
        if not await _lock_held(tx, chunk):
            return True
        if chunk.failures >= MAX_FAILURES:
            await end_reuse(tx, chunk.upload_id, [chunk.number])
            return True
        waiting = {"lease_token": None, "lease_until": func.now() + timedelta(seconds=2 ** (chunk.failures - 1))}
        await tx.execute(update(ChunkReuse).where(_is_held(chunk)).values(waiting))
    return False


async def _take_other_source(services: Services, chunk: LeasedChunk, *, is_damaged: bool) -> bool:
    """Go on with another source of the same bytes; without one the client sends the chunk. Return True.

    `is_damaged`: scrub reads the failed one next.
    """
    async with services.db.begin() as tx:
        session = await _lock_held(tx, chunk)
        if is_damaged:  # the blob after the session, as everywhere
            unread = update(Blob).where(Blob.id == chunk.blob_id, Blob.content_status == "verified")
            await tx.execute(unread.values(scrubbed_at=None))
        if session is None:
            return True
        failed = (await tx.execute(select(ChunkReuse.excluded).where(_is_held(chunk)))).scalar_one()
        excluded = [*failed, chunk.blob_id]
        wanted = RegisteredChunk(chunk.number, 0, chunk.part.size_bytes, chunk.part.sha256)
        source = (await reuse.find_sources(tx, session, [wanted], excluded)).get(chunk.number)
        if source is None:
            await end_reuse(tx, chunk.upload_id, [chunk.number])
        else:
            values = {"blob_id": source.blob_id, "offset_bytes": source.offset_bytes, "excluded": excluded}
            anew = {"failures": 0, **NO_LEASE}
            await tx.execute(update(ChunkReuse).where(_is_held(chunk)).values(values | anew))
    return True
