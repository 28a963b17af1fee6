"""Local files: hashes against the vectors, and detection of changes."""

import contextlib
import hashlib
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.errors import FileChanged, Unreadable
from dropbox_client.transfer.cdc import cut_bytes
from dropbox_client.transfer.chunks import MIB, Chunks, fixed
from dropbox_client.transfer.content import open_source
from dropbox_client.transfer.source import BLOCK_BYTES, BytesSource, Source, hash_file, hash_range

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/fingerprints.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["fingerprints"], ids=lambda vector: vector["name"])
def test_fingerprints_match_the_vectors(vector: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes((vector["text"] * vector["repeat"]).encode())
    with Source(path) as source:
        plan = Chunks(source.size_bytes, fixed(source.size_bytes))
        assert hash_file(source, plan, lambda *_: None) == vector["sha256"]
        assert hash_range(source, 0, source.size_bytes) == vector["sha256"]


@pytest.mark.parametrize("chunk_bytes", [BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7, 10 * BLOCK_BYTES])
def test_hash_file_returns_hashes_of_the_file_and_its_chunks(chunk_bytes: int, tmp_path: Path) -> None:
    data = os.urandom(7 * BLOCK_BYTES + 13)
    path = tmp_path / "file"
    path.write_bytes(data)
    seen: dict[int, str] = {}
    with Source(path) as source:
        assert (
            hash_file(source, Chunks(len(data), fixed(chunk_bytes)), seen.__setitem__)
            == hashlib.sha256(data).hexdigest()
        )
    starts = range(0, len(data), chunk_bytes)
    assert seen == {
        number: hashlib.sha256(data[start : start + chunk_bytes]).hexdigest() for number, start in enumerate(starts, 1)
    }


@pytest.mark.parametrize("size", [1, 5 * MIB, 16 * MIB, 40 * MIB + 3])
def test_hash_file_cuts_by_content_and_reads_each_byte_once(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    read: list[tuple[int, int]] = []

    class CountingSource(Source):
        def read_into(self, buffer: memoryview, offset_bytes: int) -> int:
            count = super().read_into(buffer[: 3 * MIB], offset_bytes)  # a read may return less than was asked for
            read.append((offset_bytes, count))
            return count

    seen: dict[int, str] = {}
    plan = Chunks(size, "cdc1")
    with CountingSource(path) as source:
        assert hash_file(source, plan, seen.__setitem__) == hashlib.sha256(data).hexdigest()
    assert [plan.bytes_of(number) for number in range(1, plan.count + 1)] == list(cut_bytes(data))
    assert seen == {
        number: hashlib.sha256(data[plan.offset(number) : plan.end(number)]).hexdigest()
        for number in range(1, plan.count + 1)
    }
    assert [offset for offset, _ in read] == [0, *itertools.accumulate(count for _, count in read)][:-1]
    assert sum(count for _, count in read) == size


def test_second_pass_over_a_half_cut_file_completes_the_plan() -> None:
    data = os.urandom(40 * MIB)
    plan = Chunks(len(data), "cdc1")
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            hash_file(BytesSource(data), plan, _interrupt_after_2)
    assert plan.count == 3
    hash_file(BytesSource(data), plan, lambda *_: None)
    assert [plan.bytes_of(number) for number in range(1, plan.count + 1)] == list(cut_bytes(data))


def _interrupt_after_2(number: int, _: str) -> None:
    if number > 2:
        raise KeyboardInterrupt


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite_and_set_the_old_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"y" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("change", [_append, _rewrite_and_set_the_old_time, _replace, Path.unlink])
def test_check_detects_every_change(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    with Source(path) as source:
        source.check()
        change(path)
        with pytest.raises(FileChanged):
            source.check()


def test_file_truncated_while_read_raises(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    with Source(path) as source:
        os.truncate(path, 500)
        with pytest.raises(FileChanged, match="shorter"):
            hash_range(source, 0, 1000)


def test_file_with_content_and_a_size_of_0_is_refused_as_a_path_and_read_as_a_stream() -> None:
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    with pytest.raises(Unreadable, match="size of 0"):
        Source(path)
    with path.open("rb") as stream, open_source(stream) as source:
        assert source.size_bytes > 0


def test_open_of_a_special_file_raises_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(Unreadable):
            Source(path)


def test_open_without_a_later_check_does_not_wait_for_the_end_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropbox_client.transfer.source._TICK_NS", 3600 * 10**9)  # as if it were written all the time
    (tmp_path / "file").write_bytes(b"x")
    opening = threading.Thread(target=lambda: Source(tmp_path / "file", is_checked=False).close(), daemon=True)
    opening.start()
    opening.join(10)
    assert not opening.is_alive()
