"""A local file that is read and hashed while other processes may write to it.

Invariants: memory use is independent of the file size; a file is never mapped (a truncation would kill the process);
callers run `Source.check` after reading, so that a torn version is never stored. hashlib releases the GIL, so hashing
runs in parallel with sending (figures: bench/RESULTS.md).
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dropbox_client.errors import FileChanged, Unreadable
from dropbox_client.transfer import cdc
from dropbox_client.transfer.chunks import CDC1, KIB, Chunks

BLOCK_BYTES = 512 * KIB
"""Size of one read: a block stays in the CPU cache between reading, hashing and sending."""
_TICK_NS = 20_000_000
"""Twice the coarsest resolution of file time stamps, a kernel tick of 10 ms."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The attributes that change with a file's content. ctime detects writers that restore the old mtime."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> Self:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


class Source:
    """A regular file open for reading, with its identity at that time. Thread-safe."""

    def __init__(self, path: Path, *, is_checked: bool = True) -> None:
        """Open `path`; wait until it is not written to, unless `check` will not be used.

        Raises Unreadable, also if it is not a regular file.
        """
        self.path = path
        self._is_checked = is_checked
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not block
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from error
        try:
            self.identity = self._read_settled_identity()
        except BaseException:
            self.close()
            raise

    def _read_settled_identity(self) -> Identity:
        """Return the identity once a clock tick has passed since the last change: a later change must show."""
        while True:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(f"{self.path} is not a regular file")
            age_ns = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)
            if not self._is_checked or not 0 <= age_ns < _TICK_NS:
                if not status.st_size:
                    self._require_end_at_0()
                return Identity.from_stat(status)
            time.sleep((_TICK_NS - age_ns) / 1e9)

    def _require_end_at_0(self) -> None:
        """Raise Unreadable for a file with content whose size is 0, such as those of /proc."""
        try:
            has_content = bool(os.pread(self._fd, 1, 0))
        except OSError as error:
            raise Unreadable(f"{self.path}: {error.strerror}") from error
        if has_content:
            raise Unreadable(f"{self.path} has content but a size of 0: read it as a stream, `dbx upload -` from stdin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def size_bytes(self) -> int:
        return self.identity.size_bytes

    @property
    def modified_ns(self) -> int | None:
        """When the content was last modified, None if that is unknown."""
        return self.identity.mtime_ns

    @property
    def executable(self) -> bool | None:
        """Whether the owner of the file may run it, None if that is unknown."""
        return bool(os.fstat(self._fd).st_mode & stat.S_IXUSR)

    def check(self) -> None:
        """Raise FileChanged if the file was written, truncated or replaced since it was opened."""
        try:
            current = Identity.from_stat(self.path.stat())
        except OSError as error:
            raise FileChanged(f"{self.path} was moved or deleted while it was read") from error
        if Identity.from_stat(os.fstat(self._fd)) != self.identity or current != self.identity:
            raise FileChanged(f"{self.path} changed while it was read")

    def blocks(self, offset_bytes: int, size_bytes: int) -> Iterator[memoryview]:
        """Iterate over the blocks of a range; a block is valid until the next one. Raises FileChanged, Unreadable."""
        buffer = memoryview(bytearray(min(BLOCK_BYTES, size_bytes)))
        end = offset_bytes + size_bytes
        while offset_bytes < end:
            count = self.read_into(buffer[: end - offset_bytes], offset_bytes)
            yield buffer[:count]
            offset_bytes += count

    def read_into(self, buffer: memoryview, offset_bytes: int) -> int:
        """Read bytes from an offset before the end, and return their number. Raises FileChanged, Unreadable."""
        try:
            count = os.preadv(self._fd, [buffer], offset_bytes)
        except OSError as error:
            raise Unreadable(f"{self.path}: {error.strerror}") from error
        if not count:
            raise FileChanged(f"{self.path} became shorter while it was read")
        return count


class BytesSource(Source):
    """Content in memory."""

    def __init__(self, content: bytes) -> None:
        self.path = Path()
        self.identity = Identity(len(content), 0, 0, 0, 0)
        self._fd = -1
        self._content = memoryview(content)

    @property
    def modified_ns(self) -> int | None:
        return None

    @property
    def executable(self) -> bool | None:
        return None

    def check(self) -> None:
        """Bytes do not change."""

    def blocks(self, offset_bytes: int, size_bytes: int) -> Iterator[memoryview]:
        for start in range(offset_bytes, offset_bytes + size_bytes, BLOCK_BYTES):
            yield self._content[start : min(start + BLOCK_BYTES, offset_bytes + size_bytes)]

    def read_into(self, buffer: memoryview, offset_bytes: int) -> int:
        found = self._content[offset_bytes : offset_bytes + len(buffer)]
        buffer[: len(found)] = found
        return len(found)


class DescriptorSource(Source):
    """An open regular file, which need not have a name."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor. Raises Unreadable if it is not that of a regular file."""
        self.path = Path(f"file {fd}")
        self._fd = fd
        self._is_checked = True
        try:
            self.identity = self._read_settled_identity()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raise FileChanged if the file was written since it was opened."""
        if Identity.from_stat(os.fstat(self._fd)) != self.identity:
            raise FileChanged("the file changed while it was read")


class SpooledSource(DescriptorSource):
    """A private copy of a stream in a temporary file."""

    @property
    def modified_ns(self) -> int | None:
        return None

    @property
    def executable(self) -> bool | None:
        return None


def read_chunks(source: Source, plan: Chunks) -> Iterator[tuple[int, Iterable[memoryview]]]:
    """Iterate over (number, blocks) of all chunks; append to the plan those that the content defines.

    Blocks are valid until the next one. Raises FileChanged, Unreadable.
    """
    if plan.chunking == CDC1:
        yield from _cut(source, plan)
        return
    for number in range(1, plan.count + 1):
        yield number, source.blocks(plan.offset(number), plan.bytes_of(number))


def _cut(source: Source, plan: Chunks) -> Iterator[tuple[int, Iterable[memoryview]]]:
    """Read the file once, through a window of the largest chunk."""
    window = memoryview(bytearray(min(cdc.MAX_BYTES, plan.size_bytes)))
    number, offset, filled = 1, 0, 0
    while offset < plan.size_bytes:
        wanted = min(len(window), plan.size_bytes - offset)
        while filled < wanted:
            filled += source.read_into(window[filled:wanted], offset + filled)
        size = plan.bytes_of(number) if number <= plan.count else plan.append(cdc.find_cut(window[:filled]))
        yield number, (window[start : min(start + BLOCK_BYTES, size)] for start in range(0, size, BLOCK_BYTES))
        window[: filled - size] = window[size:filled]
        number, offset, filled = number + 1, offset + size, filled - size


def hash_range(source: Source, offset_bytes: int, size_bytes: int) -> str:
    """Return the SHA-256 of a range as 64 hex digits. Raises FileChanged, Unreadable."""
    return hash_blocks(source.blocks(offset_bytes, size_bytes))


def hash_blocks(blocks: Iterable[memoryview]) -> str:
    """Return the SHA-256 of blocks as 64 hex digits."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def hash_first_chunk(source: Source, plan: Chunks) -> str:
    """Return the SHA-256 of the first chunk; its end is appended to a plan that the content defines.

    Raises FileChanged, Unreadable.
    """
    _, blocks = next(read_chunks(source, plan))
    return hash_blocks(blocks)


def hash_file(source: Source, plan: Chunks, on_chunk: Callable[[int, str], None]) -> str:
    """Read the file once, call `on_chunk` with each (number, SHA-256 in hex) in order, and return the fingerprint.

    Chunks that the content defines are appended to the plan before. Each byte is hashed twice, except in the first
    chunk, whose hash is a prefix state of the whole file's hash.
    Raises FileChanged, Unreadable, and exceptions of `on_chunk`.
    """
    whole = hashlib.sha256()
    for number, blocks in read_chunks(source, plan):
        chunk = hashlib.sha256() if number > 1 else None
        for block in blocks:
            whole.update(block)
            if chunk:
                chunk.update(block)
        on_chunk(number, (chunk or whole).hexdigest())
    return whole.hexdigest()
