"""Grants, links and shared-with-me under `/v1`; the public side at `/v1/public/links`, and its pages at `/s`."""

from fastapi import APIRouter

from dropbox_api.sharing.routes import grants, link_uploads, links, pages, public, upload_tokens

router = APIRouter()
for part in (
    grants.router,
    links.router,
    link_uploads.owner_router,
    upload_tokens.router,
    public.router,
    link_uploads.router,
):
    router.include_router(part, prefix="/v1")
router.include_router(pages.router)
