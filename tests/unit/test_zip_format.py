"""The bytes of a zip, read by Python's zipfile: more entries and more bytes than the first zip format could count."""

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dropbox_api.core.zip_format import ZipWriter

AT = datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC)
GIB = 1024**3


def entry(writer: ZipWriter, path: str, content: bytes = b"", at: datetime = AT) -> bytes:
    header = writer.start(path, at, len(content))
    writer.feed(content)
    return header + content + writer.end()


def archive(fill: Callable[[ZipWriter], Iterator[bytes]]) -> zipfile.ZipFile:
    writer = ZipWriter()
    return zipfile.ZipFile(io.BytesIO(b"".join([*fill(writer), *writer.finish()])))


def test_what_goes_in_comes_out() -> None:
    content = {"a/": b"", "a/é🎉.txt": b"five!", "a/empty": b"", "b\u0301": bytes(3_000_000)}
    read = archive(lambda writer: (entry(writer, path, data) for path, data in content.items()))
    assert read.testzip() is None
    assert {info.filename: read.read(info) for info in read.infolist()} == content
    assert [info.is_dir() for info in read.infolist()] == [True, False, False, False]
    assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}
    assert [oct(info.external_attr >> 16) for info in read.infolist()] == ["0o40755", *["0o100644"] * 3]


def test_an_archive_of_nothing() -> None:
    assert archive(lambda _: iter(())).infolist() == []


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (AT.astimezone(timezone(timedelta(hours=9))), (2024, 5, 6, 7, 8, 10)),
        (datetime(1969, 1, 2, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC), (2099, 12, 31, 23, 59, 58)),
    ],
)
def test_times_are_told_in_utc_as_far_as_the_format_goes(at: datetime, shown: tuple[int, ...]) -> None:
    (info,) = archive(lambda writer: iter([entry(writer, "x", at=at)])).infolist()
    assert info.date_time == shown


def test_content_of_another_size_is_an_error() -> None:
    for content in (b"", b"four", b"sixty!"):
        writer = ZipWriter()
        writer.start("x", AT, 5)
        writer.feed(content)
        with pytest.raises(ValueError, match="instead of 5"):
            writer.end()


def test_more_entries_than_sixteen_bits_count() -> None:
    read = archive(lambda writer: (entry(writer, f"folder/{n}") for n in range(70_000)))
    assert len(read.infolist()) == 70_000
    assert read.read("folder/69999") == b""


class Sparse(io.RawIOBase):
    """A file of pieces and of zeros between them that are nowhere: gigabytes without any."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.size = self.at = 0

    def add(self, piece: bytes) -> None:
        self.pieces.append((self.size, piece))
        self.size += len(piece)

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


class Endless(bytes):
    """Zeros that say they are as many as a block of a gigabyte; only their length is ever asked for."""

    def __len__(self) -> int:
        return GIB


def test_more_bytes_than_thirty_two_bits_count() -> None:
    """A file of 5 GiB and one that begins behind it: size, offset and the start of the directory are all too large."""
    file, writer = Sparse(), ZipWriter()
    file.add(writer.start("large", AT, 5 * GIB))
    for _ in range(5):
        writer.feed(Endless())
    file.size += 5 * GIB
    file.add(writer.end())
    file.add(entry(writer, "behind", b"small"))
    for piece in writer.finish():
        file.add(piece)
    read = zipfile.ZipFile(file)
    assert [(info.filename, info.file_size) for info in read.infolist()] == [("large", 5 * GIB), ("behind", 5)]
    assert read.getinfo("behind").header_offset > 5 * GIB
    assert read.read("behind") == b"small"
    with read.open("large") as large:
        assert large.read(10) == bytes(10)
