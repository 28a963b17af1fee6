"""To the message bus: what is fanned out is sent to the topic, at least once, in order per owner."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, update

from dropbox_api.db import Db
from dropbox_api.hooks import outward
from dropbox_api.models import Outbox
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.store_config import read_topic_config
from dropbox_api.settings import Settings
from dropbox_api.storage.messages import MAX_BATCH, MessagesError, OutgoingMessage, Topic
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers import outbox
from dropbox_api.workers.leases import Lease, LeaseLostError
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

_MAX_FAILURES = 3
"""Owners whose changes are not taken, in one run: it is the topic, then."""
_ROWS_AT_ONCE = MAX_BATCH // 2
"""A change is one message or two."""


async def publish(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Send what is fanned out to the topic."""
    config = read_topic_config(settings.sns)
    if config is None:
        return Report(0, 0)
    done = failed = 0
    async with Topic.open(config) as topic:
        for owner_id in await outbox.owners(db, outbox.TO_PUBLISH):
            lease = await Lease.claim(db, owner_id, settings.worker.relay_lease_s)
            if lease is None:
                continue
            try:
                done += await _publish(db, topic, lease)
            except LeaseLostError:
                log.warning("publishing changes of user %s took so long that another worker does it", owner_id)
                continue
            except (MessagesError, TimeoutError) as error:
                failed += 1
                log.warning("changes of user %s are not published: %s", owner_id, str(error) or "no answer in time")
            await lease.release(db)
            if failed == _MAX_FAILURES:
                break
    return Report(done + failed, done, failed)


async def _publish(db: Db, topic: Topic, lease: Lease) -> int:
    """Publish a batch of an owner's changes, in order; return how many."""
    fanned = (Outbox.aggregateid == lease.queue_id, Outbox.fanned_at.is_not(None), Outbox.parked_at.is_(None))
    async with db.read() as tx:
        rows = (await tx.execute(outbox.changes(*fanned).limit(outbox.BATCH))).all()
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[at : at + _ROWS_AT_ONCE]
        refused = await _send(topic, lease, some)
        await failpoint("workers.publish.after_send")
        async with db.begin() as tx:
            await lease.hold(tx)
            for row_id, why in refused.items():
                aside = {"parked_at": func.now(), "failure": why[: outbox.MAX_FAILURE_CHARS]}
                await tx.execute(update(Outbox).where(Outbox.id == row_id).values(aside))
            if not refused:  # else the others may not have been taken: they are sent again
                await tx.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in some])))
        if refused:
            log.error("%d changes of user %s are refused by the topic, and put aside", len(refused), lease.queue_id)
            return at + len(refused)
    return len(rows)


async def _send(topic: Topic, lease: Lease, rows: Sequence[Any]) -> dict[uuid.UUID, str]:
    """Publish these changes; return those that never can be, and why. Raises MessagesError, TimeoutError."""
    of_message = {
        str(message.id): (row.id, message) for row in rows for message in outward.messages(outbox.happened(row))
    }
    group = str(lease.queue_id)
    sent = [
        OutgoingMessage(name, message.body.decode(), {"kind": message.kind, "owner_id": group}, group)
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
