"""Scans of real folders: what is new, changed, moved and gone."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dropbox_client.sync import scan
from dropbox_client.sync.disk import DiskEntry
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.trees import is_new
from tests.support.sync_folder import SyncFolder, sync_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SyncFolder]:
    with sync_folder(tmp_path) as opened:
        yield opened


def write(folder: SyncFolder, *paths: str) -> None:
    """Write files, each with its path as content."""
    for path in paths:
        target = folder.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)


def changed(folder: SyncFolder) -> set[str]:
    """Return the ids with a recorded change, and forget them."""
    found = {row[0] for row in folder.state.database.execute("SELECT id FROM changed")}
    folder.state.database.execute("DELETE FROM changed")
    return found


def test_first_scan_records_all_entries_with_their_hashes(folder: SyncFolder) -> None:
    write(folder, "a", "b/c", "b/d/e")
    (folder.root / "empty").mkdir()
    folder.settle()
    assert folder.contents() == folder.disk_contents()
    assert all(is_new(node_id) for node_id in folder.ids().values())
    assert len(set(folder.ids().values())) == 6
    changed(folder)
    folder.settle()
    assert changed(folder) == set()
    assert folder.scanner.next_look_s() is None


def test_hashes_of_several_threads_are_the_same(folder: SyncFolder) -> None:
    write(folder, *(f"{number}" for number in range(300)))
    folder.clock.ahead_s = 100
    with ThreadPoolExecutor(2) as pool:
        folder.scanner.run(pool)
    assert folder.contents() == folder.disk_contents()


# Rule 7: files that are being written


def test_rule_7_file_has_no_hash_before_it_is_quiet(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.scan()
    assert (folder.row("a").status, folder.row("a").fp, folder.scanner.is_settled) == ("busy", None, False)
    write(folder, "a")
    (folder.root / "a").write_text("longer")
    folder.scan(after_s=2.1)
    assert folder.row("a").status == "busy"
    folder.scan(after_s=1)
    assert folder.row("a").status == "busy"
    folder.scan(after_s=1.1)
    assert folder.contents() == folder.disk_contents()
    assert folder.scanner.is_settled


def test_rule_7_file_that_is_written_all_the_time_holds_nothing_else(folder: SyncFolder) -> None:
    for number in range(10):
        assert folder.scanner.is_settled == (number == 10)
        (folder.root / "log").write_text("x" * number)
        folder.scan(after_s=2.1)
    assert folder.row("log").status == "busy"
    assert folder.row("log").reason == "it is written to all the time"
    assert folder.scanner.is_settled
    folder.scan(after_s=2.1)
    assert folder.row("log").status == "ok"


def test_rule_7_file_that_changes_during_its_hash_is_not_recorded(
    folder: SyncFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "a")
    hash_file = type(folder.disk).hash_file

    def hash_and_write(disk: object, fd: int, name: bytes) -> object:
        (folder.root / "a").write_text("torn")
        return hash_file(folder.disk, fd, name)

    folder.clock.ahead_s = 100
    monkeypatch.setattr(type(folder.disk), "hash_file", hash_and_write)
    folder.scanner.run()
    assert (folder.row("a").status, folder.row("a").fp) == ("busy", None)
    monkeypatch.undo()
    folder.settle()
    assert folder.contents() == folder.disk_contents()


def test_file_of_a_host_with_another_clock_is_watched_by_our_own(folder: SyncFolder) -> None:
    write(folder, "a")
    os.utime(folder.root / "a", (time.time() + 10**6,) * 2)
    folder.scan()
    folder.scan(after_s=1.9)
    assert folder.row("a").status == "busy"
    folder.scan(after_s=0.2)
    assert folder.row("a").status == "ok"


# Rule 8: unchanged times


def test_rule_8_change_with_the_old_size_and_time_is_found(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    before = (folder.root / "a").stat()
    (folder.root / "a").write_text("b")
    os.utime(folder.root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    folder.settle()
    assert folder.contents() == folder.disk_contents()


def test_rule_8_another_time_with_the_same_content_is_no_change(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    os.utime(folder.root / "a", (1, 1))
    folder.settle()
    changed(folder)
    os.utime(folder.root / "a", (2, 2))
    fp = folder.row("a").fp
    folder.settle()
    assert (folder.row("a").fp, folder.row("a").mtime_ns) == (fp, 2 * 10**9)


def test_rule_8_check_of_one_file_after_another_finds_what_no_stat_shows(folder: SyncFolder) -> None:
    write(folder, "a", "b", "c/d")
    folder.settle()
    row = folder.row("c/d")
    folder.state.put_local([row._replace(fp=bytes(32))])
    changed(folder)
    place, seen = (0, b""), []
    with ThreadPoolExecutor(1) as pool:
        while check := folder.scanner.begin_check(place, pool):
            checked, hashed = check
            folder.scanner.end_check(checked, hashed.result())
            place = checked.dir, checked.name
            seen.append(checked.name)
    assert seen == [b"a", b"b", b"d"]
    assert folder.row("c/d") == row
    assert changed(folder) == {row.id}


def test_large_files_are_hashed_while_scans_go_on(folder: SyncFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_LARGE_BYTES", 3)
    write(folder, "large", "s")
    (folder.root / "large").write_text("large")
    go_on = threading.Event()
    hash_file = folder.disk.hash_file

    def wait_and_hash(opened: int, name: bytes) -> tuple[str, DiskEntry]:
        if name == b"large":
            assert go_on.wait(30)
        return hash_file(opened, name)

    monkeypatch.setattr(folder.disk, "hash_file", wait_and_hash)
    with ThreadPoolExecutor(1) as pool:
        folder.scanner.run(large_pool=pool)
        folder.clock.ahead_s += 2.1
        folder.scanner.run(large_pool=pool)
        write(folder, "later")
        folder.scanner.mark(b"")
        folder.scanner.run(large_pool=pool)
        assert folder.row("later").id
        assert (folder.row("large").status, folder.scanner.is_settled) == ("busy", False)
        go_on.set()
        folder.settle(pool)
    assert folder.contents() == folder.disk_contents()


# Rules 6 and 9: saves and moves


def test_rule_6_atomic_save_is_an_edit(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    before = folder.row("a")
    write(folder, "temporary")
    (folder.root / "temporary").rename(folder.root / "a")
    folder.settle()
    assert folder.row("a").id == before.id
    assert folder.contents() == folder.disk_contents()


def test_rule_6_save_by_delete_and_create_is_an_edit(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    before = folder.row("a").id
    (folder.root / "a").unlink()
    folder.scan()
    assert not folder.scanner.is_settled
    (folder.root / "a").write_text("new")
    folder.scan(after_s=1)
    folder.settle()
    assert folder.row("a").id == before
    assert folder.contents() == folder.disk_contents()


def test_rule_6_save_with_a_backup_is_an_edit(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    before = folder.row("a").id
    (folder.root / "a").rename(folder.root / "a.bak")
    (folder.root / "a").write_text("new")
    folder.settle()
    assert folder.row("a").id == before
    assert folder.contents() == folder.disk_contents()


def test_rule_9_moved_entries_keep_their_nodes(folder: SyncFolder) -> None:
    write(folder, "a/b/c", "a/d", "e/f", "g")
    folder.settle()
    before = folder.ids()
    (folder.root / "a").rename(folder.root / "e" / "moved")
    (folder.root / "g").rename(folder.root / "e" / "h")
    folder.settle()
    assert folder.contents() == folder.disk_contents()
    after = folder.ids()
    moves = {"a": "e/moved", "a/b": "e/moved/b", "a/b/c": "e/moved/b/c", "a/d": "e/moved/d", "g": "e/h", "e/f": "e/f"}
    assert {path: after[target] for path, target in moves.items()} == {path: before[path] for path in moves}


@pytest.mark.parametrize("order", [("from", "to"), ("to", "from")])
def test_rule_9_move_is_found_whichever_folder_is_looked_at_first(folder: SyncFolder, order: tuple[str, str]) -> None:
    write(folder, "from/a", "to/b")
    folder.settle()
    before = folder.row("from/a").id
    (folder.root / "from/a").rename(folder.root / "to/a")
    for name in order:
        folder.scanner.mark(name.encode())
        folder.scanner.run()
        assert before in folder.ids().values()
    folder.settle()
    assert folder.row("to/a").id == before
    assert folder.contents() == folder.disk_contents()


def test_rule_9_other_file_with_the_inode_of_a_deleted_one_is_new(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    row = folder.row("a")
    (folder.root / "a").unlink()
    (folder.root / "b").write_text("other")
    entry = (folder.root / "b").stat()
    folder.state.put_local([row._replace(inode=entry.st_ino)])  # file systems give numbers again
    folder.settle()
    assert folder.row("b").id != row.id
    assert folder.contents() == folder.disk_contents()


def test_rule_9_swapped_folders_keep_their_nodes(folder: SyncFolder) -> None:
    write(folder, "a/1", "b/2")
    folder.settle()
    before = folder.ids()
    (folder.root / "a").rename(folder.root / "x")
    (folder.root / "b").rename(folder.root / "a")
    (folder.root / "x").rename(folder.root / "b")
    folder.settle()
    assert folder.contents() == folder.disk_contents()
    after = folder.ids()
    assert (after["a"], after["a/2"], after["b"], after["b/1"]) == (
        *(before["b"], before["b/2"]),
        *(before["a"], before["a/1"]),
    )


def test_rule_9_folder_made_under_the_name_of_a_moved_one_is_new(folder: SyncFolder) -> None:
    write(folder, "a/1")
    folder.settle()
    before = folder.ids()
    (folder.root / "a").rename(folder.root / "b")
    write(folder, "a/2")
    folder.settle()
    after = folder.ids()
    assert (after["b"], after["b/1"]) == (before["a"], before["a/1"])
    assert after["a"] not in before.values()
    assert folder.contents() == folder.disk_contents()


def test_folder_made_anew_under_its_name_keeps_its_node(folder: SyncFolder) -> None:
    write(folder, "a/1")
    folder.settle()
    before = folder.ids()
    (folder.root / "a/1").unlink()
    (folder.root / "a").rmdir()
    write(folder, "a/1")
    folder.settle()
    assert folder.ids() == before


@pytest.mark.parametrize("is_first_a_folder", [True, False])
def test_other_kind_under_the_same_name_is_a_new_entry(folder: SyncFolder, is_first_a_folder: bool) -> None:
    write(folder, *(["a/1"] if is_first_a_folder else ["a"]))
    folder.settle()
    before = set(folder.ids().values())
    (folder.root / "a").rename(folder.root.parent / "away")
    write(folder, *(["a"] if is_first_a_folder else ["a/1"]))
    folder.settle()
    assert folder.contents() == folder.disk_contents()
    assert not before & set(folder.ids().values())


def test_held_entry_is_neither_absent_nor_new(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    row = folder.row("a")
    folder.scanner.held_inodes = {row.inode}
    (folder.root / "a").rename(folder.root / "parked")
    folder.settle()
    assert folder.rows() == {"a": row}


# Rule 1: absence


def test_rule_1_entry_is_gone_after_two_looks_only(folder: SyncFolder) -> None:
    write(folder, "a", "b/c")
    folder.settle()
    (folder.root / "a").unlink()
    folder.scan()
    folder.scan(after_s=1)
    assert "a" in folder.rows()
    assert not folder.scanner.is_settled
    folder.scan(after_s=1.1)
    assert set(folder.rows()) == {"b", "b/c"}
    assert folder.scanner.is_settled


@pytest.mark.parametrize(("number", "status"), [(errno.EIO, "unknown"), (errno.EACCES, "unreadable")])
def test_rule_1_folder_that_cannot_be_listed_keeps_its_entries(folder: SyncFolder, number: int, status: str) -> None:
    write(folder, "a/b", "a/c/d")
    folder.settle()
    before = folder.ids()
    folder.disk.failures = {b"a": OSError(number, "broken")}
    (folder.root / "a/b").unlink()
    folder.scan(after_s=10)
    folder.scan(after_s=10)
    assert folder.ids() == before
    assert (folder.row("a").status, folder.row("a").reason) == (status, "broken")
    assert folder.scanner.next_look_s() == pytest.approx(30, abs=1)
    folder.disk.failures = {}
    folder.settle()
    assert (folder.row("a").status, set(folder.rows())) == ("ok", {"a", "a/c", "a/c/d"})


def test_rule_1_root_that_cannot_be_listed_raises(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    folder.disk.failures = {b"": OSError(errno.EIO, "broken")}
    with pytest.raises(OSError, match="broken"):
        folder.scan()
    assert not folder.scanner.is_settled
    assert set(folder.rows()) == {"a"}


def test_rule_1_file_that_cannot_be_read_is_named_and_tried_again(folder: SyncFolder) -> None:
    write(folder, "a", "b")
    folder.disk.failures = {b"a": PermissionError(errno.EACCES, "Permission denied")}
    folder.settle()
    assert (folder.row("a").status, folder.row("a").reason) == ("unreadable", "Permission denied")
    assert folder.row("b").status == "ok"
    folder.disk.failures = {}
    folder.settle()
    assert folder.contents() == folder.disk_contents()


# Rules 11, 12 and 14: what takes no part


def test_rule_12_links_are_recorded_and_not_followed(folder: SyncFolder) -> None:
    write(folder, "a/b")
    outside = folder.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder.root / "link").symlink_to(outside)
    (folder.root / "broken").symlink_to("nowhere")
    os.mkfifo(folder.root / "pipe")
    folder.settle()
    assert folder.contents() == folder.disk_contents() | {"link": "other", "broken": "other", "pipe": "other"}
    assert "link/secret" not in folder.rows()


def test_rule_12_folder_replaced_by_a_link_while_it_is_looked_at_leads_nowhere(
    folder: SyncFolder,
) -> None:
    write(folder, "a/b", "outside/secret")
    folder.settle()
    (folder.root / "a").rename(folder.root.parent / "away")
    (folder.root / "a").symlink_to("outside")
    folder.scanner.mark(b"a")
    folder.scanner.run()
    assert "a/secret" not in folder.rows()
    folder.settle()
    assert folder.row("a").kind == "other"
    assert "a/secret" not in folder.rows()


def test_rule_12_hard_links_are_separate_files(folder: SyncFolder) -> None:
    write(folder, "a")
    folder.settle()
    before = folder.row("a").id
    (folder.root / "b").hardlink_to(folder.root / "a")
    folder.settle()
    assert folder.row("a").id == before != folder.row("b").id
    assert folder.contents() == folder.disk_contents()


def test_rule_14_bad_name_stops_nothing(folder: SyncFolder) -> None:
    bad = os.fsencode(folder.root) + b"/caf\xe9"
    fd = os.open(bad, os.O_CREAT | os.O_WRONLY)
    os.close(fd)
    write(folder, "good")
    folder.settle()
    row = folder.row("caf\udce9")
    assert (row.status, bool(row.reason)) == ("invalid", True)
    assert folder.row("good").status == "ok"


def test_rule_14_bad_new_name_of_a_file_or_folder_is_no_deletion(folder: SyncFolder) -> None:
    write(folder, "plan", "d/file")
    folder.settle()
    ids = folder.ids()
    for name in ("plan", "d"):
        (folder.root / name).rename(folder.root / f"{name}\n")
    folder.settle()
    assert folder.ids() == {"plan\n": ids["plan"], "d\n": ids["d"], "d\n/file": ids["d/file"]}
    assert folder.row("plan\n").status == folder.row("d\n").status == "invalid"
    for name in ("plan", "d"):
        (folder.root / f"{name}\n").rename(folder.root / name)
    folder.settle()
    assert folder.ids() == ids
    assert {row.status for row in folder.rows().values()} == {"ok"}


def test_mounted_file_system_takes_no_part(folder: SyncFolder) -> None:
    write(folder, "mount/a", "b")
    folder.settle()
    folder.disk.devices = {b"mount": folder.device + 1}
    folder.settle()
    assert folder.row("mount").status == "unreadable"


def test_rule_11_ignored_entries_are_unmanaged(folder: SyncFolder) -> None:
    write(folder, "a.o", "build/x", "kept")
    folder.settle()
    (folder.root / ".dbxignore").write_text("*.o\nbuild/")
    folder.settle()
    assert {path: row.status for path, row in folder.rows().items()} == {
        ".dbxignore": "ok",
        "a.o": "unmanaged",
        "build": "unmanaged",
        "kept": "ok",
    }
    write(folder, "a.o", "build/y")
    (folder.root / "build/x").unlink()
    changed(folder)
    folder.settle()
    assert changed(folder) == set()
    (folder.root / ".dbxignore").unlink()
    folder.settle()
    assert folder.contents() == folder.disk_contents()


def test_rule_11_rules_in_the_root_are_in_force_once_they_are_quiet(folder: SyncFolder) -> None:
    write(folder, "a.o", "kept")
    folder.settle()
    before = folder.rows()
    (folder.root / ".dbxignore").write_text("*.o")
    folder.scan()
    assert folder.row("a.o") == before["a.o"]
    folder.settle()
    assert (folder.row("a.o").status, folder.state.rules) == ("unmanaged", "*.o")
    (folder.root / ".dbxignore").unlink()
    folder.scan()
    assert folder.row("a.o").status == "unmanaged"
    folder.settle()
    assert (folder.row("a.o").status, folder.state.rules) == ("ok", "")


def test_rule_11_rules_are_checked_after_a_kill_too(folder: SyncFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "a.o")
    folder.settle()
    (folder.root / ".dbxignore").write_text("*.o")
    replace_rules = folder.state.replace_rules

    def replace_and_die(ignores: Ignores) -> None:
        replace_rules(ignores)
        raise KeyboardInterrupt

    monkeypatch.setattr(folder.state, "replace_rules", replace_and_die)
    with pytest.raises(KeyboardInterrupt):
        folder.settle()
    folder.restart()
    folder.scan()
    assert folder.row("a.o").status == "unmanaged"


def test_rule_11_rules_that_are_there_first_count_from_the_first_scan(folder: SyncFolder) -> None:
    write(folder, "build/x")
    (folder.root / ".dbxignore").write_bytes(b"build/\n# caf\xe9\n")
    folder.scan()
    assert "build/x" not in folder.rows()
    folder.settle()
    folder.restart()
    folder.settle()
    assert set(folder.rows()) == {"build", ".dbxignore"}


def test_folder_of_the_client_itself_is_not_recorded(folder: SyncFolder) -> None:
    write(folder, ".dbx/marker", "a")
    folder.settle()
    assert set(folder.rows()) == {"a"}


def test_mark_of_an_unknown_folder_looks_above_it(folder: SyncFolder) -> None:
    folder.settle()
    write(folder, "a/b/c")
    folder.scanner.mark(b"a/b")
    folder.clock.ahead_s = 100
    folder.scanner.run()
    assert folder.contents() == folder.disk_contents()


def test_rule_12_folder_is_never_opened_through_a_link(folder: SyncFolder) -> None:
    write(folder, "a/b/c")
    (folder.root / "link").symlink_to("a")
    for path in (b"link", b"link/b"):
        with pytest.raises(OSError, match=r"link|director"), folder.disk.open_folder(path):
            pass
    with folder.disk.open_folder(b"a/b") as opened:
        assert [name for name, _ in folder.disk.list(opened)] == [b"c"]
