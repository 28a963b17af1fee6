"""Temporary files that no download will continue."""

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dropbox_client.models import DownloadUrl
from dropbox_client.transfer.partial_file import PartialFile, StalePartialFiles

DAY_S = 86400


def left(folder: Path, name: str, age_days: float = 0) -> Path:
    path = folder / name
    path.write_bytes(b"part")
    os.utime(path, (time.time() - age_days * DAY_S,) * 2)
    return path


def test_partial_files_of_a_complete_target_are_deleted(tmp_path: Path) -> None:
    left(tmp_path, ".cat.jpg.0123456789abcdef.dbx-part")
    left(tmp_path, ".cat.jpg.01234567.dbx-part")
    others = [
        left(tmp_path, ".dog.jpg.0123456789abcdef.dbx-part"),
        left(tmp_path, ".cat.jpg.dbx-part"),
        left(tmp_path, ".cat.jpg.notes.dbx-part", age_days=30),
        left(tmp_path, "cat.jpg.0123456789abcdef.dbx-part", age_days=30),
    ]
    StalePartialFiles().delete(tmp_path / "cat.jpg")
    assert set(tmp_path.iterdir()) == set(others)


def test_partial_files_older_than_a_week_are_deleted(tmp_path: Path) -> None:
    left(tmp_path, ".gone.jpg.0123456789abcdef.dbx-part", age_days=7.1)
    young = left(tmp_path, ".dog.jpg.0123456789abcdef.dbx-part", age_days=6.9)
    link = tmp_path / ".link.0123456789abcdef.dbx-part"
    link.symlink_to(young)
    StalePartialFiles().delete(tmp_path / "cat.jpg")
    assert set(tmp_path.iterdir()) == {young, link}


def test_partial_file_of_a_running_download_stays(tmp_path: Path) -> None:
    path = left(tmp_path, ".cat.jpg.0123456789abcdef.dbx-part", age_days=30)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        StalePartialFiles().delete(tmp_path / "cat.jpg")
        assert path.exists()
    StalePartialFiles().delete(tmp_path / "cat.jpg")
    assert not path.exists()


@pytest.mark.parametrize("count", [1, 2])
def test_partial_file_is_locked_while_it_is_open(tmp_path: Path, count: int) -> None:
    source = DownloadUrl("http://h", datetime.now(UTC), 4, "0" * 64, "verified", "r", "e")
    with PartialFile(tmp_path / "cat.jpg", source, count) as part:
        StalePartialFiles().delete(tmp_path / "cat.jpg")
        part.write(memoryview(b"meow"), 0)
        part.create_target(tmp_path / "cat.jpg", datetime(9999, 12, 31, tzinfo=UTC))
    assert [path.name for path in tmp_path.iterdir()] == ["cat.jpg"]


def test_missing_folder_is_ignored(tmp_path: Path) -> None:
    StalePartialFiles().delete(tmp_path / "missing" / "cat.jpg")


def test_partial_file_that_is_linked_to_its_target_is_not_written_to(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"edited")
    source = DownloadUrl("http://h", datetime.now(UTC), 5, "0" * 64, "verified", "r", "e")
    (tmp_path / f".file.{'0' * 16}.dbx-part").hardlink_to(target)
    with PartialFile(target, source, 2) as part:
        part.write(memoryview(b"other"), 0)
        assert target.read_bytes() == b"edited"
        part.replace_target(target, None)
    StalePartialFiles().delete(target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"other")]
