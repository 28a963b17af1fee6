"""`/v1/files`, `/v1/folders`, `/v1/trash`, `/v1/search`: look up, change, fetch."""

from fastapi import APIRouter

from dropbox_api.files.routes import content, find, tree

router = APIRouter(prefix="/v1")
for part in (find, tree, content):
    router.include_router(part.router)
