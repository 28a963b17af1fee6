"""Fixed-size chunks of a file, and the compact ranges ("1-120,130") that name them in the protocol. Pure.

The server decides the chunk size. `expected_chunk_bytes` predicts it, so that one pass can hash the file and its chunks
before the session exists. A wrong prediction costs only a second pass.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_TARGET_CHUNKS = 9_000
_SLOW_BYTES_S = 1 * MIB
_FAST_BYTES_S = 100 * MIB


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of a file: `chunk_size_bytes` each, the last one shorter; numbered from 1.

    An empty file has one empty chunk.
    """

    size_bytes: int
    chunk_size_bytes: int

    @property
    def count(self) -> int:
        return max(1, -(-self.size_bytes // self.chunk_size_bytes)) if self.chunk_size_bytes else 1

    def offset(self, number: int) -> int:
        return (number - 1) * self.chunk_size_bytes

    def bytes_of(self, number: int) -> int:
        return min(self.chunk_size_bytes, self.size_bytes - self.offset(number))


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
