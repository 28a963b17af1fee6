"""Cursors of journals: how far a reader has read; opaque to clients, signed, valid for one user.

A cursor is a `JournalPosition` and a MAC over it and the user's id. Clients can neither forge a position nor use the
cursor of another user. Cursors from before epochs existed lack the epoch, and stay valid.
"""

import base64
import hmac
import uuid

from dropbox_api import problems
from dropbox_api.events.journal import JournalPosition
from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.settings import AuthSettings

_SEQ_BYTES, _MARK_BYTES, _MAC_BYTES = 8, 6, 16


class Cursors:
    """Encodes and decodes cursors with a key derived from the server's secret; another secret makes them invalid."""

    def __init__(self, settings: AuthSettings) -> None:
        self._key = derive_key(settings, "cursor of a journal")

    def encode(self, user_id: uuid.UUID, position: JournalPosition) -> str:
        """Return the cursor of a position in this user's journal: 48 characters."""
        raw = position.seq.to_bytes(_SEQ_BYTES) + position.mark.to_bytes(_MARK_BYTES) + bytes.fromhex(position.epoch)
        return base64.urlsafe_b64encode(raw + self._mac(user_id, raw)).decode()

    def decode(self, user_id: uuid.UUID, cursor: str) -> JournalPosition:
        """Return the position of a cursor. Raises InvalidCursor unless this server made it for this user."""
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise problems.InvalidCursor from None
        marked = raw[_SEQ_BYTES : _SEQ_BYTES + _MARK_BYTES]
        epoch = raw[_SEQ_BYTES + _MARK_BYTES : -_MAC_BYTES].hex()
        position = JournalPosition(int.from_bytes(raw[:_SEQ_BYTES]), int.from_bytes(marked), epoch)
        # Compare the text: the same bytes have several base64 spellings.
        if not hmac.compare_digest(cursor, self.encode(user_id, position)):
            raise problems.InvalidCursor
        return position

    def _mac(self, user_id: uuid.UUID, raw: bytes) -> bytes:
        return hmac.digest(self._key, user_id.bytes + raw, "sha256")[:_MAC_BYTES]
