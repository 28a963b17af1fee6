"""Leases of rows that outlive a transaction: the columns `lease_token` and `lease_until` of an upload or a blob."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, func, or_
from sqlalchemy.orm import InstrumentedAttribute

from dropbox_api import problems
from dropbox_api.db import Db

NO_LEASE = {"lease_token": None, "lease_until": None}
"""Column values that give a lease up."""


def is_lease_free(until: InstrumentedAttribute[datetime | None]) -> ColumnElement[bool]:
    """Return the SQL condition on a column `lease_until`: no process holds the row, or its lease has lapsed."""
    return or_(until.is_(None), until < func.now())


@contextlib.asynccontextmanager
async def keep_lease(db: Db, held: Update, lease_s: float) -> AsyncIterator[None]:
    """Renew `lease_until` of the leased row while the block runs (heartbeat).

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
