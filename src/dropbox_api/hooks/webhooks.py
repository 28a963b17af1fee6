"""Webhooks of a user: create, list, change, delete; and disable, for the worker.

The relay (`workers.relay`) plans the messages, and job `deliver` sends them. Creating or changing a webhook resolves
its address, so that the user sees a mistake at once. The protection is the check before each call (`targets`).
"""

import uuid
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from dropbox_api import problems
from dropbox_api.accounts import actors
from dropbox_api.context import Context
from dropbox_api.db import Tx, new_id
from dropbox_api.hooks import schemas
from dropbox_api.hooks.pauses import end_pause
from dropbox_api.hooks.signatures import create_secret, encrypt_webhook_secret
from dropbox_api.hooks.targets import resolve_target
from dropbox_api.models import Delivery, User, Webhook
from dropbox_api.plumbing import page_cursors

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


async def create_webhook(context: Context, new: schemas.CreateWebhook) -> schemas.CreatedWebhook:
    """Create a webhook. Raises AddressRefused, InvalidRequest (not a URL), TooManyWebhooks."""
    settings, user_id = context.settings, context.actor_id
    await resolve_target(settings.hooks, new.url)
    webhook_id, secret = new_id(), create_secret()
    values = {
        "id": webhook_id,
        "user_id": user_id,
        "url": new.url,
        "secret": encrypt_webhook_secret(settings.auth, webhook_id, secret),
        "kinds": sorted(set(new.kinds)),
        "description": new.description,
    }
    async with context.db.begin() as tx:
        await tx.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
        await actors.require_unended(tx, context.actor)
        count = select(func.count()).where(Webhook.user_id == user_id)
        if (await tx.execute(count)).scalar_one() >= settings.hooks.per_user:
            raise problems.TooManyWebhooks(max=settings.hooks.per_user)
        row = (await tx.execute(insert(Webhook).values(values).returning(*_WEBHOOK))).mappings().one()
    return schemas.CreatedWebhook(**row, secret=secret)


async def list_webhooks(context: Context, *, limit: int, cursor: str | None) -> schemas.WebhookList:
    """List the user's webhooks, newest first. Raises InvalidCursor."""
    query = select(*_WEBHOOK).where(Webhook.user_id == context.actor_id).order_by(Webhook.id.desc())
    if cursor is not None:
        query = query.where(Webhook.id < page_cursors.decode_id("webhooks", cursor))
    async with context.db.read() as tx:
        rows = (await tx.execute(query.limit(limit + 1))).mappings().all()
    items = [schemas.Webhook(**row) for row in rows[:limit]]
    has_more = len(rows) > limit
    next_cursor = page_cursors.encode_cursor("webhooks", items[-1].id) if has_more else None
    return schemas.WebhookList(items=items, next_cursor=next_cursor)


async def get_webhook(context: Context, webhook_id: uuid.UUID) -> schemas.Webhook:
    """Return a webhook of the user. Raises NotFound."""
    async with context.db.read() as tx:
        return await require_webhook(tx, context.actor_id, webhook_id)


async def change_webhook(context: Context, webhook_id: uuid.UUID, changes: schemas.UpdateWebhook) -> schemas.Webhook:
    """Change the given members. Pending deliveries go to the new address.

    Raises NotFound, AddressRefused, InvalidRequest (not a URL).
    """
    user_id = context.actor_id
    await get_webhook(context, webhook_id)
    if changes.url is not None:
        await resolve_target(context.settings.hooks, changes.url)
    values = _changed_values(changes)
    async with context.db.begin() as tx:
        await require_webhook(tx, user_id, webhook_id)
        if values:
            await tx.execute(update(Webhook).where(_is_own(user_id, webhook_id)).values(values))
        if changes.enabled or changes.url is not None:
            await end_pause(tx, webhook_id)
        if changes.enabled is False:
            await disable_webhook(tx, webhook_id, "user")
        return await require_webhook(tx, user_id, webhook_id)


def _changed_values(changes: schemas.UpdateWebhook) -> dict[str, Any]:
    given = {name: getattr(changes, name) for name in ("url", "kinds", "description")}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if changes.kinds is not None:
        values["kinds"] = sorted(set(changes.kinds))
    if changes.enabled:
        values |= {"disabled_at": None, "disabled_reason": None}
    if changes.enabled or changes.url is not None:
        values["failing_since"] = None
    return values


async def disable_webhook(tx: Tx, webhook_id: uuid.UUID, reason: schemas.DisabledReason) -> None:
    """Disable a webhook unless it is disabled. Pending deliveries fail; the user can redeliver them later.

    Transaction: joins tx.
    """
    is_enabled = (Webhook.id == webhook_id, Webhook.disabled_at.is_(None))
    disable = update(Webhook).where(*is_enabled).values(disabled_at=func.now(), disabled_reason=reason)
    if (await tx.execute(disable)).rowcount:
        is_pending = (Delivery.webhook_id == webhook_id, Delivery.state == "pending")
        error = func.coalesce(Delivery.last_error, "the webhook was switched off")
        await tx.execute(update(Delivery).where(*is_pending).values(state="failed", last_error=error))


async def delete_webhook(context: Context, webhook_id: uuid.UUID) -> None:
    """Delete a webhook and its log. Raises NotFound."""
    async with context.db.begin() as tx:
        if (await tx.execute(delete(Webhook).where(_is_own(context.actor_id, webhook_id)))).rowcount == 0:
            raise problems.NotFound


async def rotate_secret(context: Context, webhook_id: uuid.UUID) -> schemas.WebhookSecret:
    """Give a webhook a new secret, which signs all later attempts. Raises NotFound."""
    secret = create_secret()
    encrypted = encrypt_webhook_secret(context.settings.auth, webhook_id, secret)
    rotate = update(Webhook).where(_is_own(context.actor_id, webhook_id)).values(secret=encrypted)
    async with context.db.begin() as tx:
        if (await tx.execute(rotate)).rowcount == 0:
            raise problems.NotFound
    return schemas.WebhookSecret(secret=secret)


async def require_webhook(tx: Tx, user_id: uuid.UUID, webhook_id: uuid.UUID) -> schemas.Webhook:
    """Return a webhook of the user. Raises NotFound. Transaction: joins tx."""
    row = (await tx.execute(select(*_WEBHOOK).where(_is_own(user_id, webhook_id)))).mappings().one_or_none()
    if row is None:
        raise problems.NotFound
    return schemas.Webhook(**row)


def _is_own(user_id: uuid.UUID, webhook_id: uuid.UUID) -> ColumnElement[bool]:
    return and_(Webhook.id == webhook_id, Webhook.user_id == user_id)
