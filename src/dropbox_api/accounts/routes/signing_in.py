"""Registering, signing in and out, and who one is.

The token endpoint takes the form of RFC 6749, but answers errors as problem documents like every other operation.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Header, Response

from dropbox_api.accounts import service
from dropbox_api.accounts.auth import AccessTokensDep, CurrentUser, PasswordsDep
from dropbox_api.accounts.schemas import Account, PasswordGrant, Refresh, Register, Tokens
from dropbox_api.deps import DbDep, SettingsDep
from dropbox_api.problems import (
    BodyTooLarge,
    EmailTaken,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidRequest,
    RegistrationClosed,
    Unauthenticated,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()


async def _no_store(response: Response) -> None:
    """Keep tokens out of caches (RFC 6749 section 5.1)."""
    response.headers["Cache-Control"] = "no-store"


@router.post(
    "/auth/register",
    operation_id="accounts_register",
    status_code=201,
    responses=problem_responses(*BODY, EmailTaken, RegistrationClosed),
)
async def register(body: Register, db: DbDep, settings: SettingsDep, passwords: PasswordsDep) -> Account:
    """Create an account."""
    password = body.password.get_secret_value()
    return await service.register(db, settings.auth, passwords, email=body.email, password=password)


@router.post(
    "/auth/token",
    operation_id="accounts_token",
    dependencies=[Depends(_no_store)],
    responses=problem_responses(BodyTooLarge, InvalidRequest, InvalidCredentials),
)
async def token(
    *,
    form: Annotated[PasswordGrant, Form()],
    db: DbDep,
    settings: SettingsDep,
    passwords: PasswordsDep,
    access_tokens: AccessTokensDep,
    user_agent: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Tokens:
    """Sign in with address and password."""
    return await service.sign_in(
        db,
        settings.auth,
        passwords,
        access_tokens,
        email=form.username,
        password=form.password.get_secret_value(),
        user_agent=user_agent,
    )


@router.post(
    "/auth/refresh",
    operation_id="accounts_refresh",
    dependencies=[Depends(_no_store)],
    responses=problem_responses(*BODY, InvalidRefreshToken),
)
async def refresh(body: Refresh, db: DbDep, settings: SettingsDep, access_tokens: AccessTokensDep) -> Tokens:
    """Exchange the refresh token for new tokens.

    Each token is good once. For a minute it may be exchanged again, should the answer have been lost; a later second
    use ends the sign-in altogether: one of the two users is a thief.
    """
    refresh_token = body.refresh_token.get_secret_value()
    return await service.refresh(db, settings.auth, access_tokens, refresh_token=refresh_token)


@router.post("/auth/logout", operation_id="accounts_logout", status_code=204, responses=problem_responses(*BODY))
async def logout(body: Refresh, db: DbDep) -> None:
    """End the sign-in, at once and for its access tokens too. Saying it twice does no harm."""
    await service.sign_out(db, refresh_token=body.refresh_token.get_secret_value())


@router.get("/me", operation_id="accounts_me", responses=problem_responses(Unauthenticated))
async def me(actor: CurrentUser, db: DbDep) -> Account:
    """Show the account that asks, and how much of its quota is used."""
    return await service.get_account(db, actor)
