"""Re-authentication: proof that the person of the account sends this request, before a change of its credentials."""

import logging
from datetime import timedelta

from pydantic import SecretStr
from sqlalchemy import func, select

from dropbox_api.accounts import sessions
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.context import Context
from dropbox_api.models import Session, User
from dropbox_api.problems import Forbidden, InvalidCredentials, Unauthenticated

FRESH = timedelta(minutes=10)
"""A younger session replaces the password of an account without one."""

log = logging.getLogger(__name__)


async def require_confirmation(context: Context, passwords: Passwords, password: SecretStr | None) -> None:
    """Require the caller's password, or a session younger than FRESH where the account has none (OIDC alone).

    Raises InvalidCredentials; Forbidden when the sign-in is too old. Transaction: none is open during the check.
    """
    is_fresh = (Session.created_at > func.now() - FRESH).label("is_fresh")
    query = select(User.password_hash, is_fresh).join(Session, Session.user_id == User.id)
    own = (Session.id == context.actor.session_id, *sessions.IS_USABLE)
    async with context.db.read() as tx:
        user = (await tx.execute(query.where(*own))).one_or_none()
    if user is None:
        raise Unauthenticated
    if user.password_hash is None:
        if not user.is_fresh:
            detail = "This needs a sign-in of the last 10 minutes: sign in again"
            raise Forbidden(detail, reason="sign-in-too-old")
        return
    is_right, _ = await passwords.verify(password.get_secret_value() if password else "", user.password_hash)
    if not is_right:
        log.info("user %s: wrong password", context.actor_id)
        raise InvalidCredentials
