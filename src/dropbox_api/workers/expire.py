"""Job `expire`: end upload sessions after their time, and those under links that take nothing any more."""

import contextlib
import logging
import uuid
from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.files import guard
from dropbox_api.models import Upload
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import link_sessions, reconcile
from dropbox_api.uploads.sessions import IS_LEASE_FREE, end_sessions
from dropbox_api.workers.due_sessions import MAX_BACKOFF_DOUBLINGS
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

SESSIONS_PER_RUN = 200


async def expire_uploads(services: Services) -> Report:
    """End expired sessions without activity, and expired sessions that `finish-stale` failed to complete.

    Job `discard` removes what S3 holds of them.
    """
    db = services.db
    is_unfinishable = and_(Upload.state == "completing", Upload.checks > MAX_BACKOFF_DOUBLINGS, IS_LEASE_FREE)
    is_expired = and_(or_(Upload.state.in_(("creating", "active")), is_unfinishable), Upload.expires_at < func.now())
    is_unheard = and_(
        Upload.state == "active",
        Upload.confirmed_bytes == 0,
        Upload.reserved_bytes > 0,
        Upload.expires_at > func.now() - link_sessions.IDLE_TTL,
    )
    expired = select(Upload.id, Upload.owner_id, is_unheard.label("is_unheard")).where(is_expired)
    async with db.read() as tx:
        rows = (await tx.execute(expired.limit(SESSIONS_PER_RUN))).all()
    unknown = await _confirm_parts(services, [row.id for row in rows if row.is_unheard])
    found = [(row.id, row.owner_id) for row in rows if row.id not in unknown]
    done = 0
    for owner_id in {owner_id for _, owner_id in found}:
        upload_ids = [upload_id for upload_id, session_owner_id in found if session_owner_id == owner_id]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            still_expired = select(Upload.id).where(Upload.id.in_(upload_ids), is_expired).with_for_update()
            locked_ids = list((await tx.execute(still_expired)).scalars())
            done += len(await end_sessions(tx, owner_id, locked_ids, "expired", has_leftovers=True))
    async with db.read() as tx:
        owners = await link_sessions.find_owners_of_closed(tx)
    for owner_id in owners:
        done += await link_sessions.end_closed(services, owner_id)
    return Report(len(found) + len(owners), done)


async def _confirm_parts(services: Services, upload_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Record the parts of sessions under links whose senders send without a call: with a part, a session lives on.

    Returns the sessions about which the store does not answer: they wait for the next run, for at most a day.
    """
    unknown = set(upload_ids)
    for upload_id in upload_ids:
        try:
            with contextlib.suppress(problems.NotFound, problems.ParentGone, problems.UploadExpired):
                await reconcile.reconcile_session(services, upload_id)
        except (StoreError, problems.Unavailable) as error:
            log.warning("the store does not tell the parts of upload %s: %s", upload_id, error)
        else:
            unknown.discard(upload_id)
    return unknown
