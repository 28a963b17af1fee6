"""Journals and logs of deliveries do not grow for ever: what is older than the settings say is deleted.

Of a journal only its beginning goes, so that what is left has no gaps: whoever comes with a cursor from before it is
told so (`cursor-expired`).
"""

import uuid
from datetime import timedelta

from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers.reports import Report

USERS_AT_ONCE = 500
ROWS_AT_ONCE = 10_000

# The oldest event of each: one probe of the journals' key a user, and no look at what is young.
_TO_SHORTEN = text("""
    SELECT users.id FROM users CROSS JOIN LATERAL (
        SELECT created_at FROM events WHERE recipient_id = users.id ORDER BY seq LIMIT 1
    ) oldest
    WHERE users.id > :after AND oldest.created_at < now() - CAST(:retention AS interval) ORDER BY users.id LIMIT :limit
""")

# Times need not grow with the numbers: a change that took long has an early time. What is young stays, and all behind.
_SHORTEN = text("""
    WITH oldest AS (
        SELECT seq, created_at < now() - CAST(:retention AS interval) AS is_old FROM events
        WHERE recipient_id = :user_id ORDER BY seq LIMIT :limit
    )
    DELETE FROM events WHERE recipient_id = :user_id AND seq < (
        SELECT coalesce(min(seq) FILTER (WHERE NOT is_old), max(seq) + 1) FROM oldest
    )
""")

_FORGET = text("""
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries
        WHERE state IN ('delivered', 'failed') AND created_at < now() - CAST(:retention AS interval)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")


async def retain(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Shorten journals to `events.retention_s`, and the log of deliveries that are over to `hooks.retention_s`.

    Transaction: one a batch, short, and under no user's lock: nobody writes at a journal's beginning.
    """
    events = await _shorten_journals(db, timedelta(seconds=settings.events.retention_s))
    deliveries = await _forget_deliveries(db, timedelta(seconds=settings.hooks.retention_s))
    return Report(events + deliveries, events + deliveries)


async def _shorten_journals(db: Db, retention: timedelta) -> int:
    done, after = 0, uuid.UUID(int=0)
    while True:
        bound = {"after": after, "retention": retention, "limit": USERS_AT_ONCE}
        async with db.read() as tx:
            user_ids = (await tx.execute(_TO_SHORTEN, bound)).scalars().all()
        for user_id in user_ids:
            done += await _shorten(db, user_id, retention)
        if len(user_ids) < USERS_AT_ONCE:
            return done
        after = user_ids[-1]


async def _shorten(db: Db, user_id: uuid.UUID, retention: timedelta) -> int:
    done = 0
    while True:
        async with db.begin() as tx:
            bound = {"user_id": user_id, "retention": retention, "limit": ROWS_AT_ONCE}
            deleted = (await tx.execute(_SHORTEN, bound)).rowcount
        done += deleted
        if deleted < ROWS_AT_ONCE:
            return done


async def _forget_deliveries(db: Db, retention: timedelta) -> int:
    done = 0
    while True:
        async with db.begin() as tx:
            deleted = (await tx.execute(_FORGET, {"retention": retention, "limit": ROWS_AT_ONCE})).rowcount
        done += deleted
        if deleted < ROWS_AT_ONCE:
            return done
