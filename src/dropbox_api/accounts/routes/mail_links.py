"""Verify an address or reset a password by the link of a mail."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response

from dropbox_api.accounts import reset_password as reset
from dropbox_api.accounts import verify_address
from dropbox_api.accounts.auth import CurrentUser, PasswordsDep
from dropbox_api.accounts.schemas import RequestPasswordReset, ResetPassword, VerifyEmail
from dropbox_api.accounts.shares import Shares
from dropbox_api.deps import DbDep, LimitsDep, MailerDep, SettingsDep, from_state, limited
from dropbox_api.problems import Forbidden, InvalidMailToken, RateLimited, Unauthenticated, WeakPassword
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/auth")


SharesDep = Annotated[Shares, from_state("shares")]


@router.post(
    "/verify-email/request",
    operation_id="auth_request_email_verification",
    status_code=202,
    response_class=Response,
    responses=problem_responses(Unauthenticated, Forbidden, RateLimited),
)
async def ask_to_verify_email(context: CurrentUser, mailer: MailerDep, limits: LimitsDep) -> Response:
    """Request the mail that verifies your address again, unless it is verified. The link in an older mail is void."""
    await limits.hit("mail", context.actor.email)
    compose = partial(verify_address.compose_verification, context.db, context.settings, context.actor_id)
    mailer.send_composed(compose)
    return Response(status_code=202)


@router.post(
    "/verify-email",
    operation_id="auth_verify_email",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken),
)
async def verify_email(body: VerifyEmail, db: DbDep, shares: SharesDep) -> None:
    """Verify your address by the token of the mail. You then have access to what was shared with the address."""
    await verify_address.verify_address(db, shares, body.token.get_secret_value())


@router.post(
    "/reset-password/request",
    operation_id="auth_request_password_reset",
    status_code=202,
    response_class=Response,
    dependencies=[limited("reset_address")],
    responses=problem_responses(*BODY, RateLimited),
)
async def ask_to_reset_password(
    body: RequestPasswordReset, db: DbDep, settings: SettingsDep, mailer: MailerDep, limits: LimitsDep
) -> Response:
    """Request a mail that sets a new password. The answer is the same whether the account exists or not."""
    await limits.hit("mail", body.email)
    mailer.send_composed(partial(reset.compose_reset, db, settings, body.email))
    return Response(status_code=202)


@router.post(
    "/reset-password",
    operation_id="auth_reset_password",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken, WeakPassword),
)
async def reset_password(
    body: ResetPassword, db: DbDep, shares: SharesDep, passwords: PasswordsDep, mailer: MailerDep
) -> None:
    """Set a new password by the token of the mail. Every sign-in ends.

    Second factor, passkeys and tokens of a confirmed address stay, and a mail lists them. Those of an unconfirmed one
    end.
    """
    token, password = body.token.get_secret_value(), body.new_password.get_secret_value()
    user_id = await reset.reset_password(db, passwords, shares, token, password)
    mailer.send_composed(partial(reset.compose_remaining, db, user_id))
