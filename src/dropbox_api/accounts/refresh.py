"""Rotation of refresh tokens.

A session is a family of refresh tokens of which only the newest is valid. An older one that comes back was stolen, or
the newest one was: the session ends, and every access token with it (RFC 9700 section 4.14.2).
"""

import hmac
import logging
import uuid
from datetime import timedelta

from sqlalchemy import func, select, update

from dropbox_api.accounts import sessions
from dropbox_api.accounts.schemas import AuthTokens
from dropbox_api.accounts.session_tokens import AccessTokens, RefreshToken
from dropbox_api.db import Db, Tx
from dropbox_api.models import Session, User
from dropbox_api.problems import InvalidRefreshToken
from dropbox_api.settings import AuthSettings

REUSE_GRACE = timedelta(seconds=60)
"""How long a replaced token may be exchanged again: the client may have lost the first answer."""

log = logging.getLogger(__name__)


async def refresh_tokens(db: Db, settings: AuthSettings, access_tokens: AccessTokens, refresh_token: str) -> AuthTokens:
    """Exchange the newest refresh token of a session for new tokens.

    The session lives `refresh_ttl_s` from now, but at most `session_max_s` from the sign-in. A client that lost the
    answer repeats the request within REUSE_GRACE, because an upload of many hours must survive that. Only the latest
    successor stays valid: a thief who repeats it right after the client is detected at the client's next refresh.

    Raises InvalidRefreshToken; a token that was replaced before REUSE_GRACE also revokes the session.
    Transaction: one, with the session's row locked.
    """
    presented = RefreshToken.parse(refresh_token)
    if presented is None:
        raise InvalidRefreshToken
    async with db.begin() as tx:
        rotated = await _rotate(tx, settings, presented)
    # Raise after the transaction: a problem inside would roll the revocation back.
    if rotated is None:
        raise InvalidRefreshToken
    user_id, successor = rotated
    return access_tokens.issue_pair(user_id, successor)


async def _rotate(tx: Tx, settings: AuthSettings, presented: RefreshToken) -> tuple[uuid.UUID, RefreshToken] | None:
    """Replace the presented token and return its user and successor; None if it is not the newest of its session."""
    just_rotated = (Session.last_used_at > func.now() - REUSE_GRACE).label("just_rotated")
    row = (
        await tx.execute(
            select(Session.user_id, Session.refresh_hash, Session.previous_hash, Session.generation, just_rotated)
            .join(User, User.id == Session.user_id)
            .where(Session.id == presented.session_id, *sessions.IS_USABLE)
            .with_for_update(of=Session)
        )
    ).one_or_none()
    if row is None:
        return None
    user_id, refresh_hash, previous_hash, generation, was_just_rotated = row
    is_newest = hmac.compare_digest(refresh_hash, presented.sha256)
    is_repeated = was_just_rotated and hmac.compare_digest(previous_hash or b"", presented.sha256)
    if not is_newest and not is_repeated:
        behind = generation - presented.generation
        if behind > 1 or (behind == 1 and not was_just_rotated):
            log.info("user %s: an old refresh token came back, session %s ends", user_id, presented.session_id)
            await sessions.revoke_session(tx, presented.session_id)
        return None
    successor = RefreshToken.new(presented.session_id, generation + 1)
    await tx.execute(
        update(Session)
        .where(Session.id == presented.session_id)
        .values(
            refresh_hash=successor.sha256,
            previous_hash=presented.sha256,
            generation=successor.generation,
            # A repetition does not extend the grace period.
            last_used_at=func.now() if is_newest else Session.last_used_at,
            expires_at=func.least(
                func.now() + timedelta(seconds=settings.refresh_ttl_s),
                Session.created_at + timedelta(seconds=settings.session_max_s),
            ),
        )
    )
    return user_id, successor
