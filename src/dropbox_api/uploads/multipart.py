"""The multipart upload at S3 that a `creating` session needs before it is `active`.

Lease (T1) -> S3 CreateMultipartUpload -> T2: `active`, recorded only by the lease's holder. A process that lost the
lease aborts what it opened; when a creator dies, the next request for the session takes over its lapsed lease.
"""

import asyncio
import uuid
from datetime import timedelta

from sqlalchemy import func, select, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.models import Upload
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import sessions
from dropbox_api.uploads.sessions import UploadSession

CREATING_POLL_S = 0.1
CREATING_WAIT_S = 5.0


async def ensure_open_session(services: Services, session: UploadSession) -> UploadSession:
    """Open the multipart upload of a session whose creator died before that; return the session as it is afterwards.

    Raises StoreError; Unavailable while another process is creating it.
    """
    if session.state != "creating":
        return session
    await open_multipart(services, session.id)
    async with services.db.read() as tx:
        return await sessions.read_session(tx, session.id)


async def open_multipart(services: Services, upload_id: uuid.UUID) -> None:
    """Open the multipart upload of a `creating` session at S3; leave a session in any other state alone.

    Raises StoreError; Unavailable while another process is creating it.
    Transaction: lease, S3, T2.
    """
    token = uuid.uuid4()
    for _ in range(int(CREATING_WAIT_S / CREATING_POLL_S)):
        async with services.db.begin() as tx:
            key = await _take_lease(tx, services.settings, upload_id, token)
            state = (await tx.execute(select(Upload.state).where(Upload.id == upload_id))).scalar_one_or_none()
        if key:
            break
        if state != "creating":
            return
        await asyncio.sleep(CREATING_POLL_S)
    else:
        raise problems.Unavailable("The upload is being prepared", retry_after_s=1)
    await failpoint("uploads.start.after_lease")
    held = update(Upload).where(Upload.id == upload_id, Upload.state == "creating", Upload.lease_token == token)
    try:
        s3_upload_id = await services.store.create_multipart(key)
    except StoreError:
        async with services.db.begin() as tx:
            await tx.execute(held.values(lease_token=None, lease_until=None))
        raise
    await failpoint("uploads.start.after_s3")
    async with services.db.begin() as tx:
        recorded = await tx.execute(
            held.values(state="active", s3_upload_id=s3_upload_id, lease_token=None, lease_until=None)
        )
    if not recorded.rowcount:
        await services.store.abort_multipart(key, s3_upload_id)
    await failpoint("uploads.start.after_t2")


async def _take_lease(tx: Tx, settings: Settings, upload_id: uuid.UUID, token: uuid.UUID) -> str | None:
    """Take the lease of a `creating` session; return its storage key, or None when it is held or not needed."""
    taken = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.state == "creating", sessions.IS_LEASE_FREE)
        .values(lease_token=token, lease_until=func.now() + timedelta(seconds=settings.uploads.lease_s))
        .returning(Upload.storage_key)
    )
    return (await tx.execute(taken)).scalar_one_or_none()
