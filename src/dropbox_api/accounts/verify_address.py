"""Verify the address of an account by a mail."""

import uuid

from dropbox_api.accounts import account, mail_tokens
from dropbox_api.accounts.shares import Shares, accept_shares
from dropbox_api.db import Db
from dropbox_api.models import User
from dropbox_api.plumbing.mail import Mail
from dropbox_api.settings import Settings

_TEMPLATE = mail_tokens.MailTemplate(
    subject="Confirm your address",
    text="""\
An account was registered with this address. If it is yours, confirm the address: {opened}

    {link}

The link works for {minutes} minutes. If you did not register, do nothing: an unconfirmed account gets no access to
what is shared with you.
""",
    path="/verify-email",
)


async def compose_verification(db: Db, settings: Settings, user_id: uuid.UUID) -> Mail | None:
    """Return a mail that verifies a user's address; None if it is verified. Runs in the background."""
    unverified = (User.id == user_id) & User.email_verified_at.is_(None)
    issued = await mail_tokens.issue_mail_token(db, settings.auth, "verify", unverified)
    return mail_tokens.compose_mail(settings, _TEMPLATE, issued) if issued else None


async def verify_address(db: Db, shares: Shares, token: str) -> None:
    """Record the address of the token's account as verified and accept its grants. Raises InvalidMailToken."""
    async with db.begin() as tx:
        recipient = await mail_tokens.spend_mail_token(tx, token, "verify")
        await account.record_verified_address(tx, recipient.user_id)
    await accept_shares(db, shares, recipient.user_id)
