"""The users of the server, for administrators."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api.accounts import personal_tokens, users
from dropbox_api.accounts.auth import Administrator, NoStore, PasswordsDep
from dropbox_api.accounts.schemas import (
    CreatedPersonalToken,
    CreateToken,
    CreateUser,
    ManagedUser,
    PersonalTokenList,
    UpdateUser,
    UserList,
)
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.problems import (
    EmailTaken,
    Forbidden,
    InvalidCursor,
    InvalidRequest,
    NotFound,
    Unauthenticated,
    WeakPassword,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/admin/users")
_ADMIN = (Unauthenticated, Forbidden)


@router.get(
    "",
    operation_id="admin_list_users",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_ADMIN, InvalidRequest, InvalidCursor),
)
async def list_users(
    context: Administrator,
    q: Annotated[str | None, Query(max_length=320, pattern=r"^[^\x00]*$", description="A part of the address.")] = None,
    limit: PageLimit = 100,
    cursor: str | None = None,
) -> UserList:
    """List the users, oldest first."""
    return await users.list_users(context.db, q=q, limit=limit, cursor=cursor)


@router.post(
    "",
    operation_id="admin_create_user",
    status_code=201,
    responses=problem_responses(*BODY, *_ADMIN, EmailTaken, WeakPassword),
)
async def create(context: Administrator, body: CreateUser, passwords: PasswordsDep) -> ManagedUser:
    """Create an account, also where registration is closed."""
    return await users.create_user(context.db, context.settings.auth, passwords, body)


@router.get(
    "/{user_id}",
    operation_id="admin_get_user",
    responses=problem_responses(*_ADMIN, InvalidRequest, NotFound),
)
async def get(context: Administrator, user_id: uuid.UUID) -> ManagedUser:
    """Show a user."""
    return await users.get_user(context.db, user_id)


@router.patch("/{user_id}", operation_id="admin_update_user", responses=problem_responses(*BODY, *_ADMIN, NotFound))
async def change(context: Administrator, user_id: uuid.UUID, body: UpdateUser) -> ManagedUser:
    """Change the given members.

    Disabling ends all sign-ins and access tokens at once and for good; the files stay. The last administrator can be
    neither disabled nor demoted.
    """
    return await users.change_user(context.db, user_id, body)


@router.post(
    "/{user_id}/tokens",
    operation_id="admin_create_token",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, *_ADMIN, NotFound),
)
async def create_token(context: Administrator, user_id: uuid.UUID, body: CreateToken) -> CreatedPersonalToken:
    """Create an access token for a service account, with the scopes `files:read`, `files:write` or `processing`.

    The answer shows it once; therefore this takes no `Idempotency-Key`.
    """
    return await personal_tokens.create_service_token(context.db, user_id, body)


@router.get(
    "/{user_id}/tokens",
    operation_id="admin_list_tokens",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_ADMIN, InvalidRequest, InvalidCursor, NotFound),
)
async def list_tokens(
    context: Administrator, user_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> PersonalTokenList:
    """List a user's valid access tokens, newest first."""
    await users.get_user(context.db, user_id)
    return await personal_tokens.list_tokens(context.db, user_id, limit=limit, cursor=cursor)


@router.delete(
    "/{user_id}/tokens/{token_id}",
    operation_id="admin_delete_token",
    status_code=204,
    responses=problem_responses(*_ADMIN, InvalidRequest, NotFound),
)
async def revoke_token(context: Administrator, user_id: uuid.UUID, token_id: uuid.UUID) -> None:
    """Revoke an access token of a user, at once."""
    await personal_tokens.revoke_token(context.db, user_id, token_id)
