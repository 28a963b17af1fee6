"""Use a passkey: find it, lock its account, check the signature, and remember the authenticator's count."""

import uuid

from sqlalchemy import func, select, update
from webauthn.helpers import base64url_to_bytes

from dropbox_api.accounts.factors import challenges, relying_party
from dropbox_api.accounts.factors.schemas import PasskeyAssertion
from dropbox_api.db import Tx
from dropbox_api.models import Passkey, User
from dropbox_api.problems import InvalidPasskey
from dropbox_api.settings import Settings


async def use_passkey(
    tx: Tx, settings: Settings, credential: PasskeyAssertion, purpose: challenges.Purpose, session_id: uuid.UUID | None
) -> uuid.UUID:
    """Check a passkey for this purpose and session; return its account.

    Raises PasskeysUnavailable; InvalidPasskey, the same for an unknown passkey, a disabled account, a wrong signature.
    Transaction: joins tx, uses the challenge up, takes the user's lock.
    """
    party = relying_party.require_relying_party(settings)
    challenge = await challenges.spend_challenge(tx, credential, purpose, session_id)
    known = (
        select(Passkey.id, Passkey.user_id, Passkey.public_key, Passkey.sign_count)
        .join(User, User.id == Passkey.user_id)
        .where(Passkey.credential_id == base64url_to_bytes(credential.id), User.disabled_at.is_(None))
        .with_for_update(key_share=True, of=User)
    )
    passkey = (await tx.execute(known)).one_or_none()
    # Without a list of allowed credentials the authenticator has to name the account (WebAuthn 7.2, step 6).
    if passkey is None or base64url_to_bytes(credential.response.user_handle) != passkey.user_id.bytes:
        raise InvalidPasskey
    sign_count = relying_party.check_assertion(
        party, challenge, credential, public_key=passkey.public_key, sign_count=passkey.sign_count
    )
    # The row was read before the lock: meanwhile it may have been removed, or counted on.
    unchanged = (Passkey.id == passkey.id, Passkey.sign_count == passkey.sign_count)
    used = update(Passkey).where(*unchanged).values(sign_count=sign_count, last_used_at=func.now())
    if (await tx.execute(used)).rowcount == 0:
        raise InvalidPasskey
    user_id: uuid.UUID = passkey.user_id
    return user_id
