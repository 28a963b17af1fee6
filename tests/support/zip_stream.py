"""A strict reader of zip archives that cannot seek: it believes the local headers, then compares the directory.

It reads what every streaming reader can (bsdtar, Java's ZipInputStream) and refuses what only some of them guess.
Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_LOCAL, _DESCRIPTOR, _DIRECTORY, _END_64, _LOCATOR_64, _END = (
    b"PK\x03\x04",
    b"PK\x07\x08",
    b"PK\x01\x02",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x05\x06",
)
_DESCRIPTOR_FOLLOWS = 1 << 3
_STORED, _DEFLATED = 0, 8
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_READ_BYTES = 1 << 20


class BadArchive(AssertionError):
    """The archive cannot be read as a stream, or contradicts itself."""


@dataclass(frozen=True)
class StreamedEntry:
    name: str
    size_bytes: int
    crc: int


@dataclass(frozen=True)
class _Place:
    """An entry as its local header and descriptor give it."""

    entry: StreamedEntry
    offset: int
    flags: int
    method: int
    deflated_bytes: int


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Pipe:
    """A stream that can only be read forward; `give_back` returns what was read too far."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._waiting = b""
        self.offset = 0

    def read_block(self) -> bytes:
        block = self._waiting or self._stream.read(_READ_BYTES)
        self._waiting = b""
        self.offset += len(block)
        return block

    def give_back(self, data: bytes) -> None:
        self._waiting = data + self._waiting
        self.offset -= len(data)

    def take(self, size: int) -> bytes:
        while len(self._waiting) < size:
            more = self._stream.read(_READ_BYTES)
            if not more:
                raise BadArchive("the archive ends early")
            self._waiting += more
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        self.offset += size
        return data


def _require(is_true: bool, message: str) -> None:
    if not is_true:
        raise BadArchive(message)


def read_stream(stream: Readable) -> Iterator[StreamedEntry]:
    """Yield the entries in order; at the end compare them with the directory. Raises BadArchive."""
    pipe = _Pipe(stream)
    places: list[_Place] = []
    while (signature := pipe.take(4)) == _LOCAL:
        places.append(_read_entry(pipe))
        yield places[-1].entry
    start = pipe.offset - 4
    for place in places:
        _require(signature == _DIRECTORY, "the directory lacks an entry")
        _require(_read_record(pipe) == place, f"the directory contradicts {place}")
        signature = pipe.take(4)
    _read_end(pipe, signature, len(places), start)
    _require(not pipe.read_block(), "bytes follow the archive")


def _read_entry(pipe: _Pipe) -> _Place:
    offset = pipe.offset - 4
    _, flags, method, _, _, crc, deflated_bytes, size, name_bytes, extra_bytes = struct.unpack("<5H3I2H", pipe.take(26))
    name = pipe.take(name_bytes).decode()
    is_large = 0x0001 in _read_extra(pipe.take(extra_bytes))
    if not flags & _DESCRIPTOR_FOLLOWS:
        _require((method, crc, deflated_bytes, size) == (_STORED, 0, 0, 0), f"{name} has content but no descriptor")
        return _Place(StreamedEntry(name, 0, 0), offset, flags, method, 0)
    _require(method == _DEFLATED, f"{name}: only deflate shows where the content ends")
    begins_at = pipe.offset
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    real_crc = real_size = 0
    while not inflate.eof:
        block = pipe.read_block()
        _require(bool(block), "the archive ends early")
        content = inflate.decompress(block)
        real_crc, real_size = zlib.crc32(content, real_crc), real_size + len(content)
    pipe.give_back(inflate.unused_data)
    real_deflated = pipe.offset - begins_at
    # Older readers of Java look at the sizes, newer ones at the extra field: both must expect the same length.
    _require(is_large == (max(real_size, real_deflated) >= _MAX_32), f"{name}: the form of its descriptor is ambiguous")
    _require(pipe.take(4) == _DESCRIPTOR, f"{name} has no descriptor")
    told = struct.unpack("<I2Q", pipe.take(20)) if is_large else struct.unpack("<3I", pipe.take(12))
    _require(told == (real_crc, real_deflated, real_size), f"{name}: its descriptor says {told}")
    return _Place(StreamedEntry(name, real_size, real_crc), offset, flags, method, real_deflated)


def _read_extra(data: bytes) -> dict[int, bytes]:
    fields = {}
    while data:
        kind, size = struct.unpack_from("<2H", data)
        fields[kind], data = data[4 : 4 + size], data[4 + size :]
    return fields


def _read_record(pipe: _Pipe) -> _Place:
    fields = struct.unpack("<6H3I5H2I", pipe.take(42))
    _, _, flags, method, _, _, crc, deflated_bytes, size, name_bytes, extra_bytes, _, _, _, _, offset = fields
    name = pipe.take(name_bytes).decode()
    large = _read_extra(pipe.take(extra_bytes)).get(0x0001, b"")
    wide = iter(struct.unpack(f"<{len(large) // 8}Q", large))
    size = next(wide) if size == _MAX_32 else size
    deflated_bytes = next(wide) if deflated_bytes == _MAX_32 else deflated_bytes
    offset = next(wide) if offset == _MAX_32 else offset
    _require(next(wide, None) is None, f"{name}: the directory has wide fields that nothing refers to")
    return _Place(StreamedEntry(name, size, crc), offset, flags, method, deflated_bytes)


def _read_end(pipe: _Pipe, signature: bytes, count: int, start: int) -> None:
    size = pipe.offset - 4 - start
    if signature == _END_64:
        end = struct.unpack("<Q2H2I4Q", pipe.take(52))
        _require(end[5:] == (count, count, size, start), f"the zip64 end says {end}")
        _require(pipe.take(4) == _LOCATOR_64, "the zip64 end has no locator")
        _require(struct.unpack("<IQI", pipe.take(16)) == (0, start + size, 1), "the locator points elsewhere")
        signature = pipe.take(4)
    _require(signature == _END, "the archive has no end")
    told = struct.unpack("<4H2IH", pipe.take(18))
    short = min(count, _MAX_16)
    _require(told == (0, 0, short, short, min(size, _MAX_32), min(start, _MAX_32), 0), f"the end says {told}")
