"""Fixed chunks of a file, and the compact ranges ("1-120,130") that the protocol names them by.

Pure. The server decides the plan; `expected_chunk_bytes` only foresees it, so that one pass over the file can hash both
the whole and its chunks before the server is asked. A wrong guess costs a second pass, nothing else.
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
    """A file of `size_bytes`, cut into chunks of `chunk_size_bytes`, the last being shorter; numbered from 1.

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
    """Return the chunk size that the server chooses for a multipart file when it is not asked for another."""
    needed = -(-size_bytes // _TARGET_CHUNKS)
    return -(-max(default_chunk_bytes, needed) // MIB) * MIB


def wished_chunk_bytes(size_bytes: int, rate_bytes_s: float | None) -> int | None:
    """Return the chunk size to ask the server for, or None where its own choice suits.

    `rate_bytes_s` is what one earlier transfer reached, None when nothing was measured. On a slow link a chunk cut off
    is dear, so it is as small as stores allow; a huge file on a fast link needs fewer, larger requests.
    """
    if rate_bytes_s is None:
        return None
    if rate_bytes_s < _SLOW_BYTES_S:
        return 5 * MIB
    if rate_bytes_s > _FAST_BYTES_S and size_bytes > 16 * GIB:
        return 64 * MIB
    return None


def parse_ranges(text: str) -> list[int]:
    """Read "1-120,130" as ascending chunk numbers; "" is none. Raises ValueError for anything else."""
    numbers: list[int] = []
    for item in text.split(",") if text else []:
        first, _, last = item.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
