"""Job `discard`: remove from S3 the leftovers of ended upload sessions."""

import logging
import uuid
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select, update

from dropbox_api.context import Services
from dropbox_api.models import Blob, Upload
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import ObjectNotFound, StoreError
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

SESSIONS_PER_RUN = 20


class EndedSession(NamedTuple):
    """An ended session with leftovers in S3."""

    id: uuid.UUID
    storage_key: str
    s3_upload_id: str | None


async def discard_leftovers(services: Services) -> Report:
    """Remove the parts and objects of ended sessions, once all their signed URLs have expired.

    A part in flight may arrive after an abort, so a row stays until S3 reports the multipart upload as unknown.
    """
    db = services.db
    urls_expired = func.now() - timedelta(seconds=services.settings.uploads.url_ttl_s)
    columns = (Upload.id, Upload.storage_key, Upload.s3_upload_id)
    leftovers = select(*columns).where(Upload.leftover, Upload.ended_at < urls_expired).order_by(Upload.ended_at)
    async with db.read() as tx:
        sessions = [EndedSession(*row) for row in await tx.execute(leftovers.limit(SESSIONS_PER_RUN))]
    done = failed = 0
    for session in sessions:
        this = update(Upload).where(Upload.id == session.id)
        try:
            if await _remove_leftovers(services, session):
                await failpoint("workers.discard.after_s3")
                async with db.begin() as tx:
                    await tx.execute(this.values(leftover=False))
                done += 1
        except StoreError as error:
            failed += 1
            log.warning("leftovers of upload %s could not be removed: %s", session.id, error)
            async with db.begin() as tx:  # move it to the end of the queue, so that failures do not block the rest
                await tx.execute(this.values(ended_at=func.now()))
    return Report(len(sessions) if done else 0, done, failed)


async def _remove_leftovers(services: Services, session: EndedSession) -> bool:
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
