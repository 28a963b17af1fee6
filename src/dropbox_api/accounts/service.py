"""Accounts: who may sign in, and the sessions in which they are signed in.

A session is a family of refresh tokens of which only the newest is good. Whoever presents an older one is either a
thief or was robbed: the session ends, and with it every access token of it, because each request asks the database
whether its session still stands (RFC 9700 section 4.14.2).
"""

import hmac
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import ColumnElement, bindparam, func, insert, or_, select, update

from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.schemas import Account, Tokens
from dropbox_api.accounts.tokens import AccessTokens, Identity, RefreshToken
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.models import Node, Session, User
from dropbox_api.problems import InvalidCredentials, InvalidRefreshToken, RegistrationClosed, Unauthenticated
from dropbox_api.settings import AuthSettings

REUSE_GRACE = timedelta(seconds=60)
"""A token that was replaced so shortly ago may be exchanged again: the first answer may have been lost on the way."""

_MAX_USER_AGENT_CHARS = 300


Scope = Literal["files:read", "files:write", "share", "processing", "admin", "account"]
"""What a token is good for. `account` (sign-ins, tokens, second factor, password) no access token of long life has."""

GRANTABLE: tuple[Scope, ...] = ("files:read", "files:write", "share", "processing", "admin")
"""What a personal access token may be given."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: an active account, in a session that stands or with a token that does."""

    user_id: uuid.UUID
    email: str
    kind: Literal["person", "service"]
    is_admin: bool
    scopes: frozenset[Scope]
    session_id: uuid.UUID | None
    """None: they came with an access token of their own making."""


_ACCOUNT = (
    User.id,
    User.email,
    User.created_at,
    User.used_bytes,
    User.reserved_bytes,
    User.quota_bytes,
    User.used_nodes,
    User.quota_nodes,
)

_STANDING = (User.disabled_at.is_(None), Session.revoked_at.is_(None), Session.expires_at > func.now())

_OF_ADMINS: frozenset[Scope] = frozenset({*GRANTABLE, "account"})
_OF_PEOPLE: frozenset[Scope] = _OF_ADMINS - {"admin"}

# Built once: this is the one query that every request pays for.
_FIND_ACTOR = (
    select(User.email, User.kind, User.is_admin)
    .join(Session, Session.user_id == User.id)
    .where(User.id == bindparam("user_id"), Session.id == bindparam("session_id"), *_STANDING)
)


async def authenticate(db: Db, identity: Identity) -> Actor:
    """Return who an access token speaks for. Raises Unauthenticated when the account or the session has ended."""
    async with db.read() as tx:
        user = (await tx.execute(_FIND_ACTOR, identity._asdict())).one_or_none()
    if user is None:
        raise Unauthenticated
    scopes = _OF_ADMINS if user.is_admin else _OF_PEOPLE
    return Actor(identity.user_id, user.email, user.kind, user.is_admin, scopes, identity.session_id)


async def register(db: Db, settings: AuthSettings, passwords: Passwords, *, email: str, password: str) -> Account:
    """Create an account with the default quota and its root folder. `email` is case-folded.

    Raises RegistrationClosed, EmailTaken. Transaction: one, for both rows.
    """
    if settings.registration == "closed":
        raise RegistrationClosed
    password_hash = await passwords.hash(password)
    user = {
        "id": new_id(),
        "email": email,
        "password_hash": password_hash,
        "quota_bytes": settings.default_quota_bytes,
        "quota_nodes": settings.default_quota_nodes,
    }
    async with db.begin() as tx:
        account = (await tx.execute(insert(User).values(user).returning(*_ACCOUNT))).one()
        await tx.execute(insert(Node).values(id=new_id(), owner_id=account.id, kind="folder", name="", name_key=""))
    return Account(**account._asdict())


_GET_ACCOUNT = select(*_ACCOUNT).where(User.id == bindparam("user_id"))


async def get_account(db: Db, actor: Actor) -> Account:
    """Return the actor's own account with its usage."""
    async with db.read() as tx:
        account = (await tx.execute(_GET_ACCOUNT, {"user_id": actor.user_id})).one()
    return Account(**account._asdict())


