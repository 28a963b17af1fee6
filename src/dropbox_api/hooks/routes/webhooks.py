"""Routes of webhooks and of the log of deliveries."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api import problems
from dropbox_api.accounts.auth import NoStore, Reader, Writer
from dropbox_api.hooks import deliveries, webhooks
from dropbox_api.hooks.schemas import (
    ChangeWebhook,
    CreatedWebhook,
    Delivery,
    DeliveryList,
    NewWebhook,
    Secret,
    State,
    Webhook,
    WebhookList,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1000)]
_ACCOUNT = (problems.Unauthenticated, problems.Forbidden)
_YOURS = (*_ACCOUNT, problems.InvalidRequest, problems.NotFound)


@router.post(
    "/webhooks",
    operation_id="hooks_create_webhook",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, *_ACCOUNT, problems.AddressRefused, problems.TooManyWebhooks),
)
async def create_webhook(context: Writer, body: NewWebhook) -> CreatedWebhook:
    """Have an address of yours told what happens to your files, and to those that are shared with you.

    Its secret is shown now and never again. This takes no `Idempotency-Key`: the answer is a secret, and is kept
    nowhere. Was it lost, delete the webhook that the list shows and make another.
    """
    return await webhooks.create_webhook(context, body)


@router.get(
    "/webhooks",
    operation_id="hooks_list_webhooks",
    responses=problem_responses(*_ACCOUNT, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_webhooks(context: Reader, limit: Limit = 100, cursor: str | None = None) -> WebhookList:
    """List your webhooks, newest first."""
    return await webhooks.list_webhooks(context, limit=limit, cursor=cursor)


@router.get("/webhooks/{webhook_id}", operation_id="hooks_get_webhook", responses=problem_responses(*_YOURS))
async def get_webhook(context: Reader, webhook_id: uuid.UUID) -> Webhook:
    """Look at a webhook: whether it works, and if not, since when and why."""
    return await webhooks.get_webhook(context, webhook_id)


@router.patch(
    "/webhooks/{webhook_id}",
    operation_id="hooks_update_webhook",
    responses=problem_responses(*BODY, *_YOURS, problems.AddressRefused),
)
async def update_webhook(context: Writer, body: ChangeWebhook, webhook_id: uuid.UUID) -> Webhook:
    """Change a webhook, or switch it off and on. What is on its way goes to the new address."""
    return await webhooks.change_webhook(context, webhook_id, body)


@router.delete(
    "/webhooks/{webhook_id}",
    operation_id="hooks_delete_webhook",
    status_code=204,
    responses=problem_responses(*_YOURS),
)
async def delete_webhook(context: Writer, webhook_id: uuid.UUID) -> None:
    """Delete a webhook, and the log of its deliveries. What is on its way is not sent."""
    await webhooks.delete_webhook(context, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/rotate-secret",
    operation_id="hooks_rotate_secret",
    dependencies=[NoStore],
    responses=problem_responses(*_YOURS),
)
async def rotate_secret(context: Writer, webhook_id: uuid.UUID) -> Secret:
    """Give a webhook another secret. All that is sent from now on is signed with it, repetitions too."""
    return await webhooks.rotate_secret(context, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/test",
    operation_id="hooks_test_webhook",
    status_code=202,
    responses=problem_responses(*_YOURS),
)
async def ping_webhook(context: Writer, webhook_id: uuid.UUID) -> Delivery:
    """Send it a `ping`. What became of that, the log of deliveries says."""
    return await deliveries.ping_webhook(context, webhook_id)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="hooks_list_deliveries",
    responses=problem_responses(*_YOURS, problems.InvalidCursor),
)
async def list_deliveries(
    context: Reader,
    webhook_id: uuid.UUID,
    state: State | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> DeliveryList:
    """List what it was told, or is to be, newest first. The log goes back a week, unless the server says otherwise."""
    return await deliveries.list_webhook_deliveries(context, webhook_id, state=state, limit=limit, cursor=cursor)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="hooks_redeliver",
    status_code=202,
    responses=problem_responses(*_YOURS),
)
async def redeliver(context: Writer, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery:
    """Send a message again, whatever became of it before. Its id stays, so that a receiver can tell."""
    return await deliveries.redeliver(context, webhook_id, delivery_id)


@router.get(
    "/files/{file_id}/deliveries",
    operation_id="hooks_list_file_deliveries",
    responses=problem_responses(*_YOURS, problems.InvalidCursor),
)
async def list_file_deliveries(
    context: Reader, file_id: uuid.UUID, limit: Limit = 100, cursor: str | None = None
) -> DeliveryList:
    """List what your webhooks were told of a file or folder, or are to be, newest first."""
    return await deliveries.list_file_deliveries(context, file_id, limit=limit, cursor=cursor)
