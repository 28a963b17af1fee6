"""From the outbox to everybody else: other people's journals, webhooks, and the message bus.

Three jobs, each a queue of its own:
- `relay` copies an owner's changes into the journals of whoever else is told, plans what webhooks are to be sent, and
  empties the outbox, all of a batch in one transaction: from Postgres to Postgres it happens once or not at all. An
  owner is claimed by an advisory lock that ends with the transaction.
- `publish` sends what is fanned out to the topic, if there is one: at least once, in order per owner.
- `deliver` calls webhooks: at least once, and the first attempts of one webhook in the order in which they happened.

The outside may be slow, so `publish` and `deliver` claim their queue (an owner, a webhook) by a lease: only whoever has
its token works on it, and whoever lost it records nothing. ADR 0007 has the numbering, ADR 0016 who is told.
"""

import asyncio
import itertools
import logging
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, Select, TextClause, case, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from dropbox_api import problems
from dropbox_api.db import Db, Tx, new_id, touch
from dropbox_api.files import views
from dropbox_api.hooks import outward, sending, service
from dropbox_api.models import Delivery, Outbox, RelayLease, User, Webhook
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.stores import topic_config
from dropbox_api.settings import HookSettings, Settings
from dropbox_api.storage.messages import MAX_BATCH, MessagesError, Outgoing, Topic
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

BATCH = 500
MAX_COPIES = 5_000
"""Journal entries written in one transaction, which keeps all their readers' own changes waiting."""

_MAX_FAILURE_CHARS = 300

# Fan-out

_OWNERS = """
    WITH RECURSIVE owner AS (
        (SELECT aggregateid AS id FROM outbox WHERE {waiting} ORDER BY aggregateid LIMIT 1)
        UNION ALL
        SELECT (SELECT aggregateid FROM outbox WHERE aggregateid > owner.id AND {waiting} ORDER BY aggregateid LIMIT 1)
        FROM owner WHERE owner.id IS NOT NULL
    )
    SELECT id FROM owner WHERE id IS NOT NULL
"""
"""Jumps from owner to owner: one who has much to tell costs no more than the others."""
_TO_FAN_OUT = text(_OWNERS.format(waiting="fanned_at IS NULL AND parked_at IS NULL"))
_TO_PUBLISH = text(_OWNERS.format(waiting="fanned_at IS NOT NULL AND parked_at IS NULL"))


async def _owners(db: Db, query: TextClause) -> list[uuid.UUID]:
    async with db.read() as tx:
        owner_ids = list((await tx.execute(query)).scalars())
    random.shuffle(owner_ids)  # so that several workers do not try them in step
    return owner_ids


_CLAIM_OWNER = text("SELECT pg_try_advisory_xact_lock(hashtextextended('relay ' || CAST(:owner_id AS uuid), 0))")


