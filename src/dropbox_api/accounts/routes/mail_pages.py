"""The pages that the links in mails open.

Opening a page changes nothing, because mail scanners open every link: only its button does. The pages are plain HTML
forms without script or style, and send no referrer.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from dropbox_api.accounts import change_address, reset_password, undo_address, verify_address
from dropbox_api.accounts.auth import PasswordsDep
from dropbox_api.accounts.routes.mail_links import SharesDep, finish_undo
from dropbox_api.deps import DbDep, MailerDep, SettingsDep
from dropbox_api.problems import Problem, WeakPassword

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
{% if action in ("reset-password", "undo-email") %}
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


def _refuse(title: str, problem: Problem, action: str = "", token: str = "") -> HTMLResponse:
    """Return the page that tells a problem; after a weak password its form takes another one."""
    if isinstance(problem, WeakPassword):
        message = f"{problem.title}: {problem.detail}."
        return _page(title, message=message, action=action, token=token, status=problem.status)
    return _page(title, message=f"{problem.detail}.", status=problem.status)


@router.get("/verify-email")
async def show_verification(token: _Token = "") -> HTMLResponse:
    return _page("Confirm your address", action="verify-email", token=token)


@router.post("/verify-email")
async def verify_email(token: _SentToken, db: DbDep, shares: SharesDep) -> HTMLResponse:
    try:
        await verify_address.verify_address(db, shares, token)
    except Problem as problem:
        return _refuse("Confirm your address", problem)
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
    try:
        user_id = await reset_password.reset_password(db, passwords, shares, token, new_password)
    except Problem as problem:
        return _refuse("Set a new password", problem, "reset-password", token)
    mailer.send_composed(partial(reset_password.compose_remaining, db, user_id))
    return _page("Your password is set", message="Sign in with it now: all your sign-ins have ended.")


@router.get("/change-email")
async def show_change(token: _Token = "") -> HTMLResponse:
    return _page("Confirm your new address", action="change-email", token=token)


@router.post("/change-email")
async def change_email(
    token: _SentToken, db: DbDep, settings: SettingsDep, shares: SharesDep, mailer: MailerDep
) -> HTMLResponse:
    try:
        notice = await change_address.confirm_change(db, settings, shares, token)
    except Problem as problem:
        return _refuse("Confirm your new address", problem)
    if notice is not None:
        mailer.send(notice)
    return _page("Your account has its new address", message="Sign in with it from now on.")


_UNDO = "Undo the change of your address"
_UNDO_EFFECT = (
    "Your account gets this address back and a new password. All sign-ins and tokens end, and so do the passkeys,"
    " second factors, webhooks, shares and links that were added since the change."
)


@router.get("/undo-email")
async def show_undo(token: _Token = "") -> HTMLResponse:
    return _page(_UNDO, message=_UNDO_EFFECT, action="undo-email", token=token)


@router.post("/undo-email")
async def undo_email(
    token: _SentToken,
    new_password: _NewPassword,
    db: DbDep,
    shares: SharesDep,
    passwords: PasswordsDep,
    mailer: MailerDep,
) -> HTMLResponse:
    try:
        undone = await undo_address.undo_change(db, passwords, shares, token, new_password)
    except Problem as problem:
        return _refuse(_UNDO, problem, "undo-email", token)
    await finish_undo(undone, db, mailer)
    return _page("Your account has its address back", message="Sign in with it and the new password.")
