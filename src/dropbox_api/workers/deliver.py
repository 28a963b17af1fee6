"""Job `deliver`: call webhooks, at least once per message; first attempts of one webhook are in order."""

import asyncio
import logging
import random
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db, Tx
from dropbox_api.hooks.delivery_client import DeliveryClient, DeliveryOutcome
from dropbox_api.hooks.pauses import pause_webhook
from dropbox_api.hooks.signatures import decrypt_webhook_secret
from dropbox_api.hooks.webhooks import disable_webhook
from dropbox_api.models import Delivery, Webhook
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import HookSettings
from dropbox_api.workers.leases import LeaseLostError, QueueLease, delete_lapsed_leases
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

_RUN_S = 30
"""A run starts no new webhook after this time."""
_POLL_S = 1
_MAX_IN_A_ROW = 20
"""Deliveries to one webhook before other webhooks get a turn."""
_LEASE_MARGIN_S = 20
"""Lease time beyond the time limit of one attempt."""
_BACKOFF_S = (5, 30, 120, 600, 1800, 3600)
_MIN_PAUSE_S, _MAX_PAUSE_S = 2, 300
"""A webhook whose receiver is down pauses for half of the time that it has been failing, within these limits."""

_DUE = text("""
    SELECT due.webhook_id, webhooks.failing_since IS NOT NULL AS is_failing FROM (
        SELECT webhook_id, min(next_attempt_at) AS since FROM deliveries
        WHERE state = 'pending' AND next_attempt_at <= now() GROUP BY webhook_id
    ) due JOIN webhooks ON webhooks.id = webhook_id JOIN users ON users.id = webhooks.user_id
    WHERE webhooks.disabled_at IS NULL AND users.disabled_at IS NULL
        AND NOT EXISTS (SELECT FROM relay_leases WHERE queue_id = webhook_id AND until > now())
    ORDER BY since LIMIT 1000
""")


