"""Where one is signed in, and the password."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api.accounts import signins
from dropbox_api.accounts.auth import CurrentUserActor, PasswordsDep, limited_by_user
from dropbox_api.accounts.schemas import ChangePassword, SignInList
from dropbox_api.deps import DbDep
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
    operation_id="accounts_list_sessions",
    responses=problem_responses(*_ACCOUNT, InvalidRequest, InvalidCursor),
)
async def list_sessions(
    actor: CurrentUserActor, db: DbDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
) -> SignInList:
    """List where you are signed in, newest first."""
    return await signins.list_sign_ins(db, actor, limit=limit, cursor=cursor)


@router.delete(
    "/sessions", operation_id="accounts_end_other_sessions", status_code=204, responses=problem_responses(*_ACCOUNT)
)
async def end_others(actor: CurrentUserActor, db: DbDep) -> None:
    """End every sign-in but the one that asks, at once."""
    await signins.end_others(db, actor)


@router.delete(
    "/sessions/{session_id}",
    operation_id="accounts_end_session",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, InvalidRequest, NotFound),
)
async def end(actor: CurrentUserActor, db: DbDep, session_id: uuid.UUID) -> None:
    """End one sign-in, at once."""
    await signins.end(db, actor, session_id)


@router.put(
    "/password",
    operation_id="accounts_change_password",
    status_code=204,
    dependencies=[limited_by_user("sign_in_account")],
    responses=problem_responses(*BODY, *_ACCOUNT, InvalidCredentials, WeakPassword, RateLimited),
)
async def change_password(actor: CurrentUserActor, body: ChangePassword, db: DbDep, passwords: PasswordsDep) -> None:
    """Replace the password. All other sign-ins end; personal access tokens stay.

    An account without a password sets its first one so, within ten minutes of signing in.
    """
    await signins.change_password(
        db,
        passwords,
        actor,
        current_password=body.current_password,
        new_password=body.new_password,
    )
