"""Leases of queues: an owner's changes for the topic, or a webhook's deliveries, are one worker's at a time.

The outside may be slow, so a lease outlives transactions: only whoever has its token works on the queue, and whoever
lost it records nothing.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from sqlalchemy import func, text, update

from dropbox_api.db import Db, Tx
from dropbox_api.hooks import service
from dropbox_api.models import RelayLease

_CLAIM = text("""
    INSERT INTO relay_leases (queue_id, token, until)
    VALUES (:queue_id, :token, now() + make_interval(secs => CAST(:lease_s AS float8)))
    ON CONFLICT (queue_id) DO UPDATE SET token = excluded.token, until = excluded.until
        WHERE relay_leases.until <= now()
    RETURNING token
""")
_RENEW = text("""
    UPDATE relay_leases SET until = now() + make_interval(secs => CAST(:lease_s AS float8))
    WHERE queue_id = :queue_id AND token = :token RETURNING token
""")
_RELEASE = text("DELETE FROM relay_leases WHERE queue_id = :queue_id AND token = :token")
_FORGET = text("DELETE FROM relay_leases WHERE until < now() - interval '1 day'")


class LeaseLostError(Exception):
    """Somebody else works on this queue now."""


async def forget(db: Db) -> None:
    """Remove the leases that ended long ago."""
    async with db.begin() as tx:
        await tx.execute(_FORGET)


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's hold of a queue."""

    queue_id: uuid.UUID
    token: uuid.UUID
    lease_s: float

    @classmethod
    async def claim(cls, db: Db, queue_id: uuid.UUID, lease_s: float) -> Self | None:
        """Take the queue, unless somebody has it."""
        lease = cls(queue_id, uuid.uuid4(), lease_s)
        async with db.begin() as tx:
            taken = await tx.execute(_CLAIM, {"queue_id": queue_id, "token": lease.token, "lease_s": lease_s})
            return lease if taken.first() else None

    async def hold(self, tx: Tx) -> None:
        """Fence the transaction, and renew the lease. Raises LeaseLostError when it is another's."""
        bound = {"queue_id": self.queue_id, "token": self.token, "lease_s": self.lease_s}
        if (await tx.execute(_RENEW, bound)).first() is None:
            raise LeaseLostError

    async def rest(self, tx: Tx, rest_s: float) -> None:
        """Give the lease up, for nobody to work on the queue for a while. Transaction: joins tx, which holds it."""
        values = {"token": service.RESTING, "until": func.now() + timedelta(seconds=rest_s)}
        await tx.execute(update(RelayLease).where(RelayLease.queue_id == self.queue_id).values(values))

    async def release(self, db: Db) -> None:
        """Give the lease up, for whoever comes next."""
        async with db.begin() as tx:
            await tx.execute(_RELEASE, {"queue_id": self.queue_id, "token": self.token})
