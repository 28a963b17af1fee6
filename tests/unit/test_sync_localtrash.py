"""The local trash below the root."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dropbox_client.sync.localtrash import LocalTrash
from tests.support.sync_folder import SyncFolder, sync_folder

DAY_S = 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SyncFolder]:
    with sync_folder(tmp_path) as opened:
        yield opened


def make_trash(folder: SyncFolder, capacity_bytes: int = 10**9) -> LocalTrash:
    return LocalTrash(folder.root_fd, folder.disk, clock=folder.clock, capacity_bytes=lambda: capacity_bytes)


def put(folder: SyncFolder, trash: LocalTrash, path: str) -> Path:
    """Move what is at a path into the trash; return its new place."""
    above, _, name = path.rpartition("/")
    with folder.disk.open_folder(above.encode()) as fd:
        return folder.root / os.fsdecode(trash.put(fd, name.encode(), path.encode()))


def test_trashed_entry_keeps_its_content_and_its_origin(folder: SyncFolder) -> None:
    (folder.root / "a").mkdir()
    (folder.root / "a" / "from").write_text("content")
    inode = (folder.root / "a" / "from").stat().st_ino
    trash = make_trash(folder)
    places = [put(folder, trash, "a/from"), put(folder, trash, "a")]
    assert list(folder.root.iterdir()) == [folder.root / ".dbx"]
    assert (places[0].name, places[0].read_text(), places[0].stat().st_ino) == ("from", "content", inode)
    assert places[1].is_dir()
    assert [entry.path for entry in trash.list()] == [b"a/from", b"a"]
    folder.settle()
    assert folder.rows() == {}


def test_entry_is_removed_after_30_days(folder: SyncFolder) -> None:
    trash = make_trash(folder)
    places = []
    for name in "ab":
        (folder.root / name).write_text(name)
        places.append(put(folder, trash, name))
        folder.clock.ahead_s += 14 * DAY_S
    assert trash.clean() == 0
    folder.clock.ahead_s += 3 * DAY_S
    assert trash.clean() == 1
    assert [place.exists() for place in places] == [False, True]


def test_oldest_entries_leave_when_they_take_a_tenth_of_the_disk(folder: SyncFolder) -> None:
    trash = make_trash(folder, capacity_bytes=3_000_000)
    places = []
    for name in "abc":
        (folder.root / name).mkdir()
        (folder.root / name / "x").write_bytes(b"x" * 120_000)
        places.append(put(folder, trash, name))
        folder.clock.ahead_s += 1
    assert trash.clean() == 1
    assert [place.exists() for place in places] == [False, True, True]


def test_cleaning_never_leaves_the_trash(folder: SyncFolder) -> None:
    outside = folder.root.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (folder.root / "link").symlink_to(outside)
    trash = make_trash(folder)
    put(folder, trash, "link")
    folder.clock.ahead_s += 31 * DAY_S
    assert trash.clean() == 1
    assert (outside / "kept").read_text() == "kept"


def test_trash_that_is_a_link_is_refused(folder: SyncFolder) -> None:
    outside = folder.root.parent / "outside"
    outside.mkdir()
    (folder.root / "a").write_text("a")
    (folder.root / ".dbx").mkdir()
    (folder.root / ".dbx" / "trash").symlink_to(outside)
    with pytest.raises(OSError, match="trash"):
        put(folder, make_trash(folder), "a")
    assert (folder.root / "a").read_text() == "a"
