"""Webhooks as their users see them: made, changed, tried out, and the log of what was delivered.

Whom a webhook tells what is the relay's business (`workers.relay`); calling it is `sending`'s. The address is judged
here when it is given, names and all, so that a slip shows at once; what protects us is that it is judged again at each
call.
"""

import uuid
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update

from dropbox_api import access, problems
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.hooks import addresses, outward
from dropbox_api.hooks.schemas import (
    ChangeWebhook,
    CreatedWebhook,
    DeliveryList,
    NewWebhook,
    Secret,
    State,
    WebhookList,
)
from dropbox_api.hooks.schemas import Delivery as DeliveryView
from dropbox_api.hooks.schemas import Webhook as WebhookView
from dropbox_api.models import Delivery, RelayLease, User, Webhook
from dropbox_api.plumbing import encryption, page_cursors
from dropbox_api.settings import Settings

RESTING = uuid.UUID(int=0)
"""The token of a lease that nobody has: nobody answered there, and the webhook is left alone until it ends."""

_WEBHOOK = (
    Webhook.id,
    Webhook.url,
    Webhook.kinds,
    Webhook.description,
    Webhook.created_at,
    Webhook.failing_since,
    Webhook.disabled_at,
    Webhook.disabled_reason,
)
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


def _view(row: Any) -> WebhookView:
    return WebhookView(**row._asdict())


def _delivery(row: Any) -> DeliveryView:
    values = row._asdict()
    node_id = values.pop("node_id")
    if row.state != "pending":
        values["next_attempt_at"] = None
    return DeliveryView(file_id=None if row.kind == "ping" else node_id, **values)


async def create(db: Db, settings: Settings, user_id: uuid.UUID, new: NewWebhook) -> CreatedWebhook:
    """Make a webhook. Raises AddressRefused, InvalidRequest (no URL), TooManyWebhooks."""
    await addresses.resolve(settings.hooks, new.url)
    webhook_id, secret = new_id(), outward.new_secret()
    values = {
        "id": webhook_id,
        "user_id": user_id,
        "url": new.url,
        "secret": encryption.encrypt_secret(settings.auth, outward.SECRETS, webhook_id, secret),
        "kinds": sorted(set(new.kinds)),
        "description": new.description,
    }
    async with db.begin() as tx:
        await tx.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
        count = select(func.count()).where(Webhook.user_id == user_id)
        if (await tx.execute(count)).scalar_one() >= settings.hooks.per_user:
            raise problems.TooManyWebhooks(max=settings.hooks.per_user)
        row = (await tx.execute(insert(Webhook).values(values).returning(*_WEBHOOK))).one()
    return CreatedWebhook(**row._asdict(), secret=secret)


async def list_webhooks(db: Db, user_id: uuid.UUID, *, limit: int, cursor: str | None) -> WebhookList:
    """List a user's webhooks, newest first. Raises InvalidCursor."""
    query = select(*_WEBHOOK).where(Webhook.user_id == user_id).order_by(Webhook.id.desc())
    if cursor is not None:
        query = query.where(Webhook.id < page_cursors.decode_id("webhooks", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query.limit(limit + 1))).all()
    items = [_view(row) for row in rows[:limit]]
    more = len(rows) > limit
    return WebhookList(items=items, next_cursor=page_cursors.encode_cursor("webhooks", items[-1].id) if more else None)


async def get(db: Db, user_id: uuid.UUID, webhook_id: uuid.UUID) -> WebhookView:
    """Return a user's webhook. Raises NotFound."""
    async with db.read() as tx:
        return _view(await _require(tx, user_id, webhook_id))


async def change(
    db: Db, settings: Settings, user_id: uuid.UUID, webhook_id: uuid.UUID, wanted: ChangeWebhook
) -> WebhookView:
    """Change what is given. Deliveries on their way go to a new address from now on.

    Raises NotFound, AddressRefused, InvalidRequest (no URL).
    """
    await get(db, user_id, webhook_id)
    if wanted.url is not None:
        await addresses.resolve(settings.hooks, wanted.url)
    given = {key: value for key in ("url", "kinds", "description") if (value := getattr(wanted, key)) is not None}
    values: dict[str, Any] = dict(given)
    if wanted.kinds is not None:
        values["kinds"] = sorted(set(wanted.kinds))
    if wanted.enabled:
        values |= {"disabled_at": None, "disabled_reason": None}
    if wanted.enabled or wanted.url is not None:
        values["failing_since"] = None
    async with db.begin() as tx:
        await _require(tx, user_id, webhook_id)
        if values:
            await tx.execute(update(Webhook).where(_theirs(user_id, webhook_id)).values(values))
        if wanted.enabled or wanted.url is not None:
            await _wake(tx, webhook_id)
        if wanted.enabled is False:
            await disable(tx, webhook_id, "user")
        return _view(await _require(tx, user_id, webhook_id))


async def _wake(tx: Tx, webhook_id: uuid.UUID) -> None:
    """Let a webhook be called at once, though nobody answered there: its user expects it."""
    await tx.execute(delete(RelayLease).where(RelayLease.queue_id == webhook_id, RelayLease.token == RESTING))


