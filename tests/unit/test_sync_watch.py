"""Hints of changes below a root."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dropbox_client.sync import watch
from dropbox_client.sync.watch import Hints, Watcher, rescan_interval_s


def wait_for_hints(watcher: Watcher, is_right: Callable[[Hints], bool]) -> Hints:
    """Collect hints until they are as wanted."""
    found, until = Hints(), time.monotonic() + 20
    while not is_right(found):
        assert time.monotonic() < until, found
        time.sleep(0.02)
        hints = watcher.take()
        found.folders |= hints.folders
        found.has_gaps |= hints.has_gaps
    return found


def test_changes_give_hints_of_their_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".dbx").mkdir()
    woken = threading.Event()
    with Watcher(tmp_path, woken.set) as watcher:
        assert watcher.wait_until_watching(20)
        wait_for_hints(watcher, lambda hints: hints.has_gaps)  # what changed before is not told
        woken.clear()
        (tmp_path / ".dbx" / "x").touch()
        (tmp_path / "a" / "b" / "x").touch()
        (tmp_path / "y").touch()
        hints = wait_for_hints(watcher, lambda hints: hints.folders >= {b"", b"a/b"})
        assert woken.is_set()
        assert hints.folders <= {b"", b"a", b"a/b"}
        assert not hints.has_gaps
        (tmp_path / "new" / "deep").mkdir(parents=True)
        wait_for_hints(watcher, lambda hints: b"" in hints.folders)
        assert watcher.problem is None


def test_name_that_is_no_unicode_gives_a_hint(tmp_path: Path) -> None:
    with Watcher(tmp_path, lambda: None) as watcher:
        assert watcher.wait_until_watching(20)
        wait_for_hints(watcher, lambda hints: hints.has_gaps)
        (tmp_path / os.fsdecode(b"caf\xe9")).touch()
        wait_for_hints(watcher, lambda hints: b"" in hints.folders or hints.has_gaps)


def test_large_batch_asks_for_a_look_at_everything() -> None:
    small, large = Hints(), Hints()
    small.add("/r", [f"/r/a/{number}" for number in range(3_999)])
    large.add("/r", [f"/r/a/{number}" for number in range(4_000)])
    assert (small.folders, small.has_gaps, large.has_gaps) == ({b"a"}, False, True)


@pytest.mark.parametrize(
    ("path", "folders", "has_gaps"),
    [
        ("/r", {b""}, False),
        ("/r/x", {b""}, False),
        ("/r/a/b/x", {b"a/b"}, False),
        ("/r/.dbx/trash/x", set(), False),
        ("/other/x", set(), True),
        ("/r/caf\ufffd/x", set(), True),
    ],
)
def test_path_gives_the_hint_of_its_folder(path: str, folders: set[bytes], has_gaps: bool) -> None:
    hints = Hints()
    hints.add("/r", [path])
    assert (hints.folders, hints.has_gaps) == (folders, has_gaps)


def test_clock_that_jumps_asks_for_a_look_at_everything(tmp_path: Path) -> None:
    now, passed = [0.0], [0.0]
    with Watcher(tmp_path, lambda: None, clock=lambda: now[0], monotonic=lambda: passed[0]) as watcher:
        wait_for_hints(watcher, lambda hints: hints.has_gaps)
        now[0], passed[0] = 100, 90
        assert not watcher.take().has_gaps
        now[0], passed[0] = 170, 95
        assert watcher.take().has_gaps
        assert not watcher.take().has_gaps


def test_reached_watch_limit_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached. about [/r]")

    monkeypatch.setattr(watch, "watch", fail)
    with Watcher(tmp_path, lambda: None) as watcher:
        wait_for_hints(watcher, lambda hints: hints.has_gaps)
        assert "max_user_watches" in (watcher.problem or "")
        assert not watcher.wait_until_watching(0)


def test_rescan_takes_a_thousandth_of_the_time() -> None:
    assert rescan_interval_s(1, is_watching=True) == 3600
    assert rescan_interval_s(10, is_watching=True) == 10_000
    assert rescan_interval_s(0.1, is_watching=False) == 300
