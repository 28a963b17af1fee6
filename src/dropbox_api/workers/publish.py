"""Job `publish`: send relayed changes to the topic of the message bus, at least once, in order per owner."""

import asyncio
import logging
import uuid
from collections.abc import Sequence

from sqlalchemy import delete, func, update

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.hooks.event_messages import build_topic_messages
from dropbox_api.models import Outbox
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.store_config import read_topic_config
from dropbox_api.storage.messages import MAX_BATCH, MessagesError, OutgoingMessage, Topic
from dropbox_api.workers import outbox
from dropbox_api.workers.leases import LeaseLostError, QueueLease
from dropbox_api.workers.outbox import OutboxChange
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

_MAX_FAILURES = 3
"""Failed owners that end a run: the topic is in trouble."""
_CHANGES_PER_CALL = MAX_BATCH // 2
"""A change is one message or two."""


async def publish_changes(services: Services) -> Report:
    """Publish a batch of each owner's relayed changes; nothing without a topic in the settings."""
    db = services.db
    config = read_topic_config(services.settings.sns)
    if config is None:
        return Report(0, 0)
    done = failed = 0
    async with Topic.open(config) as topic:
        for owner_id in await outbox.list_owners(db, outbox.TO_PUBLISH):
            lease = await QueueLease.claim(db, owner_id, services.settings.worker.relay_lease_s)
            if lease is None:
                continue
            try:
                done += await _publish_batch(db, topic, lease)
            except LeaseLostError:
                log.warning("publishing changes of user %s exceeded its lease: another worker continues", owner_id)
                continue
            except (MessagesError, TimeoutError) as error:
                failed += 1
                log.warning("changes of user %s are not published: %s", owner_id, str(error) or "timeout")
            await lease.release(db)
            if failed == _MAX_FAILURES:
                break
    return Report(done + failed, done, failed)


async def _publish_batch(db: Db, topic: Topic, lease: QueueLease) -> int:
    """Publish a batch of an owner's changes, in order; return how many. Raises LeaseLostError, MessagesError."""
    is_relayed = (Outbox.aggregateid == lease.queue_id, Outbox.fanned_at.is_not(None), Outbox.parked_at.is_(None))
    async with db.read() as tx:
        changes = await outbox.read_changes(tx, *is_relayed, limit=outbox.BATCH)
    for start in range(0, len(changes), _CHANGES_PER_CALL):
        part = changes[start : start + _CHANGES_PER_CALL]
        refused = await _send(topic, lease, part)
        await failpoint("workers.publish.after_send")
        async with db.begin() as tx:
            await lease.renew(tx)
            for change_id, reason in refused.items():
                parked = {"parked_at": func.now(), "failure": reason[: outbox.MAX_FAILURE_CHARS]}
                await tx.execute(update(Outbox).where(Outbox.id == change_id).values(parked))
            if not refused:  # after a refusal the rest of the part may be unpublished: the next run sends it again
                await tx.execute(delete(Outbox).where(Outbox.id.in_([change.id for change in part])))
        if refused:
            log.error("the topic refused %d changes of user %s: they are parked", len(refused), lease.queue_id)
            return start + len(refused)
    return len(changes)


async def _send(topic: Topic, lease: QueueLease, changes: Sequence[OutboxChange]) -> dict[uuid.UUID, str]:
    """Publish changes; return the ids of those that the topic refuses for good, with the reasons.

    Raises MessagesError, TimeoutError.
    """
    group = str(lease.queue_id)
    change_ids: dict[str, uuid.UUID] = {}
    outgoing: list[OutgoingMessage] = []
    for change in changes:
        for message in build_topic_messages(change.to_event()):
            change_ids[str(message.id)] = change.id
            attributes = {"kind": message.kind, "owner_id": group}
            outgoing.append(OutgoingMessage(str(message.id), message.body.decode(), attributes, group))
    try:
        async with asyncio.timeout(lease.lease_s * 2 / 3):  # end before the next holder of the lease begins
            await topic.publish(outgoing)
    except MessagesError as error:
        if not error.refused:
            raise
        return {change_ids[message_id]: reason for message_id, reason in error.refused.items()}
    return {}
