"""The caller's sessions and password."""

import uuid

from fastapi import APIRouter

from dropbox_api.accounts import sessions
from dropbox_api.accounts.auth import CurrentUser, PasswordsDep, limited_by_user
from dropbox_api.accounts.factors import change_password as password_change
from dropbox_api.accounts.schemas import SignInSessionList, UpdatePassword
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.problems import (
    Forbidden,
    InvalidCredentials,
    InvalidCursor,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unauthenticated,
    WeakPassword,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/me")
_ACCOUNT = (Unauthenticated, Forbidden)


@router.get(
    "/sessions",
    operation_id="me_list_sessions",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_ACCOUNT, InvalidRequest, InvalidCursor),
)
async def list_sessions(context: CurrentUser, limit: PageLimit = 100, cursor: str | None = None) -> SignInSessionList:
    """List your sign-ins, newest first."""
    return await sessions.list_sessions(context, limit=limit, cursor=cursor)


@router.delete(
    "/sessions", operation_id="me_delete_other_sessions", status_code=204, responses=problem_responses(*_ACCOUNT)
)
async def end_others(context: CurrentUser) -> None:
    """End every sign-in except the current one, at once."""
    await sessions.end_other_sessions(context)


@router.delete(
    "/sessions/{session_id}",
    operation_id="me_delete_session",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, InvalidRequest, NotFound),
)
async def end(context: CurrentUser, session_id: uuid.UUID) -> None:
    """End one sign-in, at once."""
    await sessions.end_session(context, session_id)


@router.put(
    "/password",
    operation_id="me_update_password",
    status_code=204,
    dependencies=[limited_by_user("sign_in_account")],
    responses=problem_responses(*BODY, *_ACCOUNT, InvalidCredentials, WeakPassword, RateLimited),
)
async def change_password(context: CurrentUser, body: UpdatePassword, passwords: PasswordsDep) -> None:
    """Replace the password. All other sign-ins end; personal access tokens stay.

    An account without a password sets its first one here, within ten minutes of signing in.
    """
    await password_change.change_password(context, passwords, body)
