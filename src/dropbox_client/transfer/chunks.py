"""The chunks of a file, their hashes, and the compact ranges ("1-120,130") that name them in the protocol. Pure.

The server decides the size of fixed chunks. `expected_chunk_bytes` predicts it, so that one pass can hash the file and
its chunks before the session exists. A wrong prediction costs only a second pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CDC1 = "cdc1"
_TARGET_CHUNKS = 9_000
_SLOW_BYTES_S = 1 * MIB
_FAST_BYTES_S = 100 * MIB


def fixed(chunk_size_bytes: int) -> str:
    """Return the name of the chunking with chunks of this size, the last one shorter."""
    return f"fixed:{chunk_size_bytes}"


class Chunks:
    """Where the chunks of a file begin and end; numbered from 1.

    A plan of fixed sizes is complete. One that the content defines ("cdc1") grows while one thread reads the file, and
    other threads may use what it has. An empty file has one empty fixed chunk.
    """

    __slots__ = ("_ends", "chunking", "size_bytes")

    def __init__(self, size_bytes: int, chunking: str, ends: Iterable[int] = ()) -> None:
        """`ends` are those of the first chunks of "cdc1". Raises ValueError for an unknown chunking."""
        self.size_bytes = size_bytes
        self.chunking = chunking
        self._ends: list[int] | range = list(ends)
        if chunking != CDC1:
            kind, _, digits = chunking.partition(":")
            if kind != "fixed":
                raise ValueError(f"the chunking {chunking} is unknown")
            step = int(digits) or 1  # 0 of an empty file
            self._ends = range(step, max(size_bytes, 1) + step, step)

    @property
    def count(self) -> int:
        return len(self._ends)

    @property
    def planned_bytes(self) -> int:
        """The bytes that the chunks cover."""
        return self.end(self.count) if self._ends else 0

    @property
    def is_complete(self) -> bool:
        return self.planned_bytes == self.size_bytes

    def append(self, size_bytes: int) -> int:
        """Add the next chunk of "cdc1", and return its size."""
        assert isinstance(self._ends, list)  # noqa: S101 - for the type checker
        self._ends.append(self.planned_bytes + size_bytes)
        return size_bytes

    def offset(self, number: int) -> int:
        return self._ends[number - 2] if number > 1 else 0

    def end(self, number: int) -> int:
        return min(self._ends[number - 1], self.size_bytes)

    def bytes_of(self, number: int) -> int:
        return self.end(number) - self.offset(number)


@dataclass(slots=True)
class Hashes:
    """The known hashes of a file, for one plan of its chunks."""

    plan: Chunks
    chunks: dict[int, str] = field(default_factory=dict)
    """SHA-256 (hex) by chunk number."""
    fingerprint: str | None = None

    def count_known(self, first: int) -> int:
        """Return how many hashes are known from chunk `first` on, without a gap."""
        number = first
        while number in self.chunks:
            number += 1
        return number - first

    @property
    def is_complete(self) -> bool:
        return self.fingerprint is not None and self.plan.is_complete and len(self.chunks) == self.plan.count


def expected_chunk_bytes(size_bytes: int, default_chunk_bytes: int) -> int:
    """Return the chunk size that the server chooses by default for a multipart upload."""
    needed = -(-size_bytes // _TARGET_CHUNKS)
    return -(-max(default_chunk_bytes, needed) // MIB) * MIB


def preferred_chunk_bytes(size_bytes: int, rate_bytes_s: float | None) -> int | None:
    """Return the chunk size to request from the server, None for its default.

    `rate_bytes_s` is the measured rate of an earlier transfer, None before the first one. A slow link gets the smallest
    chunk that stores allow, because an interrupted chunk is sent again; a huge file on a fast link gets large chunks.
    """
    if rate_bytes_s is None:
        return None
    if rate_bytes_s < _SLOW_BYTES_S:
        return 5 * MIB
    if rate_bytes_s > _FAST_BYTES_S and size_bytes > 16 * GIB:
        return 64 * MIB
    return None


def parse_ranges(text: str) -> list[int]:
    """Return the ascending chunk numbers of ranges such as "1-120,130"; "" has none. Raises ValueError."""
    numbers: list[int] = []
    for item in text.split(",") if text else []:
        first, _, last = item.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
