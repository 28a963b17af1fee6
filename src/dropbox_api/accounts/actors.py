"""Actors: the account for which an access token speaks, checked against the database at every request."""

import uuid
from datetime import timedelta
from typing import NamedTuple, get_args

from sqlalchemy import and_, bindparam, func, or_, select, update

from dropbox_api.accounts import personal_tokens, sessions
from dropbox_api.accounts.schemas import GrantedScope
from dropbox_api.accounts.session_tokens import AccessTokens, Identity
from dropbox_api.context import Actor, Kind, Scope
from dropbox_api.db import Db, Tx
from dropbox_api.models import PersonalToken, Session, User
from dropbox_api.problems import Unauthenticated
from dropbox_api.settings import AuthSettings

GRANTABLE: tuple[GrantedScope, ...] = get_args(GrantedScope)
"""The scopes that a personal access token may have."""

_ENROL_SCOPES: frozenset[Scope] = frozenset({"account:enrol"})
_ADMIN_SCOPES: frozenset[Scope] = frozenset({*GRANTABLE, "account", *_ENROL_SCOPES})
_USER_SCOPES: frozenset[Scope] = _ADMIN_SCOPES - {"admin"}
_RESTORE_SCOPES: frozenset[Scope] = frozenset({"account:restore"})
"""While a deletion of the account runs."""

_USE_PRECISION = timedelta(minutes=1)
"""Precision of `last_used_at`: writing it at every request would cost a row version each."""

# Built once: every request pays for one of these two queries.
_FIND_BY_SESSION = (
    select(User.email, User.kind, User.is_admin, User.purge_at, Session.second_factor_at)
    .join(Session, Session.user_id == User.id)
    .where(User.id == bindparam("user_id"), Session.id == bindparam("session_id"), *sessions.IS_USABLE)
)
_IS_USE_UNRECORDED = or_(PersonalToken.last_used_at.is_(None), PersonalToken.last_used_at < func.now() - _USE_PRECISION)
_TOKENS = (
    select(
        PersonalToken.id,
        PersonalToken.name,
        PersonalToken.scopes,
        PersonalToken.user_id,
        User.email,
        User.kind,
        User.is_admin,
    )
    .add_columns(_IS_USE_UNRECORDED.label("is_use_unrecorded"))
    .join(User, User.id == PersonalToken.user_id)
    .where(User.disabled_at.is_(None), User.purge_at.is_(None), *personal_tokens.IS_LIVE)
)
_FIND_BY_TOKEN = _TOKENS.where(PersonalToken.token_hash == bindparam("token_hash"))
_FIND_BY_TOKEN_ID = _TOKENS.where(PersonalToken.id == bindparam("token_id"))


class _TokenRow(NamedTuple):
    """A row of `_TOKENS`."""

    id: uuid.UUID
    name: str
    scopes: list[Scope]
    user_id: uuid.UUID
    email: str
    kind: Kind
    is_admin: bool
    is_use_unrecorded: bool


async def authenticate(db: Db, settings: AuthSettings, access_tokens: AccessTokens, token: str) -> Actor:
    """Return the actor of an access token of either kind. Raises Unauthenticated."""
    if token.startswith(personal_tokens.PREFIX):
        return await authenticate_token(db, token)
    return await authenticate_session(db, settings, access_tokens.require(token))


async def authenticate_session(db: Db, settings: AuthSettings, identity: Identity) -> Actor:
    """Return the actor of a session. Raises Unauthenticated when the account or the session has ended. One query.

    Where the settings demand a second factor, a session without one has only the scope to set one up.
    """
    async with db.read() as tx:
        actor = await _find_by_session(tx, identity, demands_factor=settings.require_second_factor)
    if actor is None:
        raise Unauthenticated
    return actor


async def _find_by_session(tx: Tx, identity: Identity, *, demands_factor: bool) -> Actor | None:
    user = (await tx.execute(_FIND_BY_SESSION, identity._asdict())).one_or_none()
    if user is None:
        return None
    scopes = _ADMIN_SCOPES if user.is_admin else _USER_SCOPES
    if user.purge_at is not None:
        scopes = _RESTORE_SCOPES
    elif demands_factor and user.second_factor_at is None:
        scopes = _ENROL_SCOPES
    return Actor(identity.user_id, user.email, user.kind, user.is_admin, scopes, identity.session_id)


async def authenticate_token(db: Db, token: str) -> Actor:
    """Return the actor of a personal token. Raises Unauthenticated when the token or its account has ended.

    One query, and an update once a minute.
    """
    async with db.read() as tx:
        row = (await tx.execute(_FIND_BY_TOKEN, {"token_hash": personal_tokens.hash_token(token)})).one_or_none()
    if row is None:
        raise Unauthenticated
    if row.is_use_unrecorded:
        async with db.begin() as tx:
            unrecorded = (PersonalToken.id == row.id, _IS_USE_UNRECORDED)
            await tx.execute(update(PersonalToken).where(*unrecorded).values(last_used_at=func.now()))
    return _make_token_actor(_TokenRow._make(row))


def _make_token_actor(row: _TokenRow) -> Actor:
    scopes: frozenset[Scope] = frozenset(row.scopes) - (frozenset() if row.is_admin else {"admin"})
    return Actor(row.user_id, row.email, row.kind, row.is_admin, scopes, None, row.name, row.id)


IS_MAKER_UNENDED = f"""(
    EXISTS (SELECT FROM sessions WHERE sessions.id = links.session_id AND {and_(*sessions.IS_LIVE)})
    OR EXISTS (SELECT FROM api_tokens WHERE api_tokens.id = links.token_id AND {and_(*personal_tokens.IS_LIVE)})
)"""
"""SQL condition on `links`: the sign-in or personal token that made an upload token has not ended. It asks nothing
about the account."""


async def require_unended(tx: Tx, actor: Actor) -> None:
    """Require that the sign-in or token of a request has not ended since it was authenticated.

    For what outlives it: whatever ends sign-ins and tokens also ends what they made, and must miss nothing.
    Raises Unauthenticated. Transaction: joins tx, which holds the lock of the actor's account.
    """
    if await find_actor(tx, actor.user_id, session_id=actor.session_id, token_id=actor.token_id) is None:
        raise Unauthenticated


async def find_actor(
    tx: Tx, user_id: uuid.UUID, *, session_id: uuid.UUID | None, token_id: uuid.UUID | None
) -> Actor | None:
    """Return the actor whom a session or a personal token made, while it lasts: for what must end with it.

    A demanded second factor is not asked for again: only a sign-in with it could make what ends.
    """
    if session_id is not None:
        return await _find_by_session(tx, Identity(user_id, session_id), demands_factor=False)
    row = (await tx.execute(_FIND_BY_TOKEN_ID, {"token_id": token_id})).one_or_none()
    return _make_token_actor(_TokenRow._make(row)) if row and row.user_id == user_id else None
