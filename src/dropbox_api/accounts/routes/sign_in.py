"""Register, sign in and out, and show the caller's account.

The token endpoint takes the form of RFC 6749, but answers errors as problem documents like every other operation.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from dropbox_api.accounts import account, sessions, sign_in_options, verify_address
from dropbox_api.accounts import refresh as rotation
from dropbox_api.accounts import register as registration
from dropbox_api.accounts import sign_in as signing_in
from dropbox_api.accounts.auth import AccessTokensDep, AnyCaller, CurrentUser, NoStore, PasswordsDep
from dropbox_api.accounts.routes import session_cookies
from dropbox_api.accounts.routes.session_cookies import SessionHeader, TokenAnswerDep
from dropbox_api.accounts.schemas import (
    Account,
    AuthTokens,
    RefreshTokens,
    RegisterAccount,
    SignInForm,
    SignInOptions,
    UpdateAccount,
)
from dropbox_api.deps import DbDep, LimitsDep, MailerDep, SettingsDep, limited
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
    operation_id="auth_register",
    status_code=201,
    dependencies=[limited("register_address")],
    responses=problem_responses(*BODY, EmailTaken, RegistrationClosed, WeakPassword),
)
async def register(
    body: RegisterAccount, db: DbDep, settings: SettingsDep, passwords: PasswordsDep, mailer: MailerDep
) -> Account:
    """Create an account. The server sends a mail that verifies its address."""
    password = body.password.get_secret_value()
    created = await registration.register_account(db, settings.auth, passwords, email=body.email, password=password)
    mailer.send_composed(partial(verify_address.compose_verification, db, settings, created.id))
    return created


@router.get("/auth/options", operation_id="auth_get_options", responses=problem_responses())
async def show_options(db: DbDep, settings: SettingsDep, mailer: MailerDep) -> SignInOptions:
    """Show the ways to register and to sign in."""
    return await sign_in_options.show_options(db, settings, mailer)


@router.post(
    "/auth/token",
    operation_id="auth_sign_in",
    dependencies=[NoStore, limited("sign_in_address")],
    responses=problem_responses(BodyTooLarge, InvalidRequest, InvalidCredentials, SecondFactorRequired, Forbidden),
)
async def token(
    *,
    form: Annotated[SignInForm, Form()],
    db: DbDep,
    settings: SettingsDep,
    passwords: PasswordsDep,
    access_tokens: AccessTokensDep,
    limits: LimitsDep,
    answer: TokenAnswerDep,
) -> AuthTokens:
    """Sign in with address and password, and a code where the account has a second factor."""
    await limits.hit("sign_in_account", form.username)
    tokens = await signing_in.sign_in(db, settings.auth, passwords, access_tokens, form, answer.transport)
    return await answer.compose(tokens)


@router.post(
    "/auth/refresh",
    operation_id="auth_refresh",
    response_model=AuthTokens,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, Forbidden, InvalidRefreshToken)
    | {204: {"description": "A page of this server sent no session cookie: the browser has no session."}},
)
async def refresh(
    *,
    request: Request,
    response: Response,
    db: DbDep,
    settings: SettingsDep,
    access_tokens: AccessTokensDep,
    x_session: SessionHeader = None,
    body: RefreshTokens | None = None,
) -> AuthTokens | Response:
    """Exchange the refresh token for new tokens.

    Each token is valid once. For a minute it may be exchanged again for the same one, in case the answer was lost. A
    later second use ends the sign-in, because the token was stolen; a cookie may come again until its successor did.
    """
    presented = session_cookies.read_token(request, x_session, body)
    if presented is None:
        return Response(status_code=204)
    tokens, transport = await rotation.refresh_tokens(db, settings.auth, access_tokens, presented)
    if transport == "bearer":
        return tokens
    return session_cookies.set_cookie(request, response, tokens, transport)


@router.post(
    "/auth/logout", operation_id="auth_sign_out", status_code=204, responses=problem_responses(*BODY, Forbidden)
)
async def logout(
    *,
    request: Request,
    response: Response,
    db: DbDep,
    settings: SettingsDep,
    x_session: SessionHeader = None,
    body: RefreshTokens | None = None,
) -> None:
    """End the sign-in, at once and for its access tokens too, and delete its cookie. Idempotent."""
    presented = session_cookies.read_token(request, x_session, body)
    if presented is None:
        return
    await sessions.sign_out(db, settings.auth, presented.text)
    if presented.place == "cookie":
        session_cookies.delete_cookie(request, response)


@router.get("/me", operation_id="me_get", responses=problem_responses(Unauthenticated))
async def me(context: AnyCaller) -> Account:
    """Show your account, and how much of its quota is used.

    A personal access token of any scope gets all but how the account signs in.
    """
    return await account.get_account(context)


@router.patch("/me", operation_id="me_update", responses=problem_responses(*BODY, Unauthenticated, Forbidden))
async def change_me(context: CurrentUser, body: UpdateAccount) -> Account:
    """Set or remove your display name. People with whom you share see it beside your address."""
    return await account.change_account(context, body)
