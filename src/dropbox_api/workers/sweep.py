"""Job `sweep`: remove orphans from S3, which are multipart uploads and objects that no row of the database names."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select

from dropbox_api.context import Services
from dropbox_api.core import thumbnails
from dropbox_api.db import Db
from dropbox_api.models import Blob, Thumbnail, Upload
from dropbox_api.plumbing.epoch import read_instance, record_epoch
from dropbox_api.storage.object_store import MultipartRef
from dropbox_api.uploads.sessions import IS_LIVE
from dropbox_api.workers.reports import Report

KEYS_PER_QUERY = 500


async def sweep_orphans(services: Services) -> Report:
    """Remove the orphans that are older than the grace period.

    Each orphan is checked twice against the database: after the listing, and again directly before its removal.
    After a restore, orphans are objects that the backup does not know: they stay for another grace period.
    """
    if await _is_restored_recently(services):
        return Report(0, 0)
    db, store = services.db, services.store
    found = done = 0
    notes: list[str] = []
    async for upload in _find_multipart_orphans(services):
        found += 1
        notes.append(_describe_upload(upload))
        if not await _is_known_upload(db, upload.s3_upload_id):
            await store.abort_multipart(upload.key, upload.s3_upload_id)
            done += 1
    async for keys in _find_object_orphans(services):
        found += len(keys)
        notes += map(_describe_object, keys)
        for key in await _select_unknown_keys(db, keys):
            await store.delete(key)
            done += 1
    return Report(found, done, notes=tuple(notes))


async def report_orphans(services: Services) -> Report:
    """List the orphans that `sweep_orphans` would remove."""
    notes = [_describe_upload(upload) async for upload in _find_multipart_orphans(services)]
    async for keys in _find_object_orphans(services):
        notes += map(_describe_object, keys)
    return Report(len(notes), 0, notes=tuple(notes))


async def _is_restored_recently(services: Services) -> bool:
    await record_epoch(services.db)  # job `epoch` may not have run since
    instance = await read_instance(services.db)
    return instance.is_restored and instance.epoch_started_at > _grace_deadline(services)


def _describe_upload(upload: MultipartRef) -> str:
    return f"multipart upload {upload.key}"


def _describe_object(key: str) -> str:
    return f"object {key}"


def _grace_deadline(services: Services) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=services.settings.worker.sweep_grace_s)


async def _find_multipart_orphans(services: Services) -> AsyncIterator[MultipartRef]:
    deadline = _grace_deadline(services)
    async for upload in services.store.list_multiparts("blobs/"):
        if upload.initiated_at < deadline and not await _is_known_upload(services.db, upload.s3_upload_id):
            yield upload


async def _find_object_orphans(services: Services) -> AsyncIterator[list[str]]:
    """Yield the keys of orphaned objects, one list per query."""
    deadline = _grace_deadline(services)
    keys: list[str] = []
    for prefix in ("blobs/", thumbnails.PREFIX):
        async for item in services.store.list_objects(prefix):
            if item.last_modified < deadline:
                keys.append(item.key)
            if len(keys) == KEYS_PER_QUERY:
                yield await _select_unknown_keys(services.db, keys)
                keys = []
    yield await _select_unknown_keys(services.db, keys)


_MAY_HAVE_CONTENT = or_(IS_LIVE, Upload.leftover.is_(True))
"""Live sessions, and ended ones that job `discard` has yet to clean up."""


async def _is_known_upload(db: Db, s3_upload_id: str) -> bool:
    known = select(Upload.id).where(Upload.s3_upload_id == s3_upload_id, _MAY_HAVE_CONTENT)
    async with db.read() as tx:
        return (await tx.execute(known)).first() is not None


async def _select_unknown_keys(db: Db, keys: list[str]) -> list[str]:
    """Return the keys that belong to no blob, no thumbnail, no live session and no session with leftovers."""
    if not keys:
        return []
    derived = {key: names for key in keys if (names := thumbnails.parse_key(key))}
    has_objects = select(Thumbnail.blob_id, Thumbnail.version).where(Thumbnail.state != "none")
    made = has_objects.where(Thumbnail.blob_id.in_({blob_id for blob_id, _ in derived.values()}))
    blobs = select(Blob.storage_key).where(Blob.storage_key.in_(keys))
    uploads = select(Upload.storage_key).where(Upload.storage_key.in_(keys), _MAY_HAVE_CONTENT)
    async with db.read() as tx:
        known = set((await tx.execute(blobs)).scalars()) | set((await tx.execute(uploads)).scalars())
        if derived:
            objects = {(row.blob_id, row.version) for row in await tx.execute(made)}
            known |= {key for key in derived if derived[key] in objects}
    return [key for key in keys if key not in known]
