"""Accounts: who may sign in, and the sessions in which they are signed in.

A session is a family of refresh tokens of which only the newest is good. Whoever presents an older one is either a
thief or was robbed: the session ends, and with it every access token of it, because each request asks the database
whether its session still stands (RFC 9700 section 4.14.2).
"""

import hmac
import logging
import uuid
from datetime import timedelta

from pydantic import SecretStr
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, update

from dropbox_api.accounts import codes, password_rules
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.schemas import Account, Tokens
from dropbox_api.accounts.session_tokens import AccessTokens, Identity, RefreshToken
from dropbox_api.context import Actor, Kind, Scope
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.models import MailToken, Node, RecoveryCode, Session, User
from dropbox_api.problems import (
    Forbidden,
    InvalidCredentials,
    InvalidRefreshToken,
    RegistrationClosed,
    SecondFactorRequired,
    Unauthenticated,
)
from dropbox_api.settings import AuthSettings

REUSE_GRACE = timedelta(seconds=60)
"""A token that was replaced so shortly ago may be exchanged again: the first answer may have been lost on the way."""

FRESH = timedelta(minutes=10)
"""A sign-in so young stands for the password of an account that has none."""

_MAX_USER_AGENT_CHARS = 300

log = logging.getLogger(__name__)

GRANTABLE: tuple[Scope, ...] = ("files:read", "files:write", "share", "processing", "admin")
"""What a personal access token may be given."""


ACCOUNT = (
    User.id,
    User.email,
    User.kind,
    User.is_admin,
    User.email_verified_at,
    User.totp_enabled_at.is_not(None).label("second_factor"),
    User.password_hash.is_not(None).label("has_password"),
    User.created_at,
    User.used_bytes,
    User.reserved_bytes,
    User.quota_bytes,
    User.used_nodes,
    User.quota_nodes,
)
"""The columns that `schemas.Account` shows."""

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
    """Create an account with the default quota. `email` is in lower case.

    Raises RegistrationClosed, WeakPassword, EmailTaken. Transaction: one, after the password is hashed.
    """
    if settings.registration == "closed":
        raise RegistrationClosed
    password_rules.check(password, email)
    password_hash = await passwords.hash(password)
    async with db.begin() as tx:
        account = await insert_account(tx, settings, email=email, password_hash=password_hash)
    log.info("user %s registered", account.id)
    return account


async def insert_account(
    tx: Tx,
    settings: AuthSettings,
    *,
    email: str,
    password_hash: str | None,
    kind: Kind = "person",
    quota_bytes: int | None = None,
    quota_nodes: int | None = None,
) -> Account:
    """Create an account and its root folder. `email` is in lower case; without a password nobody signs in by one.

    People get the default quota if none is given, service accounts none: they work on the files of others.
    Raises EmailTaken. Transaction: joins tx.
    """
    is_person = kind == "person"
    default_bytes, default_nodes = (settings.default_quota_bytes, settings.default_quota_nodes) if is_person else (0, 0)
    user = {
        "id": new_id(),
        "email": email,
        "kind": kind,
        "password_hash": password_hash,
        "quota_bytes": default_bytes if quota_bytes is None else quota_bytes,
        "quota_nodes": default_nodes if quota_nodes is None else quota_nodes,
    }
    account = (await tx.execute(insert(User).values(user).returning(*ACCOUNT))).one()
    await tx.execute(insert(Node).values(id=new_id(), owner_id=account.id, kind="folder", name="", name_key=""))
    return Account(**account._asdict())


