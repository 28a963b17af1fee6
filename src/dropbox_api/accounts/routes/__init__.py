"""`/v1/auth/*`, `/v1/me/*` and `/v1/admin/*`: accounts, and everything about signing in to them."""

from fastapi import APIRouter

from dropbox_api.accounts.routes import admin, mailing, oidc, second_factor, sessions, signing_in, tokens

router = APIRouter(prefix="/v1", tags=["accounts"])
for part in (signing_in, second_factor, sessions, tokens, mailing, oidc, admin):
    router.include_router(part.router)

pages = mailing.pages
"""What links in mails open: outside of `/v1`, for people."""
