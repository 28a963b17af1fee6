"""Job `retain`: delete journal entries and logged deliveries after their retention time.

A journal loses only its beginning and so stays without gaps. A reader with an older cursor gets `cursor-expired`.
"""

import uuid
from datetime import timedelta

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.workers.reports import Report

USERS_PER_QUERY = 500
ROWS_PER_TRANSACTION = 10_000

# Reads only the oldest event of each journal: one index probe per user.
_LONG_JOURNALS = text("""
    SELECT users.id FROM users CROSS JOIN LATERAL (
        SELECT created_at FROM events WHERE recipient_id = users.id ORDER BY seq LIMIT 1
    ) oldest
    WHERE users.id > :after AND oldest.created_at < now() - CAST(:retention AS interval) ORDER BY users.id LIMIT :limit
""")

# A long transaction has an early time and a late number, so times are out of order: the first young event ends the cut.
_SHORTEN_JOURNAL = text("""
    WITH oldest AS (
        SELECT seq, created_at < now() - CAST(:retention AS interval) AS is_old FROM events
        WHERE recipient_id = :user_id ORDER BY seq LIMIT :limit
    )
    DELETE FROM events WHERE recipient_id = :user_id AND seq < (
        SELECT coalesce(min(seq) FILTER (WHERE NOT is_old), max(seq) + 1) FROM oldest
    )
""")

_DELETE_DELIVERIES = text("""
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries
        WHERE state IN ('delivered', 'failed') AND created_at < now() - CAST(:retention AS interval)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")


async def apply_retention(services: Services) -> Report:
    """Shorten journals to `events.retention_s`, and the log of ended deliveries to `hooks.retention_s`.

    Transaction: a short one per batch, without a user's lock, because no change writes to a journal's beginning.
    """
    settings = services.settings
    events = await _shorten_journals(services.db, timedelta(seconds=settings.events.retention_s))
    deliveries = await _delete_deliveries(services.db, timedelta(seconds=settings.hooks.retention_s))
    return Report(events + deliveries, events + deliveries)


async def _shorten_journals(db: Db, retention: timedelta) -> int:
    done, after = 0, uuid.UUID(int=0)
    while True:
        bound = {"after": after, "retention": retention, "limit": USERS_PER_QUERY}
        async with db.read() as tx:
            user_ids = (await tx.execute(_LONG_JOURNALS, bound)).scalars().all()
        for user_id in user_ids:
            done += await _shorten_journal(db, user_id, retention)
        if len(user_ids) < USERS_PER_QUERY:
            return done
        after = user_ids[-1]


async def _shorten_journal(db: Db, user_id: uuid.UUID, retention: timedelta) -> int:
    done = 0
    while True:
        async with db.begin() as tx:
            bound = {"user_id": user_id, "retention": retention, "limit": ROWS_PER_TRANSACTION}
            deleted = (await tx.execute(_SHORTEN_JOURNAL, bound)).rowcount
        done += deleted
        if deleted < ROWS_PER_TRANSACTION:
            return done


async def _delete_deliveries(db: Db, retention: timedelta) -> int:
    done = 0
    while True:
        async with db.begin() as tx:
            deleted = (
                await tx.execute(_DELETE_DELIVERIES, {"retention": retention, "limit": ROWS_PER_TRANSACTION})
            ).rowcount
        done += deleted
        if deleted < ROWS_PER_TRANSACTION:
            return done
