"""Abort: end a session, release its quota, and discard what S3 holds of it."""

import logging
import uuid

from sqlalchemy import select

from dropbox_api import problems
from dropbox_api.context import Context, Services
from dropbox_api.db import Tx
from dropbox_api.files import guard
from dropbox_api.models import Upload
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import destinations, sessions
from dropbox_api.uploads.sessions import UploadSession

log = logging.getLogger(__name__)


async def abort_upload(context: Context, upload_id: uuid.UUID) -> None:
    """End the caller's session, release its quota, and discard its parts. Aborting twice is fine.

    Raises NotFound, UploadCompleting (a process is completing it now), UploadEnded (completed).
    Transaction: T1, S3; a worker does later what S3 does not do now.
    """
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, upload_id)
    await abort_session(context, session.owner_id, upload_id)


async def abort_session(services: Services, owner_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """End a session, whose uploader the caller has checked, as `abort_upload` does. Raises and commits as it does."""
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        session = await sessions.lock_known_session(tx, upload_id)
        if session.state == "completing" and not await sessions.has_free_lease(tx, upload_id):
            raise problems.UploadCompleting(retry_after_s=1)
        if session.state == "completed":
            raise problems.UploadEnded("The upload is completed: it is a file now", state="completed")
        await sessions.end_sessions(tx, owner_id, [upload_id], "aborted", has_leftovers=True)
    await failpoint("uploads.abort.after_t1")
    await discard_parts(services, upload_id)


async def abort_without_destination(tx: Tx, owner_id: uuid.UUID, uploader_id: uuid.UUID) -> None:
    """End an uploader's sessions into another account's tree that may go into none of its folders any more.

    The owner's quota is free again.
    Transaction: joins tx, which holds the owner's lock and has narrowed the uploader's grants.
    """
    live = sessions.select_sessions(
        Upload.owner_id == owner_id,
        Upload.uploader_id == uploader_id,
        sessions.IS_OWN,
        sessions.IS_LIVE,
    )
    uploads = [UploadSession(*row) for row in (await tx.execute(live)).all()]
    closed = await destinations.find_closed_sessions(tx, uploader_id, uploads)
    await sessions.end_sessions(tx, owner_id, closed, "aborted", has_leftovers=True)


async def discard_parts(services: Services, upload_id: uuid.UUID) -> None:
    """Free what S3 holds of an ended session now; a worker looks again once all its signed URLs have expired."""
    async with services.db.read() as tx:
        ended = select(Upload.storage_key, Upload.s3_upload_id).where(Upload.id == upload_id, Upload.leftover)
        row = (await tx.execute(ended)).one_or_none()
    if row is None or row.s3_upload_id is None:
        return
    try:
        await services.store.abort_multipart(row.storage_key, row.s3_upload_id)
    except StoreError as error:
        log.warning("abort at the store failed, a worker will repeat it: %s", error)
