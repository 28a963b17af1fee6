"""The job that reads what S3 says of itself from an SQS queue."""

import asyncio
import logging

from dropbox_api import problems
from dropbox_api.db import Db
from dropbox_api.hooks import notifications
from dropbox_api.plumbing.store_config import read_queue_config
from dropbox_api.settings import Settings
from dropbox_api.storage.messages import MAX_WAIT_S, Queue, ReceivedMessage
from dropbox_api.storage.object_store import ObjectStore, StoreError
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

_MAX_MESSAGES = 1_000
"""Of one run."""

_PAUSE_S = 1  # asking without any wait may miss what is there


async def consume(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Look where the queue's messages point to: wait 20 s for the first, and for each next one a second.

    A message is deleted after the look; where that failed, it comes again (a redrive policy ends that).
    """
    config = read_queue_config(settings.notifications)
    if config is None:
        return Report(0, 0)
    found = done = 0

    async def receipt_of_handled(message: ReceivedMessage) -> str | None:
        try:
            names = notifications.names_in(message.body, settings.s3.bucket)
        except ValueError:
            log.warning("a message in the queue of notifications is no JSON and is dropped")
            return message.receipt
        try:
            await notifications.look(db, store, settings, names)
        except (problems.Unavailable, StoreError) as error:
            log.warning("could not look where the store pointed: %s", error)
            return None
        return message.receipt

    async with Queue.open(config) as queue:
        while found < _MAX_MESSAGES and (messages := await queue.receive(_PAUSE_S if found else MAX_WAIT_S)):
            receipts = await asyncio.gather(*map(receipt_of_handled, messages))
            handled = [receipt for receipt in receipts if receipt]
            await queue.delete(handled)
            found += len(messages)
            done += len(handled)
    return Report(found, done, found - done)
