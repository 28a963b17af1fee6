"""Content-defined chunks, format "cdc1": a file is cut where its bytes say, so that an edit changes few chunks. Pure.

A chunk ends before the first of its bytes p >= 5 MiB where `hash & 0x0000d91767537000 == 0`, else after 16 MiB; a rest
of at most 5 MiB is one chunk. The hash is 0 before byte 5 MiB; each byte b from there on makes it
`(hash << 1) + gear[b]`, modulo 2**64, and is then tested. So every chunk but the last is a legal part of S3, and the 64
bytes before a cut alone decide about it, once 5 MiB are full.
Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems" (2020),
with one mask. The table is that of the `fastcdc` packages: entry b is the first 8 bytes of the MD5 of 64 bytes b.
"""

import re
from collections.abc import Iterator

from dropbox_client.transfer.chunks import CDC1, KIB, MIB

MIN_BYTES = 5 * MIB
MAX_BYTES = 16 * MIB
_FIRST_BYTES = 256 * KIB
"""`FastCDC` takes no larger minimum: the bytes before it are left out."""
_SKIPPED_BYTES = MIN_BYTES - _FIRST_BYTES

try:
    from pyfastcdc.cy import FastCDC  # `pyfastcdc` falls back to Python code, which is 200 times as slow
except ImportError:  # no wheel for this platform
    _cutter = None
else:
    _cutter = FastCDC(2 * MIB, min_size=_FIRST_BYTES, max_size=MAX_BYTES - _SKIPPED_BYTES, normalized_chunking=0)


def is_available() -> bool:
    """Return whether this machine cuts faster than it hashes; else use fixed chunks."""
    return _cutter is not None


def is_known(chunking: str) -> bool:
    """Return whether this machine can cut a file in this way."""
    return is_available() if chunking == CDC1 else bool(re.fullmatch(r"fixed:[1-9]\d*", chunking))


def find_cut(window: memoryview) -> int:
    """Return the size of the first chunk of `window`: the next 16 MiB of a file, or its rest if that is shorter.

    Releases the GIL. Raises RuntimeError unless `is_available`.
    """
    if _cutter is None:
        raise RuntimeError("pyfastcdc has no compiled module for this platform")
    if len(window) <= MIN_BYTES:
        return len(window)
    size: int = next(_cutter.cut_buf(window[_SKIPPED_BYTES:MAX_BYTES])).length
    return _SKIPPED_BYTES + size


def cut_bytes(content: bytes | bytearray | memoryview) -> Iterator[int]:
    """Iterate over the sizes of the chunks of content in memory; empty content has none."""
    rest = memoryview(content)
    while rest:
        size = find_cut(rest)
        yield size
        rest = rest[size:]
