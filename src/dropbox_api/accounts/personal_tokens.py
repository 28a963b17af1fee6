"""Access tokens of long life: people's own, and those of service accounts.

A token is `dbx_pat_` and 256 random bits: the prefix tells it from a JWT, and lets scanners for leaked secrets find
it. The database keeps its SHA-256 alone. None is good for the account itself: what signs in, makes tokens or sets
passwords is done by somebody who signed in.
"""

import hashlib
import logging
import secrets
import uuid
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Row, bindparam, func, insert, or_, select, update

from dropbox_api.accounts.schemas import ApiToken as Shown
from dropbox_api.accounts.schemas import CreatedToken, TokenList
from dropbox_api.context import Actor, Scope
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.models import ApiToken, User
from dropbox_api.plumbing import page_cursors
from dropbox_api.problems import Forbidden, NotFound, Unauthenticated

PREFIX = "dbx_pat_"

FOR_SERVICES: frozenset[Scope] = frozenset({"files:read", "files:write", "processing"})
"""What a token of a service account may be good for: work on files that were shared with it."""

_USED_TO = timedelta(minutes=1)
"""How exactly `last_used_at` is kept: a row a request would be too much."""

_SHOWN = (ApiToken.id, ApiToken.name, ApiToken.scopes, ApiToken.created_at, ApiToken.last_used_at, ApiToken.expires_at)
_STANDING = (ApiToken.revoked_at.is_(None), or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > func.now()))
_UNNOTED = or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < func.now() - _USED_TO)

log = logging.getLogger(__name__)

_FIND_ACTOR = (
    select(ApiToken.id, ApiToken.scopes, ApiToken.user_id, User.email, User.kind, User.is_admin)
    .add_columns(_UNNOTED.label("unnoted"))
    .join(User, User.id == ApiToken.user_id)
    .where(ApiToken.token_hash == bindparam("token_hash"), User.disabled_at.is_(None), *_STANDING)
)


async def authenticate(db: Db, token: str) -> Actor:
    """Return who the token speaks for. Raises Unauthenticated when it is none, or it or its account has ended.

    One query; once a minute an update, too.
    """
    async with db.read() as tx:
        found = (await tx.execute(_FIND_ACTOR, {"token_hash": _sha256(token)})).one_or_none()
    if found is None:
        raise Unauthenticated
    if found.unnoted:
        async with db.begin() as tx:
            noted = update(ApiToken).where(ApiToken.id == found.id, _UNNOTED).values(last_used_at=func.now())
            await tx.execute(noted)
    scopes: frozenset[Scope] = frozenset(found.scopes) - (frozenset() if found.is_admin else {"admin"})
    return Actor(found.user_id, found.email, found.kind, found.is_admin, scopes, session_id=None)


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def create_token(
    db: Db, actor: Actor, *, name: str, scopes: Collection[Scope], expires_in_s: int | None
) -> CreatedToken:
    """Make a token of the actor's own. Raises Forbidden for `admin` when they are none."""
    async with db.begin() as tx:
        user = await _lock(tx, actor.user_id)
        if "admin" in scopes and not user.is_admin:
            raise Forbidden("Only an administrator can give the scope admin", scope="admin")
        return await _create(tx, actor.user_id, name=name, scopes=scopes, expires_in_s=expires_in_s)


async def create_service_token(
    db: Db, user_id: uuid.UUID, *, name: str, scopes: Collection[Scope], expires_in_s: int | None
) -> CreatedToken:
    """Make a token of a service account. Raises NotFound; Forbidden for a person's account and for other scopes."""
    async with db.begin() as tx:
        user = await _lock(tx, user_id)
        if user.kind != "service":
            raise Forbidden("People make their own tokens")
        if beyond := sorted(set(scopes) - FOR_SERVICES):
            raise Forbidden(f"A service account cannot have the scope {beyond[0]}", scope=beyond[0])
        return await _create(tx, user_id, name=name, scopes=scopes, expires_in_s=expires_in_s)


async def _lock(tx: Tx, user_id: uuid.UUID) -> Row[str, bool]:
    """Take the user's lock: what disables them ends this token, too. Raises NotFound when they are disabled already."""
    active = (User.id == user_id, User.disabled_at.is_(None))
    user = (
        await tx.execute(select(User.kind, User.is_admin).where(*active).with_for_update(key_share=True))
    ).one_or_none()
    if user is None:
        raise NotFound
    return user


async def _create(
    tx: Tx, user_id: uuid.UUID, *, name: str, scopes: Collection[Scope], expires_in_s: int | None
) -> CreatedToken:
    token = PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "user_id": user_id,
        "name": name,
        "token_hash": _sha256(token),
        "scopes": sorted(scopes),
        "expires_at": None if expires_in_s is None else func.now() + timedelta(seconds=expires_in_s),
    }
    row = (await tx.execute(insert(ApiToken).values(values).returning(*_SHOWN))).one()
    log.info("user %s has a new access token %s, good for %s", user_id, row.id, ", ".join(row.scopes))
    return CreatedToken(**row._asdict(), token=token)


async def list_tokens(db: Db, user_id: uuid.UUID, *, limit: int, cursor: str | None) -> TokenList:
    """List a user's tokens that are good, newest first. Raises InvalidCursor."""
    query = select(*_SHOWN).where(ApiToken.user_id == user_id, *_STANDING).order_by(ApiToken.id.desc())
    if cursor is not None:
        query = query.where(ApiToken.id < page_cursors.decode_id("tokens", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query.limit(limit + 1))).all()
    items = [Shown(**row._asdict()) for row in rows[:limit]]
    return TokenList(
        items=items, next_cursor=page_cursors.encode_cursor("tokens", items[-1].id) if len(rows) > limit else None
    )


async def revoke_token(db: Db, user_id: uuid.UUID, token_id: uuid.UUID) -> None:
    """End a token of this user, at once. Raises NotFound when there is none that is good."""
    theirs = (ApiToken.id == token_id, ApiToken.user_id == user_id, *_STANDING)
    async with db.begin() as tx:
        if (await tx.execute(update(ApiToken).where(*theirs).values(revoked_at=func.now()))).rowcount == 0:
            raise NotFound
    log.info("access token %s of user %s is revoked", token_id, user_id)
