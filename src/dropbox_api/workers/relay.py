"""Job `relay`: copy changes from the outbox to the journals of their recipients, and plan webhook deliveries.

One transaction does both for a batch of one owner's changes and removes the batch from the outbox. It is all in
Postgres, so each change is relayed exactly once. An advisory lock that ends with the transaction claims the owner.
Network calls follow in `publish` and `deliver`. ADR 0007 explains the numbering, ADR 0016 the recipients.
"""

import itertools
import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from dropbox_api import access, problems
from dropbox_api.context import Services
from dropbox_api.db import Db, Tx, new_id, wake_readers
from dropbox_api.hooks.event_messages import EventMessage, build_webhook_messages
from dropbox_api.models import Outbox, User, Webhook
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.store_config import read_topic_config
from dropbox_api.settings import Settings
from dropbox_api.workers import outbox
from dropbox_api.workers.outbox import OutboxChange
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

MAX_COPIES = 5_000
"""Journal entries per transaction: it blocks the changes of all their recipients."""

_CLAIM_OWNER = text("SELECT pg_try_advisory_xact_lock(hashtextextended('relay ' || CAST(:owner_id AS uuid), 0))")


async def relay_changes(services: Services) -> Report:
    """Relay a batch of each owner's changes."""
    db, settings = services.db, services.settings
    done = failed = 0
    for owner_id in await outbox.list_owners(db, outbox.TO_RELAY):
        try:
            done += await _relay_batch(db, settings, owner_id, outbox.BATCH)
        except problems.Unavailable:
            raise
        except Exception:  # an error of one change must not stop the others
            log.exception("a batch of changes of user %s could not be relayed: trying one by one", owner_id)
            good, bad = await _relay_singly(db, settings, owner_id)
            done, failed = done + good, failed + bad
        await failpoint("workers.relay.after_fan_out")
    return Report(done + failed, done, failed)


async def _relay_singly(db: Db, settings: Settings, owner_id: uuid.UUID) -> tuple[int, int]:
    """Relay an owner's changes one by one; return how many succeeded and how many failed.

    A failing change blocks the later ones until it is parked.
    """
    first = select(Outbox.id).where(*_is_pending(owner_id)).order_by(Outbox.seq).limit(1)
    done = failed = 0
    while done + failed < outbox.BATCH:
        async with db.read() as tx:
            change_id = (await tx.execute(first)).scalar_one_or_none()
        if change_id is None:
            break
        try:
            relayed = await _relay_batch(db, settings, owner_id, 1)
        except problems.Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - any error is recorded with the change
            failed += 1
            if not await _record_failure(db, settings, change_id, error):
                break
        else:
            done += relayed
            if not relayed:  # another worker has claimed the owner
                break
    return done, failed


async def _record_failure(db: Db, settings: Settings, change_id: uuid.UUID, error: Exception) -> bool:
    """Count a failed attempt; return whether the change is parked now."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    attempts = Outbox.attempts + 1
    failure = {
        "attempts": attempts,
        "failure": f"{type(error).__name__}: {cause}"[: outbox.MAX_FAILURE_CHARS],
        "parked_at": case((attempts >= settings.worker.park_after, func.now())),
    }
    this = (Outbox.id == change_id, Outbox.fanned_at.is_(None))
    async with db.begin() as tx:
        row = (await tx.execute(update(Outbox).where(*this).values(failure).returning(Outbox.parked_at))).one_or_none()
    if row is None or row.parked_at is None:
        return False
    log.error("change %s is parked: %s", change_id, failure["failure"])
    return True


async def _relay_batch(db: Db, settings: Settings, owner_id: uuid.UUID, limit: int) -> int:
    """Relay an owner's first changes; return how many. Does nothing while another worker has claimed the owner."""
    async with db.begin() as tx:
        if not (await tx.execute(_CLAIM_OWNER, {"owner_id": owner_id})).scalar_one():
            return 0
        # Read after the claim: an earlier read could see changes that the previous holder has relayed.
        changes = await _read_first_changes(tx, owner_id, limit)
        if not changes:
            return 0
        recipient_ids = sorted({user_id for change in changes for user_id in change.recipients} - {owner_id})
        planned = await _plan_deliveries(tx, changes, [owner_id, *recipient_ids])
        await _copy_to_journals(tx, changes, recipient_ids)
        await _insert_deliveries(tx, planned)
        relayed = Outbox.id.in_([change.id for change in changes])
        if read_topic_config(settings.sns) is None:
            await tx.execute(delete(Outbox).where(relayed))
        else:
            await tx.execute(update(Outbox).where(relayed).values(fanned_at=func.now(), attempts=0, failure=None))
    return len(changes)


