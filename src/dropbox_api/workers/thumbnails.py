"""Job `thumbnails`: make the thumbnails of verified content, newest first (ADR 0026).

The row of `thumbnails` is the intent: it exists before the objects, whose keys follow from it, so that the collection
of the blob finds them however the attempt ends. A confined process decodes the content. What it refuses, what takes too
long or too much memory, and what has stopped the worker three times, gets no thumbnail; an error of the store is no
fault of the content, and is retried.
"""

import asyncio
import logging
import tempfile
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import IO

from sqlalchemy import func, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core import thumbnails
from dropbox_api.db import Db
from dropbox_api.models import Blob, Thumbnail
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.row_leases import NO_LEASE
from dropbox_api.render import kinds
from dropbox_api.render.subprocess import CannotRenderError, NoPicture, has_libraries, render
from dropbox_api.storage.object_store import StoreError
from dropbox_api.workers.leases import LeasedBlob, claim_blob, keep_blob_lease
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

FILES_PER_RUN = 200
MAX_ATTEMPTS = 3
"""Attempts during which the worker died; then the content is to blame."""
RETRY_AFTER = timedelta(minutes=1)
_FIRST_BYTES = 64 * 1024
"""Read first: enough to tell the kind, and all of most other files."""

_BEGIN = text("""
    INSERT INTO thumbnails (blob_id, version, attempts) VALUES (:blob_id, :version, 1)
    ON CONFLICT (blob_id) DO UPDATE SET attempts = thumbnails.attempts + 1 RETURNING attempts
""")
_REQUEUE_OUTDATED = text("""
    UPDATE blobs SET thumbnail_due_at = now() WHERE id IN (
        SELECT blobs.id FROM thumbnails JOIN blobs ON blobs.id = thumbnails.blob_id
        WHERE thumbnails.version < :version AND blobs.thumbnail_due_at IS NULL LIMIT :limit
        FOR UPDATE OF blobs SKIP LOCKED
    )
""")


@dataclass(slots=True)
class _Tally:
    found: int = 0
    done: int = 0
    failed: int = 0


async def make_thumbnails(services: Services) -> Report:
    """Make thumbnails of up to `FILES_PER_RUN` contents; when none is due, queue those of an older version."""
    settings = services.settings.thumbnails
    if not settings.enabled or not has_libraries():
        return Report(0, 0)
    tally = _Tally()
    await asyncio.gather(*(_work(services, tally) for _ in range(settings.at_once)))
    if not tally.found:
        async with services.db.begin() as tx:
            bound = {"version": thumbnails.VERSION, "limit": FILES_PER_RUN}
            tally.found = tally.done = (await tx.execute(_REQUEUE_OUTDATED, bound)).rowcount
    return Report(tally.found, tally.done, tally.failed)


async def _work(services: Services, tally: _Tally) -> None:
    """Work on one content after another until none is due, or the store or this machine is in trouble."""
    is_due = (Blob.content_status == "verified", Blob.thumbnail_due_at <= func.now())
    while tally.found < FILES_PER_RUN and (blob := await claim_blob(services, Blob.id.desc(), *is_due)):
        tally.found += 1
        try:
            async with keep_blob_lease(services, blob):
                made = await _make(services, blob)  # not in the sum, which the other tasks change meanwhile
            tally.done += made
        except (StoreError, problems.Unavailable, CannotRenderError, OSError) as error:
            tally.failed += 1
            log.warning("no thumbnails of blob %s for now: %s", blob.id, error)
            await _postpone(services.db, blob)
            return


async def _make(services: Services, blob: LeasedBlob) -> bool:
    """Store the thumbnails of one content, or record that it has none. Return False when the lease was lost.

    Raises StoreError, CannotRenderError, OSError (no room for the temporary file).
    """
    async with services.db.begin() as tx:
        bound = {"blob_id": blob.id, "version": thumbnails.VERSION}
        attempts: int = (await tx.execute(_BEGIN, bound)).scalar_one()
    images = NoPicture("crash") if attempts > MAX_ATTEMPTS else await _render(services, blob)
    if isinstance(images, list):
        for size_px, image in zip(thumbnails.SIZES_PX, images, strict=True):
            await services.store.put(thumbnails.format_key(blob.id, size_px, thumbnails.VERSION), image)
    await failpoint("workers.thumbnails.after_s3")
    return await _record(services.db, blob, images.reason if isinstance(images, NoPicture) else None)


async def _render(services: Services, blob: LeasedBlob) -> list[bytes] | NoPicture:
    key, size_bytes = blob.storage_key, blob.size_bytes
    with tempfile.TemporaryFile() as file:
        first_bytes = min(size_bytes, _FIRST_BYTES)
        await _fetch(services, key, file, 0, first_bytes)
        file.seek(0)
        kind = kinds.find_kind(file.read(kinds.HEAD_BYTES))
        if kind is None:
            return NoPicture("type")
        if kind.max_bytes is not None and size_bytes > kind.max_bytes:
            return NoPicture("size")
        last_start = size_bytes
        if kind.is_video and size_bytes > kinds.VIDEO_FIRST_BYTES + kinds.VIDEO_LAST_BYTES:
            last_start = size_bytes - kinds.VIDEO_LAST_BYTES
            await _fetch(services, key, file, last_start, size_bytes)
            await _fetch(services, key, file, first_bytes, kinds.VIDEO_FIRST_BYTES)
        else:
            await _fetch(services, key, file, first_bytes, size_bytes)
        file.flush()
        return await render(kind, file, services.settings.thumbnails)


async def _fetch(services: Services, key: str, file: IO[bytes], start: int, end: int) -> None:
    """Write a range of an object into the file, which stays sparse elsewhere."""
    if start >= end:
        return
    file.seek(start)
    async with aclosing(services.store.read(key, start=start, length=end - start)) as blocks:
        async for block in blocks:
            file.write(block)


async def _record(db: Db, blob: LeasedBlob, reason: str | None) -> bool:
    """Record the result; return False when the lease was lost, or the content is no longer whole."""
    is_same = (
        Blob.id == blob.id,
        Blob.lease_token == blob.lease_token,
        Blob.storage_key == blob.storage_key,
        Blob.content_status == "verified",
    )
    result = {
        "version": thumbnails.VERSION,
        "state": "none" if reason else "ready",
        "reason": reason,
        "attempts": 0,
        "made_at": func.now(),
    }
    async with db.begin() as tx:
        done = await tx.execute(update(Blob).where(*is_same).values(thumbnail_due_at=None, **NO_LEASE))
        if done.rowcount:
            await tx.execute(update(Thumbnail).where(Thumbnail.blob_id == blob.id).values(**result))
    return bool(done.rowcount)


async def _postpone(db: Db, blob: LeasedBlob) -> None:
    """Give a blob back; the attempt does not count."""
    held = update(Blob).where(Blob.id == blob.id, Blob.lease_token == blob.lease_token)
    this = update(Thumbnail).where(Thumbnail.blob_id == blob.id, Thumbnail.attempts > 0)
    async with db.begin() as tx:
        await tx.execute(held.values(thumbnail_due_at=func.now() + RETRY_AFTER, **NO_LEASE))
        await tx.execute(this.values(attempts=Thumbnail.attempts - 1))