async def sign_in(
    db: Db,
    settings: AuthSettings,
    passwords: Passwords,
    access_tokens: AccessTokens,
    *,
    email: str,
    password: str,
    user_agent: str | None,
) -> Tokens:
    """Start a session. `email` is case-folded.

    Raises InvalidCredentials, the same after the same work for a wrong password and an unknown or disabled account.
    Transaction: none is open while the password is checked.
    """
    async with db.read() as tx:
        query = select(User.id, User.password_hash).where(User.email == email, User.disabled_at.is_(None))
        user = (await tx.execute(query)).one_or_none()
    right, better_hash = await passwords.verify(password, user.password_hash if user else None)
    if user is None or not right:
        raise InvalidCredentials

    token = RefreshToken.new(new_id())
    async with db.begin() as tx:
        if better_hash is not None:
            unchanged = (User.id == user.id, User.password_hash == user.password_hash)
            await tx.execute(update(User).where(*unchanged).values(password_hash=better_hash))
        session = {
            "id": token.session_id,
            "user_id": user.id,
            "refresh_hash": token.sha256,
            "user_agent": user_agent and user_agent[:_MAX_USER_AGENT_CHARS],
            "expires_at": func.now() + timedelta(seconds=settings.refresh_ttl_s),
        }
        await tx.execute(insert(Session).values(session))
    return _tokens(access_tokens, user.id, token)


async def refresh(db: Db, settings: AuthSettings, access_tokens: AccessTokens, *, refresh_token: str) -> Tokens:
    """Exchange the newest refresh token of a session for new tokens; the session lives `refresh_ttl_s` from now.

    A client that lost the answer asks again: an upload of many hours must survive that. Only the newest successor is
    good, so a thief who asks right behind the owner is noticed as soon as the owner comes with the other one.

    Raises InvalidRefreshToken; when the token was replaced longer than REUSE_GRACE ago the session is revoked too.
    Transaction: one, with the session's row locked.
    """
    presented = RefreshToken.parse(refresh_token)
    if presented is None:
        raise InvalidRefreshToken
    async with db.begin() as tx:
        rotated = await _rotate(tx, presented, timedelta(seconds=settings.refresh_ttl_s))
    # Raised out here, because a problem inside would roll the revocation back.
    if rotated is None:
        raise InvalidRefreshToken
    user_id, token = rotated
    return _tokens(access_tokens, user_id, token)


async def sign_out(db: Db, *, refresh_token: str) -> None:
    """Revoke the session of a refresh token, of an already replaced one too.

    Idempotent: a token that names no session that stands changes nothing, and nobody is told.
    """
    token = RefreshToken.parse(refresh_token)
    if token is None:
        return
    ours = or_(Session.refresh_hash == token.sha256, Session.generation > token.generation)
    async with db.begin() as tx:
        await _revoke(tx, token.session_id, ours)


async def _rotate(tx: Tx, presented: RefreshToken, ttl: timedelta) -> tuple[uuid.UUID, RefreshToken] | None:
    """Replace the presented token and return its user and successor; None if it is not the newest of its session."""
    just_rotated = (Session.last_used_at > func.now() - REUSE_GRACE).label("just_rotated")
    session = (
        await tx.execute(
            select(Session.user_id, Session.refresh_hash, Session.previous_hash, Session.generation, just_rotated)
            .join(User, User.id == Session.user_id)
            .where(Session.id == presented.session_id, *_STANDING)
            .with_for_update(of=Session)
        )
    ).one_or_none()
    if session is None:
        return None
    is_newest = hmac.compare_digest(session.refresh_hash, presented.sha256)
    asks_again = session.just_rotated and hmac.compare_digest(session.previous_hash or b"", presented.sha256)
    if not is_newest and not asks_again:
        behind = session.generation - presented.generation
        if behind > 1 or (behind == 1 and not session.just_rotated):
            await _revoke(tx, presented.session_id)
        return None
    successor = RefreshToken.new(presented.session_id, session.generation + 1)
    await tx.execute(
        update(Session)
        .where(Session.id == presented.session_id)
        .values(
            refresh_hash=successor.sha256,
            previous_hash=presented.sha256,
            generation=successor.generation,
            # Asking again does not prolong the time in which one may.
            last_used_at=func.now() if is_newest else Session.last_used_at,
            expires_at=func.now() + ttl,
        )
    )
    return session.user_id, successor


async def _revoke(tx: Tx, session_id: uuid.UUID, *conditions: ColumnElement[bool]) -> None:
    standing = (Session.id == session_id, Session.revoked_at.is_(None))
    await tx.execute(update(Session).where(*standing, *conditions).values(revoked_at=func.now()))


def _tokens(access_tokens: AccessTokens, user_id: uuid.UUID, token: RefreshToken) -> Tokens:
    access_token = access_tokens.issue(Identity(user_id, token.session_id))
    return Tokens(access_token=access_token, expires_in=access_tokens.ttl_s, refresh_token=token.text)
