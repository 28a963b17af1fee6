"""From the outbox to everybody else's journals, and to the queue of what webhooks are to be sent.

`relay` copies an owner's changes into the journals of whoever else is told, plans what webhooks are to be sent, and
empties the outbox, all of a batch in one transaction: from Postgres to Postgres it happens once or not at all. An owner
is claimed by an advisory lock that ends with the transaction. What leaves the house then is `publishing`'s and
`delivering`'s. ADR 0007 has the numbering, ADR 0016 who is told.
"""

import itertools
import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from dropbox_api import access, problems
from dropbox_api.db import Db, Tx, mark_journal_written, new_id
from dropbox_api.hooks import outward
from dropbox_api.models import Outbox, User, Webhook
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.store_config import read_topic_config
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers import outbox
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

MAX_COPIES = 5_000
"""Journal entries written in one transaction, which keeps all their readers' own changes waiting."""

_CLAIM_OWNER = text("SELECT pg_try_advisory_xact_lock(hashtextextended('relay ' || CAST(:owner_id AS uuid), 0))")


async def relay(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Fan out a batch of every owner who has something to tell."""
    done = failed = 0
    for owner_id in await outbox.owners(db, outbox.TO_FAN_OUT):
        try:
            done += await _fan_out(db, settings, owner_id, outbox.BATCH)
        except problems.Unavailable:
            raise
        except Exception:  # some row of it; whichever that is, it must not keep the others waiting
            log.exception("changes of user %s could not be relayed at once", owner_id)
            good, bad = await _fan_out_singly(db, settings, owner_id)
            done, failed = done + good, failed + bad
        await failpoint("workers.relay.after_fan_out")
    return Report(done + failed, done, failed)


async def _fan_out_singly(db: Db, settings: Settings, owner_id: uuid.UUID) -> tuple[int, int]:
    """Tell of one change after the other, as far as it goes; return of how many, and how many failed.

    What follows a change that fails waits for it, until that one is parked.
    """
    first = select(Outbox.id).where(*_to_tell(owner_id)).order_by(Outbox.seq).limit(1)
    done = failed = 0
    while done + failed < outbox.BATCH:
        async with db.read() as tx:
            change_id = (await tx.execute(first)).scalar_one_or_none()
        if change_id is None:
            break
        try:
            told = await _fan_out(db, settings, owner_id, 1)
        except problems.Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted
            failed += 1
            if not await _note_failure(db, settings, change_id, error):
                break
        else:
            done += told
            if not told:  # somebody else is at it
                break
    return done, failed


async def _note_failure(db: Db, settings: Settings, change_id: uuid.UUID, error: Exception) -> bool:
    """Count an attempt that failed; return whether it was the last one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    attempts = Outbox.attempts + 1
    noted = {
        "attempts": attempts,
        "failure": f"{type(error).__name__}: {cause}"[: outbox.MAX_FAILURE_CHARS],
        "parked_at": case((attempts >= settings.worker.park_after, func.now())),
    }
    this = (Outbox.id == change_id, Outbox.fanned_at.is_(None))
    async with db.begin() as tx:
        row = (await tx.execute(update(Outbox).where(*this).values(noted).returning(Outbox.parked_at))).one_or_none()
    if row is None or row.parked_at is None:
        return False
    log.error("change %s is put aside: %s", change_id, noted["failure"])
    return True


async def _fan_out(db: Db, settings: Settings, owner_id: uuid.UUID, limit: int) -> int:
    """Tell others of an owner's first changes; return of how many. Does nothing while somebody else does it."""
    async with db.begin() as tx:
        if not (await tx.execute(_CLAIM_OWNER, {"owner_id": owner_id})).scalar_one():
            return 0
        # After the claim: an older look could see what its last holder has told already.
        rows = await _first_changes(tx, owner_id, limit)
        if not rows:
            return 0
        recipient_ids = sorted({user_id for row in rows for user_id in row.recipients} - {owner_id})
        planned = await _plan(tx, rows, [owner_id, *recipient_ids])
        await _copy(tx, rows, recipient_ids)
        await _insert_deliveries(tx, planned)
        done = Outbox.id.in_([row.id for row in rows])
        if read_topic_config(settings.sns) is None:
            await tx.execute(delete(Outbox).where(done))
        else:
            await tx.execute(update(Outbox).where(done).values(fanned_at=func.now(), attempts=0, failure=None))
    return len(rows)


def _to_tell(owner_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return Outbox.aggregateid == owner_id, Outbox.fanned_at.is_(None), Outbox.parked_at.is_(None)


async def _first_changes(tx: Tx, owner_id: uuid.UUID, limit: int) -> Sequence[Any]:
    rows = (await tx.execute(outbox.changes(*_to_tell(owner_id)).limit(limit))).all()
    copies = itertools.accumulate(len(row.recipients) for row in rows)
    fit = sum(1 for _ in itertools.takewhile(lambda count: count <= MAX_COPIES, copies))
    return rows[: max(fit, 1)]


_COPY = text("""
    WITH told AS (
        SELECT recipient_id, outbox.*, row_number() OVER (PARTITION BY recipient_id ORDER BY seq) AS place
        FROM outbox, unnest(recipients) AS recipient_id
        WHERE outbox.id = ANY(CAST(:ids AS uuid[])) AND recipient_id <> aggregateid
    ), counter AS (
        UPDATE users SET journal_seq = journal_seq + more.entries
        FROM (SELECT recipient_id, count(*) AS entries FROM told GROUP BY recipient_id) more
        WHERE users.id = more.recipient_id RETURNING users.id, journal_seq - more.entries AS base
    )
    INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload)
    SELECT counter.id, base + place, told.id, type, aggregateid,
        CAST(payload ->> 'node_id' AS uuid), payload - 'node_id'
    FROM told JOIN counter ON counter.id = told.recipient_id
""")


async def _copy(tx: Tx, rows: Sequence[Any], recipient_ids: Sequence[uuid.UUID]) -> None:
    """Append these changes, in order, to the journals of whoever is told.

    Dated as of now, which is when they come into those journals: whoever reads what was added since some time must not
    miss what was long on its way.
    """
    if not recipient_ids:
        return
    locked = select(User.id).where(User.id.in_(recipient_ids)).order_by(User.id).with_for_update(key_share=True)
    for user_id in (await tx.execute(locked)).scalars():
        mark_journal_written(tx, user_id)
    await tx.execute(_COPY, {"ids": [row.id for row in rows]})


# What webhooks are told

Planned = tuple[uuid.UUID, uuid.UUID, outward.Message]
"""Webhook, file, and what it is told of that."""


async def _plan(tx: Tx, rows: Sequence[Any], user_ids: Sequence[uuid.UUID]) -> list[Planned]:
    """Return what these users' webhooks are to be sent of the changes, in order. Disabled ones are sent nothing."""
    works = (Webhook.disabled_at.is_(None), User.disabled_at.is_(None))
    theirs = select(Webhook.id, Webhook.user_id, Webhook.kinds).join(User).where(User.id.in_(user_ids), *works)
    webhooks = defaultdict(list)
    for webhook in await tx.execute(theirs):
        webhooks[webhook.user_id].append(webhook)
    planned: list[Planned] = []
    for user_id, own in webhooks.items():
        told = [outbox.happened(row) for row in rows if user_id in (row.owner_id, *row.recipients)]
        seen = await _seen(tx, user_id, {event.file_id for event in told if event.owner_id != user_id})
        for event in told:
            sees = event.owner_id == user_id or event.file_id in seen
            planned += [
                (webhook.id, event.file_id, message)
                for message in outward.messages(event, user_id, sees=sees)
                for webhook in own
                if not webhook.kinds or message.kind in webhook.kinds
            ]
    return planned


async def _seen(tx: Tx, user_id: uuid.UUID, node_ids: set[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of others' files somebody sees now."""
    if not node_ids:
        return set()
    visible = await access.find_visible(tx, user_id, node_ids)
    return {node_id for node_id, sight in visible.items() if not sight.is_in_trash}


_PLAN = text("""
    INSERT INTO deliveries (id, webhook_id, event_id, kind, node_id, body, next_attempt_at)
    SELECT planned.id, webhook_id, event_id, kind, node_id, body, (SELECT clock_timestamp()) FROM unnest(
        CAST(:ids AS uuid[]), CAST(:webhook_ids AS uuid[]), CAST(:event_ids AS uuid[]), CAST(:kinds AS text[]),
        CAST(:node_ids AS uuid[]), CAST(:bodies AS bytea[])
    ) AS planned(id, webhook_id, event_id, kind, node_id, body)
    JOIN webhooks ON webhooks.id = webhook_id
    ON CONFLICT (webhook_id, event_id, kind) DO NOTHING
""")
"""The database's clock orders batches, whichever machine planned them; within a batch the ids do."""


async def _insert_deliveries(tx: Tx, planned: Sequence[Planned]) -> None:
    if not planned:
        return
    await tx.execute(
        _PLAN,
        {
            "ids": [new_id() for _ in planned],
            "webhook_ids": [webhook_id for webhook_id, _, _ in planned],
            "event_ids": [message.id for _, _, message in planned],
            "kinds": [message.kind for _, _, message in planned],
            "node_ids": [file_id for _, file_id, _ in planned],
            "bodies": [message.body for _, _, message in planned],
        },
    )
