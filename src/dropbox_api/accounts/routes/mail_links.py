"""Verify, change or take back an address, or reset a password, by the link of a mail."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response

from dropbox_api.accounts import change_address, undo_address, verify_address
from dropbox_api.accounts import reset_password as reset
from dropbox_api.accounts.auth import CurrentUser, PasswordsDep, limited_by_user
from dropbox_api.accounts.mail_tokens import Recipient
from dropbox_api.accounts.schemas import RequestEmailChange, RequestPasswordReset, ResetPassword, VerifyEmail
from dropbox_api.accounts.shares import Shares
from dropbox_api.deps import DbDep, LimitsDep, MailerDep, SettingsDep, from_state, limited
from dropbox_api.problems import (
    EmailTaken,
    Forbidden,
    InvalidCredentials,
    InvalidMailToken,
    RateLimited,
    Unauthenticated,
    WeakPassword,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()


SharesDep = Annotated[Shares, from_state("shares")]


@router.post(
    "/auth/verify-email/request",
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
    "/auth/verify-email",
    operation_id="auth_verify_email",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken),
)
async def verify_email(body: VerifyEmail, db: DbDep, shares: SharesDep) -> None:
    """Verify your address by the token of the mail. You then have access to what was shared with the address."""
    await verify_address.verify_address(db, shares, body.token.get_secret_value())


@router.post(
    "/auth/reset-password/request",
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
    "/auth/reset-password",
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


@router.post(
    "/me/email",
    operation_id="me_request_email_change",
    status_code=202,
    response_class=Response,
    dependencies=[limited_by_user("sign_in_account")],
    responses=problem_responses(*BODY, Unauthenticated, Forbidden, InvalidCredentials, EmailTaken, RateLimited),
)
async def ask_to_change_email(
    context: CurrentUser, body: RequestEmailChange, passwords: PasswordsDep, mailer: MailerDep, limits: LimitsDep
) -> Response:
    """Request a mail to a new address; its link makes that the address of your account.

    This needs the password, or a recent sign-in or confirmation. The link ends with this sign-in. The answer is the
    same whether the address has an account or not; 409 means that it is yours already. The address that the account
    has now stays taken for 7 days if it is confirmed, and gets a mail that undoes the change.
    """
    await limits.hit("mail", str(context.actor_id))
    await limits.hit("mail", body.email)
    if not mailer.is_configured:
        detail = "This server sends no mail: ask its operator to change the address"
        raise Forbidden(detail, reason="no-mail")
    mailer.send(await change_address.request_change(context, passwords, body))
    return Response(status_code=202)


@router.post(
    "/auth/change-email",
    operation_id="auth_change_email",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken, EmailTaken),
)
async def change_email(
    body: VerifyEmail, db: DbDep, settings: SettingsDep, shares: SharesDep, mailer: MailerDep
) -> None:
    """Make the new address that of the account, by the token of the mail. Sign-ins and shares stay."""
    notice = await change_address.confirm_change(db, settings, shares, body.token.get_secret_value())
    if notice is not None:
        mailer.send(notice)


@router.post(
    "/auth/undo-email",
    operation_id="auth_undo_email_change",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken, WeakPassword),
)
async def undo_email_change(
    body: ResetPassword, db: DbDep, shares: SharesDep, passwords: PasswordsDep, mailer: MailerDep
) -> None:
    """Give the account its former address back, by the token of the notice, and set a new password.

    Every sign-in and token ends, and so do second factors, passkeys, webhooks, providers, grants and links that were
    added since the change was requested. A mail lists what still signs in.
    """
    token, password = body.token.get_secret_value(), body.new_password.get_secret_value()
    await finish_undo(await undo_address.undo_change(db, passwords, shares, token, password), db, mailer)


async def finish_undo(undone: Recipient, db: DbDep, mailer: MailerDep) -> None:
    """Send the mails after an undo, to both addresses."""
    if (lost := undo_address.compose_undone(undone)) is not None:
        mailer.send(lost)
    mailer.send_composed(partial(reset.compose_remaining, db, undone.user_id))
