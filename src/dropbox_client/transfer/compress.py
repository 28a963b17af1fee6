"""Compression of a file before it is sent: one zstd frame in a temporary file, which the server stores decoded.

It pays where the link is slower than zstd, and the content shrinks: a sample tells in a millisecond. An edit of a
stored file is sent as it is, because the server reuses its unchanged chunks, and a frame has none.
"""

import hashlib
import mimetypes
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Literal

from dropbox_client.transfer.chunks import GIB, KIB, MIB
from dropbox_client.transfer.source import Source, SpooledSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CompressMode = Literal["auto", "always", "never"]

MIN_BYTES, MAX_BYTES = 1 * MIB, 4 * GIB
"""Of a file that `auto` compresses."""
SLOW_LINK_BYTES_S = 25 * MIB
"""A faster link takes the content as it is sooner than zstd compresses it (about 300 MiB/s on one core, and the server
decodes it)."""
WORTH = 0.8
"""The largest ratio of compressed to plain size."""
_LEVEL = 1
_SAMPLES, _SAMPLE_BYTES = 4, 64 * KIB
_PACKED = ("image/", "video/", "audio/")
_PACKED_TYPES = frozenset(
    {
        "application/gzip",
        "application/java-archive",
        "application/pdf",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-rar-compressed",
        "application/x-xz",
        "application/zip",
        "application/zstd",
    }
)


class FrameSource(SpooledSource):
    """A zstd frame in a temporary file, and what it decodes to."""

    def __init__(self, fd: int, original: Source, fingerprint: str) -> None:
        """Take over the descriptor; `fingerprint` is the SHA-256 (hex) of the original, which stays open."""
        super().__init__(fd)
        self._original = original
        self.content_bytes = original.size_bytes
        self.fingerprint = fingerprint

    @property
    def modified_ns(self) -> int | None:
        return self._original.modified_ns

    @property
    def executable(self) -> bool | None:
        return self._original.executable

    def check(self) -> None:
        """Raise FileChanged if the original was written, truncated or replaced since it was opened."""
        self._original.check()


def is_worth_compressing(source: Source, rate_bytes_s: float | None) -> bool:
    """Return whether compression makes the upload of a new file sooner.

    `rate_bytes_s` is the measured rate of the link, None before the first measurement: the file is sent as it is.
    Raises FileChanged, Unreadable.
    """
    if rate_bytes_s is None or rate_bytes_s >= SLOW_LINK_BYTES_S or not MIN_BYTES <= source.size_bytes <= MAX_BYTES:
        return False
    kind, encoding = mimetypes.guess_type(source.path.name)
    if encoding or (kind and (kind.startswith(_PACKED) or kind in _PACKED_TYPES)):
        return False
    return estimate_ratio(source) <= WORTH


def estimate_ratio(source: Source) -> float:
    """Return the ratio of compressed to plain size of samples of a file. Raises FileChanged, Unreadable."""
    step = max(1, (source.size_bytes - _SAMPLE_BYTES) // max(1, _SAMPLES - 1))
    sample = b"".join(
        bytes(block)
        for number in range(_SAMPLES)
        for block in source.blocks(
            min(number * step, max(0, source.size_bytes - _SAMPLE_BYTES)), min(_SAMPLE_BYTES, source.size_bytes)
        )
    )
    return len(zstd.compress(sample, level=_LEVEL)) / len(sample) if sample else 1.0


def compress_source(source: Source, check: Callable[[], None]) -> FrameSource | None:
    """Compress a file into a temporary one; None where there is no room for it, or it does not shrink.

    `check` is called before each block, and may raise to stop. Raises what it does, FileChanged, Unreadable.
    """
    whole, compressor, frame_bytes = hashlib.sha256(), zstd.ZstdCompressor(level=_LEVEL), 0
    try:
        with tempfile.TemporaryFile() as spool:
            for block in source.blocks(0, source.size_bytes):
                check()
                whole.update(block)
                frame_bytes += spool.write(compressor.compress(block))
            frame_bytes += spool.write(compressor.flush())
            if frame_bytes >= source.size_bytes:
                return None
            spool.flush()
            return FrameSource(os.dup(spool.fileno()), source, whole.hexdigest())
    except OSError:  # of the temporary file: the source has errors of its own
        return None
