"""Sign in with a passkey, which is both factors: something the user has, unlocked by a PIN, a finger or a face."""

import logging

from sqlalchemy import select

from dropbox_api.accounts import sessions
from dropbox_api.accounts.factors import assertion, challenges
from dropbox_api.accounts.factors.schemas import PasskeyAssertion, PasskeyRequestOptions
from dropbox_api.accounts.schemas import AuthTokens
from dropbox_api.accounts.session_tokens import AccessTokens, SessionTransport
from dropbox_api.db import Db
from dropbox_api.models import User
from dropbox_api.plumbing import request_source
from dropbox_api.problems import Forbidden
from dropbox_api.settings import Settings

log = logging.getLogger(__name__)


async def begin_sign_in(db: Db, settings: Settings) -> PasskeyRequestOptions:
    """Return a challenge for any passkey of this server. Raises PasskeysUnavailable."""
    return await challenges.make_request_options(db, settings, "sign-in", session_id=None)


async def sign_in(
    db: Db,
    settings: Settings,
    access_tokens: AccessTokens,
    credential: PasskeyAssertion,
    transport: SessionTransport,
) -> AuthTokens:
    """Begin a session for the client of the current request.

    Raises InvalidPasskey, PasskeysUnavailable; Forbidden when the settings require a verified address.
    Transaction: one, under the user's lock, like every sign-in.
    """
    async with db.begin() as tx:
        user_id = await assertion.use_passkey(tx, settings, credential, "sign-in", session_id=None)
        verified_at = await tx.scalar(select(User.email_verified_at).where(User.id == user_id))
        if settings.auth.require_verified_email and verified_at is None:
            raise Forbidden("Verify your address first", reason="address-not-verified")
        token = await sessions.begin_session(tx, settings.auth, user_id, request_source.get_source(), transport)
        await sessions.record_second_factor(tx, token.session_id)
    return access_tokens.issue_pair(user_id, token)
