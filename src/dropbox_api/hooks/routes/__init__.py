"""Routes of webhooks and of the object store's notifications, under `/v1`."""

from fastapi import APIRouter

from dropbox_api.hooks.routes import notifications, webhooks

router = APIRouter(prefix="/v1")
router.include_router(webhooks.router)
router.include_router(notifications.router)
