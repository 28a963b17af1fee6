"""The objects of thumbnails: delete them with their blob, find lost ones, and have them made again."""

import asyncio
import uuid
from collections.abc import Sequence

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core import thumbnails
from dropbox_api.db import Db
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore

ROWS_PER_BATCH = 500
_HEAD_CONCURRENCY = 32

_VERSION = text("SELECT version FROM thumbnails WHERE blob_id = :blob_id")
_READY = text("""
    SELECT blob_id, version FROM thumbnails WHERE blob_id > :after AND state = 'ready' ORDER BY blob_id LIMIT :limit
""")
_REQUEUE = text("UPDATE blobs SET thumbnail_due_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))")
_REQUEUE_NEXT = text("""
    WITH next AS (SELECT id FROM blobs WHERE id > :after ORDER BY id LIMIT :limit),
    queued AS (
        UPDATE blobs SET thumbnail_due_at = now() FROM next
        WHERE blobs.id = next.id AND thumbnail_due_at IS NULL RETURNING blobs.id
    )
    SELECT (SELECT max(id::text)::uuid FROM next) AS last, (SELECT count(*) FROM queued) AS queued
""")


async def delete_thumbnails(services: Services, blob_id: uuid.UUID) -> None:
    """Delete the thumbnails of a blob from the store; their row goes with the blob's. Raises StoreError."""
    async with services.db.read() as tx:
        version = (await tx.execute(_VERSION, {"blob_id": blob_id})).scalar_one_or_none()
    if version is None:
        return
    # The row may name an older version than the objects of an attempt that was not recorded.
    for of in {version, thumbnails.VERSION}:
        for size_px in thumbnails.SIZES_PX:
            await services.store.delete(thumbnails.format_key(blob_id, size_px, of))


async def is_lost(store: ObjectStore, blob_id: uuid.UUID, version: int) -> bool:
    """Tell whether the store has lost a thumbnail of a blob. Raises StoreError."""
    try:
        for size_px in thumbnails.SIZES_PX:
            await store.head(thumbnails.format_key(blob_id, size_px, version))
    except ObjectNotFound:
        return True
    return False


async def find_lost(store: ObjectStore, rows: Sequence[tuple[uuid.UUID, int]]) -> list[uuid.UUID]:
    """Return the blobs among these, each with its version, that have lost a thumbnail. Raises StoreError."""
    slots = asyncio.Semaphore(_HEAD_CONCURRENCY)

    async def check(blob_id: uuid.UUID, version: int) -> bool:
        async with slots:
            return await is_lost(store, blob_id, version)

    lost = await asyncio.gather(*(check(*row) for row in rows))
    return [blob_id for (blob_id, _), is_gone in zip(rows, lost, strict=True) if is_gone]


async def requeue_if_lost(services: Services, blob_id: uuid.UUID) -> bool:
    """Have the thumbnails of a blob made again if the store has lost one; return whether it has. Raises StoreError."""
    async with services.db.read() as tx:
        ready = text("SELECT version FROM thumbnails WHERE blob_id = :blob_id AND state = 'ready'")
        version = (await tx.execute(ready, {"blob_id": blob_id})).scalar_one_or_none()
    if version is None or not await is_lost(services.store, blob_id, version):
        return False
    await _requeue(services.db, [blob_id])
    return True


async def requeue_lost(services: Services) -> int:
    """Have all lost thumbnails made again; return for how many blobs. Raises StoreError."""
    queued, after = 0, uuid.UUID(int=0)
    while True:
        async with services.db.read() as tx:
            bound = {"after": after, "limit": ROWS_PER_BATCH}
            rows = [(row.blob_id, row.version) for row in await tx.execute(_READY, bound)]
        if not rows:
            return queued
        lost = await find_lost(services.store, rows)
        await _requeue(services.db, lost)
        queued, after = queued + len(lost), rows[-1][0]


async def requeue_all(services: Services) -> int:
    """Have all thumbnails made again, also of content that gave none; return for how many blobs."""
    queued, after = 0, uuid.UUID(int=0)
    while True:
        async with services.db.begin() as tx:
            row = (await tx.execute(_REQUEUE_NEXT, {"after": after, "limit": ROWS_PER_BATCH})).one()
        if row.last is None:
            return queued
        queued, after = queued + row.queued, row.last


async def _requeue(db: Db, blob_ids: Sequence[uuid.UUID]) -> None:
    if blob_ids:
        async with db.begin() as tx:
            await tx.execute(_REQUEUE, {"ids": list(blob_ids)})
