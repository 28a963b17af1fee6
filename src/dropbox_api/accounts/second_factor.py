"""Turn the second factor on and off: proposed, then confirmed by a code, for else a slip would lock its owner out.

Whoever turns it either way proves first that they are the account's person (`service.confirm`), and all other sign-ins
end: one of them may be what made them do it.
"""

import uuid
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy import Row, delete, func, insert, select, update

from dropbox_api.accounts import codes, service
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.schemas import RecoveryCodes, SecondFactorProposal
from dropbox_api.context import Actor
from dropbox_api.db import Db, Tx
from dropbox_api.models import RecoveryCode, User
from dropbox_api.plumbing import encryption
from dropbox_api.problems import InvalidCredentials, SecondFactorState
from dropbox_api.settings import AuthSettings

_WRONG_CODE = "The code is wrong, or was used before"


async def propose(
    db: Db, settings: AuthSettings, passwords: Passwords, actor: Actor, password: SecretStr | None
) -> SecondFactorProposal:
    """Make a secret for an app. Nothing is on before `confirm`; a later proposal replaces this one.

    Raises InvalidCredentials, Forbidden (see `service.confirm`), SecondFactorState when it is on.
    """
    await service.confirm(db, passwords, actor, password)
    secret = codes.new_secret()
    sealed = encryption.encrypt_secret(settings, codes.SECRETS, actor.user_id, secret)
    async with db.begin() as tx:
        await _lock(tx, actor.user_id, on=False)
        await tx.execute(update(User).where(User.id == actor.user_id).values(totp_secret=sealed))
    return SecondFactorProposal(secret=secret, otpauth_url=codes.otpauth_url(secret, actor.email))


async def confirm(db: Db, settings: AuthSettings, actor: Actor, code: str) -> RecoveryCodes:
    """Turn it on with a code of the app that has the proposed secret, and return the recovery codes.

    Raises SecondFactorState when it is on or nothing is proposed, InvalidCredentials for a wrong code.
    """
    async with db.begin() as tx:
        user = await _lock(tx, actor.user_id, on=False)
        if user.totp_secret is None:
            raise SecondFactorState("Ask for a secret first")
        if not await codes.spend(tx, settings, actor.user_id, code):
            raise InvalidCredentials(_WRONG_CODE)
        await tx.execute(update(User).where(User.id == actor.user_id).values(totp_enabled_at=func.now()))
        await service.end_sessions(tx, actor.user_id, but=actor.session_id)
        recovery_codes = await _replace_recovery_codes(tx, settings, actor.user_id)
    service.log.info("user %s has a second factor", actor.user_id)
    return recovery_codes


async def replace_recovery_codes(
    db: Db, settings: AuthSettings, passwords: Passwords, actor: Actor, password: SecretStr | None, otp: str
) -> RecoveryCodes:
    """Return new recovery codes; the old ones are void.

    Raises InvalidCredentials, Forbidden (see `service.confirm`), SecondFactorState when it is off.
    """
    await service.confirm(db, passwords, actor, password)
    async with db.begin() as tx:
        await _spend(tx, settings, actor.user_id, otp)
        return await _replace_recovery_codes(tx, settings, actor.user_id)


async def turn_off(
    db: Db, settings: AuthSettings, passwords: Passwords, actor: Actor, password: SecretStr | None, otp: str
) -> None:
    """Turn it off: the password alone is enough again.

    Raises InvalidCredentials, Forbidden (see `service.confirm`), SecondFactorState when it is off.
    """
    await service.confirm(db, passwords, actor, password)
    async with db.begin() as tx:
        await _spend(tx, settings, actor.user_id, otp)
        await service.remove_second_factor(tx, actor.user_id, but_session=actor.session_id)


async def _lock(tx: Tx, user_id: uuid.UUID, *, on: bool) -> Row[bytes | None, datetime | None]:
    """Take the user's lock. Raises SecondFactorState unless the second factor is on, or off, as it must be."""
    columns = (User.totp_secret, User.totp_enabled_at)
    user = (await tx.execute(select(*columns).where(User.id == user_id).with_for_update(key_share=True))).one()
    if (user.totp_enabled_at is not None) is not on:
        raise SecondFactorState("It is off" if on else "It is on already")
    return user


async def _spend(tx: Tx, settings: AuthSettings, user_id: uuid.UUID, otp: str) -> None:
    await _lock(tx, user_id, on=True)
    if not await codes.spend(tx, settings, user_id, otp):
        raise InvalidCredentials(_WRONG_CODE)


async def _replace_recovery_codes(tx: Tx, settings: AuthSettings, user_id: uuid.UUID) -> RecoveryCodes:
    await tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    new = codes.new_recovery_codes()
    rows = [{"user_id": user_id, "code_hash": codes.recovery_hash(settings, code)} for code in new]
    await tx.execute(insert(RecoveryCode), rows)
    return RecoveryCodes(recovery_codes=new)
