"""What one pass over content tells: its SHA-256, and whether it is text in UTF-8."""

import codecs
import hashlib


class ContentHash:
    """A hash as of `hashlib`, which also decodes the content until the first byte that is not UTF-8."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_utf8 = True

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self._decode(data, is_last=False)

    def digest(self) -> bytes:
        return self._sha256.digest()

    def is_utf8(self) -> bool:
        """Tell whether all of the content is UTF-8; call it at its end."""
        self._decode(b"", is_last=True)
        return self._is_utf8

    def _decode(self, data: bytes, *, is_last: bool) -> None:
        if self._is_utf8:
            try:
                self._decoder.decode(data, is_last)
            except UnicodeDecodeError:
                self._is_utf8 = False
