"""Archives of ZipWriter read by the zipfile module and as a stream, including those that need zip64."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dropbox_api.core.zip_format import ZipWriter
from tests.support.zip_stream import BadArchive, read_stream

AT = datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC)
MIB, GIB = 1024**2, 1024**3


def entry(writer: ZipWriter, path: str, content: bytes = b"", at: datetime = AT) -> bytes:
    header = writer.start(path, at, len(content))
    return header + writer.feed(content) + writer.end()


def archive(fill: Callable[[ZipWriter], Iterator[bytes]]) -> zipfile.ZipFile:
    writer = ZipWriter()
    return zipfile.ZipFile(io.BytesIO(b"".join([*fill(writer), *writer.finish()])))


def test_archive_reads_back_with_its_content() -> None:
    content = {"a/": b"", "a/é🎉.txt": b"five!", "a/empty": b"", "b\u0301": bytes(3_000_000)}
    read = archive(lambda writer: (entry(writer, path, data) for path, data in content.items()))
    assert read.testzip() is None
    assert {info.filename: read.read(info) for info in read.infolist()} == content
    assert [info.is_dir() for info in read.infolist()] == [True, False, False, False]
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
    assert [info.compress_type for info in read.infolist()] == methods
    assert [oct(info.external_attr >> 16) for info in read.infolist()] == ["0o40755", *["0o100644"] * 3]


def test_archive_without_entries_is_valid() -> None:
    assert archive(lambda _: iter(())).infolist() == []


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (AT.astimezone(timezone(timedelta(hours=9))), (2024, 5, 6, 7, 8, 10)),
        (datetime(1969, 1, 2, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC), (2099, 12, 31, 23, 59, 58)),
    ],
)
def test_times_are_in_utc_and_clamped_to_the_format(at: datetime, shown: tuple[int, ...]) -> None:
    (info,) = archive(lambda writer: iter([entry(writer, "x", at=at)])).infolist()
    assert info.date_time == shown


def test_entry_with_content_of_another_size_is_an_error() -> None:
    for content in (b"", b"four", b"sixty!"):
        writer = ZipWriter()
        writer.start("x", AT, 5)
        with pytest.raises(ValueError, match=r"instead of 5|than 5"):
            _ = writer.feed(content), writer.end()


def test_archive_of_70000_entries_reads_back() -> None:
    read = archive(lambda writer: (entry(writer, f"folder/{n}") for n in range(70_000)))
    assert len(read.infolist()) == 70_000
    assert read.read("folder/69999") == b""


class Pieces:
    """A stream of pieces, for `read_stream`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int, /) -> bytes:
        return next(filter(None, self._pieces), b"")


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=9)), max_size=4),
    st.integers(1, 70_000),
)
@example([(2, b""), (0, b""), (1, b"x")], 65_535)
def test_archive_of_any_files_is_readable_as_a_stream(shapes: list[tuple[int, bytes]], block_bytes: int) -> None:
    """Files of a few whole deflate blocks and some bytes more."""
    contents = {f"{n}.bin": bytes(65_535 * blocks) + rest for n, (blocks, rest) in enumerate(shapes)}

    def write() -> Iterator[bytes]:
        writer = ZipWriter()
        yield writer.start("folder/", AT) + writer.end()
        for name, content in contents.items():
            yield writer.start(name, AT, len(content))
            for at in range(0, len(content), block_bytes):
                yield writer.feed(content[at : at + block_bytes])
            yield writer.end()
        yield from writer.finish()

    archived = b"".join(write())
    entries = list(read_stream(io.BytesIO(archived)))
    expected = [(name, len(content), zlib.crc32(content)) for name, content in {"folder/": b"", **contents}.items()]
    assert [(entry.name, entry.size_bytes, entry.crc) for entry in entries] == expected
    read = zipfile.ZipFile(io.BytesIO(archived))
    assert {name: read.read(name) for name in contents} == contents


def test_strict_reader_refuses_stored_content_with_a_descriptor() -> None:
    """As this server wrote it once: readers of a stream stopped at the first file, or cut it short."""
    stored = io.BytesIO()
    with zipfile.ZipFile(Unseekable(stored), "w", zipfile.ZIP_STORED) as archived:
        archived.writestr("a.txt", b"content")
    with pytest.raises(BadArchive, match="only deflate"):
        list(read_stream(io.BytesIO(stored.getvalue())))


class Unseekable(io.RawIOBase):
    """A file that zipfile can only append to, so that it writes descriptors."""

    def __init__(self, target: io.BytesIO) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._target.write(data)


class Sparse(io.RawIOBase):
    """A sparse file in memory: pieces, and zeros between them that take no memory."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.size = self.at = 0

    def add(self, piece: bytes, size: int) -> None:
        self.pieces.append((self.size, piece))
        self.size += size

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self.at + size)
        data = bytearray(end - self.at)
        for start, piece in self.pieces:
            for position in range(max(start, self.at), min(start + len(piece), end)):
                data[position - self.at] = piece[position - start]
        self.at = end
        return bytes(data)


def test_archive_of_more_than_4_gib_reads_back() -> None:
    """Sizes, offsets and the start of the directory exceed 32 bits, for a reader of the stream and for one of the file.

    The large one exceeds them only with the headers of its blocks.
    """
    file = Sparse()
    contents = {"large": 4 * GIB - MIB // 8, "behind": 5}
    zeros = bytes(MIB)

    def write() -> Iterator[bytes]:
        writer = ZipWriter()
        for name, size_bytes in contents.items():
            yield writer.start(name, AT, size_bytes)
            for at in range(0, size_bytes, MIB):
                yield writer.feed(zeros[: size_bytes - at])
            yield writer.end()
        yield from writer.finish()

    def keep_small(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            file.add(piece if len(piece) < MIB // 2 else b"", len(piece))
            yield piece

    entries = list(read_stream(Pieces(keep_small(write()))))
    assert [(entry.name, entry.size_bytes) for entry in entries] == list(contents.items())
    read = zipfile.ZipFile(file)
    assert [(info.filename, info.file_size) for info in read.infolist()] == list(contents.items())
    assert read.getinfo("behind").header_offset > 4 * GIB
    assert read.read("behind") == bytes(5)
