"""`/v1/auth/*`, `/v1/me/*` and `/v1/admin/*`: accounts and the ways to sign in to them."""

from fastapi import APIRouter

from dropbox_api.accounts.routes import (
    mail_links,
    mail_pages,
    oidc,
    passkeys,
    personal_tokens,
    second_factor,
    sessions,
    sign_in,
    users,
)

router = APIRouter(prefix="/v1")
for part in (sign_in, second_factor, passkeys, sessions, personal_tokens, mail_links, oidc, users):
    router.include_router(part.router)

pages = mail_pages.router
"""The pages that links in mails open: for people, outside of `/v1`."""