async def relay(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Fan out a batch of every owner who has something to tell."""
    done = failed = 0
    for owner_id in await _owners(db, _TO_FAN_OUT):
        try:
            done += await _fan_out(db, settings, owner_id, BATCH)
        except problems.Unavailable:
            raise
        except Exception:  # some row of it; whichever that is, it must not keep the others waiting
            log.exception("changes of user %s could not be relayed at once", owner_id)
            good, bad = await _fan_out_singly(db, settings, owner_id)
            done, failed = done + good, failed + bad
        await failpoint("workers.relay.after_fan_out")
    return Report(done + failed, done, failed)


async def parked(tx: Tx) -> int:
    """Return how many changes were put aside because relaying them failed too often: an operator looks at those."""
    return (await tx.execute(select(func.count()).where(Outbox.parked_at.is_not(None)))).scalar_one()


async def _fan_out_singly(db: Db, settings: Settings, owner_id: uuid.UUID) -> tuple[int, int]:
    """Tell of one change after the other, as far as it goes; return of how many, and how many failed.

    What follows a change that fails waits for it, until that one is parked.
    """
    first = select(Outbox.id).where(*_to_tell(owner_id)).order_by(Outbox.seq).limit(1)
    done = failed = 0
    while done + failed < BATCH:
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
        "failure": f"{type(error).__name__}: {cause}"[:_MAX_FAILURE_CHARS],
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
        if topic_config(settings.sns) is None:
            await tx.execute(delete(Outbox).where(done))
        else:
            await tx.execute(update(Outbox).where(done).values(fanned_at=func.now(), attempts=0, failure=None))
    return len(rows)


def _to_tell(owner_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return Outbox.aggregateid == owner_id, Outbox.fanned_at.is_(None), Outbox.parked_at.is_(None)


def _changes(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns = (Outbox.id, Outbox.aggregateid.label("owner_id"), Outbox.type, Outbox.payload, Outbox.recipients)
    return select(*columns, Outbox.created_at).where(*conditions).order_by(Outbox.seq)


async def _first_changes(tx: Tx, owner_id: uuid.UUID, limit: int) -> Sequence[Any]:
    rows = (await tx.execute(_changes(*_to_tell(owner_id)).limit(limit))).all()
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
        touch(tx, user_id)
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
        told = [_happened(row) for row in rows if user_id in (row.owner_id, *row.recipients)]
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
    return set(await views.seen_by(tx, user_id, node_ids)) - await views.in_trash(tx, node_ids)


def _happened(row: Any) -> outward.Happened:
    detail = dict(row.payload)
    file_id = uuid.UUID(detail.pop("node_id"))
    return outward.Happened(row.id, row.type, row.created_at, row.owner_id, file_id, detail)


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


# Leases: an owner's or a webhook's queue is one worker's at a time

_CLAIM = text("""
    INSERT INTO relay_leases (owner_id, token, until)
    VALUES (:queue_id, :token, now() + make_interval(secs => CAST(:lease_s AS float8)))
    ON CONFLICT (owner_id) DO UPDATE SET token = excluded.token, until = excluded.until
        WHERE relay_leases.until <= now()
    RETURNING token
""")
_RENEW = text("""
    UPDATE relay_leases SET until = now() + make_interval(secs => CAST(:lease_s AS float8))
    WHERE owner_id = :queue_id AND token = :token RETURNING token
""")
_RELEASE = text("DELETE FROM relay_leases WHERE owner_id = :queue_id AND token = :token")
_FORGET = text("DELETE FROM relay_leases WHERE until < now() - interval '1 day'")


class _LeaseLostError(Exception):
    """Somebody else works on this queue now."""


@dataclass(frozen=True, slots=True)
class _Lease:
    queue_id: uuid.UUID
    token: uuid.UUID
    lease_s: float

    @classmethod
    async def claim(cls, db: Db, queue_id: uuid.UUID, lease_s: float) -> Self | None:
        """Take the queue, unless somebody has it."""
        lease = cls(queue_id, uuid.uuid4(), lease_s)
        async with db.begin() as tx:
            taken = await tx.execute(_CLAIM, {"queue_id": queue_id, "token": lease.token, "lease_s": lease_s})
            return lease if taken.first() else None

    async def hold(self, tx: Tx) -> None:
        """Fence the transaction, and renew the lease. Raises _LeaseLostError when it is another's."""
        bound = {"queue_id": self.queue_id, "token": self.token, "lease_s": self.lease_s}
        if (await tx.execute(_RENEW, bound)).first() is None:
            raise _LeaseLostError

    async def rest(self, tx: Tx, rest_s: float) -> None:
        """Give the lease up, for nobody to work on the queue for a while. Transaction: joins tx, which holds it."""
        values = {"token": service.RESTING, "until": func.now() + timedelta(seconds=rest_s)}
        await tx.execute(update(RelayLease).where(RelayLease.owner_id == self.queue_id).values(values))

    async def release(self, db: Db) -> None:
        async with db.begin() as tx:
            await tx.execute(_RELEASE, {"queue_id": self.queue_id, "token": self.token})


# The message bus

_MAX_FAILURES = 3
"""Owners whose changes are not taken, in one run: it is the topic, then."""
_ROWS_AT_ONCE = MAX_BATCH // 2
"""A change is one message or two."""


async def publish(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001
    """Send what is fanned out to the topic."""
    config = topic_config(settings.sns)
    if config is None:
        return Report(0, 0)
    done = failed = 0
    async with Topic.open(config) as topic:
        for owner_id in await _owners(db, _TO_PUBLISH):
            lease = await _Lease.claim(db, owner_id, settings.worker.relay_lease_s)
            if lease is None:
                continue
            try:
                done += await _publish(db, topic, lease)
            except _LeaseLostError:
                log.warning("publishing changes of user %s took so long that another worker does it", owner_id)
                continue
            except (MessagesError, TimeoutError) as error:
                failed += 1
                log.warning("changes of user %s are not published: %s", owner_id, str(error) or "no answer in time")
            await lease.release(db)
            if failed == _MAX_FAILURES:
                break
    return Report(done + failed, done, failed)


async def _publish(db: Db, topic: Topic, lease: _Lease) -> int:
    """Publish a batch of an owner's changes, in order; return how many."""
    fanned = (Outbox.aggregateid == lease.queue_id, Outbox.fanned_at.is_not(None), Outbox.parked_at.is_(None))
    async with db.read() as tx:
        rows = (await tx.execute(_changes(*fanned).limit(BATCH))).all()
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[at : at + _ROWS_AT_ONCE]
        refused = await _send(topic, lease, some)
        await failpoint("workers.publish.after_send")
        async with db.begin() as tx:
            await lease.hold(tx)
            for row_id, why in refused.items():
                aside = {"parked_at": func.now(), "failure": why[:_MAX_FAILURE_CHARS]}
                await tx.execute(update(Outbox).where(Outbox.id == row_id).values(aside))
            if not refused:  # else the others may not have been taken: they are sent again
                await tx.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in some])))
        if refused:
            log.error("%d changes of user %s are refused by the topic, and put aside", len(refused), lease.queue_id)
            return at + len(refused)
    return len(rows)


