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
from datetime import UTC, datetime
from typing import NamedTuple

from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.settings import AuthSettings

_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_PASS = re.compile(r"([1-9][0-9]{9,11})\.([A-Za-z0-9_-]{43})", re.ASCII)
PASS_TTL_S = 3600
"""How long a pass replaces the password that it was issued for."""


class IssuedPass(NamedTuple):
    text: str
    expires_at: datetime


class LinkTokens:
    """Make and read tokens of links, and passes for visitors who sent a link's password. `clock`: Unix time."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        self._link_key = derive_key(settings, "link token")
        self._pass_key = derive_key(settings, "link pass")
        self._request_key = derive_key(settings, "link request")
        self._clock = clock

    def issue_token(self, link_id: uuid.UUID) -> str:
        """Return the token of a link: 43 characters of base64url."""
        return _encode(link_id.bytes + hmac.digest(self._link_key, link_id.bytes, "sha256")[:_MAC_BYTES])

    def find_link_id(self, token: str) -> uuid.UUID | None:
        """Return the id of the link of a token; None for a text that this server did not issue."""
        if not _TOKEN.fullmatch(token):
            return None
        link_id = uuid.UUID(bytes=base64.urlsafe_b64decode(token + "=")[:16])
        return link_id if hmac.compare_digest(self.issue_token(link_id), token) else None

    def issue_pass(self, link_id: uuid.UUID, password_hash: str) -> IssuedPass:
        """Return a pass: it proves for PASS_TTL_S that its bearer sent this password of this link."""
        until = int(self._clock()) + PASS_TTL_S
        return IssuedPass(
            f"{until}.{self._pass_mac(link_id, password_hash, until)}", datetime.fromtimestamp(until, UTC)
        )

    def is_pass(self, shown: str, link_id: uuid.UUID, password_hash: str) -> bool:
        """Return whether a pass is valid for a link with this password now."""
        found = _PASS.fullmatch(shown)
        if not found or int(found[1]) < self._clock():
            return False
        return hmac.compare_digest(self._pass_mac(link_id, password_hash, int(found[1])), found[2])

    def digest_request(self, request: str) -> bytes:
        """Return a keyed digest that recognises a repeated request; it does not help to guess a password in it."""
        return hmac.digest(self._request_key, request.encode(), "sha256")

    def _pass_mac(self, link_id: uuid.UUID, password_hash: str, until: int) -> str:
        version = hashlib.sha256(password_hash.encode()).digest()
        return _encode(hmac.digest(self._pass_key, link_id.bytes + version + until.to_bytes(8), "sha256"))


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
