"""Tokens in the links of mails. A token proves that its bearer reads the mail of an address.

It has 256 random bits, of which the database keeps the SHA-256. It is valid once, for `mail_token_ttl_s`, and only
until the next token of the same purpose is issued. Tokens that undo a change of address live longer, and several
beside each other (`undo_links`).
"""

import hashlib
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, exists, func, insert, select, update

from dropbox_api.accounts import account, sessions
from dropbox_api.accounts.factors import password_rules
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.db import Db, Tx
from dropbox_api.models import MailToken, Session, User
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import InvalidMailToken
from dropbox_api.settings import AuthSettings, Settings

Purpose = Literal["verify", "reset", "change", "undo"]

_IS_OF_ACCOUNT = MailToken.email == User.email
_IS_REQUESTED_BY_LIVE_SESSION = exists().where(
    Session.id == MailToken.session_id, Session.user_id == MailToken.user_id, *sessions.IS_LIVE
)
_CONDITIONS: Mapping[Purpose, Sequence[ColumnElement[bool]]] = {
    "verify": [_IS_OF_ACCOUNT],
    "reset": [_IS_OF_ACCOUNT],
    "change": [_IS_REQUESTED_BY_LIVE_SESSION],
    "undo": [],
}


@dataclass(frozen=True, slots=True)
class IssuedMailToken:
    email: str
    token: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """The account of a valid token."""

    user_id: uuid.UUID
    email: str
    """The address to which the token was sent."""
    issued_at: datetime
    current_email: str
    """The address of the account, which is another one before a change and its undo."""
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
    async with db.begin() as tx:
        query = select(User.id, User.email).where(is_recipient, User.kind == "person", User.disabled_at.is_(None))
        user = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
        return await replace_mail_token(tx, settings, purpose, user.id, user.email) if user else None


async def replace_mail_token(
    tx: Tx,
    settings: AuthSettings,
    purpose: Purpose,
    user_id: uuid.UUID,
    email: str,
    *,
    session_id: uuid.UUID | None = None,
) -> IssuedMailToken:
    """Issue a token of an account for this address; older ones of the purpose are void.

    Transaction: joins tx, which holds the user's lock.
    """
    older = (MailToken.user_id == user_id, MailToken.purpose == purpose, MailToken.used_at.is_(None))
    await tx.execute(update(MailToken).where(*older).values(used_at=func.now()))
    token = make_token()
    values = {"token_hash": hash_token(token), "user_id": user_id, "purpose": purpose, "email": email}
    expires_at = func.now() + timedelta(seconds=settings.mail_token_ttl_s)
    await tx.execute(insert(MailToken).values(**values, session_id=session_id, expires_at=expires_at))
    return IssuedMailToken(email, token)


async def require_recipient(tx: Tx, token: str, purpose: Purpose) -> Recipient:
    """Return the recipient of a valid token. Raises InvalidMailToken. Transaction: joins tx."""
    is_valid = (
        MailToken.token_hash == hash_token(token),
        MailToken.purpose == purpose,
        MailToken.used_at.is_(None),
        MailToken.expires_at > func.now(),
        User.disabled_at.is_(None),
        *_CONDITIONS[purpose],
    )
    columns = (User.id, MailToken.email, MailToken.created_at, User.email, User.email_verified_at)
    query = select(*columns).join(MailToken, MailToken.user_id == User.id)
    row = (await tx.execute(query.where(*is_valid))).one_or_none()
    if row is None:
        raise InvalidMailToken
    return Recipient(*row)


async def hash_new_password(db: Db, passwords: Passwords, token: str, purpose: Purpose, password: str) -> str:
    """Return the hash of a password that the bearer of a token chose, without using the token up.

    Raises InvalidMailToken, WeakPassword. Transaction: none while hashing.
    """
    async with db.read() as tx:
        email = (await require_recipient(tx, token, purpose)).email
    password_rules.require_strong(password, email)
    return await passwords.hash(password)


async def spend_mail_token(tx: Tx, token: str, purpose: Purpose) -> Recipient:
    """Use up a token and return its recipient. Raises InvalidMailToken.

    Transaction: joins tx, takes the user's lock.
    """
    recipient = await require_recipient(tx, token, purpose)
    await account.lock_account(tx, recipient.user_id)
    recipient = await require_recipient(tx, token, purpose)  # another request may have used it before the lock
    used = update(MailToken).where(MailToken.token_hash == hash_token(token))
    await tx.execute(used.values(used_at=func.now()))
    return recipient


def compose_mail(settings: Settings, template: MailTemplate, issued: IssuedMailToken, **more: str) -> Mail:
    """Return the mail that carries a token in its link; `more` are further fields of the template."""
    base = settings.base_url
    opened = "open this address:" if base else "open this on the address of your server:"
    link = f"{base or ''}{template.path}?token={issued.token}"
    text = template.text.format(opened=opened, link=link, minutes=settings.auth.mail_token_ttl_s // 60, **more)
    return Mail(issued.email, template.subject, text)


def make_token() -> str:
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
