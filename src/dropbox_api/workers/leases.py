"""Leases: one worker at a time works on a queue, or on a blob.

S3 and webhooks may be slow, so a lease outlives transactions. It has a token and an end. A worker records its result
only while the row still has its token; when the worker dies, the lease lapses and another worker takes over.
"""

import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, SQLColumnExpression, func, select, text, update

from dropbox_api.context import Services
from dropbox_api.db import Db, Tx
from dropbox_api.models import Blob
from dropbox_api.plumbing.row_leases import is_lease_free, keep_lease

# Queues: the changes of one owner for the topic, or the deliveries of one webhook

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
_DELETE_LAPSED = text("DELETE FROM relay_leases WHERE until < now() - interval '1 day'")


class LeaseLostError(Exception):
    """The lease lapsed, and another worker holds the queue."""


@dataclass(frozen=True, slots=True)
class QueueLease:
    """A worker's exclusive right to one queue, for `lease_s` seconds after each renewal."""

    queue_id: uuid.UUID
    token: uuid.UUID
    lease_s: float

    @classmethod
    async def claim(cls, db: Db, queue_id: uuid.UUID, lease_s: float) -> Self | None:
        """Take the lease of a queue; return None while another worker holds it."""
        lease = cls(queue_id, uuid.uuid4(), lease_s)
        async with db.begin() as tx:
            claimed = await tx.execute(_CLAIM, {"queue_id": queue_id, "token": lease.token, "lease_s": lease_s})
            return lease if claimed.first() else None

    async def renew(self, tx: Tx) -> None:
        """Renew the lease and fence the transaction: it commits only while this worker holds the queue.

        Raises LeaseLostError. Transaction: joins tx.
        """
        bound = {"queue_id": self.queue_id, "token": self.token, "lease_s": self.lease_s}
        if (await tx.execute(_RENEW, bound)).first() is None:
            raise LeaseLostError

    async def release(self, db: Db) -> None:
        """Give the lease up, so that another worker may take the queue at once."""
        async with db.begin() as tx:
            await tx.execute(_RELEASE, {"queue_id": self.queue_id, "token": self.token})


async def delete_lapsed_leases(db: Db) -> None:
    """Delete the rows of queue leases that lapsed more than a day ago."""
    async with db.begin() as tx:
        await tx.execute(_DELETE_LAPSED)


# Blobs: one worker at a time reads an object


@dataclass(frozen=True, slots=True)
class LeasedBlob:
    """A blob as of the moment when this worker took its lease."""

    id: uuid.UUID
    owner_id: uuid.UUID
    storage_key: str
    size_bytes: int
    fingerprint: bytes
    encoding: str
    content_status: str
    lease_token: uuid.UUID | None


_LEASED_BLOB = (
    Blob.id,
    Blob.owner_id,
    Blob.storage_key,
    Blob.size_bytes,
    Blob.fingerprint,
    Blob.encoding,
    Blob.content_status,
    Blob.lease_token,
)


async def claim_blob(
    services: Services, order: SQLColumnExpression[Any], *conditions: ColumnElement[bool]
) -> LeasedBlob | None:
    """Take the lease of the first blob, by `order`, that meets the conditions and is free; None when there is none."""
    lease = timedelta(seconds=services.settings.worker.verify_lease_s)
    first = select(Blob.id).where(*conditions, is_lease_free(Blob.lease_until)).order_by(order).limit(1)
    claim = (
        update(Blob)
        .where(Blob.id == first.with_for_update(skip_locked=True).scalar_subquery())
        .values(lease_token=uuid.uuid4(), lease_until=func.now() + lease)
        .returning(*_LEASED_BLOB)
    )
    async with services.db.begin() as tx:
        row = (await tx.execute(claim)).mappings().one_or_none()
    return None if row is None else LeasedBlob(**row)


def keep_blob_lease(services: Services, blob: LeasedBlob) -> AbstractAsyncContextManager[None]:
    """Renew the lease while the block runs. A lost lease shows when the worker records its result."""
    held = update(Blob).where(Blob.id == blob.id, Blob.lease_token == blob.lease_token)
    return keep_lease(services.db, held, services.settings.worker.verify_lease_s)