async def disable(tx: Tx, webhook_id: uuid.UUID, reason: str) -> None:
    """Switch a webhook off unless it is: what was on its way has failed, and can be sent again once it is on.

    Transaction: joins tx.
    """
    enabled = (Webhook.id == webhook_id, Webhook.disabled_at.is_(None))
    off = update(Webhook).where(*enabled).values(disabled_at=func.now(), disabled_reason=reason)
    if (await tx.execute(off)).rowcount:
        waiting = (Delivery.webhook_id == webhook_id, Delivery.state == "pending")
        error = func.coalesce(Delivery.last_error, "the webhook was switched off")
        await tx.execute(update(Delivery).where(*waiting).values(state="failed", last_error=error))


async def remove(db: Db, user_id: uuid.UUID, webhook_id: uuid.UUID) -> None:
    """Delete a webhook and its log. Raises NotFound."""
    async with db.begin() as tx:
        if (await tx.execute(delete(Webhook).where(_theirs(user_id, webhook_id)))).rowcount == 0:
            raise problems.NotFound


async def rotate_secret(db: Db, settings: Settings, user_id: uuid.UUID, webhook_id: uuid.UUID) -> Secret:
    """Give a webhook another secret, which signs all that is sent from now on. Raises NotFound."""
    secret = outward.new_secret()
    sealed = encryption.encrypt_secret(settings.auth, outward.SECRETS, webhook_id, secret)
    async with db.begin() as tx:
        if (await tx.execute(update(Webhook).where(_theirs(user_id, webhook_id)).values(secret=sealed))).rowcount == 0:
            raise problems.NotFound
    return Secret(secret=secret)


async def ping(db: Db, user_id: uuid.UUID, webhook_id: uuid.UUID) -> DeliveryView:
    """Have a `ping` delivered. Raises NotFound."""
    message = outward.ping(uuid.uuid4(), user_id)
    values = {
        "id": new_id(),
        "webhook_id": webhook_id,
        "event_id": message.id,
        "kind": message.kind,
        "node_id": webhook_id,  # it is about no file
        "body": message.body,
        "next_attempt_at": func.clock_timestamp(),
    }
    async with db.begin() as tx:
        await _require(tx, user_id, webhook_id)
        await _wake(tx, webhook_id)
        return _delivery((await tx.execute(insert(Delivery).values(values).returning(*_DELIVERY))).one())


async def list_deliveries(
    db: Db, user_id: uuid.UUID, webhook_id: uuid.UUID, *, state: State | None, limit: int, cursor: str | None
) -> DeliveryList:
    """List what a webhook was or is to be told, newest first. Raises NotFound, InvalidCursor."""
    query = select(*_DELIVERY).where(Delivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(Delivery.state == state)
    async with db.read() as tx:
        await _require(tx, user_id, webhook_id)
        return await _page(tx, query, limit, cursor)


async def list_of_file(
    db: Db, user_id: uuid.UUID, file_id: uuid.UUID, *, limit: int, cursor: str | None
) -> DeliveryList:
    """List what the user's webhooks were or are to be told of a file that is theirs to see, newest first.

    Raises NotFound, InvalidCursor.
    """
    own = select(Webhook.id).where(Webhook.user_id == user_id)
    query = select(*_DELIVERY).where(Delivery.node_id == file_id, Delivery.webhook_id.in_(own))
    async with db.read() as tx:
        await access.require(tx, user_id, file_id)
        return await _page(tx, query, limit, cursor)


async def _page(tx: Tx, query: Select[*tuple[Any, ...]], limit: int, cursor: str | None) -> DeliveryList:
    if cursor is not None:
        query = query.where(Delivery.id < page_cursors.decode_id("deliveries", cursor))
    rows = (await tx.execute(query.order_by(Delivery.id.desc()).limit(limit + 1))).all()
    items = [_delivery(row) for row in rows[:limit]]
    more = len(rows) > limit
    return DeliveryList(
        items=items, next_cursor=page_cursors.encode_cursor("deliveries", items[-1].id) if more else None
    )


async def redeliver(db: Db, user_id: uuid.UUID, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> DeliveryView:
    """Have a message sent again, under its own id, whatever became of it before. Raises NotFound."""
    this = (Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
    again = {"state": "pending", "next_attempt_at": func.clock_timestamp(), "delivered_at": None}
    async with db.begin() as tx:
        await _require(tx, user_id, webhook_id)
        await _wake(tx, webhook_id)
        row = (await tx.execute(update(Delivery).where(*this).values(again).returning(*_DELIVERY))).one_or_none()
    if row is None:
        raise problems.NotFound
    return _delivery(row)


def _theirs(user_id: uuid.UUID, webhook_id: uuid.UUID) -> Any:
    return (Webhook.id == webhook_id) & (Webhook.user_id == user_id)


async def _require(tx: Tx, user_id: uuid.UUID, webhook_id: uuid.UUID) -> Any:
    row = (await tx.execute(select(*_WEBHOOK).where(_theirs(user_id, webhook_id)))).one_or_none()
    if row is None:
        raise problems.NotFound
    return row
