"""The socket of a running root, what commands ask over it, and the notices."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.cli.sync.notices import Notices
from dropbox_client.cli.sync.show import describe_snapshot
from dropbox_client.client import Client
from dropbox_client.errors import ClientError
from dropbox_client.sync.config import Registry, RootConfig
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.snapshot import Item, Question, Snapshot
from dropbox_client.sync.state import ConflictRecord, State, read_conflicts
from dropbox_client.sync.state_file import STATE_NAME
from dropbox_client.sync.status import (
    NotRunning,
    RootRuns,
    StatusServer,
    ask,
    find_process,
    hold_root,
    read_snapshot,
)

ITEM = Item("a/b", "upload", "busy", 10, 5)
QUESTION = Question("local-deletes", 30, ("x", "y"))
SNAPSHOT = Snapshot(
    "syncing", "why", (ITEM,), 1, (replace(ITEM, work=None),), (QUESTION,), 10, 5, 2.5, 100, 1e9, "limit"
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "sync")
    registry.save(RootConfig("root", tmp_path / "files", "http://localhost:1", "d", "laptop"))
    return registry


def make_engine(registry: Registry) -> Engine:
    """Return an engine that does nothing, and shows `SNAPSHOT`."""
    config = registry.read("root")
    assert config
    engine = Engine(config, registry.folder("root"), Client(config.server))
    engine._show(SNAPSHOT)
    return engine


@contextmanager
def running(registry: Registry, engine: Engine) -> Iterator[Path]:
    folder = registry.folder("root")
    with hold_root(folder), StatusServer(registry, "root", engine, stop=engine.stop):
        yield folder


def test_commands_reach_the_engine_over_a_private_socket(registry: Registry) -> None:
    engine = make_engine(registry)
    with State(registry.folder("root") / STATE_NAME, clock=lambda: 1.5) as state:
        state.add_conflict("n", "a", "a (copy)")
        state.put_questions({"one": "local-deletes", "two": "local-deletes"})
    with running(registry, engine) as folder:
        assert stat.S_IMODE((folder / "socket").stat().st_mode) == 0o600
        assert read_snapshot(ask(folder, "status")) == SNAPSHOT
        assert read_conflicts(folder / STATE_NAME) == [ConflictRecord(1.5, "n", "a", "a (copy)")]
        assert [ask(folder, "rejected"), ask(folder, "confirmed")] == [2, 0]
        with State(folder / STATE_NAME) as state:
            assert state.list_answers() == {"one": "rejected", "two": "rejected"}
        assert engine._take_look()
        ask(folder, "look")
        assert engine._take_look()
        config = registry.read("root")
        assert config
        registry.save(replace(config, is_paused=True))
        ask(folder, "configure")
        assert engine._config == replace(config, is_paused=True)
        assert find_process(folder) == os.getpid()
        with pytest.raises(RootRuns, match=str(os.getpid())), hold_root(folder):
            pass
        ask(folder, "stop")
        assert engine._is_stopping
    assert find_process(folder) is None
    with pytest.raises(NotRunning):
        ask(folder, "status")


def test_failing_or_foreign_requests_do_not_end_the_server(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(registry)

    def fail(_: object) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(engine, "answer", fail)
    with running(registry, engine) as folder:
        with pytest.raises(ClientError, match="broken"):
            ask(folder, "confirmed")
        with pytest.raises(ClientError, match="does not know 'later'"):
            ask(folder, "later")  # type: ignore[arg-type]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(folder / "socket"))
            connection.sendall(b"nonsense\n")
            assert b"error" in connection.makefile("rb").readline()
        assert read_snapshot(ask(folder, "status")) == engine.snapshot


def test_socket_works_at_a_path_longer_than_the_system_allows(tmp_path: Path) -> None:
    registry = Registry(tmp_path / ("long" * 30) / "sync")
    registry.save(RootConfig("root", tmp_path, "http://localhost:1", "d", "laptop"))
    with running(registry, make_engine(registry)) as folder:
        assert len(str(folder)) > 120
        assert read_snapshot(ask(folder, "status")) == SNAPSHOT


def test_socket_of_a_killed_process_is_no_running_one(registry: Registry) -> None:
    folder = registry.folder("root")
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom dropbox_client.sync.config import Registry\n"
        "from dropbox_client.sync.status import *\nregistry = Registry(Path(sys.argv[1]))\n"
        "with hold_root(registry.folder('root')), StatusServer(registry, 'root', None, stop=print):\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, registry.directory], stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert find_process(folder) == process.pid
        process.send_signal(signal.SIGKILL)
    assert (folder / "socket").exists()
    assert find_process(folder) is None
    with pytest.raises(NotRunning):
        ask(folder, "status")
    with running(registry, make_engine(registry)):
        assert read_snapshot(ask(folder, "status")) == SNAPSHOT


def test_snapshot_of_a_newer_process_is_read() -> None:
    assert read_snapshot(
        {"phase": "looking", "later": 1, "items": [{"path": "a", "work": None, "later": 2}]}
    ) == Snapshot("looking", items=(Item("a", None),))


def test_description_says_what_waits_and_how_to_answer(tmp_path: Path) -> None:
    text = "\n".join(describe_snapshot(SNAPSHOT, tmp_path))
    for part in (
        "syncing: why  1 change  5 B of 10 B, about 2 s",
        "upload    a/b  10 B (50 %): busy",
        "held      a/b: busy",
        "30 files are gone from this disk",
        f"dbx sync confirm {tmp_path}",
        "and 28 more",
        "found late: limit",
    ):
        assert part in text


def test_notices_tell_each_question_and_conflict_once_and_at_most_one_a_minute(tmp_path: Path) -> None:
    shown: list[str] = []
    now = 0.0
    notices = Notices(tmp_path, lambda _, text: shown.append(text), clock=lambda: now)
    old, first, second = (ConflictRecord(0, "n", name, f"{name} (copy)") for name in ("old", "one", "two"))
    notices.observe(Snapshot("syncing"), [old])
    assert shown == []
    notices.observe(Snapshot("syncing", questions=(QUESTION,)), [old])
    assert len(shown) == 1
    notices.observe(Snapshot("syncing", questions=(QUESTION,)), [old, first])
    now = 59
    notices.observe(Snapshot("syncing", questions=(QUESTION,)), [old, first, second])
    assert len(shown) == 1
    now = 61
    notices.observe(Snapshot("syncing", questions=(QUESTION,)), [old, first, second])
    assert shown[1:] == ["two was changed on two devices: two (copy) keeps this one\nand 1 more"]
    now = 200
    notices.observe(Snapshot("syncing"), [old, first, second])
    notices.observe(Snapshot("syncing", questions=(QUESTION,)), [old, first, second])
    assert len(shown) == 3
