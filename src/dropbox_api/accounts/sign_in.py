"""Sign in with address, password and, where it is on, a code of the second factor."""

import logging
import uuid

from sqlalchemy import ColumnElement, exists, false, select, update

from dropbox_api.accounts import sessions
from dropbox_api.accounts.account import IS_SECOND_FACTOR_ON
from dropbox_api.accounts.factors import codes
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import AuthTokens, SignInForm
from dropbox_api.accounts.session_tokens import AccessTokens, SessionTransport
from dropbox_api.db import Db, Tx
from dropbox_api.models import Passkey, User
from dropbox_api.plumbing import request_source
from dropbox_api.problems import Forbidden, InvalidCredentials, SecondFactorRequired
from dropbox_api.settings import AuthSettings

log = logging.getLogger(__name__)


async def sign_in(
    db: Db,
    settings: AuthSettings,
    passwords: Passwords,
    access_tokens: AccessTokens,
    grant: SignInForm,
    transport: SessionTransport,
) -> AuthTokens:
    """Begin a session for the client of the current request.

    Raises InvalidCredentials, the same after the same work for a wrong password and for an account that is unknown,
    disabled or without a password, and for a wrong code; with the right password SecondFactorRequired and Forbidden.
    Transaction: none is open while the password is checked; then one, under the user's lock.
    """
    async with db.read() as tx:
        query = select(User.id, User.password_hash, User.password_changed_at)
        user = (await tx.execute(query.where(User.email == grant.username, User.disabled_at.is_(None)))).one_or_none()
    stored_hash = user.password_hash if user else None
    is_right, better_hash = await passwords.verify(grant.password.get_secret_value(), stored_hash)
    if user is None or not is_right:
        # The log omits the address: the caller may have typed the password there.
        log.info("sign-in refused, user %s", user.id if user else None)
        raise InvalidCredentials

    unchanged = User.password_changed_at.is_not_distinct_from(user.password_changed_at)
    async with db.begin() as tx:
        has_second_factor = await _require_admission(tx, settings, user.id, grant.otp, unchanged)
        if better_hash is not None:
            same = (User.id == user.id, User.password_hash == user.password_hash)
            await tx.execute(update(User).where(*same).values(password_hash=better_hash))
        token = await sessions.begin_session(tx, settings, user.id, request_source.get_source(), transport)
        if has_second_factor:
            await sessions.record_second_factor(tx, token.session_id)
    return access_tokens.issue_pair(user.id, token)


async def _require_admission(
    tx: Tx, settings: AuthSettings, user_id: uuid.UUID, otp: str | None, unchanged: ColumnElement[bool]
) -> bool:
    """Take the user's lock, check everything after the first factor and use up the code if the account needs one.

    Returns whether the account needed one.

    Raises SecondFactorRequired when the code is missing; InvalidCredentials when it is wrong or was used, and for a
    user who is disabled, no person, or has another password by now; Forbidden when the settings require a verified
    address. Transaction: joins tx as its first statement.
    """
    has_passkey = exists().where(Passkey.user_id == user_id)
    needs_code = IS_SECOND_FACTOR_ON | (has_passkey if settings.require_second_factor else false())
    locked = (
        select(needs_code.label("needs_code"), User.email_verified_at)
        .where(User.id == user_id, User.disabled_at.is_(None), User.kind == "person", unchanged)
        .with_for_update(key_share=True)
    )
    user = (await tx.execute(locked)).one_or_none()
    if user is None:
        raise InvalidCredentials
    if user.needs_code:
        if not otp:
            raise SecondFactorRequired
        if not await codes.spend_code(tx, settings, user_id, otp):
            log.info("user %s: wrong code of the second factor", user_id)
            raise InvalidCredentials
    if settings.require_verified_email and user.email_verified_at is None:
        raise Forbidden("Verify your address first", reason="address-not-verified")
    return bool(user.needs_code)
