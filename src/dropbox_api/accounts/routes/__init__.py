"""`/v1/auth/*`, `/v1/me/*` and `/v1/admin/*`: accounts, and everything about signing in to them."""

from fastapi import APIRouter

from dropbox_api.accounts.routes import mailing, oidc, personal_tokens, second_factor, sessions, signing_in, users

router = APIRouter(prefix="/v1", tags=["accounts"])
for part in (signing_in, second_factor, sessions, personal_tokens, mailing, oidc, users):
    router.include_router(part.router)

pages = mailing.pages
"""What links in mails open: outside of `/v1`, for people."""
