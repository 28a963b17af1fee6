"""What goes by mail: proving that one reads the mail of an address, and setting a new password by it.

A mail's link carries 256 random bits, of which the database keeps the SHA-256; they are good once, for a while, and
only until the next mail of the same purpose is asked for. `compose_*` run in the background (see `plumbing.mail`), the
search for the account included: an answer is the same, and as fast, whether there is an account or not.
"""

import contextlib
import hashlib
import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import func, insert, select, update

from dropbox_api.accounts import password_rules, service
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.db import Db, Tx
from dropbox_api.models import ApiToken, MailToken, User
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import InvalidMailToken, Unavailable
from dropbox_api.settings import Settings

Purpose = Literal["verify", "reset"]


@dataclass(frozen=True, slots=True)
class Shares:
    """What a proven address means for sharing; `app` knows who does it."""

    accept: Callable[[Db, uuid.UUID], Awaitable[int]]
    """Lets a user who has just proven the address have what was shared with it."""
    end_all: Callable[[Tx, uuid.UUID], Awaitable[None]]
    """Takes back what a user has shared. Transaction: joins tx, which holds the user's lock."""


_VERIFY = """\
Somebody, we hope you, has an account with this address. To confirm that it is yours, {opened}

    {link}

Within {minutes} minutes. If it was not you, do nothing: without your confirmation nobody gets what is shared with you.
"""

_RESET = """\
Somebody, we hope you, wants to set a new password for your account. To do so, {opened}

    {link}

Within {minutes} minutes, and once. If it was not you, do nothing: your password stays as it is.
"""


async def compose_verification(db: Db, settings: Settings, user_id: uuid.UUID) -> Mail | None:
    """Return the mail that asks a user to confirm their address; None if that is done already."""
    unproven = (User.id == user_id, User.email_verified_at.is_(None))
    token = await _issue(db, settings, "verify", unproven)
    return token and _mail(settings, token, "Confirm your address", _VERIFY, "/verify-email")


async def compose_reset(db: Db, settings: Settings, email: str) -> Mail | None:
    """Return the mail by which the owner of the account sets a new password; None if there is none."""
    token = await _issue(db, settings, "reset", (User.email == email,))
    return token and _mail(settings, token, "Set a new password", _RESET, "/reset-password")


async def verify_address(db: Db, shares: Shares, token: str) -> None:
    """Note that the reader of this mail owns the address of the account. Raises InvalidMailToken."""
    async with db.begin() as tx:
        user = await _spend(tx, token, "verify")
        await service.prove_address(tx, user.id)
    await welcome(db, shares, user.id)


async def reset_password(db: Db, passwords: Passwords, shares: Shares, token: str, password: str) -> None:
    """Set a new password and end all sessions. It proves the address, too; the second factor stays.

    Where the address was not proven before, somebody else may have registered it, and waited: their tokens, grants and
    links end as well.
    Raises InvalidMailToken, WeakPassword; the token is used up by neither. Transaction: none while hashing.
    """
    async with db.read() as tx:
        found = await _find(tx, token, "reset")
    password_rules.check(password, found.email)
    password_hash = await passwords.hash(password)
    async with db.begin() as tx:
        user = await _spend(tx, token, "reset")
        await service.set_password(tx, user.id, password_hash)
        if user.email_verified_at is None:
            standing = (ApiToken.user_id == user.id, ApiToken.revoked_at.is_(None))
            await tx.execute(update(ApiToken).where(*standing).values(revoked_at=func.now()))
            await shares.end_all(tx, user.id)
            await service.prove_address(tx, user.id)
    await welcome(db, shares, user.id)


async def welcome(db: Db, shares: Shares, user_id: uuid.UUID) -> None:
    """Let the invitations of a user who has just proven the address take effect: now, or when they look for them."""
    with contextlib.suppress(Unavailable):
        await shares.accept(db, user_id)


async def _issue(db: Db, settings: Settings, purpose: Purpose, whose: tuple[Any, ...]) -> tuple[str, str] | None:
    """Return an address and the only token of this purpose that is good for it; None if there is no such person."""
    token = secrets.token_urlsafe(32)
    async with db.begin() as tx:
        query = select(User.id, User.email).where(*whose, User.kind == "person", User.disabled_at.is_(None))
        user = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
        if user is None:
            return None
        older = (MailToken.user_id == user.id, MailToken.purpose == purpose, MailToken.used_at.is_(None))
        await tx.execute(update(MailToken).where(*older).values(used_at=func.now()))
        row = {"token_hash": _sha256(token), "user_id": user.id, "purpose": purpose, "email": user.email}
        expires_at = func.now() + timedelta(seconds=settings.auth.mail_token_ttl_s)
        await tx.execute(insert(MailToken).values(**row, expires_at=expires_at))
    return user.email, token


async def _find(tx: Tx, token: str, purpose: Purpose) -> Any:
    """Return (id, email, email_verified_at) of the user to whom a good token was sent. Raises InvalidMailToken."""
    good = (
        MailToken.token_hash == _sha256(token),
        MailToken.purpose == purpose,
        MailToken.used_at.is_(None),
        MailToken.expires_at > func.now(),
        MailToken.email == User.email,
        User.disabled_at.is_(None),
    )
    query = select(User.id, User.email, User.email_verified_at).join(MailToken, MailToken.user_id == User.id)
    user = (await tx.execute(query.where(*good))).one_or_none()
    if user is None:
        raise InvalidMailToken
    return user


async def _spend(tx: Tx, token: str, purpose: Purpose) -> Any:
    """Use a token up, under its user's lock; return the user like `_find`. Raises InvalidMailToken."""
    user = await _find(tx, token, purpose)
    await tx.execute(select(User.id).where(User.id == user.id).with_for_update(key_share=True))
    user = await _find(tx, token, purpose)  # what it was before the lock may be over
    used = update(MailToken).where(MailToken.token_hash == _sha256(token))
    await tx.execute(used.values(used_at=func.now()))
    return user


def _mail(settings: Settings, issued: tuple[str, str], subject: str, text: str, path: str) -> Mail:
    email, token = issued
    base = settings.base_url
    opened = "open this address:" if base else "open this on the address of your server:"
    minutes = settings.auth.mail_token_ttl_s // 60
    return Mail(email, subject, text.format(opened=opened, link=f"{base or ''}{path}?token={token}", minutes=minutes))


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
