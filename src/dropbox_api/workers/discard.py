"""Job `discard`: remove from S3 the leftovers of ended upload sessions."""

import logging
from datetime import timedelta

from sqlalchemy import func, select, true, update

from dropbox_api.context import Services
from dropbox_api.models import Blob, Upload
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import ObjectNotFound, StoreError
from dropbox_api.workers.due_sessions import DueSession, claim_due_sessions
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

SESSIONS_PER_RUN = 20


async def discard_leftovers(services: Services) -> Report:
    """Remove the parts and objects of ended sessions, once all their signed URLs have expired.

    A part in flight may arrive after an abort, so a row stays until S3 reports the multipart upload as unknown.
    """
    db, settings = services.db, services.settings.uploads
    urls_expired = func.now() - timedelta(seconds=settings.url_ttl_s)
    leftovers = (Upload.leftover == true(), Upload.ended_at < urls_expired)
    sessions = await claim_due_sessions(db, SESSIONS_PER_RUN, settings.lease_s, *leftovers)
    done = failed = 0
    for session in sessions:
        try:
            if not await _remove_leftovers(services, session):
                continue
        except StoreError as error:
            failed += 1
            log.warning("leftovers of upload %s could not be removed: %s", session.id, error)
            continue
        await failpoint("workers.discard.after_s3")
        async with db.begin() as tx:
            await tx.execute(update(Upload).where(Upload.id == session.id).values(leftover=False))
        done += 1
    return Report(len(sessions), done, failed)


async def _remove_leftovers(services: Services, session: DueSession) -> bool:
    """Return whether S3 has nothing left of a session; the object of a blob stays. Raises StoreError."""
    store = services.store
    if session.s3_upload_id:
        await store.abort_multipart(session.storage_key, session.s3_upload_id)
        try:
            await store.list_parts(session.storage_key, session.s3_upload_id)
        except ObjectNotFound:
            pass
        else:
            return False
    async with services.db.read() as tx:
        blob = select(Blob.id).where(Blob.storage_key == session.storage_key)
        has_blob = (await tx.execute(blob)).scalar_one_or_none() is not None
    if not has_blob:
        await store.delete(session.storage_key)
    return True
