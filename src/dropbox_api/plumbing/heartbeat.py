"""Leases that outlive transactions are renewed while their holder is at work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy import Update, func

from dropbox_api import problems
from dropbox_api.db import Db


@contextlib.asynccontextmanager
async def heartbeat(db: Db, held: Update, lease_s: float) -> AsyncIterator[None]:
    """Renew the `lease_until` of the row that `held` is of, as long as its token is ours, while the block runs.

    A lost lease does no harm: what its holder writes is refused.
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
