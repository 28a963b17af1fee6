"""Job `consume`: read the object store's notifications from an SQS queue."""

import asyncio
import logging

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.hooks.notifications import parse_notification, reconcile_named_sessions
from dropbox_api.plumbing.store_config import read_queue_config
from dropbox_api.storage.messages import MAX_WAIT_S, Queue, ReceivedMessage
from dropbox_api.storage.object_store import StoreError
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

_MAX_MESSAGES = 1_000
"""Messages per run."""

_PAUSE_S = 1  # a receive without any wait may miss messages


async def consume_notifications(services: Services) -> Report:
    """Reconcile the sessions that the queue's messages name. Waits 20 s for the first message, then 1 s for each next.

    A message is deleted after the reconciliation. After a failure SQS delivers it again, until its redrive policy ends
    that.
    """
    config = read_queue_config(services.settings.notifications)
    if config is None:
        return Report(0, 0)
    found = done = 0

    async def handle(message: ReceivedMessage) -> bool:
        return await _handle_message(services, message)

    async with Queue.open(config) as queue:
        while found < _MAX_MESSAGES and (messages := await queue.receive(_PAUSE_S if found else MAX_WAIT_S)):
            outcomes = await asyncio.gather(*map(handle, messages))
            receipts = [message.receipt for message, is_done in zip(messages, outcomes, strict=True) if is_done]
            await queue.delete(receipts)
            found += len(messages)
            done += len(receipts)
    return Report(found, done, found - done)


async def _handle_message(services: Services, message: ReceivedMessage) -> bool:
    """Return whether the message is done and can be deleted."""
    try:
        names = parse_notification(message.body, services.settings.s3.bucket)
    except ValueError:
        log.warning("a message in the queue of notifications is not JSON and is dropped")
        return True
    try:
        await reconcile_named_sessions(services, names)
    except (problems.Unavailable, StoreError) as error:
        log.warning("sessions named by the store could not be reconciled: %s", error)
        return False
    return True
