"""The log of deliveries: list it, test a webhook, deliver again."""

import uuid
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, func, insert, select, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.db import Tx, new_id
from dropbox_api.hooks import schemas
from dropbox_api.hooks.event_messages import build_ping
from dropbox_api.hooks.pauses import end_pause
from dropbox_api.hooks.webhooks import require_webhook
from dropbox_api.models import Delivery, Webhook
from dropbox_api.plumbing import page_cursors


class _DeliveryRow(NamedTuple):
    """A delivery, as the columns _DELIVERY select it."""

    id: uuid.UUID
    webhook_id: uuid.UUID
    event_id: uuid.UUID
    kind: str
    node_id: uuid.UUID
    state: schemas.State
    attempts: int
    next_attempt_at: datetime
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


_DELIVERY = (
    Delivery.id,
    Delivery.webhook_id,
    Delivery.event_id,
    Delivery.kind,
    Delivery.node_id,
    Delivery.state,
    Delivery.attempts,
    Delivery.next_attempt_at,
    Delivery.last_status,
    Delivery.last_error,
    Delivery.created_at,
    Delivery.delivered_at,
)


async def ping_webhook(context: Context, webhook_id: uuid.UUID) -> schemas.Delivery:
    """Plan the delivery of a `ping`. Raises NotFound."""
    message = build_ping(uuid.uuid4(), context.actor_id)
    values = {
        "id": new_id(),
        "webhook_id": webhook_id,
        "event_id": message.id,
        "kind": message.kind,
        "node_id": webhook_id,  # the column is required, and a ping is about no file
        "body": message.body,
        "next_attempt_at": func.clock_timestamp(),
    }
    async with context.db.begin() as tx:
        await require_webhook(tx, context.actor_id, webhook_id)
        await end_pause(tx, webhook_id)
        planned = await tx.execute(insert(Delivery).values(values).returning(*_DELIVERY))
        return _show_delivery(_DeliveryRow._make(planned.one()))


async def list_webhook_deliveries(
    context: Context, webhook_id: uuid.UUID, *, state: schemas.State | None, limit: int, cursor: str | None
) -> schemas.DeliveryList:
    """List the deliveries of a webhook, newest first. Raises NotFound, InvalidCursor."""
    query = select(*_DELIVERY).where(Delivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(Delivery.state == state)
    async with context.db.read() as tx:
        await require_webhook(tx, context.actor_id, webhook_id)
        return await _read_page(tx, query, limit, cursor)


async def list_file_deliveries(
    context: Context, file_id: uuid.UUID, *, limit: int, cursor: str | None
) -> schemas.DeliveryList:
    """List the deliveries of the user's webhooks about a file that the user may read, newest first.

    Raises NotFound, InvalidCursor.
    """
    own = select(Webhook.id).where(Webhook.user_id == context.actor_id)
    query = select(*_DELIVERY).where(Delivery.node_id == file_id, Delivery.webhook_id.in_(own))
    async with context.db.read() as tx:
        await access.require_role(tx, context.actor_id, file_id)
        return await _read_page(tx, query, limit, cursor)


async def redeliver(context: Context, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> schemas.Delivery:
    """Plan to send a message again, under its own id, whatever its state. Raises NotFound."""
    this = (Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
    pending = {"state": "pending", "next_attempt_at": func.clock_timestamp(), "delivered_at": None}
    redelivery = update(Delivery).where(*this).values(pending).returning(*_DELIVERY)
    async with context.db.begin() as tx:
        await require_webhook(tx, context.actor_id, webhook_id)
        await end_pause(tx, webhook_id)
        row = (await tx.execute(redelivery)).one_or_none()
    if row is None:
        raise problems.NotFound
    return _show_delivery(_DeliveryRow._make(row))


async def _read_page(tx: Tx, query: Select[*tuple[Any, ...]], limit: int, cursor: str | None) -> schemas.DeliveryList:
    if cursor is not None:
        query = query.where(Delivery.id < page_cursors.decode_id("deliveries", cursor))
    rows = (await tx.execute(query.order_by(Delivery.id.desc()).limit(limit + 1))).all()
    items = [_show_delivery(_DeliveryRow._make(row)) for row in rows[:limit]]
    has_more = len(rows) > limit
    next_cursor = page_cursors.encode_cursor("deliveries", items[-1].id) if has_more else None
    return schemas.DeliveryList(items=items, next_cursor=next_cursor)


def _show_delivery(row: _DeliveryRow) -> schemas.Delivery:
    values = row._asdict()
    node_id = values.pop("node_id")
    if row.state != "pending":
        values["next_attempt_at"] = None
    return schemas.Delivery(file_id=None if row.kind == "ping" else node_id, **values)
