"""Grants, links and shared-with-me under `/v1`; the public side at `/v1/public/links`, and its pages at `/s`."""

from fastapi import APIRouter

from dropbox_api.sharing.routes import grants, links, pages, public

router = APIRouter()
for part in (grants, links, public):
    router.include_router(part.router, prefix="/v1")
router.include_router(pages.router)
