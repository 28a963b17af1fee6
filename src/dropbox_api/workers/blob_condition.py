"""Record whether a blob is whole or damaged. Each function needs the blob's lease and refuses a lost one."""

from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from dropbox_api.db import Db
from dropbox_api.files import blobs, guard
from dropbox_api.models import Blob
from dropbox_api.plumbing.row_leases import NO_LEASE
from dropbox_api.workers.leases import LeasedBlob


def _is_held(blob: LeasedBlob) -> tuple[ColumnElement[bool], ...]:
    """This worker still holds the lease, and the blob still has the object that was read."""
    return (
        Blob.id == blob.id,
        Blob.lease_token == blob.lease_token,
        Blob.storage_key == blob.storage_key,
        Blob.content_status.in_(("stored", "verified", "damaged")),
    )


async def mark_whole(db: Db, blob: LeasedBlob, *, is_utf8: bool | None) -> bool:
    """Record that a blob was read and is whole, and its encoding if known. Return False when the lease was lost.

    Transaction: its own, under the owner's lock.
    """
    return await _record_whole(db, blob, {} if is_utf8 is None else {"is_utf8": is_utf8})


async def replace_object(db: Db, blob: LeasedBlob, key: str, etag: str, composite_digest: str | None) -> bool:
    """Record the new object of a repaired blob. Return False when the lease was lost.

    Transaction: its own, under the owner's lock.
    """
    return await _record_whole(db, blob, {"storage_key": key, "etag": etag, "composite_digest": composite_digest})


async def _record_whole(db: Db, blob: LeasedBlob, values: dict[str, Any]) -> bool:
    async with db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        status = (await tx.execute(select(Blob.content_status).where(*_is_held(blob)))).scalar_one_or_none()
        if status is None:
            return False
        scrubbed = {"scrubbed_at": func.now(), **NO_LEASE, **values}
        if status == "damaged":
            scrubbed["thumbnail_due_at"] = func.now()  # an attempt may have read the damaged bytes
        await tx.execute(update(Blob).where(Blob.id == blob.id).values(**scrubbed))
        if status == "damaged":
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.repaired")
            await blobs.mark_verified(tx, blob.owner_id, blob.id)
    return True


async def mark_damaged(db: Db, blob: LeasedBlob) -> bool:
    """Record that a blob is damaged, with an event for each of its files. Return False when the lease was lost.

    Transaction: its own, under the owner's lock.
    """
    async with db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        status = (await tx.execute(select(Blob.content_status).where(*_is_held(blob)))).scalar_one_or_none()
        if status is None:
            return False
        this = update(Blob).where(Blob.id == blob.id)
        await tx.execute(this.values(content_status="damaged", scrubbed_at=func.now()))
        if status != "damaged":
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.damaged")
    return True


async def release_blob(db: Db, blob: LeasedBlob) -> None:
    """Give the blob's lease up."""
    async with db.begin() as tx:
        await tx.execute(update(Blob).where(*_is_held(blob)).values(**NO_LEASE))
