"""Tokens in the links of mails. A token proves that its bearer reads the mail of an account's address.

It has 256 random bits, of which the database keeps the SHA-256. It is valid once, for `mail_token_ttl_s`, and only
until the next token of the same purpose is issued.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, func, insert, select, update

from dropbox_api.accounts import account
from dropbox_api.db import Db, Tx
from dropbox_api.models import MailToken, User
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import InvalidMailToken
from dropbox_api.settings import AuthSettings, Settings

Purpose = Literal["verify", "reset"]


@dataclass(frozen=True, slots=True)
class IssuedMailToken:
    email: str
    token: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """The account to whose address a valid token was sent."""

    user_id: uuid.UUID
    email: str
    email_verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class MailTemplate:
    subject: str
    text: str
    """Has the fields `opened` (what to do with the link), `link` and `minutes` (how long the link works)."""
    path: str
    """The page of this server that the link opens."""


async def issue_mail_token(
    db: Db, settings: AuthSettings, purpose: Purpose, is_recipient: ColumnElement[bool]
) -> IssuedMailToken | None:
    """Issue a token to the one active person whom the condition selects; older tokens of the purpose are void.

    Returns None if the condition selects none.
    """
    token = secrets.token_urlsafe(32)
    async with db.begin() as tx:
        query = select(User.id, User.email).where(is_recipient, User.kind == "person", User.disabled_at.is_(None))
        user = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
        if user is None:
            return None
        older = (MailToken.user_id == user.id, MailToken.purpose == purpose, MailToken.used_at.is_(None))
        await tx.execute(update(MailToken).where(*older).values(used_at=func.now()))
        values = {"token_hash": _sha256(token), "user_id": user.id, "purpose": purpose, "email": user.email}
        expires_at = func.now() + timedelta(seconds=settings.mail_token_ttl_s)
        await tx.execute(insert(MailToken).values(**values, expires_at=expires_at))
    return IssuedMailToken(user.email, token)


async def require_recipient(tx: Tx, token: str, purpose: Purpose) -> Recipient:
    """Return the recipient of a valid token. Raises InvalidMailToken. Transaction: joins tx."""
    is_valid = (
        MailToken.token_hash == _sha256(token),
        MailToken.purpose == purpose,
        MailToken.used_at.is_(None),
        MailToken.expires_at > func.now(),
        MailToken.email == User.email,
        User.disabled_at.is_(None),
    )
    query = select(User.id, User.email, User.email_verified_at).join(MailToken, MailToken.user_id == User.id)
    row = (await tx.execute(query.where(*is_valid))).one_or_none()
    if row is None:
        raise InvalidMailToken
    return Recipient(*row)


async def spend_mail_token(tx: Tx, token: str, purpose: Purpose) -> Recipient:
    """Use up a token and return its recipient. Raises InvalidMailToken.

    Transaction: joins tx, takes the user's lock.
    """
    recipient = await require_recipient(tx, token, purpose)
    await account.lock_account(tx, recipient.user_id)
    recipient = await require_recipient(tx, token, purpose)  # another request may have used it before the lock
    used = update(MailToken).where(MailToken.token_hash == _sha256(token))
    await tx.execute(used.values(used_at=func.now()))
    return recipient


def compose_mail(settings: Settings, template: MailTemplate, issued: IssuedMailToken) -> Mail:
    """Return the mail that carries a token in its link."""
    base = settings.base_url
    opened = "open this address:" if base else "open this on the address of your server:"
    link = f"{base or ''}{template.path}?token={issued.token}"
    text = template.text.format(opened=opened, link=link, minutes=settings.auth.mail_token_ttl_s // 60)
    return Mail(issued.email, template.subject, text)


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
