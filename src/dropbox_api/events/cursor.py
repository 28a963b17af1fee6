"""Cursors of journals: how far a reader has come, opaque to them, signed, good for one user.

A cursor is the place after the last event that was read, and a MAC over it and the user it was given to. So nobody
finds out what becomes of a place that they made up, and one user's cursor is nothing to another.
"""

import base64
import hmac
import uuid

from dropbox_api import problems
from dropbox_api.events.service import Place
from dropbox_api.plumbing.sealing import derived_key
from dropbox_api.settings import AuthSettings

_SEQ_BYTES, _MARK_BYTES, _MAC_BYTES = 8, 6, 16


class Cursors:
    """Make and read cursors with one key, derived from the server's secret: with another secret they are void."""

    def __init__(self, settings: AuthSettings) -> None:
        self._key = derived_key(settings, "cursor of a journal")

    def encode(self, user_id: uuid.UUID, place: Place) -> str:
        """Return the cursor of a place in this user's journal, 40 characters."""
        raw = place.seq.to_bytes(_SEQ_BYTES) + place.mark.to_bytes(_MARK_BYTES)
        return base64.urlsafe_b64encode(raw + self._mac(user_id, raw)).decode()

    def decode(self, user_id: uuid.UUID, cursor: str) -> Place:
        """Return the place of a cursor. Raises InvalidCursor unless it was made here, for this user."""
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise problems.InvalidCursor from None
        marked = raw[_SEQ_BYTES : _SEQ_BYTES + _MARK_BYTES]
        place = Place(int.from_bytes(raw[:_SEQ_BYTES]), int.from_bytes(marked))
        # As a whole, and not its bytes: base64 has other ways to write them.
        if not hmac.compare_digest(cursor, self.encode(user_id, place)):
            raise problems.InvalidCursor
        return place

    def _mac(self, user_id: uuid.UUID, place: bytes) -> bytes:
        return hmac.digest(self._key, user_id.bytes + place, "sha256")[:_MAC_BYTES]
