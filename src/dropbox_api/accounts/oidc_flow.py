"""State of a sign-in at an OpenID provider: encrypted in the browser's cookie and in the client's code, stored nowhere.

Each text is encrypted, signed and dated, under a key of its own purpose: a cookie is never accepted as a code.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import urlencode

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ValidationError

from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.problems import OidcFailed
from dropbox_api.settings import AuthSettings

STATE_TTL_S = 600
"""Time to sign in at the provider."""
CODE_TTL_S = 60


class Flow(BaseModel):
    """One sign-in in progress, encrypted in the cookie."""

    state: str
    nonce: str
    verifier: str
    """Of the PKCE between this server and the provider."""
    challenge: str
    """Of the PKCE between the client and this server."""
    redirect: str
    cli_port: int | None

    @property
    def provider_challenge(self) -> str:
        return make_challenge(self.verifier)

    def destination(self, **answer: str) -> str:
        """Return the address that gets the answer: a port of the command line, or the fragment of a page here."""
        query = urlencode(answer)
        return f"http://127.0.0.1:{self.cli_port}/?{query}" if self.cli_port else f"{self.redirect}#{query}"


class Code(BaseModel):
    """A finished sign-in at the provider, which the client exchanges for tokens."""

    issuer: str
    subject: str
    challenge: str
    issued_at: datetime


def begin_flow(*, challenge: str, redirect: str, cli_port: int | None) -> Flow:
    """Return a new flow, which ends at a path of this server, or at a port of the client's machine."""
    return Flow(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        challenge=challenge,
        redirect=redirect,
        cli_port=cli_port,
    )


def encrypt_flow(settings: AuthSettings, flow: Flow) -> str:
    """Return the value of the cookie."""
    return _fernet(settings, "state").encrypt(flow.model_dump_json().encode()).decode()


def resume_flow(settings: AuthSettings, cookie: str, state: str) -> Flow:
    """Return the flow that this browser began with this state. Raises OidcFailed (state)."""
    try:
        flow = Flow.model_validate_json(_fernet(settings, "state").decrypt(cookie.encode(), ttl=STATE_TTL_S))
    except (InvalidToken, ValidationError):
        detail = "The sign-in took too long, or another browser began it: start again"
        raise OidcFailed(detail, reason="state") from None
    if not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise OidcFailed("Another browser began the sign-in: start again", reason="state")
    return flow


def encrypt_code(settings: AuthSettings, code: Code) -> str:
    """Return the code for the client."""
    return _fernet(settings, "code").encrypt(code.model_dump_json().encode()).decode()


def decrypt_code(settings: AuthSettings, encrypted: str, verifier: str) -> Code | None:
    """Return a code younger than CODE_TTL_S whose flow began with the verifier's challenge; None for any other text."""
    try:
        code = Code.model_validate_json(_fernet(settings, "code").decrypt(encrypted.encode(), ttl=CODE_TTL_S))
    except (InvalidToken, ValidationError):
        return None
    return code if hmac.compare_digest(make_challenge(verifier), code.challenge) else None


def make_challenge(verifier: str) -> str:
    """Return the challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _fernet(settings: AuthSettings, purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive_key(settings, f"oidc {purpose}")))
