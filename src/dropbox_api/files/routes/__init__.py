"""`/v1/files`, `/v1/folders`, `/v1/trash`, `/v1/search`: look up, change, fetch."""

from fastapi import APIRouter

from dropbox_api.files.routes import archives, content, copies, find, tree, usage

router = APIRouter(prefix="/v1")
for part in (find, tree, copies, content, archives, usage):
    router.include_router(part.router)
