"""Job `expire`: end upload sessions after their time, and those under links that take nothing any more."""

from sqlalchemy import and_, func, or_, select

from dropbox_api.context import Services
from dropbox_api.files import guard
from dropbox_api.models import Upload
from dropbox_api.uploads import link_sessions
from dropbox_api.uploads.sessions import IS_LEASE_FREE, end_sessions
from dropbox_api.workers.due_sessions import MAX_BACKOFF_DOUBLINGS
from dropbox_api.workers.reports import Report

SESSIONS_PER_RUN = 200


async def expire_uploads(services: Services) -> Report:
    """End expired sessions without activity, and expired sessions that `finish-stale` failed to complete.

    Job `discard` removes what S3 holds of them.
    """
    db = services.db
    is_unfinishable = and_(Upload.state == "completing", Upload.checks > MAX_BACKOFF_DOUBLINGS, IS_LEASE_FREE)
    is_expired = and_(or_(Upload.state.in_(("creating", "active")), is_unfinishable), Upload.expires_at < func.now())
    expired = select(Upload.id, Upload.owner_id).where(is_expired)
    async with db.read() as tx:
        found = (await tx.execute(expired.limit(SESSIONS_PER_RUN))).all()
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
