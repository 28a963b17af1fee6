"""Where a response is written that comes in one stream: a new file, or a file object."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias

from dropbox_client.errors import Corrupt, TransferFailed
from dropbox_client.models import DownloadUrl
from dropbox_client.transfer.partial_file import PartialFile, require_target

To: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""A path, or a binary file object."""


class Target:
    """Receives one stream. A context manager; call `finish` at the end of the stream.

    A path gets its content only with `finish`. A file object gets each block when the next one has arrived, so that
    the last one follows the check of the hash; it cannot receive a second attempt.
    """

    def __init__(self, to: To, *, overwrite: bool, source: DownloadUrl | None = None) -> None:
        """Open the target; with `source`, the hash of the stream is checked. Raises LocalExists, OSError."""
        self._overwrite = overwrite
        self._fingerprint = source and source.fingerprint
        self._digest = hashlib.sha256()
        self._written_bytes = 0
        self._last = b""
        self._file: PartialFile | None = None
        if not isinstance(to, str | os.PathLike):
            self._object = to
            return
        self._path = Path(to)
        require_target(self._path, overwrite=overwrite)
        self._file = PartialFile(self._path, source, 1)

    def __enter__(self) -> Self:
        if self._file:
            self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file:
            self._file.__exit__(kind, error, tb)

    def restart(self) -> None:
        if self._file:
            self._file.discard()
        elif self._written_bytes > len(self._last):
            raise TransferFailed("the connection broke, and a file object cannot receive the content again")
        self._digest = hashlib.sha256()
        self._written_bytes, self._last = 0, b""

    def write(self, block: memoryview) -> None:
        self._digest.update(block)
        if self._file:
            self._file.write(block, self._written_bytes)
        else:
            self._object.write(self._last)
            self._last = bytes(block)
        self._written_bytes += len(block)

    def finish(self) -> None:
        """Complete the target. Raises Corrupt if the hash is wrong, LocalExists, OSError."""
        if self._fingerprint not in {None, self._digest.hexdigest()}:
            raise Corrupt("the downloaded content does not match its fingerprint")
        if self._file is None:
            self._object.write(self._last)
        elif self._overwrite:
            self._file.replace_target(self._path, None)
        else:
            self._file.create_target(self._path, None)