def _is_pending(owner_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return Outbox.aggregateid == owner_id, Outbox.fanned_at.is_(None), Outbox.parked_at.is_(None)


async def _read_first_changes(tx: Tx, owner_id: uuid.UUID, limit: int) -> Sequence[OutboxChange]:
    """Return at most `limit` changes with at most `MAX_COPIES` recipients in total, but at least one change."""
    changes = await outbox.read_changes(tx, *_is_pending(owner_id), limit=limit)
    copies = itertools.accumulate(len(change.recipients) for change in changes)
    fitting = sum(1 for _ in itertools.takewhile(lambda count: count <= MAX_COPIES, copies))
    return changes[: max(fitting, 1)]


_COPY = text("""
    WITH copied AS (
        SELECT recipient_id, outbox.*, row_number() OVER (PARTITION BY recipient_id ORDER BY seq) AS position
        FROM outbox, unnest(recipients) AS recipient_id
        WHERE outbox.id = ANY(CAST(:ids AS uuid[])) AND recipient_id <> aggregateid
    ), counter AS (
        UPDATE users SET journal_seq = journal_seq + added.entries
        FROM (SELECT recipient_id, count(*) AS entries FROM copied GROUP BY recipient_id) added
        WHERE users.id = added.recipient_id RETURNING users.id, journal_seq - added.entries AS base
    )
    INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload, actor_kind, actor_id, actor_token)
    SELECT counter.id, base + position, copied.id, type, aggregateid,
        CAST(payload ->> 'node_id' AS uuid), payload - 'node_id', actor_kind, actor_id, actor_token
    FROM copied JOIN counter ON counter.id = copied.recipient_id
""")


async def _copy_to_journals(tx: Tx, changes: Sequence[OutboxChange], recipient_ids: Sequence[uuid.UUID]) -> None:
    """Append the changes, in order, to the recipients' journals.

    Entries are dated now, when they enter the journal: a reader of the events since some time must not miss a change
    that waited in the outbox.
    """
    if not recipient_ids:
        return
    locked = select(User.id).where(User.id.in_(recipient_ids)).order_by(User.id).with_for_update(key_share=True)
    for user_id in (await tx.execute(locked)).scalars():
        wake_readers(tx, user_id)
    await tx.execute(_COPY, {"ids": [change.id for change in changes]})


# Deliveries


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A message that one webhook is to receive."""

    webhook_id: uuid.UUID
    file_id: uuid.UUID
    message: EventMessage


@dataclass(frozen=True, slots=True)
class Subscription:
    """An enabled webhook and the kinds of messages that it wants; no kinds: all of them."""

    webhook_id: uuid.UUID
    kinds: Sequence[str]

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds


async def _plan_deliveries(
    tx: Tx, changes: Sequence[OutboxChange], user_ids: Sequence[uuid.UUID]
) -> list[PlannedDelivery]:
    """Return the deliveries of the changes to these users' webhooks, in order."""
    planned: list[PlannedDelivery] = []
    for user_id, subscriptions in (await _find_subscriptions(tx, user_ids)).items():
        events = [change.to_event() for change in changes if user_id in (change.owner_id, *change.recipients)]
        others_file_ids = {event.file_id for event in events if event.owner_id != user_id}
        visible = await _find_visible_files(tx, user_id, others_file_ids)
        for event in events:
            has_access = event.owner_id == user_id or event.file_id in visible
            planned += [
                PlannedDelivery(subscription.webhook_id, event.file_id, message)
                for message in build_webhook_messages(event, user_id, has_access=has_access)
                for subscription in subscriptions
                if subscription.wants(message.kind)
            ]
    return planned


async def _find_subscriptions(tx: Tx, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Subscription]]:
    """Return the enabled webhooks of enabled users, by user."""
    is_enabled = (Webhook.disabled_at.is_(None), User.disabled_at.is_(None))
    enabled = select(Webhook.user_id, Webhook.id, Webhook.kinds).join(User).where(User.id.in_(user_ids), *is_enabled)
    subscriptions: dict[uuid.UUID, list[Subscription]] = defaultdict(list)
    for user_id, webhook_id, kinds in await tx.execute(enabled):
        subscriptions[user_id].append(Subscription(webhook_id, kinds))
    return subscriptions


async def _find_visible_files(tx: Tx, user_id: uuid.UUID, node_ids: set[uuid.UUID]) -> set[uuid.UUID]:
    """Return the nodes of other owners that the user can read now, without those in the trash."""
    if not node_ids:
        return set()
    visible = await access.find_visible(tx, user_id, node_ids)
    return {node_id for node_id, sight in visible.items() if not sight.is_in_trash}


_INSERT_DELIVERIES = text("""
    INSERT INTO deliveries (id, webhook_id, event_id, kind, node_id, body, next_attempt_at)
    SELECT planned.id, webhook_id, event_id, kind, node_id, body, (SELECT clock_timestamp()) FROM unnest(
        CAST(:ids AS uuid[]), CAST(:webhook_ids AS uuid[]), CAST(:event_ids AS uuid[]), CAST(:kinds AS text[]),
        CAST(:node_ids AS uuid[]), CAST(:bodies AS bytea[])
    ) AS planned(id, webhook_id, event_id, kind, node_id, body)
    JOIN webhooks ON webhooks.id = webhook_id
    ON CONFLICT (webhook_id, event_id, kind) DO NOTHING
""")
"""The database's clock orders the batches, whichever machine planned them; the ids order a batch."""


async def _insert_deliveries(tx: Tx, planned: Sequence[PlannedDelivery]) -> None:
    if not planned:
        return
    await tx.execute(
        _INSERT_DELIVERIES,
        {
            "ids": [new_id() for _ in planned],
            "webhook_ids": [delivery.webhook_id for delivery in planned],
            "event_ids": [delivery.message.id for delivery in planned],
            "kinds": [delivery.message.kind for delivery in planned],
            "node_ids": [delivery.file_id for delivery in planned],
            "bodies": [delivery.message.body for delivery in planned],
        },
    )
