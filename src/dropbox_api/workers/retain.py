"""Job `retain`: delete the rows that no answer needs any more, table by table.

Each table that grows with use is listed here or shortened by another job; `docs/operations.md` has the list. A journal
loses only its beginning and so stays without gaps. A reader with an older cursor gets `cursor-expired`.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import TextClause, text

from dropbox_api.context import Services
from dropbox_api.db import Db, first_id_at
from dropbox_api.models import LIVE_UPLOAD, UPLOAD_TOKEN
from dropbox_api.settings import Settings
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
    DELETE FROM events WHERE recipient_id = :user_id AND seq < coalesce(least(
        (SELECT seq FROM events WHERE recipient_id = :user_id AND created_at >= now() - CAST(:retention AS interval)
            ORDER BY seq LIMIT 1),
        (SELECT seq FROM events WHERE recipient_id = :user_id ORDER BY seq OFFSET :limit LIMIT 1)
    ), 9223372036854775807)
""")


@dataclass(frozen=True, slots=True)
class Expiry:
    """The rows of one table that are deleted after a time."""

    delete: TextClause
    """Deletes at most `:limit` rows. `:before` is the first id of the time `:retention` ago: rows with a UUIDv7 need no
    index of their age."""
    retention_s: Callable[[Settings], float] = lambda _: 0


_EXPIRIES = (
    Expiry(
        text("""
            DELETE FROM deliveries WHERE id IN (
                SELECT id FROM deliveries WHERE id < :before AND state IN ('delivered', 'failed')
                    AND created_at < now() - CAST(:retention AS interval)
                ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda settings: settings.hooks.retention_s,
    ),
    # Chunks go with their session, so they count. A session tells who sent a content until that content is verified.
    Expiry(
        text("""
            DELETE FROM uploads WHERE id IN (
                SELECT id FROM (
                    SELECT id, sum(chunk_count) OVER (ORDER BY id) - chunk_count AS chunks FROM uploads
                    WHERE id < :before AND ended_at < now() - CAST(:retention AS interval) AND NOT leftover
                        AND NOT EXISTS (
                            SELECT FROM blobs WHERE blobs.id = uploads.id AND content_status <> 'verified'
                        )
                    ORDER BY id LIMIT :limit
                ) ended WHERE chunks < CAST(:limit AS bigint)
            )
        """),
        lambda settings: settings.uploads.retention_s,
    ),
    Expiry(
        text("""
            DELETE FROM copies WHERE id IN (
                SELECT id FROM copies WHERE id < :before AND ended_at < now() - CAST(:retention AS interval)
                ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda settings: settings.uploads.retention_s,
    ),
    Expiry(
        text("""
            DELETE FROM audit_log WHERE id IN (
                SELECT id FROM audit_log WHERE id < :before ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda settings: settings.files.activity_retention_s,
    ),
    # After the journals: every cursor that still works finds the tombstones of its events.
    Expiry(
        text("""
            DELETE FROM tombstones WHERE (owner_id, node_id) IN (
                SELECT owner_id, node_id FROM tombstones WHERE deleted_at < now() - CAST(:retention AS interval)
                ORDER BY deleted_at LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda settings: settings.events.retention_s,
    ),
    # A dead credential is answered like an unknown one. A revoked session stays until its end, at most `session_max_s`.
    Expiry(
        text("""
            DELETE FROM sessions WHERE id IN (
                SELECT id FROM sessions WHERE expires_at < now() ORDER BY expires_at LIMIT :limit
                FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    Expiry(
        text("""
            DELETE FROM mail_tokens WHERE token_hash IN (
                SELECT token_hash FROM mail_tokens WHERE expires_at < now() LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    Expiry(
        text("""
            DELETE FROM passkey_challenges WHERE challenge_hash IN (
                SELECT challenge_hash FROM passkey_challenges WHERE expires_at < now() ORDER BY expires_at LIMIT :limit
                FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    Expiry(
        text("""
            DELETE FROM archives WHERE token_hash IN (
                SELECT token_hash FROM archives WHERE expires_at < now() ORDER BY expires_at LIMIT :limit
                FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    Expiry(
        text("""
            DELETE FROM api_tokens WHERE id IN (
                SELECT id FROM api_tokens WHERE revoked_at IS NOT NULL OR expires_at < now() LIMIT :limit
                FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    Expiry(
        text("""
            DELETE FROM devices WHERE (user_id, id) IN (
                SELECT user_id, id FROM devices WHERE last_seen_at < now() - CAST(:retention AS interval)
                ORDER BY last_seen_at LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda settings: settings.events.device_retention_s,
    ),
    # An expired link stays: its owner may prolong it.
    Expiry(
        text("""
            DELETE FROM links WHERE id IN (
                SELECT id FROM links WHERE revoked_at IS NOT NULL LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """)
    ),
    # Uploads that have begun outlive their token; their senders may ask for the outcome.
    Expiry(
        text(f"""
            DELETE FROM links WHERE id IN (
                SELECT id FROM links WHERE {UPLOAD_TOKEN} AND expires_at < now() - CAST(:retention AS interval)
                    AND NOT EXISTS (SELECT FROM uploads WHERE link_id = links.id AND {LIVE_UPLOAD})
                LIMIT :limit FOR UPDATE SKIP LOCKED
            )
        """),
        lambda _: 86400,
    ),
)


async def apply_retention(services: Services) -> Report:
    """Shorten journals to `events.retention_s`, and delete the expired rows of the other tables.

    Transaction: a short one per batch, without a user's lock, because no change needs the rows.
    """
    settings = services.settings
    deleted = await _shorten_journals(services.db, timedelta(seconds=settings.events.retention_s))
    for expiry in _EXPIRIES:
        deleted += await _delete_expired(services.db, expiry, timedelta(seconds=expiry.retention_s(settings)))
    return Report(deleted, deleted)


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


async def _delete_expired(db: Db, expiry: Expiry, retention: timedelta) -> int:
    bound = {"before": first_id_at(datetime.now(UTC) - retention), "retention": retention}
    done = 0
    while True:
        async with db.begin() as tx:
            deleted = (await tx.execute(expiry.delete, bound | {"limit": ROWS_PER_TRANSACTION})).rowcount
        done += deleted
        if not deleted:
            return done
