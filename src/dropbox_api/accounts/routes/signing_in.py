"""Registering, signing in and out, and who one is.

The token endpoint takes the form of RFC 6749, but answers errors as problem documents like every other operation.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form

from dropbox_api.accounts import mailing, service
from dropbox_api.accounts.auth import AccessTokensDep, CurrentUserActor, NoStore, PasswordsDep
from dropbox_api.accounts.schemas import Account, PasswordGrant, Refresh, Register, Tokens
from dropbox_api.deps import DbDep, LimitsDep, MailerDep, SettingsDep, limited
from dropbox_api.plumbing import request_source
from dropbox_api.problems import (
    BodyTooLarge,
    EmailTaken,
    Forbidden,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidRequest,
    RegistrationClosed,
    SecondFactorRequired,
    Unauthenticated,
    WeakPassword,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()


@router.post(
    "/auth/register",
    operation_id="accounts_register",
    status_code=201,
    dependencies=[limited("sign_in_address")],
    responses=problem_responses(*BODY, EmailTaken, RegistrationClosed, WeakPassword),
)
async def register(
    body: Register, db: DbDep, settings: SettingsDep, passwords: PasswordsDep, mailer: MailerDep
) -> Account:
    """Create an account, and get a mail that confirms its address."""
    password = body.password.get_secret_value()
    account = await service.register(db, settings.auth, passwords, email=body.email, password=password)
    mailer.send_composed(partial(mailing.compose_verification, db, settings, account.id))
    return account


@router.post(
    "/auth/token",
    operation_id="accounts_token",
    dependencies=[NoStore, limited("sign_in_address")],
    responses=problem_responses(BodyTooLarge, InvalidRequest, InvalidCredentials, SecondFactorRequired, Forbidden),
)
async def token(
    *,
    form: Annotated[PasswordGrant, Form()],
    db: DbDep,
    settings: SettingsDep,
    passwords: PasswordsDep,
    access_tokens: AccessTokensDep,
    limits: LimitsDep,
) -> Tokens:
    """Sign in with address and password, and a code where the account has a second factor."""
    await limits.hit("sign_in_account", form.username)
    source = request_source.get_source()
    return await service.sign_in(
        db,
        settings.auth,
        passwords,
        access_tokens,
        email=form.username,
        password=form.password.get_secret_value(),
        otp=form.otp,
        user_agent=source.user_agent,
        address=source.address,
    )


@router.post(
    "/auth/refresh",
    operation_id="accounts_refresh",
    dependencies=[NoStore],
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


@router.get("/me", operation_id="accounts_me", responses=problem_responses(Unauthenticated, Forbidden))
async def me(actor: CurrentUserActor, db: DbDep) -> Account:
    """Show the account that asks, and how much of its quota is used."""
    return await service.get_account(db, actor)