_GET_ACCOUNT = select(*ACCOUNT).where(User.id == bindparam("user_id"))


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
    otp: str | None,
    user_agent: str | None,
    address: str | None,
) -> Tokens:
    """Start a session. `email` is in lower case; `otp` is a code of the second factor, where there is one.

    Raises InvalidCredentials, the same after the same work for a wrong password and an account that is unknown,
    disabled or has no password, and for a wrong code; with the right password SecondFactorRequired and Forbidden, too.
    Transaction: none is open while the password is checked; then one, under the user's lock.
    """
    async with db.read() as tx:
        query = select(User.id, User.password_hash, User.password_changed_at)
        user = (await tx.execute(query.where(User.email == email, User.disabled_at.is_(None)))).one_or_none()
    right, better_hash = await passwords.verify(password, user.password_hash if user else None)
    if user is None or not right:
        # No word of what a stranger typed: it may be a password in the wrong field.
        log.info("sign-in refused, user %s", user.id if user else None)
        raise InvalidCredentials

    unchanged = User.password_changed_at.is_not_distinct_from(user.password_changed_at)
    async with db.begin() as tx:
        await admit(tx, settings, user.id, otp, unchanged)
        if better_hash is not None:
            same = (User.id == user.id, User.password_hash == user.password_hash)
            await tx.execute(update(User).where(*same).values(password_hash=better_hash))
        token = await begin_session(tx, settings, user.id, user_agent=user_agent, address=address)
    return tokens_for(access_tokens, user.id, token)


async def admit(
    tx: Tx, settings: AuthSettings, user_id: uuid.UUID, otp: str | None, *conditions: ColumnElement[bool]
) -> None:
    """Let in a person whose first factor was right, if the rest is: take the user's lock and use up the code.

    A code where none is needed is left alone.
    Raises SecondFactorRequired when one is needed and not there; InvalidCredentials when it is wrong or was used, and
    for a user who is disabled, no person, or does not meet the conditions; Forbidden when the address must be, and is
    not, verified. Transaction: joins tx as its first.
    """
    locked = (
        select(User.totp_enabled_at, User.email_verified_at)
        .where(User.id == user_id, User.disabled_at.is_(None), User.kind == "person", *conditions)
        .with_for_update(key_share=True)
    )
    user = (await tx.execute(locked)).one_or_none()
    if user is None:
        raise InvalidCredentials
    if user.totp_enabled_at is not None:
        if not otp:
            raise SecondFactorRequired
        if not await codes.spend(tx, settings, user_id, otp):
            log.info("user %s: wrong code of the second factor", user_id)
            raise InvalidCredentials
    if settings.require_verified_email and user.email_verified_at is None:
        raise Forbidden("Verify your address first", reason="address-not-verified")


async def begin_session(
    tx: Tx, settings: AuthSettings, user_id: uuid.UUID, *, user_agent: str | None, address: str | None
) -> RefreshToken:
    """Sign a user in who was let in (see `admit`), and return the session's first token. Transaction: joins tx."""
    token = RefreshToken.new(new_id())
    session = {
        "id": token.session_id,
        "user_id": user_id,
        "refresh_hash": token.sha256,
        "user_agent": user_agent and user_agent[:_MAX_USER_AGENT_CHARS],
        "address": address,
        "expires_at": func.now() + timedelta(seconds=min(settings.refresh_ttl_s, settings.session_max_s)),
    }
    await tx.execute(insert(Session).values(session))
    log.info("user %s signs in, session %s", user_id, token.session_id)
    return token


async def confirm(db: Db, passwords: Passwords, actor: Actor, password: SecretStr | None) -> None:
    """Make sure that it is the account's person who asks, not somebody who found the machine unlocked.

    An account without a password (OIDC alone) is asked for a fresh sign-in instead: a session younger than FRESH.
    Raises InvalidCredentials; Forbidden when the sign-in is too old. Transaction: none is open during the check.
    """
    is_fresh = (Session.created_at > func.now() - FRESH).label("is_fresh")
    query = select(User.password_hash, is_fresh).join(Session, Session.user_id == User.id)
    async with db.read() as tx:
        user = (await tx.execute(query.where(Session.id == actor.session_id, *_STANDING))).one_or_none()
    if user is None:
        raise Unauthenticated
    if user.password_hash is None:
        if not user.is_fresh:
            raise Forbidden("Sign in once more: this takes a sign-in of the last 10 minutes", reason="sign-in-too-old")
        return
    right, _ = await passwords.verify(password.get_secret_value() if password else "", user.password_hash)
    if not right:
        log.info("user %s: wrong password", actor.user_id)
        raise InvalidCredentials