async def _send(topic: Topic, lease: _Lease, rows: Sequence[Any]) -> dict[uuid.UUID, str]:
    """Publish these changes; return those that never can be, and why. Raises MessagesError, TimeoutError."""
    of_message = {str(message.id): (row.id, message) for row in rows for message in outward.messages(_happened(row))}
    group = str(lease.queue_id)
    sent = [
        Outgoing(name, message.body.decode(), {"kind": message.kind, "owner_id": group}, group)
        for name, (_, message) in of_message.items()
    ]
    try:
        async with asyncio.timeout(lease.lease_s * 2 / 3):  # whoever has the lease next sends what follows
            await topic.publish(sent)
    except MessagesError as error:
        if not error.refused:
            raise
        return {of_message[name][0]: why for name, why in error.refused.items()}
    return {}


# Webhooks

_RUN_S = 30
"""A run begins nothing new after this."""
_LOOK_S = 1
_IN_A_ROW = 20
"""Deliveries to one webhook before it is another's turn."""
_MARGIN_S = 20
"""A lease outlives an attempt by this."""
_BACKOFF_S = (5, 30, 120, 600, 1800, 3600)
_REST_S = (2, 300)
"""How long a webhook where nobody answers is left alone: half as long as that has lasted, within these."""

_DUE = text("""
    SELECT due.webhook_id, webhooks.failing_since IS NOT NULL AS is_failing FROM (
        SELECT webhook_id, min(next_attempt_at) AS since FROM deliveries
        WHERE state = 'pending' AND next_attempt_at <= now() GROUP BY webhook_id
    ) due JOIN webhooks ON webhooks.id = webhook_id JOIN users ON users.id = webhooks.user_id
    WHERE webhooks.disabled_at IS NULL AND users.disabled_at IS NULL
        AND NOT EXISTS (SELECT FROM relay_leases WHERE owner_id = webhook_id AND until > now())
    ORDER BY since LIMIT 1000
""")


