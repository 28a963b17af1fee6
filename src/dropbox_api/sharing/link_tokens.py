"""Tokens of links: the link's id and a MAC of it, computed without the database and never stored in it.

The keys are derived from the server's secret (HKDF, RFC 5869), one per use: a signature made elsewhere is refused here.
Changing the secret ends every link.
"""

import base64
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dropbox_api.settings import AuthSettings

_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_PASS = re.compile(r"([1-9][0-9]{9,11})\.([A-Za-z0-9_-]{43})", re.ASCII)
PASS_TTL_S = 3600
"""How long a browser keeps access after the password was entered."""


class LinkTokens:
    """Make and read tokens of links, and passes for browsers that sent a link's password. `clock`: Unix time."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        secret = settings.secret.get_secret_value().encode()
        self._link_key = _derived(secret, b"dropbox-api link token")
        self._pass_key = _derived(secret, b"dropbox-api link pass")
        self._request_key = _derived(secret, b"dropbox-api link request")
        self._clock = clock

    def token(self, link_id: uuid.UUID) -> str:
        """Return the token of a link: 43 characters of base64url."""
        return _text(link_id.bytes + hmac.digest(self._link_key, link_id.bytes, "sha256")[:_MAC_BYTES])

    def read(self, token: str) -> uuid.UUID | None:
        """Return the id of the link of a token; None for a text that this server did not issue."""
        if not _TOKEN.fullmatch(token):
            return None
        link_id = uuid.UUID(bytes=base64.urlsafe_b64decode(token + "=")[:16])
        return link_id if hmac.compare_digest(self.token(link_id), token) else None

    def issue_pass(self, link_id: uuid.UUID, password_hash: str) -> str:
        """Return a pass: it proves for PASS_TTL_S that its bearer sent this password of this link."""
        until = int(self._clock()) + PASS_TTL_S
        return f"{until}.{self._pass_mac(link_id, password_hash, until)}"

    def is_pass(self, shown: str, link_id: uuid.UUID, password_hash: str) -> bool:
        """Return whether a pass is valid for a link with this password now."""
        found = _PASS.fullmatch(shown)
        if not found or int(found[1]) < self._clock():
            return False
        return hmac.compare_digest(self._pass_mac(link_id, password_hash, int(found[1])), found[2])

    def digest(self, request: str) -> bytes:
        """Return a keyed digest that recognises a repeated request; it does not help to guess a password in it."""
        return hmac.digest(self._request_key, request.encode(), "sha256")

    def _pass_mac(self, link_id: uuid.UUID, password_hash: str, until: int) -> str:
        version = hashlib.sha256(password_hash.encode()).digest()
        return _text(hmac.digest(self._pass_key, link_id.bytes + version + until.to_bytes(8), "sha256"))


def _derived(secret: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(secret)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
