"""Challenges that authenticators sign: random, stored as SHA-256, valid once, for one purpose and one session."""

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, func, insert
from webauthn.helpers import bytes_to_base64url

from dropbox_api.accounts.factors import relying_party
from dropbox_api.accounts.factors.schemas import PasskeyAssertion, PasskeyRegistration, PasskeyRequestOptions
from dropbox_api.db import Db, Tx
from dropbox_api.models import PasskeyChallenge
from dropbox_api.problems import InvalidPasskey
from dropbox_api.settings import Settings

Purpose = Literal["registration", "sign-in", "confirmation"]

TTL = timedelta(minutes=5)
TIMEOUT_MS = int(TTL.total_seconds() * 1000)
"""How long the browser waits for its user."""


async def issue_challenge(db: Db, purpose: Purpose, session_id: uuid.UUID | None) -> str:
    """Store a new challenge; return it in base64url. `session_id` is None for a sign-in."""
    challenge = secrets.token_bytes(32)
    values = {"challenge_hash": _sha256(challenge), "purpose": purpose, "session_id": session_id}
    async with db.begin() as tx:
        await tx.execute(insert(PasskeyChallenge).values(**values, expires_at=func.now() + TTL))
    return bytes_to_base64url(challenge)


async def make_request_options(
    db: Db, settings: Settings, purpose: Purpose, session_id: uuid.UUID | None
) -> PasskeyRequestOptions:
    """Return what a browser needs to sign with a passkey of its choice. Raises PasskeysUnavailable."""
    party = relying_party.require_relying_party(settings)
    challenge = await issue_challenge(db, purpose, session_id)
    return PasskeyRequestOptions(challenge=challenge, timeout=TIMEOUT_MS, rp_id=party.id, allow_credentials=[])


async def spend_challenge(
    tx: Tx, credential: PasskeyRegistration | PasskeyAssertion, purpose: Purpose, session_id: uuid.UUID | None
) -> bytes:
    """Use up the challenge that a credential answers; return it. Raises InvalidPasskey.

    Transaction: joins tx. Of two concurrent answers to one challenge, the second one finds it used.
    """
    challenge = relying_party.read_challenge(credential)
    valid = (
        PasskeyChallenge.challenge_hash == _sha256(challenge),
        PasskeyChallenge.purpose == purpose,
        PasskeyChallenge.session_id.is_not_distinct_from(session_id),
        PasskeyChallenge.expires_at > func.now(),
    )
    if (await tx.execute(delete(PasskeyChallenge).where(*valid))).rowcount == 0:
        raise InvalidPasskey
    return challenge


def _sha256(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
