"""The body of a form upload."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from dropbox_client.transfer.source import Source


@dataclass(frozen=True)
class FormBody:
    """A form with the members `name` and `file`, whose content is read from an open source for each attempt."""

    name: str
    source: Source
    boundary: str = field(default_factory=lambda: os.urandom(16).hex())

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def size_bytes(self) -> int:
        return len(self._head) + self.source.size_bytes + len(self._tail)

    def blocks(self) -> Iterator[memoryview]:
        """Iterate over the body. Raises FileChanged before the end if the content changed while it was read."""
        yield memoryview(self._head)
        yield from self.source.blocks(0, self.source.size_bytes)
        self.source.check()
        yield memoryview(self._tail)

    @property
    def _head(self) -> bytes:
        return (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{self.name}\r\n'
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()

    @property
    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()
