"""Compression of a file before it is sent."""

import hashlib
import random
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from dropbox_client.errors import FileChanged, Stopped
from dropbox_client.transfer.compress import (
    MAX_BYTES,
    MIN_BYTES,
    SLOW_LINK_BYTES_S,
    compress_source,
    estimate_ratio,
    is_worth_compressing,
)
from dropbox_client.transfer.source import BytesSource, Source

TEXT = b"a line of a log that says the same as the others\n" * 40_000
NOISE = random.Random(1).randbytes(len(TEXT))
SLOW = SLOW_LINK_BYTES_S / 10


def file_with(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "rate_bytes_s", "is_worth"),
    [
        ("server.log", TEXT, SLOW, True),
        ("without a suffix", TEXT, SLOW, True),
        ("server.log", TEXT, None, False),  # not measured yet
        ("server.log", TEXT, SLOW_LINK_BYTES_S, False),
        ("server.log", TEXT[: MIN_BYTES - 1], SLOW, False),
        ("server.log", NOISE, SLOW, False),
        ("film.mp4", TEXT, SLOW, False),
        ("archive.zip", TEXT, SLOW, False),
        ("server.log.gz", TEXT, SLOW, False),
        ("paper.pdf", TEXT, SLOW, False),
    ],
)
def test_new_file_is_compressed_where_it_shrinks_and_the_link_is_slow(
    tmp_path: Path, name: str, content: bytes, rate_bytes_s: float | None, is_worth: bool
) -> None:
    with Source(file_with(tmp_path / name, content)) as source:
        assert is_worth_compressing(source, rate_bytes_s) is is_worth


def test_huge_file_is_not_compressed(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with Source(tmp_path / "sparse") as source:
        assert not is_worth_compressing(source, SLOW)


def test_estimate_reads_all_parts_of_a_file() -> None:
    assert estimate_ratio(BytesSource(TEXT)) < 0.1
    assert estimate_ratio(BytesSource(NOISE)) > 0.99
    assert 0.3 < estimate_ratio(BytesSource(NOISE + TEXT)) < 0.7
    assert estimate_ratio(BytesSource(b"")) == 1


@given(st.binary(max_size=200), st.integers(1, 30_000))
def test_frame_decodes_to_the_content(pattern: bytes, times: int) -> None:
    content = pattern * times
    frame = compress_source(BytesSource(content), lambda: None)
    if frame is None:
        assert len(content) <= len(zstd.compress(content, level=1)) + 16
        return
    with frame:
        encoded = b"".join(bytes(block) for block in frame.blocks(0, frame.size_bytes))
        assert zstd.decompress(encoded) == content
        assert len(encoded) < len(content) == frame.content_bytes
        assert frame.fingerprint == hashlib.sha256(content).hexdigest()


def test_content_that_does_not_shrink_gives_no_frame() -> None:
    assert compress_source(BytesSource(NOISE), lambda: None) is None


def test_frame_of_a_changed_file_says_so(tmp_path: Path) -> None:
    path = file_with(tmp_path / "file", TEXT)
    with Source(path) as source:
        frame = compress_source(source, lambda: None)
        assert frame is not None
        with frame:
            frame.check()
            assert (frame.modified_ns, frame.executable) == (source.modified_ns, False)
            path.write_bytes(TEXT + b"more")
            with pytest.raises(FileChanged):
                frame.check()


def test_compression_stops_when_asked() -> None:
    def stop() -> None:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        compress_source(BytesSource(TEXT), stop)


def test_full_disk_gives_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert compress_source(BytesSource(TEXT), lambda: None) is None
