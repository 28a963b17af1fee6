"""What goes by mail: confirming an address, setting a new password; and the two pages that the links in mails open.

Opening a page changes nothing, for mail scanners open every link: its button does. The pages are plain HTML forms, no
script and no style, and tell nobody where one came from.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from dropbox_api.accounts import mailing
from dropbox_api.accounts.auth import CurrentUserActor, PasswordsDep
from dropbox_api.accounts.schemas import AskForReset, ResetPassword, VerifyEmail
from dropbox_api.deps import DbDep, LimitsDep, MailerDep, SettingsDep, limited
from dropbox_api.problems import Forbidden, InvalidMailToken, Problem, RateLimited, Unauthenticated, WeakPassword
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/auth")
pages = APIRouter(include_in_schema=False)


@router.post(
    "/verify-email/request",
    operation_id="accounts_ask_to_verify_email",
    status_code=202,
    response_class=Response,
    responses=problem_responses(Unauthenticated, Forbidden, RateLimited),
)
async def ask_to_verify_email(
    actor: CurrentUserActor, db: DbDep, settings: SettingsDep, mailer: MailerDep, limits: LimitsDep
) -> Response:
    """Get the mail once more that confirms your address, unless it is confirmed. The link in an older one is void."""
    await limits.hit("mail", actor.email)
    mailer.send_composed(partial(mailing.compose_verification, db, settings, actor.user_id))
    return Response(status_code=202)


@router.post(
    "/verify-email",
    operation_id="accounts_verify_email",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken),
)
async def verify_email(body: VerifyEmail, request: Request, db: DbDep) -> None:
    """Confirm your address by the token of the mail. What was shared with the address is yours then."""
    await mailing.verify_address(db, request.app.state.shares, body.token.get_secret_value())


@router.post(
    "/reset-password/request",
    operation_id="accounts_ask_to_reset_password",
    status_code=202,
    response_class=Response,
    dependencies=[limited("sign_in_address")],
    responses=problem_responses(*BODY, RateLimited),
)
async def ask_to_reset_password(
    body: AskForReset, db: DbDep, settings: SettingsDep, mailer: MailerDep, limits: LimitsDep
) -> Response:
    """Get a mail by which you set a new password. The answer is the same whether there is such an account or not."""
    await limits.hit("mail", body.email)
    mailer.send_composed(partial(mailing.compose_reset, db, settings, body.email))
    return Response(status_code=202)


@router.post(
    "/reset-password",
    operation_id="accounts_reset_password",
    status_code=204,
    responses=problem_responses(*BODY, InvalidMailToken, WeakPassword),
)
async def reset_password(body: ResetPassword, request: Request, db: DbDep, passwords: PasswordsDep) -> None:
    """Set a new password by the token of the mail. Every sign-in ends; a second factor stays."""
    token, password = body.token.get_secret_value(), body.new_password.get_secret_value()
    await mailing.reset_password(db, passwords, request.app.state.shares, token, password)


_Token = Annotated[str, Query(max_length=200)]
_SentToken = Annotated[str, Form(max_length=200)]

_PAGE = Environment(autoescape=True).from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<h1>{{ title }}</h1>
{% if said %}<p role="status">{{ said }}</p>{% endif %}
{% if action %}
<form method="post" action="{{ action }}">
<input type="hidden" name="token" value="{{ token }}">
{% if action == "reset-password" %}
<p><label>New password, 8 characters or more
<input type="password" name="new_password" autocomplete="new-password" minlength="8" maxlength="128"
required></label></p>
{% endif %}
<button>{{ title }}</button>
</form>
{% endif %}
</html>
""")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _page(title: str, *, said: str = "", action: str = "", token: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.render(title=title, said=said, action=action, token=token), status, _HEADERS)


@pages.get("/verify-email")
async def verify_email_page(token: _Token = "") -> HTMLResponse:
    return _page("Confirm your address", action="verify-email", token=token)


@pages.post("/verify-email")
async def verify_email_by_page(token: _SentToken, request: Request, db: DbDep) -> HTMLResponse:
    try:
        await mailing.verify_address(db, request.app.state.shares, token)
    except InvalidMailToken as problem:
        return _page("Confirm your address", said=f"{problem.detail}.", status=problem.status)
    return _page("Your address is confirmed")


@pages.get("/reset-password")
async def reset_password_page(token: _Token = "") -> HTMLResponse:
    return _page("Set a new password", action="reset-password", token=token)


@pages.post("/reset-password")
async def reset_password_by_page(
    token: _SentToken,
    new_password: Annotated[str, Form(max_length=1000)],
    request: Request,
    db: DbDep,
    passwords: PasswordsDep,
) -> HTMLResponse:
    title = "Set a new password"
    try:
        await mailing.reset_password(db, passwords, request.app.state.shares, token, new_password)
    except WeakPassword as problem:
        said = f"{problem.title}: {problem.detail}."
        return _page(title, said=said, action="reset-password", token=token, status=problem.status)
    except Problem as problem:
        return _page(title, said=f"{problem.detail}.", status=problem.status)
    return _page("Your password is set", said="Sign in with it now: you were signed out everywhere.")
