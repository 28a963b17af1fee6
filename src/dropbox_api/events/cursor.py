"""Cursors of journals: how far a reader has come, opaque to them, signed, good for one user.

A cursor is the number of the last event that was read, and a MAC over it and the user it was given to. So nobody finds
out what becomes of a number that they made up, and one user's cursor is nothing to another.
"""

import base64
import hmac
import uuid

from dropbox_api import problems
from dropbox_api.accounts.codes import derived_key
from dropbox_api.settings import AuthSettings

_SEQ_BYTES = 8
_MAC_BYTES = 16


class Cursors:
    """Make and read cursors with one key, derived from the server's secret: with another secret they are void."""

    def __init__(self, settings: AuthSettings) -> None:
        self._key = derived_key(settings, "cursor of a journal")

    def encode(self, user_id: uuid.UUID, seq: int) -> str:
        """Return the cursor after event number `seq` (0: the beginning) of this user's journal, 32 characters."""
        number = seq.to_bytes(_SEQ_BYTES, "big")
        return base64.urlsafe_b64encode(number + self._mac(user_id, number)).decode()

    def decode(self, user_id: uuid.UUID, cursor: str) -> int:
        """Return the number in a cursor. Raises InvalidCursor unless it was made here, for this user."""
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise problems.InvalidCursor from None
        number, mac = raw[:_SEQ_BYTES], raw[_SEQ_BYTES:]
        if not hmac.compare_digest(mac, self._mac(user_id, number)):
            raise problems.InvalidCursor
        return int.from_bytes(number, "big")

    def _mac(self, user_id: uuid.UUID, number: bytes) -> bytes:
        return hmac.digest(self._key, user_id.bytes + number, "sha256")[:_MAC_BYTES]
