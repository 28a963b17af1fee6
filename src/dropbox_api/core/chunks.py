"""Chunk plans: how to cut a file of a given size into parts that an object store accepts.

Invariants: chunks are numbered densely from 1, do not overlap and cover the file exactly. Of a fixed plan all but the
last have the same size (Cloudflare R2 requires it), and the plan depends only on its arguments, so that any device can
resume any session. Content-defined chunks ("cdc1") are cut by the client, which lists them; the server only checks
that the list can be parts of one object.
Source: AWS, "Amazon S3 multipart upload limits"; docs/stores.md covers other stores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

DEFAULT_CHUNK_BYTES = 8 * MIB
SINGLE_MAX_BYTES = 8 * MIB
TARGET_CHUNKS = 9_000
"""Chunks grow with the file to stay below this number, which leaves room for smaller or reused chunks."""

CDC_MIN_BYTES = 5 * MIB
CDC_MAX_BYTES = 16 * MIB
"""Of a content-defined chunk; only the last one of a file may be smaller than the minimum."""

Strategy = Literal["single", "multipart"]
Chunking = Literal["fixed", "cdc1"]
PlanReason = Literal["negative-size", "beyond-store", "too-large-for-single", "empty-multipart", "not-for-cdc1"]


class PlanError(ValueError):
    """No plan exists. `reason` is stable, the message is for people."""

    def __init__(self, reason: PlanReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Limits of an object store; the defaults are those of AWS, less one part."""

    min_part_bytes: int = 5 * MIB
    """Of every part but the last."""
    max_part_bytes: int = 5 * GIB
    max_parts: int = 9_999
    """S3 allows 10,000; SeaweedFS sorts part 10000 after 999 and breaks the paging of ListParts."""
    max_object_bytes: int = 10_000 * 5 * GIB

    @property
    def largest_plan_bytes(self) -> int:
        """Size of the largest file that has a plan: the object and its parts must both fit."""
        return min(self.max_object_bytes, self.max_parts * self.max_part_bytes)

    @property
    def largest_cdc1_bytes(self) -> int:
        """Size of the largest file that fits into parts of the smallest content-defined size; 0: no file does."""
        fits = self.min_part_bytes <= CDC_MIN_BYTES and self.max_part_bytes >= CDC_MAX_BYTES
        return min(self.max_object_bytes, self.max_parts * CDC_MIN_BYTES) if fits else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The chunks of one file. A `single` plan has one chunk, the whole file, of 0 bytes for an empty file."""

    strategy: Strategy
    size_bytes: int
    chunk_size_bytes: int
    """Of every chunk but the last, which has the rest; of "cdc1" the largest possible."""
    chunk_count: int
    """Of "cdc1" 0: the client lists the chunks."""
    chunking: Chunking = "fixed"

    def offset(self, number: int) -> int:
        """Return the byte offset at which chunk `number` (1-based) starts. Raises ValueError outside the plan."""
        if not 1 <= number <= self.chunk_count:
            raise ValueError(f"chunk {number} is not in 1..{self.chunk_count}")
        return (number - 1) * self.chunk_size_bytes

    def chunk_bytes(self, number: int) -> int:
        """Return the size of chunk `number` (1-based). Raises ValueError outside the plan."""
        return min(self.chunk_size_bytes, self.size_bytes - self.offset(number))

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """Iterate over (number, offset, size in bytes), by number."""
        for number in range(1, self.chunk_count + 1):
            yield number, self.offset(number), self.chunk_bytes(number)


def plan_chunks(
    size_bytes: int,
    *,
    limits: StoreLimits,
    strategy: Strategy | None = None,
    chunk_size_bytes: int | None = None,
    default_chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    single_max_bytes: int = SINGLE_MAX_BYTES,
) -> Plan:
    """Cut a file of `size_bytes` >= 0 into chunks that the store accepts.

    Without a `strategy`, files up to `single_max_bytes` are `single` and larger files `multipart`. A caller may choose
    `multipart` from 1 byte on, `single` up to `single_max_bytes`. `chunk_size_bytes` is the preferred size of multipart
    chunks: it is raised to what the store's minimum and number of parts require, rounded up to a MiB, and capped at the
    largest part. The default is the larger of `default_chunk_bytes` and what `TARGET_CHUNKS` chunks of this file need.

    Raises: PlanError.
    """
    if size_bytes < 0:
        raise PlanError("negative-size", f"a file cannot have {size_bytes} bytes")
    if size_bytes > limits.largest_plan_bytes:
        raise PlanError(
            "beyond-store", f"the object store holds at most {limits.largest_plan_bytes} bytes in an object"
        )
    strategy = strategy or ("single" if size_bytes <= single_max_bytes else "multipart")
    if strategy == "single":
        if size_bytes > single_max_bytes:
            raise PlanError("too-large-for-single", f"more than {single_max_bytes} bytes need strategy multipart")
        return Plan("single", size_bytes, chunk_size_bytes=size_bytes, chunk_count=1)
    if size_bytes == 0:
        raise PlanError("empty-multipart", "an empty file has no parts: use strategy single")

    wanted = chunk_size_bytes or max(default_chunk_bytes, _ceil_div(size_bytes, TARGET_CHUNKS))
    needed = max(limits.min_part_bytes, _ceil_div(size_bytes, limits.max_parts))
    chunk_size = min(_ceil_div(max(wanted, needed), MIB) * MIB, limits.max_part_bytes)
    return Plan("multipart", size_bytes, chunk_size, chunk_count=_ceil_div(size_bytes, chunk_size))


def plan_content_defined(size_bytes: int, max_bytes: int) -> Plan:
    """Return the plan of a file of at most `max_bytes` whose client lists content-defined chunks. Raises PlanError."""
    if not CDC_MAX_BYTES < size_bytes <= max_bytes:
        raise PlanError(
            "not-for-cdc1",
            f"content-defined chunks are for files of more than {CDC_MAX_BYTES} and at most {max_bytes} bytes here",
        )
    return Plan("multipart", size_bytes, CDC_MAX_BYTES, chunk_count=0, chunking="cdc1")


def find_illegal_chunk(sizes: Sequence[int], rest_bytes: int) -> int | None:
    """Return the index of the first content-defined chunk that cannot be one of a file's next `rest_bytes`, if any."""
    for index, size in enumerate(sizes):
        is_last = size == rest_bytes
        if not (size <= min(CDC_MAX_BYTES, rest_bytes) and (size >= CDC_MIN_BYTES or is_last)):
            return index
        rest_bytes -= size
    return None


def format_chunking(chunking: str, chunk_size_bytes: int) -> str:
    """Return a chunking as clients see it: `fixed:<size in bytes>` or `cdc1`."""
    return f"fixed:{chunk_size_bytes}" if chunking == "fixed" else chunking


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
