"""Turn the second factor on and off.

A secret is proposed first and confirmed by a code: an app that did not store it would lock its user out. Every change
starts with a re-authentication or a valid code, and ends the other sessions: one of them may be an attacker's.
"""

import logging
import uuid
from datetime import UTC, datetime

from sqlalchemy import Select, delete, exists, func, or_, select, update

from dropbox_api.accounts import account, sessions
from dropbox_api.accounts.factors import codes
from dropbox_api.accounts.factors.confirm import require_confirmation, require_enrolment
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import (
    ConfirmWithPassword,
    ConfirmWithSecondFactor,
    RecoveryCodes,
    SecondFactorProposal,
)
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.models import Passkey, User
from dropbox_api.plumbing import encryption
from dropbox_api.problems import InvalidCredentials, SecondFactorState
from dropbox_api.settings import AuthSettings

_EVER = datetime.min.replace(tzinfo=UTC)
_OFF = {"totp_secret": None, "totp_enabled_at": None, "totp_last_step": 0}
_WRONG_CODE = "The code is wrong or was used before: enter the current one"

log = logging.getLogger(__name__)


async def propose_secret(context: Context, passwords: Passwords, proof: ConfirmWithPassword) -> SecondFactorProposal:
    """Store a secret for an app. It has no effect before `confirm_secret`; a later proposal replaces it.

    Raises InvalidCredentials, Forbidden (see `require_confirmation`), SecondFactorState when the second factor is on.
    """
    async with context.db.read() as tx:
        await require_enrolment(tx, context.actor)
    await require_confirmation(context, passwords, proof.password)
    user_id, secret = context.actor_id, codes.make_secret()
    encrypted = encryption.encrypt_secret(context.settings.auth, codes.SECRETS, user_id, secret)
    async with context.db.begin() as tx:
        await _lock_while_off(tx, user_id)
        await tx.execute(update(User).where(User.id == user_id).values(totp_secret=encrypted))
    return SecondFactorProposal(secret=secret, otpauth_url=codes.build_otpauth_url(secret, context.actor.email))


async def confirm_secret(context: Context, code: str) -> RecoveryCodes:
    """Turn the second factor on by a code of the proposed secret; return the first recovery codes, if there are none.

    Raises SecondFactorState when it is on or no secret is proposed, InvalidCredentials for a wrong code; Forbidden (see
    `require_enrolment`), Unauthenticated.
    """
    user_id, settings = context.actor_id, context.settings.auth
    async with context.db.begin() as tx:
        await account.lock_caller(tx, context.actor)
        await require_enrolment(tx, context.actor)  # the account may have got a passkey since the proposal
        if await _lock_while_off(tx, user_id) is None:
            raise SecondFactorState("There is no secret to confirm: propose one first")
        if not await codes.spend_code(tx, settings, user_id, code):
            raise InvalidCredentials(_WRONG_CODE)
        await tx.execute(update(User).where(User.id == user_id).values(totp_enabled_at=func.now()))
        await sessions.end_sessions(tx, user_id, keep=context.actor.session_id)
        if context.actor.session_id is not None:
            await sessions.record_second_factor(tx, context.actor.session_id)
        recovery_codes = await codes.add_first_recovery_codes(tx, settings, user_id)
    log.info("user %s has a second factor", user_id)
    return RecoveryCodes(recovery_codes=recovery_codes)


async def replace_recovery_codes(
    context: Context, passwords: Passwords, proof: ConfirmWithSecondFactor
) -> RecoveryCodes:
    """Return new recovery codes; the old ones are void. Without an app, an account with passkeys needs no code.

    Raises InvalidCredentials, Forbidden (see `require_confirmation`); SecondFactorState without app and passkeys.
    """
    await require_confirmation(context, passwords, proof.password)
    user_id, settings = context.actor_id, context.settings.auth
    async with context.db.begin() as tx:
        if not await _is_off_beside_passkeys(tx, user_id):
            await _require_code(tx, settings, user_id, proof.otp)
        return RecoveryCodes(recovery_codes=await codes.replace_recovery_codes(tx, settings, user_id))


async def turn_off(context: Context, passwords: Passwords, proof: ConfirmWithSecondFactor) -> None:
    """Turn the app off: the password alone signs in again, unless the account has passkeys only.

    Raises InvalidCredentials, Forbidden (see `require_confirmation`), SecondFactorState when it is off.
    """
    await require_confirmation(context, passwords, proof.password)
    user_id, settings = context.actor_id, context.settings.auth
    async with context.db.begin() as tx:
        await _require_code(tx, settings, user_id, proof.otp)
        await tx.execute(update(User).where(User.id == user_id).values(_OFF))
        await codes.delete_needless_recovery_codes(tx, user_id)
        await sessions.end_sessions(tx, user_id, keep=context.actor.session_id)
    log.info("user %s turned the app off", user_id)


async def clear_factors(tx: Tx, user_id: uuid.UUID, since: datetime = _EVER) -> None:
    """Delete the app and the passkeys added since then, and needless recovery codes, and end the sessions.

    Transaction: joins tx, which holds the user's lock.
    """
    added = or_(User.totp_enabled_at.is_(None), User.totp_enabled_at >= since)
    await tx.execute(update(User).where(User.id == user_id, added).values(_OFF))
    await tx.execute(delete(Passkey).where(Passkey.user_id == user_id, Passkey.created_at >= since))
    has_passkeys = exists().where(Passkey.user_id == User.id)
    await tx.execute(update(User).where(User.id == user_id, ~has_passkeys).values(passkeys_only=False))
    await codes.delete_needless_recovery_codes(tx, user_id)
    await sessions.end_sessions(tx, user_id)
    log.info("second factors of user %s are removed", user_id)


async def _lock_while_off(tx: Tx, user_id: uuid.UUID) -> bytes | None:
    """Take the user's lock; return the proposed secret, encrypted. Raises SecondFactorState unless it is off."""
    secret, enabled_at = (await tx.execute(_lock_query(user_id))).one()
    if enabled_at is not None:
        raise SecondFactorState("The second factor is already on")
    return secret


async def _is_off_beside_passkeys(tx: Tx, user_id: uuid.UUID) -> bool:
    """Take the user's lock; return whether the account has passkeys and no app."""
    _, enabled_at = (await tx.execute(_lock_query(user_id))).one()
    has_passkeys = await tx.scalar(select(exists().where(Passkey.user_id == user_id)))
    return enabled_at is None and bool(has_passkeys)


async def _require_code(tx: Tx, settings: AuthSettings, user_id: uuid.UUID, code: str | None) -> None:
    """Take the user's lock and use a code up. Raises SecondFactorState when it is off, InvalidCredentials."""
    _, enabled_at = (await tx.execute(_lock_query(user_id))).one()
    if enabled_at is None:
        raise SecondFactorState("The second factor is off")
    if code is None or not await codes.spend_code(tx, settings, user_id, code):
        raise InvalidCredentials(_WRONG_CODE)


def _lock_query(user_id: uuid.UUID) -> Select[bytes | None, datetime | None]:
    query = select(User.totp_secret, User.totp_enabled_at).where(User.id == user_id)
    return query.with_for_update(key_share=True)
