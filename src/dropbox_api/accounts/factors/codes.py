"""The codes of a second factor: make, store and use up.

Time-based codes follow RFC 6238 with the parameters of authenticator apps: SHA-1, 30 seconds, 6 digits. One step early
or late passes, because clocks differ. A recovery code replaces a time-based one, once. A copy of the database alone is
useless: secrets are encrypted and bound to their user, recovery codes are stored as HMACs. Changing the server's secret
therefore voids every second factor.
"""

import hmac
import secrets
import time
import uuid

import pyotp
from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update

from dropbox_api.db import Tx
from dropbox_api.models import Passkey, RecoveryCode, User
from dropbox_api.plumbing import encryption
from dropbox_api.settings import AuthSettings

STEP_S = 30
RECOVERY_CODES = 10
SECRETS = "totp secrets"
"""The purpose for which they are encrypted."""

_WINDOW_STEPS = 1
_DIGITS = 6
_ISSUER = "dropbox-api"
# Without characters that look alike on paper: 31^12 is 59 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_CHARS = 3, 4


def make_secret() -> str:
    """Return a secret for an app, 160 random bits in base32."""
    return pyotp.random_base32()


def build_otpauth_url(secret: str, email: str) -> str:
    """Return the URL in a secret's QR code (the Key URI format of Google Authenticator)."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER)


def find_step(secret: str, code: str, *, after_step: int, now_s: float | None = None) -> int | None:
    """Return the time step (30 s) of a current code; None for another code or a step up to `after_step`."""
    totp = pyotp.TOTP(secret)
    now = int((time.time() if now_s is None else now_s) // STEP_S)
    # Compare all of them, so that the time taken does not depend on the code.
    right = [
        step
        for step in range(now - _WINDOW_STEPS, now + _WINDOW_STEPS + 1)
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()) and step > after_step
    ]
    return max(right, default=None)


def make_recovery_codes() -> list[str]:
    """Return ten codes such as `abcd-efgh-jkmn`."""
    return ["-".join(_make_group() for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]


def _make_group() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARS))


def hash_recovery_code(settings: AuthSettings, code: str) -> bytes:
    """Return the stored HMAC of a recovery code; case, hyphens and spaces do not matter."""
    return hmac.digest(encryption.derive_key(settings, "recovery codes"), _strip_code(code).encode(), "sha256")


def _strip_code(code: str) -> str:
    return code.replace("-", "").replace(" ", "").casefold()


async def replace_recovery_codes(tx: Tx, settings: AuthSettings, user_id: uuid.UUID) -> list[str]:
    """Make new recovery codes and delete the old ones; return them.

    Transaction: joins tx, which holds the user's lock.
    """
    await tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    new = make_recovery_codes()
    rows = [{"user_id": user_id, "code_hash": hash_recovery_code(settings, code)} for code in new]
    await tx.execute(insert(RecoveryCode), rows)
    return new


async def add_first_recovery_codes(tx: Tx, settings: AuthSettings, user_id: uuid.UUID) -> list[str]:
    """Make recovery codes for the first second factor of an account; none if some are unused.

    Transaction: joins tx, which holds the user's lock.
    """
    if await tx.scalar(select(_has_unused_code(user_id))):
        return []
    return await replace_recovery_codes(tx, settings, user_id)


def can_make_code(user_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that an account has an app or an unused recovery code."""
    return _has_unused_code(user_id) | exists().where(User.id == user_id, User.totp_enabled_at.is_not(None))


def _has_unused_code(user_id: uuid.UUID) -> ColumnElement[bool]:
    return exists().where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))


def has_factor(user_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that an account has an app or a passkey."""
    has_app = exists().where(User.id == user_id, User.totp_enabled_at.is_not(None))
    return exists().where(Passkey.user_id == user_id) | has_app


async def delete_needless_recovery_codes(tx: Tx, user_id: uuid.UUID) -> None:
    """Delete the recovery codes of an account without app and passkeys. Transaction: joins tx with the user's lock."""
    needless = (RecoveryCode.user_id == user_id, ~has_factor(user_id))
    await tx.execute(delete(RecoveryCode).where(*needless))


async def spend_code(tx: Tx, settings: AuthSettings, user_id: uuid.UUID, code: str) -> bool:
    """Use up a code of the app or a recovery code; return whether it was valid.

    Transaction: joins tx, which holds the user's lock: of two concurrent requests with one code, one succeeds.
    """
    bare = _strip_code(code)
    if len(bare) != _DIGITS:
        unused = (
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == hash_recovery_code(settings, bare),
            RecoveryCode.used_at.is_(None),
        )
        used = update(RecoveryCode).where(*unused).values(used_at=func.now())
        return (await tx.execute(used)).rowcount == 1
    user = (await tx.execute(select(User.totp_secret, User.totp_last_step).where(User.id == user_id))).one()
    secret = user.totp_secret and encryption.decrypt_secret(settings, SECRETS, user_id, user.totp_secret)
    step = find_step(secret, bare, after_step=user.totp_last_step) if secret else None
    if step is None:
        return False
    await tx.execute(update(User).where(User.id == user_id).values(totp_last_step=step))
    return True
