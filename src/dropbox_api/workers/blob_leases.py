"""Leases of blobs: an object is read by one worker at a time, and by another one should that die."""

import uuid
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from dropbox_api.db import Db
from dropbox_api.models import Blob
from dropbox_api.plumbing.heartbeat import heartbeat
from dropbox_api.settings import Settings


async def claim(db: Db, settings: Settings, order: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]) -> Any:
    """Take the lease of the first blob that nobody has; return its row, None when there is none."""
    free = or_(Blob.lease_until.is_(None), Blob.lease_until < func.now())
    first = select(Blob.id).where(*conditions, free).order_by(order).limit(1)
    claimed = (
        update(Blob)
        .where(Blob.id == first.with_for_update(skip_locked=True).scalar_subquery())
        .values(lease_token=uuid.uuid4(), lease_until=func.now() + timedelta(seconds=settings.worker.verify_lease_s))
        .returning(*Blob.__table__.c)
    )
    async with db.begin() as tx:
        return (await tx.execute(claimed)).one_or_none()


def kept(db: Db, settings: Settings, blob: Any) -> AbstractAsyncContextManager[None]:
    """Renew the lease while the block runs. Whoever has lost it learns that when they record what they found."""
    held = update(Blob).where(Blob.id == blob.id, Blob.lease_token == blob.lease_token)
    return heartbeat(db, held, settings.worker.verify_lease_s)
