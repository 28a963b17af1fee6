"""Personal access tokens, and the tokens of service accounts: they live until they expire or are revoked.

A token is `dbx_pat_` and 256 random bits: the prefix distinguishes it from a JWT, and lets scanners for leaked secrets
find it. The database keeps only its SHA-256. No token reaches the account itself: sign-ins, tokens and credentials
need a session.
"""

import hashlib
import logging
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import func, insert, or_, select, update

from dropbox_api.accounts import schemas, sessions
from dropbox_api.accounts.factors.confirm import require_recent_confirmation
from dropbox_api.accounts.schemas import CreatedPersonalToken, CreateToken, PersonalTokenList
from dropbox_api.context import Context, Scope
from dropbox_api.db import Db, Tx, new_id, wake_readers
from dropbox_api.models import PersonalToken, User
from dropbox_api.plumbing import page_cursors
from dropbox_api.problems import Forbidden, NotFound

PREFIX = "dbx_pat_"

SERVICE_SCOPES: frozenset[Scope] = frozenset({"files:read", "files:write", "processing"})
"""The scopes that a token of a service account may have: work on files that were shared with it."""

IS_LIVE = (
    PersonalToken.revoked_at.is_(None),
    or_(PersonalToken.expires_at.is_(None), PersonalToken.expires_at > func.now()),
)

_COLUMNS = (
    PersonalToken.id,
    PersonalToken.name,
    PersonalToken.scopes,
    PersonalToken.created_at,
    PersonalToken.last_used_at,
    PersonalToken.expires_at,
)
"""The columns of `schemas.ApiToken`."""

log = logging.getLogger(__name__)


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def create_token(context: Context, new: CreateToken) -> CreatedPersonalToken:
    """Create a token of the caller.

    Raises NotFound (the account was just disabled); Forbidden (`admin` for others, and without a recent confirmation).
    """
    await require_recent_confirmation(context)
    async with context.db.begin() as tx:
        _, is_admin = await _lock_owner(tx, context.actor_id)
        await sessions.require_usable(tx, context.actor.session_id)
        if "admin" in new.scopes and not is_admin:
            raise Forbidden("Only an administrator can give the scope admin", scope="admin")
        return await _insert_token(tx, context.actor_id, new)


async def create_service_token(db: Db, user_id: uuid.UUID, new: CreateToken) -> CreatedPersonalToken:
    """Create a token of a service account. Raises NotFound; Forbidden for a person's account and for other scopes."""
    async with db.begin() as tx:
        kind, _ = await _lock_owner(tx, user_id)
        if kind != "service":
            raise Forbidden("A person creates personal tokens after signing in; this works for service accounts")
        if excess := sorted(set(new.scopes) - SERVICE_SCOPES):
            raise Forbidden(f"A service account cannot have the scope {excess[0]}", scope=excess[0])
        return await _insert_token(tx, user_id, new)


async def _lock_owner(tx: Tx, user_id: uuid.UUID) -> tuple[str, bool]:
    """Lock an active account, so that disabling it also ends the new token; return its kind and whether it is admin.

    Raises NotFound.
    """
    query = select(User.kind, User.is_admin).where(User.id == user_id, User.disabled_at.is_(None))
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    if row is None:
        raise NotFound
    return row


async def _insert_token(tx: Tx, user_id: uuid.UUID, new: CreateToken) -> CreatedPersonalToken:
    token = PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "user_id": user_id,
        "name": new.name,
        "token_hash": hash_token(token),
        "scopes": sorted(new.scopes),
        "expires_at": None if new.expires_in_s is None else func.now() + timedelta(seconds=new.expires_in_s),
    }
    row = (await tx.execute(insert(PersonalToken).values(values).returning(*_COLUMNS))).one()
    log.info("user %s has a new access token %s, good for %s", user_id, row.id, ", ".join(row.scopes))
    return CreatedPersonalToken(**row._asdict(), token=token)


async def list_tokens(db: Db, user_id: uuid.UUID, *, limit: int, cursor: str | None) -> PersonalTokenList:
    """List a user's live tokens, newest first. Raises InvalidCursor."""
    query = select(*_COLUMNS).where(PersonalToken.user_id == user_id, *IS_LIVE).order_by(PersonalToken.id.desc())
    if cursor is not None:
        query = query.where(PersonalToken.id < page_cursors.decode_id("tokens", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query.limit(limit + 1))).all()
    items = [schemas.PersonalToken(**row._asdict()) for row in rows[:limit]]
    next_cursor = page_cursors.encode_cursor("tokens", items[-1].id) if len(rows) > limit else None
    return PersonalTokenList(items=items, next_cursor=next_cursor)


async def revoke_token(db: Db, user_id: uuid.UUID, token_id: uuid.UUID) -> None:
    """End a live token of this user, at once. Raises NotFound."""
    own = (PersonalToken.id == token_id, PersonalToken.user_id == user_id, *IS_LIVE)
    async with db.begin() as tx:
        if (await tx.execute(update(PersonalToken).where(*own).values(revoked_at=func.now()))).rowcount == 0:
            raise NotFound
        wake_readers(tx, user_id)
    log.info("access token %s of user %s is revoked", token_id, user_id)


async def revoke_tokens(tx: Tx, user_id: uuid.UUID) -> None:
    """End every token of a user. Transaction: joins tx."""
    unrevoked = (PersonalToken.user_id == user_id, PersonalToken.revoked_at.is_(None))
    await tx.execute(update(PersonalToken).where(*unrevoked).values(revoked_at=func.now()))
    wake_readers(tx, user_id)
