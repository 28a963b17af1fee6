"""Reset a forgotten password by a mail."""

import uuid
from urllib.parse import urlsplit

from sqlalchemy import delete, select

from dropbox_api.accounts import account, mail_tokens, personal_tokens, undo_links
from dropbox_api.accounts.factors import second_factor
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.shares import Shares, accept_shares
from dropbox_api.db import Db
from dropbox_api.models import OidcIdentity, Passkey, PersonalToken, User, Webhook
from dropbox_api.plumbing.mail import Mail
from dropbox_api.settings import Settings

_TEMPLATE = mail_tokens.MailTemplate(
    subject="Set a new password",
    text="""\
A new password was requested for your account. To set it, {opened}

    {link}

The link works once, for {minutes} minutes. If you did not request it, do nothing: your password stays.
""",
    path="/reset-password",
)


_REMAINING = """\
Your password was reset, and all sign-ins have ended. These still work:

{lines}

Remove what you do not know.
"""


async def compose_reset(db: Db, settings: Settings, email: str) -> Mail | None:
    """Return a mail that resets the password of an account; None if there is no such account.

    The reader of an address that an account had until lately gets the mail that undoes the change instead.
    Runs in the background, the search for the account included: the answer and its time are equal for all.
    """
    if issued := await mail_tokens.issue_mail_token(db, settings.auth, "reset", User.email == email):
        return mail_tokens.compose_mail(settings, _TEMPLATE, issued)
    undo = await undo_links.replace_undo_link(db, email)
    return undo_links.compose_undo(settings, undo) if undo else None


async def reset_password(db: Db, passwords: Passwords, shares: Shares, token: str, password: str) -> uuid.UUID:
    """Set a new password and end all sessions; return the account. This also verifies the address.

    If the address was not verified before, a stranger may have registered the account in advance: its second factors,
    passkeys, tokens, webhooks, grants and links end as well. Otherwise they stay.
    Raises InvalidMailToken, WeakPassword; neither uses the token up. Transaction: none while hashing.
    """
    password_hash = await mail_tokens.hash_new_password(db, passwords, token, "reset", password)
    async with db.begin() as tx:
        recipient = await mail_tokens.spend_mail_token(tx, token, "reset")
        await account.set_password(tx, recipient.user_id, password_hash)
        if recipient.email_verified_at is None:
            await second_factor.clear_factors(tx, recipient.user_id)
            await personal_tokens.revoke_tokens(tx, recipient.user_id)
            await tx.execute(delete(Webhook).where(Webhook.user_id == recipient.user_id))
            await shares.revoke_all(tx, recipient.user_id, None)
            await account.record_verified_address(tx, recipient.user_id)
    await accept_shares(db, shares, recipient.user_id)
    return recipient.user_id


async def compose_remaining(db: Db, user_id: uuid.UUID) -> Mail | None:
    """Return a mail that lists what still gives access after a reset; None if nothing does. Runs in the background."""
    account_row = select(User.email, User.totp_enabled_at.is_not(None).label("has_app")).where(User.id == user_id)
    passkeys = select(Passkey.name).where(Passkey.user_id == user_id).order_by(Passkey.id)
    providers = select(OidcIdentity.issuer).where(OidcIdentity.user_id == user_id).order_by(OidcIdentity.issuer)
    webhooks = select(Webhook.url).where(Webhook.user_id == user_id).order_by(Webhook.id)
    tokens = select(PersonalToken.name).where(PersonalToken.user_id == user_id, *personal_tokens.IS_LIVE)
    async with db.read() as tx:
        email, has_app = (await tx.execute(account_row)).one()
        remaining = ["the authenticator app and the recovery codes"] if has_app else []
        remaining += [f"passkey {name}" for name in (await tx.execute(passkeys)).scalars()]
        remaining += [
            f"access token {name}" for name in (await tx.execute(tokens.order_by(PersonalToken.id))).scalars()
        ]
        remaining += [f"sign-in at {issuer}" for issuer in (await tx.execute(providers)).scalars()]
        # Path and query may hold a secret of the receiver.
        remaining += [f"webhook to {urlsplit(url).hostname}" for url in (await tx.execute(webhooks)).scalars()]
    if not remaining:
        return None
    lines = "\n".join(f"- {line}" for line in remaining)
    return Mail(email, "Your password was reset", _REMAINING.format(lines=lines))
