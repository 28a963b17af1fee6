"""Confirmation: proof that the person of the account sends this request, before a change of its credentials.

A confirmation by password or passkey, like the sign-in itself, is valid for FRESH and for its session.
"""

import logging
import uuid
from datetime import timedelta

from pydantic import SecretStr
from sqlalchemy import func, select, update

from dropbox_api.accounts import account, sessions
from dropbox_api.accounts.factors import assertion, challenges, codes
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.factors.schemas import ConfirmSession, PasskeyAssertion, PasskeyRequestOptions
from dropbox_api.context import Actor, Context
from dropbox_api.db import Tx
from dropbox_api.models import Session, User
from dropbox_api.problems import Forbidden, InvalidCredentials, InvalidPasskey, Unauthenticated

FRESH = timedelta(minutes=10)
"""How long a sign-in or a confirmation permits changes of credentials."""

log = logging.getLogger(__name__)


async def begin_confirmation(context: Context) -> PasskeyRequestOptions:
    """Return a challenge for a passkey of the caller. Raises PasskeysUnavailable."""
    return await challenges.make_request_options(context.db, context.settings, "confirmation", context.actor.session_id)


async def confirm_session(context: Context, passwords: Passwords, proof: ConfirmSession) -> None:
    """Confirm the caller's session for FRESH by password or passkey; prove its second factor by passkey or code.

    Raises InvalidCredentials, InvalidPasskey, PasskeysUnavailable.
    """
    if proof.passkey is not None:
        await _confirm_by_passkey(context, proof.passkey)
    if proof.otp is not None:
        await _prove_code(context, proof.otp)
    if proof.password is not None:
        await _require_password(context, passwords, proof.password)
        async with context.db.begin() as tx:
            await _record_confirmation(tx, context.actor.session_id)


async def _prove_code(context: Context, otp: str) -> None:
    async with context.db.begin() as tx:
        await account.lock_account(tx, context.actor_id)
        if not await codes.spend_code(tx, context.settings.auth, context.actor_id, otp):
            raise InvalidCredentials("The code is wrong or was used before: enter the current one")
        if context.actor.session_id is not None:
            await sessions.record_second_factor(tx, context.actor.session_id)


async def _confirm_by_passkey(context: Context, credential: PasskeyAssertion) -> None:
    session_id = context.actor.session_id
    if session_id is None:
        raise Unauthenticated
    async with context.db.begin() as tx:
        user_id = await assertion.use_passkey(tx, context.settings, credential, "confirmation", session_id)
        if user_id != context.actor_id:
            raise InvalidPasskey
        await _record_confirmation(tx, session_id)
        await sessions.record_second_factor(tx, session_id)


async def _record_confirmation(tx: Tx, session_id: uuid.UUID | None) -> None:
    await tx.execute(update(Session).where(Session.id == session_id).values(confirmed_at=func.now()))


async def require_confirmation(context: Context, passwords: Passwords, password: SecretStr | None) -> None:
    """Require the caller's password; where the request or the account has none, a recent confirmation.

    Raises InvalidCredentials; Forbidden as `require_recent_confirmation`. Transaction: none is open during the check.
    """
    async with context.db.read() as tx:
        has_password = await tx.scalar(select(User.password_hash.is_not(None)).where(User.id == context.actor_id))
    if password is None or not has_password:
        await require_recent_confirmation(context)
    else:
        await _require_password(context, passwords, password)


async def require_recent_confirmation(context: Context) -> None:
    """Require that the caller's session began or was confirmed within FRESH. Raises Forbidden, Unauthenticated."""
    is_fresh = (func.greatest(Session.created_at, Session.confirmed_at) > func.now() - FRESH).label("is_fresh")
    query = select(is_fresh).join(User, User.id == Session.user_id)
    async with context.db.read() as tx:
        session = (await tx.execute(query.where(Session.id == context.actor.session_id, *sessions.IS_USABLE))).all()
    if not session:
        raise Unauthenticated
    if not session[0].is_fresh:
        detail = "Confirm first with your password or a passkey (POST /v1/me/confirm), or sign in again"
        raise Forbidden(detail, reason="sign-in-too-old")


async def require_enrolment(tx: Tx, actor: Actor) -> None:
    """Require that the caller may set up a second factor: a session without a demanded one may not, if there is one.

    Otherwise such a session would replace the factor that it lacks. Raises Forbidden. Transaction: joins tx.
    """
    if "account" in actor.scopes:
        return
    if await tx.scalar(select(codes.has_factor(actor.user_id))):
        detail = "The account has a second factor: confirm with it first (POST /v1/me/confirm)"
        raise Forbidden(detail, reason="second-factor-missing")


async def _require_password(context: Context, passwords: Passwords, password: SecretStr) -> None:
    async with context.db.read() as tx:
        stored = await tx.scalar(select(User.password_hash).where(User.id == context.actor_id))
    is_right, _ = await passwords.verify(password.get_secret_value(), stored)
    if not is_right:
        log.info("user %s: wrong password", context.actor_id)
        raise InvalidCredentials
