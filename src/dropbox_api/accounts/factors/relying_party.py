"""WebAuthn: for which domain and origin passkeys are valid, and the checks of what authenticators sign.

Sources: WebAuthn Level 3, sections 7.1 and 7.2; the cryptography is py_webauthn's. Presence and verification of the
user are required, so one passkey is two factors. Attestation is not asked for: any authenticator will do.
"""

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import base64url_to_bytes, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier

from dropbox_api.accounts.factors.schemas import PasskeyAssertion, PasskeyRegistration
from dropbox_api.problems import InvalidPasskey, PasskeysUnavailable
from dropbox_api.settings import Settings

ALGORITHMS = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
"""Ed25519, ES256, and RS256 for Windows Hello."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelyingParty:
    id: str
    """The domain of the passkeys."""
    origin: str
    """The only origin whose pages may use them."""


@dataclass(frozen=True, slots=True)
class NewCredential:
    credential_id: bytes
    public_key: bytes
    sign_count: int


def require_relying_party(settings: Settings) -> RelyingParty:
    """Return the relying party of the public address.

    Raises PasskeysUnavailable where browsers offer no passkeys: without a public address, on an IP address, and on
    http, except for localhost.
    """
    origin = settings.base_url
    url = urlsplit(origin or "")
    host = url.hostname or ""
    if origin is None or _is_ip_address(host) or (url.scheme != "https" and host != "localhost"):
        raise PasskeysUnavailable
    return RelyingParty(settings.auth.passkey_rp_id or host, origin)


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def read_challenge(credential: PasskeyRegistration | PasskeyAssertion) -> bytes:
    """Return the challenge that the browser says it signed; the signature is not checked yet. Raises InvalidPasskey."""
    client_data = _check(lambda: parse_client_data_json(base64url_to_bytes(credential.response.client_data_json)))
    if client_data.cross_origin:  # a page of another site has framed this one
        raise InvalidPasskey
    return client_data.challenge


def check_registration(party: RelyingParty, challenge: bytes, credential: PasskeyRegistration) -> NewCredential:
    """Return the credential that an authenticator made for this challenge. Raises InvalidPasskey."""
    verified = _check(
        lambda: webauthn.verify_registration_response(
            credential=credential.model_dump(by_alias=True),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=list(ALGORITHMS),
        )
    )
    return NewCredential(verified.credential_id, verified.credential_public_key, verified.sign_count)


def check_assertion(
    party: RelyingParty, challenge: bytes, credential: PasskeyAssertion, *, public_key: bytes, sign_count: int
) -> int:
    """Return the authenticator's new sign count. Raises InvalidPasskey, also for a count that does not rise."""
    verified = _check(
        lambda: webauthn.verify_authentication_response(
            credential=credential.model_dump(by_alias=True),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    )
    return verified.new_sign_count


def _check(verify: Callable[[], T]) -> T:
    """Return what the check returns; InvalidPasskey for everything that it raises.

    Malformed CBOR, keys and certificates raise errors of many libraries, and none of them is the server's fault.
    """
    try:
        return verify()
    except Exception as error:
        log.info("passkey refused: %s", type(error).__name__)
        raise InvalidPasskey from error
