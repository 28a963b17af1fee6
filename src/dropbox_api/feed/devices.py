"""Devices of an account: how far each one has read the journal, as its last report says.

A sync client chooses the id of its device, once, and reports from time to time. Reports change no file. Job `retain`
deletes a device without a report for `events.device_retention_s`.
"""

import uuid

from sqlalchemy import case, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from dropbox_api import problems
from dropbox_api.accounts.account import lock_account
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.events.cursor import Cursors
from dropbox_api.feed import schemas
from dropbox_api.models import Device, User

_DEVICES = select(
    Device.id,
    Device.name,
    # A journal restored from a backup may end before the position. GREATEST ignores nulls.
    case((Device.seq.is_not(None), func.greatest(User.journal_seq - Device.seq, 0))).label("behind"),
    Device.pending,
    Device.created_at,
    Device.last_seen_at,
).join(User, User.id == Device.user_id)


async def report_device(
    context: Context, cursors: Cursors, device_id: uuid.UUID, report: schemas.ReportDevice
) -> schemas.Device:
    """Record the report of a device, which may be new; return the device. Idempotent.

    Raises InvalidCursor (not a cursor of this account), TooManyDevices (a new one beyond the limit).
    Transaction: one; for a new device under the account's lock, so that concurrent reports keep the limit.
    """
    user_id = context.actor_id
    seq = None if report.cursor is None else cursors.decode(user_id, report.cursor).seq
    values = {"name": report.name, "seq": seq, "pending": report.pending, "last_seen_at": func.now()}
    new = insert(Device).values(user_id=user_id, id=device_id, **values)
    async with context.db.begin() as tx:
        if not await _exists(tx, user_id, device_id):
            await lock_account(tx, user_id)
            await _require_room(tx, user_id, device_id, context.settings.events.max_devices)
        await tx.execute(new.on_conflict_do_update(index_elements=[Device.user_id, Device.id], set_=values))
        row = (await tx.execute(_DEVICES.where(Device.user_id == user_id, Device.id == device_id))).one()
    return schemas.Device(**row._asdict())


async def _exists(tx: Tx, user_id: uuid.UUID, device_id: uuid.UUID) -> bool:
    known = select(Device.id).where(Device.user_id == user_id, Device.id == device_id)
    return (await tx.execute(known)).one_or_none() is not None


_OTHERS = text("""
    SELECT count(*) AS n, (array_agg(id ORDER BY last_seen_at, id))[1] AS oldest_id FROM devices
    WHERE user_id = :user_id AND id <> :device_id
""")


async def _require_room(tx: Tx, user_id: uuid.UUID, device_id: uuid.UUID, max_devices: int) -> None:
    """Raise TooManyDevices, which names the device without a report for the longest time."""
    others = (await tx.execute(_OTHERS, {"user_id": user_id, "device_id": device_id})).one()
    if others.n >= max_devices:
        raise problems.TooManyDevices(max=max_devices, oldest_id=others.oldest_id and str(others.oldest_id))


async def list_devices(context: Context) -> schemas.DeviceList:
    """Return the devices of the caller's account, last seen first."""
    own = _DEVICES.where(Device.user_id == context.actor_id).order_by(Device.last_seen_at.desc(), Device.id)
    async with context.db.read() as tx:
        rows = (await tx.execute(own)).all()
    return schemas.DeviceList(items=[schemas.Device(**row._asdict()) for row in rows])


async def delete_device(context: Context, device_id: uuid.UUID) -> None:
    """Remove a device from the list; its token stays valid. Raises NotFound."""
    own = delete(Device).where(Device.user_id == context.actor_id, Device.id == device_id)
    async with context.db.begin() as tx:
        if not (await tx.execute(own)).rowcount:
            raise problems.NotFound