async def set_password(tx: Tx, user_id: uuid.UUID, password_hash: str, *, but_session: uuid.UUID | None = None) -> None:
    """Replace the password: sessions end (but one, if given), and mails that would have set another are void.

    Personal access tokens stay: programs of one's own never knew the password. Transaction: joins tx.
    """
    values = {"password_hash": password_hash, "password_changed_at": func.now()}
    await tx.execute(update(User).where(User.id == user_id).values(values))
    await end_sessions(tx, user_id, but=but_session)
    unused = (MailToken.user_id == user_id, MailToken.purpose == "reset", MailToken.used_at.is_(None))
    await tx.execute(update(MailToken).where(*unused).values(used_at=func.now()))
    log.info("user %s has a new password", user_id)


async def prove_address(tx: Tx, user_id: uuid.UUID) -> None:
    """Note that a user reads the mail of their address, from when it is first known. Transaction: joins tx."""
    unproven = (User.id == user_id, User.email_verified_at.is_(None))
    await tx.execute(update(User).where(*unproven).values(email_verified_at=func.now()))


async def remove_second_factor(tx: Tx, user_id: uuid.UUID, *, but_session: uuid.UUID | None = None) -> None:
    """Turn the second factor off; sessions end (but one, if given). Transaction: joins tx, under the user's lock."""
    off = {"totp_secret": None, "totp_enabled_at": None, "totp_last_step": 0}
    await tx.execute(update(User).where(User.id == user_id).values(off))
    await tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await end_sessions(tx, user_id, but=but_session)
    log.info("user %s has no second factor any more", user_id)


async def end_sessions(tx: Tx, user_id: uuid.UUID, *, but: uuid.UUID | None = None) -> None:
    """End a user's sessions, at once and for their access tokens too, but for one if given. Transaction: joins tx."""
    others = (Session.user_id == user_id, Session.revoked_at.is_(None), Session.id.is_distinct_from(but))
    await tx.execute(update(Session).where(*others).values(revoked_at=func.now()))


async def refresh(db: Db, settings: AuthSettings, access_tokens: AccessTokens, *, refresh_token: str) -> Tokens:
    """Exchange the newest refresh token of a session for new tokens.

    The session lives `refresh_ttl_s` from now, but no longer than `session_max_s` from the sign-in.

    A client that lost the answer asks again: an upload of many hours must survive that. Only the newest successor is
    good, so a thief who asks right behind the owner is noticed as soon as the owner comes with the other one.

    Raises InvalidRefreshToken; when the token was replaced longer than REUSE_GRACE ago the session is revoked too.
    Transaction: one, with the session's row locked.
    """
    presented = RefreshToken.parse(refresh_token)
    if presented is None:
        raise InvalidRefreshToken
    async with db.begin() as tx:
        rotated = await _rotate(tx, settings, presented)
    # Raised out here, because a problem inside would roll the revocation back.
    if rotated is None:
        raise InvalidRefreshToken
    user_id, token = rotated
    return tokens_for(access_tokens, user_id, token)


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


async def _rotate(tx: Tx, settings: AuthSettings, presented: RefreshToken) -> tuple[uuid.UUID, RefreshToken] | None:
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
            log.info("user %s: an old refresh token came back, session %s ends", session.user_id, presented.session_id)
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
            expires_at=func.least(
                func.now() + timedelta(seconds=settings.refresh_ttl_s),
                Session.created_at + timedelta(seconds=settings.session_max_s),
            ),
        )
    )
    return session.user_id, successor


async def _revoke(tx: Tx, session_id: uuid.UUID, *conditions: ColumnElement[bool]) -> None:
    standing = (Session.id == session_id, Session.revoked_at.is_(None))
    await tx.execute(update(Session).where(*standing, *conditions).values(revoked_at=func.now()))


def tokens_for(access_tokens: AccessTokens, user_id: uuid.UUID, token: RefreshToken) -> Tokens:
    """Return what a client gets for a refresh token of this user: that, and an access token of the same session."""
    access_token = access_tokens.issue(Identity(user_id, token.session_id))
    return Tokens(access_token=access_token, expires_in=access_tokens.ttl_s, refresh_token=token.text)
