"""Webhooks, and the log of their deliveries."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api import problems
from dropbox_api.accounts.auth import NoStore, ReaderActor, WriterActor
from dropbox_api.deps import DbDep, SettingsDep
from dropbox_api.hooks import service
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
async def create(actor: WriterActor, body: NewWebhook, db: DbDep, settings: SettingsDep) -> CreatedWebhook:
    """Have an address of yours told what happens to your files, and to those that are shared with you.

    Its secret is shown now and never again. This takes no `Idempotency-Key`: the answer is a secret, and is kept
    nowhere. Was it lost, delete the webhook that the list shows and make another.
    """
    return await service.create(db, settings, actor.user_id, body)


@router.get(
    "/webhooks",
    operation_id="hooks_list_webhooks",
    responses=problem_responses(*_ACCOUNT, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_webhooks(actor: ReaderActor, db: DbDep, limit: Limit = 100, cursor: str | None = None) -> WebhookList:
    """List your webhooks, newest first."""
    return await service.list_webhooks(db, actor.user_id, limit=limit, cursor=cursor)


@router.get("/webhooks/{webhook_id}", operation_id="hooks_get_webhook", responses=problem_responses(*_YOURS))
async def get(actor: ReaderActor, db: DbDep, webhook_id: uuid.UUID) -> Webhook:
    """Look at a webhook: whether it works, and if not, since when and why."""
    return await service.get(db, actor.user_id, webhook_id)


@router.patch(
    "/webhooks/{webhook_id}",
    operation_id="hooks_update_webhook",
    responses=problem_responses(*BODY, *_YOURS, problems.AddressRefused),
)
async def update(
    actor: WriterActor, body: ChangeWebhook, db: DbDep, settings: SettingsDep, webhook_id: uuid.UUID
) -> Webhook:
    """Change a webhook, or switch it off and on. What is on its way goes to the new address."""
    return await service.change(db, settings, actor.user_id, webhook_id, body)


@router.delete(
    "/webhooks/{webhook_id}",
    operation_id="hooks_delete_webhook",
    status_code=204,
    responses=problem_responses(*_YOURS),
)
async def delete(actor: WriterActor, db: DbDep, webhook_id: uuid.UUID) -> None:
    """Delete a webhook, and the log of its deliveries. What is on its way is not sent."""
    await service.remove(db, actor.user_id, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/rotate-secret",
    operation_id="hooks_rotate_secret",
    dependencies=[NoStore],
    responses=problem_responses(*_YOURS),
)
async def rotate_secret(actor: WriterActor, db: DbDep, settings: SettingsDep, webhook_id: uuid.UUID) -> Secret:
    """Give a webhook another secret. All that is sent from now on is signed with it, repetitions too."""
    return await service.rotate_secret(db, settings, actor.user_id, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/test",
    operation_id="hooks_test_webhook",
    status_code=202,
    responses=problem_responses(*_YOURS),
)
async def test(actor: WriterActor, db: DbDep, webhook_id: uuid.UUID) -> Delivery:
    """Send it a `ping`. What became of that, the log of deliveries says."""
    return await service.ping(db, actor.user_id, webhook_id)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="hooks_list_deliveries",
    responses=problem_responses(*_YOURS, problems.InvalidCursor),
)
async def list_deliveries(
    actor: ReaderActor,
    db: DbDep,
    webhook_id: uuid.UUID,
    state: State | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> DeliveryList:
    """List what it was told, or is to be, newest first. The log goes back a week, unless the server says otherwise."""
    return await service.list_deliveries(db, actor.user_id, webhook_id, state=state, limit=limit, cursor=cursor)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="hooks_redeliver",
    status_code=202,
    responses=problem_responses(*_YOURS),
)
async def redeliver(actor: WriterActor, db: DbDep, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery:
    """Send a message again, whatever became of it before. Its id stays, so that a receiver can tell."""
    return await service.redeliver(db, actor.user_id, webhook_id, delivery_id)


@router.get(
    "/files/{file_id}/deliveries",
    operation_id="hooks_list_file_deliveries",
    responses=problem_responses(*_YOURS, problems.InvalidCursor),
)
async def list_file_deliveries(
    actor: ReaderActor, db: DbDep, file_id: uuid.UUID, limit: Limit = 100, cursor: str | None = None
) -> DeliveryList:
    """List what your webhooks were told of a file or folder, or are to be, newest first."""
    return await service.list_of_file(db, actor.user_id, file_id, limit=limit, cursor=cursor)