async def deliver_messages(services: Services) -> Report:
    """Call the due webhooks, several at a time, each one in order."""
    await delete_lapsed_leases(services.db)
    run = _DeliveryRun(services)
    try:
        ends_at = time.monotonic() + _RUN_S
        while True:
            if time.monotonic() < ends_at:
                await run.start_due()
            if not run.tasks:
                return Report(run.done + run.failed, run.done, run.failed)
            await asyncio.wait(run.tasks.values(), timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            run.collect_finished()
    finally:
        await run.cancel()


class _DeliveryRun:
    """The webhooks that this run is calling now."""

    def __init__(self, services: Services) -> None:
        self.tasks: dict[uuid.UUID, asyncio.Task[tuple[int, int]]] = {}
        self.done = self.failed = 0
        self._services = services
        self._failing: set[uuid.UUID] = set()

    async def start_due(self) -> None:
        """Start due webhooks up to `hooks.concurrency`; failing webhooks use at most a quarter of it."""
        concurrency = self._services.settings.hooks.concurrency
        async with self._services.db.read() as tx:
            due = (await tx.execute(_DUE)).all()
        for webhook_id, is_failing in due:
            if len(self.tasks) >= concurrency:
                return
            is_allowed = not is_failing or len(self._failing & self.tasks.keys()) < max(1, concurrency // 4)
            if webhook_id not in self.tasks and is_allowed:
                self.tasks[webhook_id] = asyncio.create_task(_deliver_in_order(self._services, webhook_id))
                (self._failing.add if is_failing else self._failing.discard)(webhook_id)

    def collect_finished(self) -> None:
        for webhook_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[webhook_id]
                try:
                    done, failed = task.result()
                except problems.Unavailable as error:  # its lease lapses, and then its deliveries are due again
                    log.warning("an attempt for webhook %s could not be recorded: %s", webhook_id, error)
                    done, failed = 0, 1
                self.done, self.failed = self.done + done, self.failed + failed

    async def cancel(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """The next message of a webhook, with the current address and encrypted secret of the webhook."""

    id: uuid.UUID
    event_id: uuid.UUID
    body: bytes
    attempts: int
    url: str
    secret: bytes


_DUE_DELIVERY = (Delivery.id, Delivery.event_id, Delivery.body, Delivery.attempts, Webhook.url, Webhook.secret)


async def _deliver_in_order(services: Services, webhook_id: uuid.UUID) -> tuple[int, int]:
    """Send a webhook's due messages in order, at most `_MAX_IN_A_ROW`; return how many succeeded and failed."""
    db, settings = services.db, services.settings
    lease = await QueueLease.claim(db, webhook_id, settings.hooks.timeout_s + _LEASE_MARGIN_S)
    if lease is None:
        return 0, 0
    done = failed = 0
    async with DeliveryClient.open(settings.hooks) as client:
        while done + failed < _MAX_IN_A_ROW and (due := await _find_first_due(db, webhook_id)) is not None:
            secret = decrypt_webhook_secret(settings.auth, webhook_id, due.secret)
            if secret is None:
                async with db.begin() as tx:
                    await disable_webhook(tx, webhook_id, "secret")
                break
            outcome = await client.send(due.url, secret, due.event_id, due.body)
            await failpoint("workers.deliver.after_send")
            done, failed = done + (outcome.error is None), failed + (outcome.error is not None)
            try:
                async with db.begin() as tx:
                    is_paused = await _record_attempt(tx, settings.hooks, lease, due, outcome)
            except LeaseLostError:
                return done, failed
            if is_paused:
                return done, failed
    await lease.release(db)
    return done, failed


async def _find_first_due(db: Db, webhook_id: uuid.UUID) -> DueDelivery | None:
    is_due = (Delivery.webhook_id == webhook_id, Delivery.state == "pending", Delivery.next_attempt_at <= func.now())
    due = select(*_DUE_DELIVERY).join(Webhook).where(*is_due, Webhook.disabled_at.is_(None))
    async with db.read() as tx:
        first = due.order_by(Delivery.next_attempt_at, Delivery.id).limit(1)
        row = (await tx.execute(first)).one_or_none()
    return None if row is None else DueDelivery(*row)


@dataclass(frozen=True, slots=True)
class WebhookState:
    """What the retry of one delivery depends on."""

    now: datetime
    """The transaction's time."""
    failing_since: datetime | None
    disabled_at: datetime | None
    planned_at: datetime


_WEBHOOK_STATE = (func.now(), Webhook.failing_since, Webhook.disabled_at, Delivery.created_at)


async def _record_attempt(
    tx: Tx, settings: HookSettings, lease: QueueLease, due: DueDelivery, outcome: DeliveryOutcome
) -> bool:
    """Record an attempt; return whether the webhook is paused, which replaces its lease.

    Raises LeaseLostError. Transaction: joins tx.
    """
    await lease.renew(tx)
    state = select(*_WEBHOOK_STATE).join(Delivery, Delivery.webhook_id == Webhook.id).where(Delivery.id == due.id)
    row = (await tx.execute(state.with_for_update(key_share=True, of=Webhook))).one_or_none()
    if row is None:  # the user has deleted the webhook
        return False
    webhook = WebhookState(*row)
    if outcome.error is None:
        await _record_success(tx, lease.queue_id, due, outcome, webhook)
        return False
    await _record_failure(tx, settings, due, outcome, webhook)
    return await _judge_webhook(tx, settings, lease.queue_id, outcome, webhook)


async def _record_success(
    tx: Tx, webhook_id: uuid.UUID, due: DueDelivery, outcome: DeliveryOutcome, webhook: WebhookState
) -> None:
    delivered = {"state": "delivered", "delivered_at": func.now()}
    values = _attempt_values(due, outcome) | delivered
    await tx.execute(update(Delivery).where(Delivery.id == due.id).values(values))
    if webhook.failing_since is not None:
        await tx.execute(update(Webhook).where(Webhook.id == webhook_id).values(failing_since=None))


async def _record_failure(
    tx: Tx, settings: HookSettings, due: DueDelivery, outcome: DeliveryOutcome, webhook: WebhookState
) -> None:
    """Schedule the next attempt, unless the webhook is disabled or `hooks.retry_s` would be exceeded."""
    pause_s = _BACKOFF_S[min(due.attempts, len(_BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
    next_attempt_at = webhook.now + timedelta(seconds=pause_s)
    values = _attempt_values(due, outcome) | {"next_attempt_at": next_attempt_at}
    if webhook.disabled_at is not None or next_attempt_at > webhook.planned_at + timedelta(seconds=settings.retry_s):
        values["state"] = "failed"
    await tx.execute(update(Delivery).where(Delivery.id == due.id).values(values))


def _attempt_values(due: DueDelivery, outcome: DeliveryOutcome) -> dict[str, Any]:
    return {"attempts": due.attempts + 1, "last_status": outcome.status, "last_error": outcome.error}


async def _judge_webhook(
    tx: Tx, settings: HookSettings, webhook_id: uuid.UUID, outcome: DeliveryOutcome, webhook: WebhookState
) -> bool:
    """After a failure: disable a webhook that is gone or failed for too long; return whether it is paused."""
    failing_for = webhook.now - (webhook.failing_since or webhook.now)
    if webhook.failing_since is None:
        await tx.execute(update(Webhook).where(Webhook.id == webhook_id).values(failing_since=webhook.now))
    if outcome.is_gone:
        await disable_webhook(tx, webhook_id, "gone")
    elif failing_for >= timedelta(seconds=settings.disable_after_s):
        await disable_webhook(tx, webhook_id, "failing")
    if not outcome.is_receiver_down:
        return False
    await pause_webhook(tx, webhook_id, min(max(failing_for.total_seconds() / 2, _MIN_PAUSE_S), _MAX_PAUSE_S))
    return True
