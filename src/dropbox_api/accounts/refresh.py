"""Rotation of refresh tokens (ADR 0022).

A session is a family of refresh tokens of which only the newest is valid, and its predecessor under these rules:

- Within REUSE_GRACE it gets the same successor again: the answer was lost, or two tabs asked at once. The newest token
  of a cookie is not replaced within that time: of many tabs, none sends a token that is two refreshes old.
- Later, in a session of a cookie, it gets a new successor, and the one that was never presented becomes void: browsers
  write cookies to disk some time later, so that a killed one comes back with the old cookie.

Any other token that this server issued earlier is a copy, or the newest one is: the session ends, and every access
token with it (RFC 9700 section 4.14.2). So does a token of a cookie in a body, which no page can read, or the reverse.
"""

import hmac
import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import func, select, update

from dropbox_api.accounts import sessions
from dropbox_api.accounts.schemas import AuthTokens
from dropbox_api.accounts.session_tokens import REFRESH_KEY, AccessTokens, RefreshToken, SessionTransport
from dropbox_api.db import Db, Tx
from dropbox_api.models import Session, User
from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.problems import InvalidRefreshToken
from dropbox_api.settings import AuthSettings

REUSE_GRACE = timedelta(seconds=60)
"""How long a replaced token gets the same successor, and a new one of a cookie stays the newest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A refresh token, unchecked, and the place in the request that held it."""

    text: str
    place: Literal["body", "cookie"]


@dataclass(frozen=True, slots=True)
class _SessionRow:
    user_id: uuid.UUID
    refresh_hash: bytes
    previous_hash: bytes | None
    generation: int
    transport: SessionTransport
    is_just_rotated: bool


async def refresh_tokens(
    db: Db, settings: AuthSettings, access_tokens: AccessTokens, presented: PresentedToken
) -> tuple[AuthTokens, SessionTransport]:
    """Exchange the newest refresh token of a session, or its predecessor, for new tokens.

    The session lives `refresh_ttl_s` from now, but at most `session_max_s` from the sign-in.

    Raises InvalidRefreshToken; a token that was replaced also ends its session.
    Transaction: one, with the session's row locked. Idempotent: within REUSE_GRACE.
    """
    token = RefreshToken.parse(presented.text)
    if token is None:
        raise InvalidRefreshToken
    key = derive_key(settings, REFRESH_KEY)
    async with db.begin() as tx:
        row = await _lock_session(tx, token.session_id)
        successor = await _rotate(tx, settings, key, row, token, presented.place) if row else None
    # Raise after the transaction: a problem inside would roll the revocation back.
    if row is None or successor is None:
        raise InvalidRefreshToken
    return access_tokens.issue_pair(row.user_id, successor), row.transport


async def _lock_session(tx: Tx, session_id: uuid.UUID) -> _SessionRow | None:
    """Lock a usable session. A request that waited for the lock sees what the one before it wrote."""
    just_rotated = (Session.last_used_at > func.now() - REUSE_GRACE).label("is_just_rotated")
    query = (
        select(
            Session.user_id,
            Session.refresh_hash,
            Session.previous_hash,
            Session.generation,
            Session.transport,
            just_rotated,
        )
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id, *sessions.IS_USABLE)
        .with_for_update(of=Session)
    )
    row = (await tx.execute(query)).one_or_none()
    return _SessionRow(**row._asdict()) if row else None


async def _rotate(
    tx: Tx,
    settings: AuthSettings,
    key: bytes,
    row: _SessionRow,
    token: RefreshToken,
    place: Literal["body", "cookie"],
) -> RefreshToken | None:
    """Return the successor of a token, and record a new one; end the session of a token that must not come again."""
    is_newest = hmac.compare_digest(row.refresh_hash, token.sha256)
    is_previous = hmac.compare_digest(row.previous_hash or b"", token.sha256)
    is_in_place = (row.transport == "bearer") == (place == "body")
    if is_in_place and is_previous and row.is_just_rotated:
        same = token.make_successor(key, row.generation)
        if hmac.compare_digest(row.refresh_hash, same.sha256):
            return same
    elif is_in_place and is_newest and place == "cookie" and row.previous_hash and row.is_just_rotated:
        return token
    elif not (is_in_place and (is_newest or (is_previous and place == "cookie"))):
        # Any other token was forged by one who knows the session's id, and ends nothing.
        if is_newest or is_previous or (token.generation < row.generation and token.is_issued(key)):
            log.info("user %s: an old refresh token came back, session %s ends", row.user_id, token.session_id)
            await sessions.revoke_session(tx, token.session_id)
        return None
    successor = token.make_successor(key, row.generation + 1)
    await tx.execute(
        update(Session)
        .where(Session.id == token.session_id)
        .values(
            refresh_hash=successor.sha256,
            previous_hash=token.sha256,
            generation=successor.generation,
            last_used_at=func.now(),
            expires_at=func.least(
                func.now() + timedelta(seconds=settings.refresh_ttl_s),
                Session.created_at + timedelta(seconds=settings.session_max_s),
            ),
        )
    )
    return successor
