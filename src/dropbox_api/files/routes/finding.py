"""Look up and list."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import CurrentUser
from dropbox_api.deps import DbDep
from dropbox_api.files import service
from dropbox_api.files.schemas import File, FileList
from dropbox_api.responses import problem_responses

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1000)]
_NOT_YOURS = (problems.Unauthenticated, problems.InvalidRequest, problems.NotFound)


@router.get(
    "/files",
    operation_id="files_list",
    responses=problem_responses(*_NOT_YOURS, problems.NotAFolder, problems.InvalidName, problems.InvalidCursor),
)
async def list_files(
    actor: CurrentUser,
    db: DbDep,
    parent_id: uuid.UUID | None = None,
    path: Annotated[str | None, Query(max_length=4096, examples=["/photos"])] = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> FileList:
    """List a folder by id or path (the root when neither is given), ordered by name."""
    if parent_id is not None and path is not None:
        raise problems.InvalidRequest(errors=[{"pointer": "/path", "detail": "parent_id and path exclude each other"}])
    return await service.list_children(db, actor.user_id, parent_id=parent_id, path=path, limit=limit, cursor=cursor)


@router.get(
    "/files/by-path",
    operation_id="files_get_by_path",
    responses=problem_responses(*_NOT_YOURS, problems.InvalidName),
)
async def get_by_path(
    actor: CurrentUser, db: DbDep, path: Annotated[str, Query(max_length=4096, examples=["/photos/cat.jpg"])]
) -> File:
    """Show what stands at a path."""
    return await service.get_by_path(db, actor.user_id, path)


@router.get("/files/{file_id}", operation_id="files_get", responses=problem_responses(*_NOT_YOURS))
async def get(actor: CurrentUser, db: DbDep, file_id: uuid.UUID, response: Response) -> File:
    """Show a file or folder."""
    file = await service.get(db, actor.user_id, file_id)
    response.headers["ETag"] = file.etag
    return file
