"""Renewal of leases that outlive a transaction, while their holder works."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy import Update, func

from dropbox_api import problems
from dropbox_api.db import Db


@contextlib.asynccontextmanager
async def heartbeat(db: Db, held: Update, lease_s: float) -> AsyncIterator[None]:
    """Renew `lease_until` of the leased row while the block runs.

    `held`: an UPDATE of that row on the condition that its token is still the holder's. Losing the lease is harmless:
    the token fences every later write of the holder.
    """

    async def beat() -> None:
        while True:
            await asyncio.sleep(lease_s / 3)
            with contextlib.suppress(problems.Unavailable):
                async with db.begin() as tx:
                    await tx.execute(held.values(lease_until=func.now() + timedelta(seconds=lease_s)))

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
