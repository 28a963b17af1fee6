"""Job `collect`: garbage collection of blobs.

The row is marked first and the object deleted after the grace period: until then a URL that was handed out, or a
database restored from a backup, may still need the object.
"""

import logging
from datetime import timedelta

from sqlalchemy import func, select, text, update

from dropbox_api.context import Services
from dropbox_api.files import blobs, guard
from dropbox_api.models import Blob, User
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import StoreError
from dropbox_api.workers.reports import Report
from dropbox_api.workers.thumbnail_objects import delete_thumbnails

log = logging.getLogger(__name__)

BLOBS_PER_RUN = 20

_DELETE_ROW = text("DELETE FROM blobs WHERE id = :id AND content_status = 'deleting'")


async def collect_blobs(services: Services) -> Report:
    """Mark unreferenced blobs as `deleting`, and delete the blobs that have been `deleting` for the grace period."""
    marking = await _mark_unreferenced(services)
    deletion = await _delete_marked(services)
    return Report(marking.found + deletion.found, marking.done + deletion.done, deletion.failed)


async def _mark_unreferenced(services: Services) -> Report:
    """Mark blobs that have been without a revision for too long, and reduce their owners' usage."""
    db = services.db
    deadline = func.now() - timedelta(seconds=services.settings.uploads.unplaced_ttl_s)
    is_garbage = (Blob.unreferenced_at < deadline, Blob.content_status != "deleting", ~blobs.IS_REFERENCED)
    garbage = select(Blob.id, Blob.owner_id, Blob.size_bytes).where(*is_garbage).order_by(Blob.unreferenced_at)
    async with db.read() as tx:
        found = (await tx.execute(garbage.limit(BLOBS_PER_RUN))).all()
    done = 0
    for blob_id, owner_id, size_bytes in found:
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            mark = update(Blob).where(Blob.id == blob_id, *is_garbage)
            marked = (await tx.execute(mark.values(content_status="deleting", deleting_at=func.now()))).rowcount
            if marked:
                owner = update(User).where(User.id == owner_id)
                await tx.execute(owner.values(used_bytes=User.used_bytes - size_bytes))
        done += marked
    return Report(len(found), done)


async def _delete_marked(services: Services) -> Report:
    """Delete the objects, then the rows, of blobs marked for longer than the grace period."""
    db = services.db
    deadline = func.now() - timedelta(seconds=services.settings.worker.sweep_grace_s)
    is_unused = (~blobs.IS_REFERENCED, ~blobs.IS_HELD)
    is_due = (Blob.content_status == "deleting", Blob.deleting_at < deadline, *is_unused)
    async with db.read() as tx:
        due = select(Blob.id, Blob.storage_key).where(*is_due)
        found = (await tx.execute(due.limit(BLOBS_PER_RUN))).all()
    done = failed = 0
    for blob_id, storage_key in found:
        try:
            await delete_thumbnails(services, blob_id)
            await services.store.delete(storage_key)
        except StoreError as error:
            failed += 1
            log.warning("blob %s could not be deleted: %s", blob_id, error)
            continue
        await failpoint("workers.collect.after_s3")
        async with db.begin() as tx:
            await tx.execute(_DELETE_ROW, {"id": blob_id})
        done += 1
    return Report(len(found), done, failed)
