"""The two pages that the links in mails open.

Opening a page changes nothing, because mail scanners open every link: only its button does. The pages are plain HTML
forms without script or style, and send no referrer.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from dropbox_api.accounts import reset_password, verify_address
from dropbox_api.accounts.auth import PasswordsDep
from dropbox_api.accounts.routes.mail_links import SharesDep
from dropbox_api.deps import DbDep, MailerDep
from dropbox_api.problems import InvalidMailToken, Problem, WeakPassword

router = APIRouter(include_in_schema=False)

_Token = Annotated[str, Query(max_length=200)]
_SentToken = Annotated[str, Form(max_length=200)]
_NewPassword = Annotated[str, Form(max_length=1000)]

_PAGE = Environment(autoescape=True).from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<h1>{{ title }}</h1>
{% if message %}<p role="status">{{ message }}</p>{% endif %}
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


def _page(title: str, *, message: str = "", action: str = "", token: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.render(title=title, message=message, action=action, token=token), status, _HEADERS)


@router.get("/verify-email")
async def show_verification(token: _Token = "") -> HTMLResponse:
    return _page("Confirm your address", action="verify-email", token=token)


@router.post("/verify-email")
async def verify_email(token: _SentToken, db: DbDep, shares: SharesDep) -> HTMLResponse:
    try:
        await verify_address.verify_address(db, shares, token)
    except InvalidMailToken as problem:
        return _page("Confirm your address", message=f"{problem.detail}.", status=problem.status)
    return _page("Your address is confirmed")


@router.get("/reset-password")
async def show_reset(token: _Token = "") -> HTMLResponse:
    return _page("Set a new password", action="reset-password", token=token)


@router.post("/reset-password")
async def set_password(
    token: _SentToken,
    new_password: _NewPassword,
    db: DbDep,
    shares: SharesDep,
    passwords: PasswordsDep,
    mailer: MailerDep,
) -> HTMLResponse:
    title = "Set a new password"
    try:
        user_id = await reset_password.reset_password(db, passwords, shares, token, new_password)
    except WeakPassword as problem:
        message = f"{problem.title}: {problem.detail}."
        return _page(title, message=message, action="reset-password", token=token, status=problem.status)
    except Problem as problem:
        return _page(title, message=f"{problem.detail}.", status=problem.status)
    mailer.send_composed(partial(reset_password.compose_remaining, db, user_id))
    return _page("Your password is set", message="Sign in with it now: all your sign-ins have ended.")
