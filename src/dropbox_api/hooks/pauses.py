"""Pauses of webhooks whose receiver is down.

A pause is a row of `relay_leases` under a token of no worker: job `deliver` skips the webhook until the row's end.
"""

import uuid
from datetime import timedelta

from sqlalchemy import delete, func, update

from dropbox_api.db import Tx
from dropbox_api.models import RelayLease

_PAUSE_TOKEN = uuid.UUID(int=0)


async def pause_webhook(tx: Tx, webhook_id: uuid.UUID, pause_s: float) -> None:
    """Turn the webhook's lease into a pause. Transaction: joins tx, which holds the lease."""
    pause = {"token": _PAUSE_TOKEN, "until": func.now() + timedelta(seconds=pause_s)}
    await tx.execute(update(RelayLease).where(RelayLease.queue_id == webhook_id).values(pause))


async def end_pause(tx: Tx, webhook_id: uuid.UUID) -> None:
    """End a webhook's pause, if there is one. Transaction: joins tx."""
    is_pause = (RelayLease.queue_id == webhook_id, RelayLease.token == _PAUSE_TOKEN)
    await tx.execute(delete(RelayLease).where(*is_pause))
