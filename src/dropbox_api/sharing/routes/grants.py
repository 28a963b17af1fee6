"""Share files and folders with people."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceDep, ReaderActor, SharerActor
from dropbox_api.deps import DbDep
from dropbox_api.files.schemas import FileList
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import grants
from dropbox_api.sharing.schemas import ChangeGrant, CreateGrant, Grant, GrantList

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1000)]
_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


@router.get(
    "/files/{file_id}/grants",
    operation_id="sharing_list_grants",
    responses=problem_responses(*_NOT_YOURS, problems.InvalidCursor),
)
async def list_grants(
    actor: SharerActor, db: DbDep, file_id: uuid.UUID, limit: Limit = 100, cursor: str | None = None
) -> GrantList:
    """List with whom it is shared, by itself or with a folder above it. The owner's to see."""
    return await grants.list_grants(db, actor.user_id, file_id, limit=limit, cursor=cursor)


@router.post(
    "/files/{file_id}/grants",
    operation_id="sharing_create_grant",
    status_code=201,
    responses={
        200: {"model": Grant, "description": "It was shared with them already; they have this role now."},
        **problem_responses(
            *_NOT_YOURS, *BODY, problems.RootFolder, problems.CannotShareWith, problems.IdempotencyMismatch
        ),
    },
)
async def create_grant(
    actor: SharerActor, db: DbDep, response: Response, file_id: uuid.UUID, once: OnceDep, body: CreateGrant
) -> Grant:
    """Share it, with all that is in it, with an address or an account.

    An account that has proven its address has access at once; for any other address the grant is `pending` until
    somebody proves to own it. Whether there is an account of an address that was not proven, nobody learns.
    """
    grant, is_new = await grants.share(db, actor.user_id, file_id, body, once)
    response.status_code = 201 if is_new else 200
    return grant


@router.patch(
    "/files/{file_id}/grants/{grant_id}",
    operation_id="sharing_update_grant",
    responses=problem_responses(*_NOT_YOURS, *BODY),
)
async def update_grant(
    actor: SharerActor, db: DbDep, file_id: uuid.UUID, grant_id: uuid.UUID, body: ChangeGrant
) -> Grant:
    """Give somebody another role."""
    return await grants.change_role(db, actor.user_id, file_id, grant_id, body.role)


@router.delete(
    "/files/{file_id}/grants/{grant_id}",
    operation_id="sharing_delete_grant",
    status_code=204,
    responses=problem_responses(*_NOT_YOURS),
)
async def delete_grant(actor: SharerActor, db: DbDep, file_id: uuid.UUID, grant_id: uuid.UUID) -> None:
    """Stop sharing with somebody, as the owner; or leave, as the one it was shared with. Works at once."""
    await grants.revoke(db, actor.user_id, file_id, grant_id)


@router.get(
    "/shared-with-me",
    operation_id="sharing_list_shared_with_me",
    responses=problem_responses(
        problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.InvalidCursor
    ),
)
async def list_shared_with_me(actor: ReaderActor, db: DbDep, limit: Limit = 100, cursor: str | None = None) -> FileList:
    """List what others share with you, what was shared last first. Go on with `GET /v1/files?parent_id=`."""
    return await grants.shared_with(db, actor.user_id, limit=limit, cursor=cursor)


@router.delete(
    "/shared-with-me/{file_id}",
    operation_id="sharing_leave",
    status_code=204,
    responses=problem_responses(*_NOT_YOURS),
)
async def leave(actor: SharerActor, db: DbDep, file_id: uuid.UUID) -> None:
    """Give up what somebody shares with you. Works at once; what comes by a folder above it stays."""
    await grants.leave(db, actor.user_id, file_id)
