"""Sessions: one per sign-in. A session ends at once for its access tokens too, because every request checks it."""

import logging
import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, func, insert, or_, select, update

from dropbox_api.accounts.schemas import SignInSession, SignInSessionList
from dropbox_api.accounts.session_tokens import REFRESH_KEY, RefreshToken, SessionTransport
from dropbox_api.context import Context
from dropbox_api.db import Db, Tx, new_id, wake_readers
from dropbox_api.models import Session, User
from dropbox_api.plumbing import page_cursors
from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.plumbing.request_source import RequestSource
from dropbox_api.problems import NotFound, Unauthenticated
from dropbox_api.settings import AuthSettings

IS_LIVE = (Session.revoked_at.is_(None), Session.expires_at > func.now())
IS_USABLE = (User.disabled_at.is_(None), *IS_LIVE)
"""A live session of an active account: for queries that join both."""

_SIGN_IN_COLUMNS = (Session.id, Session.user_agent, Session.address, Session.created_at, Session.last_used_at)
_MAX_USER_AGENT_CHARS = 300

log = logging.getLogger(__name__)


async def begin_session(
    tx: Tx, settings: AuthSettings, user_id: uuid.UUID, client: RequestSource, transport: SessionTransport
) -> RefreshToken:
    """Begin a session of a user whose sign-in was checked; return its first refresh token. Transaction: joins tx."""
    token = RefreshToken.new(derive_key(settings, REFRESH_KEY), new_id())
    values = {
        "id": token.session_id,
        "user_id": user_id,
        "refresh_hash": token.sha256,
        "transport": transport,
        "user_agent": client.user_agent and client.user_agent[:_MAX_USER_AGENT_CHARS],
        "address": client.address,
        "expires_at": func.now() + timedelta(seconds=min(settings.refresh_ttl_s, settings.session_max_s)),
    }
    await tx.execute(insert(Session).values(values))
    log.info("user %s signs in, session %s", user_id, token.session_id)
    return token


async def record_second_factor(tx: Tx, session_id: uuid.UUID) -> None:
    """Record that the caller of a session has just proved a second factor. Transaction: joins tx."""
    await tx.execute(update(Session).where(Session.id == session_id).values(second_factor_at=func.now()))


async def require_usable(tx: Tx, session_id: uuid.UUID | None) -> None:
    """Require that a session has not ended since its request was authenticated. Raises Unauthenticated.

    For what outlives its session. Transaction: joins tx, which holds the lock of the session's user.
    """
    usable = select(Session.id).join(User, User.id == Session.user_id).where(Session.id == session_id, *IS_USABLE)
    if await tx.scalar(usable) is None:
        raise Unauthenticated


async def list_sessions(context: Context, *, limit: int, cursor: str | None) -> SignInSessionList:
    """List the caller's live sessions, newest first. Raises InvalidCursor."""
    query = select(*_SIGN_IN_COLUMNS).where(Session.user_id == context.actor_id, *IS_LIVE)
    if cursor is not None:
        query = query.where(Session.id < page_cursors.decode_id("sign-ins", cursor))
    async with context.db.read() as tx:
        rows = (await tx.execute(query.order_by(Session.id.desc()).limit(limit + 1))).all()
    items = [SignInSession(**row._asdict(), is_current=row.id == context.actor.session_id) for row in rows[:limit]]
    next_cursor = page_cursors.encode_cursor("sign-ins", items[-1].id) if len(rows) > limit else None
    return SignInSessionList(items=items, next_cursor=next_cursor)


async def end_session(context: Context, session_id: uuid.UUID) -> None:
    """End one live session of the caller, the current one included. Raises NotFound."""
    own = (Session.id == session_id, Session.user_id == context.actor_id, *IS_LIVE)
    async with context.db.begin() as tx:
        if (await tx.execute(update(Session).where(*own).values(revoked_at=func.now()))).rowcount == 0:
            raise NotFound
        wake_readers(tx, context.actor_id)  # they see that the session has ended


async def end_other_sessions(context: Context) -> None:
    """End every session of the caller except the current one."""
    async with context.db.begin() as tx:
        await end_sessions(tx, context.actor_id, keep=context.actor.session_id)


async def end_sessions(tx: Tx, user_id: uuid.UUID, *, keep: uuid.UUID | None = None) -> None:
    """End every session of a user, except the one to `keep`. Transaction: joins tx."""
    ended = (Session.user_id == user_id, Session.revoked_at.is_(None), Session.id.is_distinct_from(keep))
    await tx.execute(update(Session).where(*ended).values(revoked_at=func.now()))
    wake_readers(tx, user_id)


async def sign_out(db: Db, settings: AuthSettings, refresh_token: str) -> None:
    """Revoke the session of a refresh token, also of one that was replaced already.

    Idempotent: a token without a live session changes nothing and gets the same answer.
    """
    token = RefreshToken.parse(refresh_token)
    if token is None:
        return
    is_own = or_(Session.refresh_hash == token.sha256, Session.previous_hash == token.sha256)
    if token.is_issued(derive_key(settings, REFRESH_KEY)):
        is_own = or_(is_own, Session.generation > token.generation)
    async with db.begin() as tx:
        await revoke_session(tx, token.session_id, is_own)


async def revoke_session(tx: Tx, session_id: uuid.UUID, *conditions: ColumnElement[bool]) -> None:
    """Revoke a session that meets the conditions. Transaction: joins tx."""
    unrevoked = (Session.id == session_id, Session.revoked_at.is_(None))
    revoked = update(Session).where(*unrevoked, *conditions).values(revoked_at=func.now()).returning(Session.user_id)
    if user_id := await tx.scalar(revoked):
        wake_readers(tx, user_id)
