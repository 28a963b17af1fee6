"""Calling webhooks: at least once, and the first attempts of one webhook in the order in which it happened."""

import asyncio
import logging
import random
import time
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text, update

from dropbox_api import problems
from dropbox_api.db import Db, Tx
from dropbox_api.hooks import outward, sending, service
from dropbox_api.models import Delivery, Webhook
from dropbox_api.plumbing import encryption
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import HookSettings, Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers import leases
from dropbox_api.workers.leases import Lease, LeaseLostError
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

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
        AND NOT EXISTS (SELECT FROM relay_leases WHERE queue_id = webhook_id AND until > now())
    ORDER BY since LIMIT 1000
""")


async def deliver(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Call the webhooks that are due, several at a time, each by itself in order."""
    await leases.forget(db)
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
                try:
                    done, failed = task.result()
                except problems.Unavailable as error:  # the others go on; this one does when its lease has ended
                    log.warning("what webhook %s was sent could not be recorded: %s", webhook_id, error)
                    done, failed = 0, 1
                self.done, self.failed = self.done + done, self.failed + failed

    async def stop(self) -> None:
        for task in self.busy.values():
            task.cancel()
        await asyncio.gather(*self.busy.values(), return_exceptions=True)


async def _serve(db: Db, settings: Settings, webhook_id: uuid.UUID) -> tuple[int, int]:
    """Send a webhook what is due, in order, until it is another's turn; return how many went well, how many not."""
    lease = await Lease.claim(db, webhook_id, settings.hooks.timeout_s + _MARGIN_S)
    if lease is None:
        return 0, 0
    done = failed = 0
    async with sending.Sender.open(settings.hooks) as sender:
        while done + failed < _IN_A_ROW and (due := await _first_due(db, webhook_id)) is not None:
            secret = encryption.decrypt_secret(settings.auth, outward.SECRETS, webhook_id, due.secret)
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
            except LeaseLostError:
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


async def _record(tx: Tx, settings: HookSettings, lease: Lease, due: Any, outcome: sending.Outcome) -> bool:
    """Write down what came of an attempt; tell whether the webhook is left alone, its lease given up.

    Raises LeaseLostError.
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
