"""Routes of webhooks and of the log of deliveries."""

import uuid

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import NoStore, Reader, Writer
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.hooks import deliveries, webhooks
from dropbox_api.hooks.schemas import (
    CreatedWebhook,
    CreateWebhook,
    Delivery,
    DeliveryList,
    State,
    UpdateWebhook,
    Webhook,
    WebhookList,
    WebhookSecret,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_ACCOUNT = (problems.Unauthenticated, problems.Forbidden)
_WEBHOOK = (*_ACCOUNT, problems.InvalidRequest, problems.NotFound)


@router.post(
    "/webhooks",
    operation_id="webhooks_create",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, *_ACCOUNT, problems.AddressRefused, problems.TooManyWebhooks),
)
async def create_webhook(context: Writer, body: CreateWebhook) -> CreatedWebhook:
    """Create a webhook: the server sends it the events of your files and of the files that are shared with you.

    The secret is in this answer only. This operation takes no `Idempotency-Key`, because the server stores no answer
    with a secret. After a lost answer, find the webhook in the list, delete it and create another.
    """
    return await webhooks.create_webhook(context, body)


@router.get(
    "/webhooks",
    operation_id="webhooks_list",
    responses=problem_responses(*_ACCOUNT, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_webhooks(context: Reader, limit: PageLimit = 100, cursor: str | None = None) -> WebhookList:
    """List your webhooks, newest first."""
    return await webhooks.list_webhooks(context, limit=limit, cursor=cursor)


@router.get("/webhooks/{webhook_id}", operation_id="webhooks_get", responses=problem_responses(*_WEBHOOK))
async def get_webhook(context: Reader, webhook_id: uuid.UUID) -> Webhook:
    """Get a webhook: whether it works, and if not, since when and why."""
    return await webhooks.get_webhook(context, webhook_id)


@router.patch(
    "/webhooks/{webhook_id}",
    operation_id="webhooks_update",
    responses=problem_responses(*BODY, *_WEBHOOK, problems.AddressRefused),
)
async def update_webhook(context: Writer, body: UpdateWebhook, webhook_id: uuid.UUID) -> Webhook:
    """Change, disable or enable a webhook. Pending deliveries go to the new address."""
    return await webhooks.change_webhook(context, webhook_id, body)


@router.delete(
    "/webhooks/{webhook_id}",
    operation_id="webhooks_delete",
    status_code=204,
    responses=problem_responses(*_WEBHOOK),
)
async def delete_webhook(context: Writer, webhook_id: uuid.UUID) -> None:
    """Delete a webhook and the log of its deliveries. Pending deliveries are not sent."""
    await webhooks.delete_webhook(context, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/rotate-secret",
    operation_id="webhooks_rotate_secret",
    dependencies=[NoStore],
    responses=problem_responses(*_WEBHOOK),
)
async def rotate_secret(context: Writer, webhook_id: uuid.UUID) -> WebhookSecret:
    """Give a webhook a new secret, which signs all messages from now on, repeated ones too."""
    return await webhooks.rotate_secret(context, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/test",
    operation_id="webhooks_send_test",
    status_code=202,
    responses=problem_responses(*_WEBHOOK),
)
async def ping_webhook(context: Writer, webhook_id: uuid.UUID) -> Delivery:
    """Send a `ping` to a webhook. The log of deliveries shows the result."""
    return await deliveries.ping_webhook(context, webhook_id)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="webhooks_list_deliveries",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_WEBHOOK, problems.InvalidCursor),
)
async def list_deliveries(
    context: Reader,
    webhook_id: uuid.UUID,
    state: State | None = None,
    limit: PageLimit = 100,
    cursor: str | None = None,
) -> DeliveryList:
    """List the deliveries of a webhook, newest first. The log keeps them for a week by default."""
    return await deliveries.list_webhook_deliveries(context, webhook_id, state=state, limit=limit, cursor=cursor)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="webhooks_redeliver",
    status_code=202,
    responses=problem_responses(*_WEBHOOK),
)
async def redeliver(context: Writer, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery:
    """Send a message again, whatever its state. It keeps its id, so that the receiver can deduplicate."""
    return await deliveries.redeliver(context, webhook_id, delivery_id)


@router.get(
    "/files/{file_id}/deliveries",
    operation_id="webhooks_list_file_deliveries",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_WEBHOOK, problems.InvalidCursor),
)
async def list_file_deliveries(
    context: Reader, file_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> DeliveryList:
    """List the deliveries of your webhooks about a file or folder, newest first."""
    return await deliveries.list_file_deliveries(context, file_id, limit=limit, cursor=cursor)
