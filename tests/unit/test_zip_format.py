"""Archives of ZipWriter read by the zipfile module, including those that need Zip64."""

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


def test_archive_reads_back_with_its_content() -> None:
    content = {"a/": b"", "a/é🎉.txt": b"five!", "a/empty": b"", "b\u0301": bytes(3_000_000)}
    read = archive(lambda writer: (entry(writer, path, data) for path, data in content.items()))
    assert read.testzip() is None
    assert {info.filename: read.read(info) for info in read.infolist()} == content
    assert [info.is_dir() for info in read.infolist()] == [True, False, False, False]
    assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}
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
        writer.feed(content)
        with pytest.raises(ValueError, match="instead of 5"):
            writer.end()


def test_archive_of_70000_entries_reads_back() -> None:
    read = archive(lambda writer: (entry(writer, f"folder/{n}") for n in range(70_000)))
    assert len(read.infolist()) == 70_000
    assert read.read("folder/69999") == b""


class Sparse(io.RawIOBase):
    """A sparse file in memory: pieces, and zeros between them that take no memory."""

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
    """Bytes that report a length of one GiB; the writer uses only their length."""

    def __len__(self) -> int:
        return GIB


def test_archive_of_more_than_4_gib_reads_back() -> None:
    """Size, offset and the start of the directory exceed 32 bits."""
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
