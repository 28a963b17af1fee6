"""Zip archives as a stream, entry by entry, without holding content: no compression, zip64 where needed.

Own code, because streaming libraries need a thread per archive (stream-zip) or synchronous sources (zipstream-ng), and
the format without compression is a few records. The CRC-32 of a file is known only after its content, so it follows in
a data descriptor; the central directory at the end repeats everything. A reader that cannot seek has to find the end of
the content by itself, so files are deflated, in blocks that the format calls stored: each tells its length.
Invariants: sizes are known beforehand, and a file of another size is an error; names are UTF-8; times are UTC.
Source: PKWARE APPNOTE 6.3.10 (4.3.7 local header, 4.3.9 data descriptor, 4.3.12 directory, 4.3.14-16 its end, 4.5.3
zip64); RFC 1951 section 3.2.4 (stored blocks); Info-ZIP's extra field 0x5455 for times with a time zone.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_DESCRIPTOR_FOLLOWS, _UTF_8 = 1 << 3, 1 << 11
_PLAIN, _ZIP64 = 20, 45  # version needed: 2.0 knows folders, 4.5 zip64
_MADE_BY = 3 << 8 | _ZIP64  # Unix: the high half of the attributes are a file mode
_FILE, _FOLDER = 0o100644 << 16, 0o40755 << 16 | 0x10
_STORED, _DEFLATED = 0, 8
_DEFLATE_BLOCK_BYTES = _MAX_16
_DIRECTORY_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class _ZipEntry:
    name: bytes
    modified_at: datetime
    size_bytes: int
    offset_bytes: int
    crc: int = 0
    passed_bytes: int = 0

    @property
    def deflated_bytes(self) -> int:
        """The size of the content with the five bytes that begin each block; 0 for an empty file or folder."""
        return self.size_bytes + 5 * -(-self.size_bytes // _DEFLATE_BLOCK_BYTES)

    @property
    def is_large(self) -> bool:
        return self.deflated_bytes >= _MAX_32

    def common(self, *more: int) -> bytes:
        """Return the fields that local header and directory share: version, flags, method, time, date."""
        version = _ZIP64 if self.is_large or any(value >= _MAX_32 for value in more) else _PLAIN
        flags, method = (_UTF_8 | _DESCRIPTOR_FOLLOWS, _DEFLATED) if self.size_bytes else (_UTF_8, _STORED)
        at = self.modified_at
        if at.year < 1980:
            time, date = 0, 1 << 5 | 1
        else:
            time = at.hour << 11 | at.minute << 5 | at.second // 2
            date = min(at.year - 1980, 127) << 9 | at.month << 5 | at.day
        return struct.pack("<5H", version, flags, method, time, date)

    def timestamp(self) -> bytes:
        seconds = int(self.modified_at.timestamp())
        return struct.pack("<2HBi", 0x5455, 5, 1, seconds) if -(2**31) <= seconds < 2**31 else b""


class ZipWriter:
    """Writes one archive: call `start`, `feed` and `end` for each entry, then `finish`.

    The caller sends the returned bytes in this order. Memory: about 20 bytes per entry, because the directory is kept
    compressed.
    """

    def __init__(self) -> None:
        self._sent_bytes = 0
        self._entries = 0
        self._current: _ZipEntry | None = None
        self._squeeze = zlib.compressobj(1)
        self._directory = bytearray()
        self._directory_bytes = 0

    def start(self, path: str, modified_at: datetime, size_bytes: int = 0) -> bytes:
        """Return the header of an entry; `path` is relative, with a trailing slash for a folder."""
        entry = _ZipEntry(path.encode(), modified_at.astimezone(UTC), size_bytes, self._sent_bytes)
        self._current = entry
        extra = entry.timestamp()
        sizes = 0
        if entry.is_large:
            sizes = _MAX_32
            extra += struct.pack("<2H2Q", 0x0001, 16, 0, 0)  # the descriptor has them
        header = b"PK\x03\x04" + entry.common() + struct.pack("<3I2H", 0, sizes, sizes, len(entry.name), len(extra))
        return self._sent(header + entry.name + extra)

    def feed(self, data: bytes) -> bytes:
        """Return the next bytes of the entry's content as deflate blocks. Raises ValueError beyond its announced size.

        Blocks have the largest size, so that the size of the whole depends on that of the content only.
        """
        entry = self._current
        assert entry is not None  # noqa: S101 - between start and end
        if entry.passed_bytes + len(data) > entry.size_bytes:
            raise ValueError(f"more bytes came than {entry.size_bytes}")
        entry.crc = zlib.crc32(data, entry.crc)
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            block_left = -entry.passed_bytes % _DEFLATE_BLOCK_BYTES
            if not block_left:
                content_left = entry.size_bytes - entry.passed_bytes
                block_left = min(_DEFLATE_BLOCK_BYTES, content_left)
                pieces.append(struct.pack("<B2H", block_left == content_left, block_left, block_left ^ _MAX_16))
            piece = data[at : at + block_left]
            pieces.append(piece)
            at += len(piece)
            entry.passed_bytes += len(piece)
        return self._sent(b"".join(pieces))

    def end(self) -> bytes:
        """Return the bytes after the entry's content. Raises ValueError when its size is not the announced one."""
        entry, self._current = self._current, None
        assert entry is not None  # noqa: S101 - started
        if entry.passed_bytes != entry.size_bytes:
            raise ValueError(f"{entry.passed_bytes} bytes came instead of {entry.size_bytes}")
        self._entries += 1
        record = _directory_record(entry)
        self._directory_bytes += len(record)
        self._directory += self._squeeze.compress(record)
        if not entry.size_bytes:
            return b""
        sizes = struct.pack("<2Q" if entry.is_large else "<2I", entry.deflated_bytes, entry.size_bytes)
        return self._sent(b"PK\x07\x08" + struct.pack("<I", entry.crc) + sizes)

    def finish(self) -> Iterator[bytes]:
        """Yield the directory and its end records."""
        self._directory += self._squeeze.flush()
        swell = zlib.decompressobj()
        packed = bytes(self._directory)
        while block := swell.decompress(packed, _DIRECTORY_BLOCK_BYTES):
            yield block
            packed = swell.unconsumed_tail
        count, size, start = self._entries, self._directory_bytes, self._sent_bytes
        if count >= _MAX_16 or size >= _MAX_32 or start >= _MAX_32:
            yield b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, _MADE_BY, _ZIP64, 0, 0, count, count, size, start)
            yield b"PK\x06\x07" + struct.pack("<IQI", 0, start + size, 1)
        count, size, start = min(count, _MAX_16), min(size, _MAX_32), min(start, _MAX_32)
        yield b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, count, count, size, start, 0)

    def _sent(self, piece: bytes) -> bytes:
        self._sent_bytes += len(piece)
        return piece


def _directory_record(entry: _ZipEntry) -> bytes:
    sizes = [_MAX_32] * 2 if entry.is_large else [entry.deflated_bytes, entry.size_bytes]
    offset = min(entry.offset_bytes, _MAX_32)
    large = [entry.size_bytes, entry.deflated_bytes] if entry.is_large else []
    if offset == _MAX_32:
        large.append(entry.offset_bytes)
    extra = entry.timestamp()
    if large:
        extra += struct.pack(f"<2H{len(large)}Q", 0x0001, 8 * len(large), *large)
    attributes = _FOLDER if entry.name.endswith(b"/") else _FILE
    return (
        b"PK\x01\x02"
        + struct.pack("<H", _MADE_BY)
        + entry.common(offset)
        + struct.pack("<3I5H2I", entry.crc, *sizes, len(entry.name), len(extra), 0, 0, 0, attributes, offset)
        + entry.name
        + extra
    )