async def deliver(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001
    """Call the webhooks that are due, several at a time, each by itself in order."""
    async with db.begin() as tx:
        await tx.execute(_FORGET)
    run = _Run(db, settings)
    try:
        ends_at = time.monotonic() + _RUN_S
        while True:
            if time.monotonic() < ends_at:
                await run.begin_due()
            if not run.busy:
                return Report(run.done + run.failed, run.done, run.failed)
            await asyncio.wait(run.busy.values(), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            run.end_finished()
    finally:
        await run.stop()


class _Run:
    """The webhooks that are being called at the moment."""

    def __init__(self, db: Db, settings: Settings) -> None:
        self.busy: dict[uuid.UUID, asyncio.Task[tuple[int, int]]] = {}
        self.done = self.failed = 0
        self._db, self._settings = db, settings
        self._failing: set[uuid.UUID] = set()

    async def begin_due(self) -> None:
        """Begin with what is due, as far as there is room; those that fail leave most of it to those that work."""
        room = self._settings.hooks.concurrency
        async with self._db.read() as tx:
            due = (await tx.execute(_DUE)).all()
        for webhook_id, is_failing in due:
            if len(self.busy) >= room:
                return
            has_room = not is_failing or len(self._failing & self.busy.keys()) < max(1, room // 4)
            if webhook_id not in self.busy and has_room:
                self.busy[webhook_id] = asyncio.create_task(_serve(self._db, self._settings, webhook_id))
                (self._failing.add if is_failing else self._failing.discard)(webhook_id)

    def end_finished(self) -> None:
        for webhook_id, task in list(self.busy.items()):
            if task.done():
                del self.busy[webhook_id]
                done, failed = task.result()
                self.done, self.failed = self.done + done, self.failed + failed

    async def stop(self) -> None:
        for task in self.busy.values():
            task.cancel()
        await asyncio.gather(*self.busy.values(), return_exceptions=True)


async def _serve(db: Db, settings: Settings, webhook_id: uuid.UUID) -> tuple[int, int]:
    """Send a webhook what is due, in order, until it is another's turn; return how many went well, how many not."""
    lease = await _Lease.claim(db, webhook_id, settings.hooks.timeout_s + _MARGIN_S)
    if lease is None:
        return 0, 0
    done = failed = 0
    async with sending.Sender.open(settings.hooks) as sender:
        while done + failed < _IN_A_ROW and (due := await _first_due(db, webhook_id)) is not None:
            secret = outward.unseal(settings.auth, webhook_id, due.secret)
            if secret is None:
                async with db.begin() as tx:
                    await service.disable(tx, webhook_id, "secret")
                break
            outcome = await sender.send(due.url, secret, due.event_id, due.body)
            await failpoint("workers.deliver.after_send")
            done, failed = done + (outcome.error is None), failed + (outcome.error is not None)
            try:
                async with db.begin() as tx:
                    rests = await _record(tx, settings.hooks, lease, due, outcome)
            except _LeaseLostError:
                return done, failed
            if rests:
                return done, failed
    await lease.release(db)
    return done, failed


async def _first_due(db: Db, webhook_id: uuid.UUID) -> Any:
    """Return the next delivery of a webhook, with where it goes as of now; None when there is none."""
    due = (Delivery.webhook_id == webhook_id, Delivery.state == "pending", Delivery.next_attempt_at <= func.now())
    columns = (Delivery.id, Delivery.event_id, Delivery.body, Delivery.attempts, Webhook.url, Webhook.secret)
    query = select(*columns).join(Webhook).where(*due, Webhook.disabled_at.is_(None))
    async with db.read() as tx:
        first = query.order_by(Delivery.next_attempt_at, Delivery.id).limit(1)
        return (await tx.execute(first)).one_or_none()


async def _record(tx: Tx, settings: HookSettings, lease: _Lease, due: Any, outcome: sending.Outcome) -> bool:
    """Write down what came of an attempt; tell whether the webhook is left alone, its lease given up.

    Raises _LeaseLostError.
    """
    await lease.hold(tx)
    columns = (func.now().label("now"), Webhook.failing_since, Webhook.disabled_at, Delivery.created_at)
    both = select(*columns).join(Delivery).where(Delivery.id == due.id)
    row = (await tx.execute(both.with_for_update(key_share=True, of=Webhook))).one_or_none()
    if row is None:  # deleted meanwhile
        return False
    values: dict[str, Any] = {
        "attempts": due.attempts + 1,
        "last_status": outcome.status,
        "last_error": outcome.error,
    }
    if outcome.error is None:
        values |= {"state": "delivered", "delivered_at": func.now()}
        await tx.execute(update(Delivery).where(Delivery.id == due.id).values(values))
        if row.failing_since is not None:
            await tx.execute(update(Webhook).where(Webhook.id == lease.queue_id).values(failing_since=None))
        return False
    pause_s = _BACKOFF_S[min(due.attempts, len(_BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
    next_attempt_at = row.now + timedelta(seconds=pause_s)
    if row.disabled_at is not None or next_attempt_at > row.created_at + timedelta(seconds=settings.retry_s):
        values["state"] = "failed"
    await tx.execute(
        update(Delivery).where(Delivery.id == due.id).values(values | {"next_attempt_at": next_attempt_at})
    )
    failing_for = row.now - (row.failing_since or row.now)
    if row.failing_since is None:
        await tx.execute(update(Webhook).where(Webhook.id == lease.queue_id).values(failing_since=row.now))
    if outcome.is_gone:
        await service.disable(tx, lease.queue_id, "gone")
    elif failing_for >= timedelta(seconds=settings.disable_after_s):
        await service.disable(tx, lease.queue_id, "failing")
    if not outcome.is_away:
        return False
    least_s, most_s = _REST_S
    await lease.rest(tx, min(max(failing_for.total_seconds() / 2, least_s), most_s))
    return True
