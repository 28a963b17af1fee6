"""The state keeps what was observed and agreed, through kills and damage."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.errors import ClientError
from dropbox_client.sync.guard import RootRecord
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.part import load_part
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import ROOT_CHILD
from dropbox_client.sync.trees import BaseEntry, ContentId, Kind, Mount, RemoteEntry, Selection, Trees, is_new

CONTENT = ContentId("ab" * 32, 7)
ROOT = "root"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    with State(path, clock=lambda: 1000.0) as opened:
        opened.set_root(ROOT)
        yield opened


def add_agreed(state: State, node_id: str, parent: str, name: str, *, is_folder: bool = False) -> None:
    """Add a node on which the three trees agree."""
    kind: Kind = "folder" if is_folder else "file"
    content = None if is_folder else CONTENT
    folder = state.find_local(parent)
    assert folder is not None
    assert folder.child is not None
    child = state.next_number() if is_folder else None
    row = LocalRow(
        folder.child, name.encode(), kind, 5, 0o644, 7, 1, 2, None, child, node_id, b"\xab" * 32 if content else None
    )
    state.put_local([row])
    state.put_base(BaseEntry(node_id, parent, name, name.encode(), kind, content, "r1", 3))
    state.put_remote(RemoteEntry(node_id, parent, name, kind, content, "r1", 3), "2026-01-01T00:00:00+00:00")


def load(state: State) -> Trees:
    return load_part(state, 9, lambda *_: "selected", is_settled=True)


def changed(state: State) -> set[str]:
    """Return the nodes that have to be planned, without those around them."""
    load(state)
    return {row[0] for row in state.database.execute("SELECT id FROM changed")}


def test_facts_outlive_the_process(path: Path) -> None:
    record = RootRecord("marker", 1, 2, "boot", "machine")
    with State(path) as first:
        assert (first.record, first.cursor, first.root_id, first.rules) == (None, None, None, "")
        first.record = record
        first.set_root(ROOT)
    with State(path) as second:
        assert (second.record, second.root_id, second.set_aside) == (record, ROOT, None)


def test_agreed_trees_need_no_plan(state: State) -> None:
    add_agreed(state, "a", ROOT, "folder", is_folder=True)
    add_agreed(state, "b", "a", "file")
    trees = load(state)
    assert [list(tree) for tree in (trees.base, trees.local, trees.remote)] == [[ROOT]] * 3
    assert trees.mounts[ROOT] == Mount(ROOT, "own")
    assert trees.is_settled


def test_changed_node_is_loaded_with_its_surroundings(state: State) -> None:
    for folder in ("a", "b"):
        add_agreed(state, folder, ROOT, folder, is_folder=True)
        for number in range(3):
            add_agreed(state, f"{folder}{number}", folder, f"{number}")
    load(state)
    entry = state.find_remote("a1")
    assert entry
    state.put_remote(replace(entry, name="renamed", version=4))
    trees = load(state)
    for tree in (trees.base, trees.local, trees.remote):
        assert set(tree) == {ROOT, "a", "a0", "a1", "a2"}
    local = trees.local.get("a1")
    assert local
    assert (local.parent, local.content, local.stamp and local.stamp.device) == ("a", CONTENT, 9)


def test_older_version_never_replaces_a_newer_one(state: State) -> None:
    entry = RemoteEntry("a", ROOT, "new", "file", CONTENT, "r2", 5)
    state.put_remote(entry, "2026")
    state.put_remote(replace(entry, name="old", version=4), "2025")
    assert state.find_remote("a") == entry
    assert state.find_modified_at("a") == "2026"
    newest = replace(entry, name="newest", version=6)
    state.put_remote(newest)
    assert state.find_remote("a") == newest


def test_refused_content_is_asked_for_again_once_it_differs(state: State) -> None:
    entry = RemoteEntry("a", ROOT, "a", "file", CONTENT, "r2", 5, content_status="stored")
    state.put_remote(entry)
    state.refuse_content(replace(entry, revision_id="r1"))  # an older one, whose download ended late
    assert state.find_remote("a") == entry
    state.refuse_content(entry)
    state.put_remote(replace(entry, name="b", version=6))
    assert state.find_remote("a") == replace(entry, name="b", version=6, is_refused=True)
    state.put_remote(replace(entry, version=7, content_status="verified"))
    assert state.find_remote("a") == replace(entry, version=7, content_status="verified")


def test_node_without_its_folder_waits(state: State) -> None:
    state.put_remote(RemoteEntry("b", "a", "b", "file", CONTENT, "r", 1))
    assert set(load(state).remote) == {ROOT}
    state.put_base(BaseEntry("b", ROOT, "b", b"b", "file", CONTENT, "r", 1))
    assert set(load(state).remote) == {ROOT, "b"}  # moved, not gone: the planner blocks it
    state.put_remote(RemoteEntry("a", ROOT, "a", "folder", None, None, 2))
    assert set(load(state).remote) == {ROOT, "a", "b"}


def test_list_removes_what_it_has_not_seen(state: State) -> None:
    for folder in ("a", "b"):
        add_agreed(state, folder, ROOT, folder, is_folder=True)
        for number in range(2):
            add_agreed(state, f"{folder}{number}", folder, f"{number}")
    state.begin_list()
    seen = state.find_remote("a0")
    assert seen
    state.put_remote(seen)
    assert state.end_list("a") == ["a1"]
    assert {row[0] for row in state.database.execute("SELECT id FROM remote")} == {ROOT, "a", "b", "a0", "b0", "b1"}


def test_fate_lasts_until_the_node_returns_or_leaves_base(state: State) -> None:
    for node_id in ("a", "b"):
        add_agreed(state, node_id, ROOT, node_id)
    entry = state.find_remote("a")
    assert entry
    for node_id in ("a", "b"):
        state.remove_remote(node_id)
    state.put_fates({"a": "trashed", "b": "deleted", "c": "deleted"})
    assert load(state).fates == {"a": "trashed", "b": "deleted"}
    state.put_remote(entry)
    state.remove_base("b")
    assert state.database.execute("SELECT * FROM fates").fetchall() == []


def test_rule_3_new_epoch_voids_base_and_remote_and_keeps_local(state: State) -> None:
    add_agreed(state, "a", ROOT, "folder", is_folder=True)
    add_agreed(state, "b", "a", "file")
    state.put_relist("a")
    state.begin_epoch("epoch 2", "instance")
    assert (state.epoch, state.cursor, state.list_relists()) == ("epoch 2", None, [])
    trees = load(state)
    assert set(trees.base) == set(trees.remote) == {ROOT}
    assert {entry.name for entry in trees.local.values()} == {b"", b"folder", b"file"}
    assert all(is_new(node_id) for node_id in trees.local if node_id != ROOT)
    # A version of the former epoch says nothing about one of the new epoch.
    state.put_remote(RemoteEntry("b", ROOT, "file", "file", CONTENT, "r0", 1))
    assert state.find_remote("b")


def test_rule_11_changed_ignore_rules_leave_no_base_to_delete_by(state: State) -> None:
    add_agreed(state, "a", ROOT, "build", is_folder=True)
    add_agreed(state, "b", "a", "x.o")
    add_agreed(state, "c", ROOT, "kept")
    load(state)
    state.replace_rules(Ignores("build/"))
    assert (state.rules, state.find_base("a"), state.find_base("b")) == ("build/", None, None)
    assert state.find_base("c")
    row = state.find_local("c")
    assert row
    assert [is_new(row.id) for row in state.list_local(row.dir)] == [True, False]

    def select(_: str, name: str, is_folder: bool) -> Selection:
        return "ignored" if name == "build" else "selected"

    remote = load_part(state, 9, select, is_settled=True).remote
    assert {entry.id: entry.selection for entry in remote.values() if entry.selection != "selected"} == {
        "a": "ignored",
        "b": "ignored",
    }
    build = next(row for row in state.list_local(ROOT_CHILD) if row.name == b"build")
    state.remove_local(build)
    remote = load_part(state, 9, select, is_settled=True).remote
    assert set(remote) == {ROOT}


def test_unselected_nodes_are_loaded_once(state: State) -> None:
    state.put_remote(RemoteEntry("a", ROOT, "a", "folder", None, None, 1))
    assert set(load_part(state, 9, lambda *_: "unselected", is_settled=True).remote) == {ROOT, "a"}
    assert set(load_part(state, 9, lambda *_: "unselected", is_settled=True).remote) == {ROOT}


def test_loading_a_part_reads_no_whole_table(state: State) -> None:
    add_agreed(state, "a", ROOT, "a")
    statements: list[str] = []
    state.database.set_trace_callback(statements.append)
    load(state)
    state.database.set_trace_callback(None)
    queries = [one for one in statements if one.split()[0] in {"SELECT", "WITH", "DELETE", "INSERT"}]
    assert len(queries) >= 9
    for query in queries:
        plan = [row[3] for row in state.database.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert [step for step in plan if step.startswith(("SCAN base", "SCAN local", "SCAN remote"))] == [], query


def test_pending_list_keeps_the_trees_unsettled(state: State) -> None:
    state.put_relist("a")
    assert not load(state).is_settled
    state.remove_relist("a")
    assert load(state).is_settled


def test_transaction_that_fails_changes_nothing(state: State) -> None:
    def fail() -> None:
        with state.transaction():
            state.set_fact("cursor", "x")
            with state.transaction():
                state.put_relist("a")
            raise ValueError("undo")

    with pytest.raises(ValueError, match="undo"):
        fail()
    assert (state.cursor, state.list_relists()) == (None, [])


def test_removed_folder_takes_what_is_below_it(state: State) -> None:
    add_agreed(state, "a", ROOT, "a", is_folder=True)
    add_agreed(state, "b", "a", "b", is_folder=True)
    add_agreed(state, "c", "b", "c")
    assert set(state.remove_remote("a")) == {"a", "b", "c"}
    row = state.find_local("a")
    assert row
    assert state.local_path(row.child or 0) == b"a"
    state.remove_local(row)
    assert [row[0] for row in state.database.execute("SELECT id FROM local")] == [ROOT]
    assert changed(state) == {"a", "b", "c"}


def test_moved_folder_keeps_its_contents(state: State) -> None:
    add_agreed(state, "a", ROOT, "a", is_folder=True)
    add_agreed(state, "b", "a", "b")
    load(state)
    row = state.find_local("a")
    assert row
    state.move_local(row, ROOT_CHILD, b"moved")
    assert state.local_path(row.child or 0) == b"moved"
    assert changed(state) == {"a"}


def test_intents_and_conflicts_are_listed_in_order(state: State) -> None:
    first, second = state.add_intent("download", path="a"), state.add_intent("move", path="b")
    state.end_intent(first)
    assert [(intent.number, intent.kind, intent.detail) for intent in state.list_intents()] == [
        (second, "move", {"path": "b"})
    ]
    state.add_conflict("a", "x.txt", "x (conflict).txt")
    assert [(one.at, one.copy) for one in state.list_conflicts()] == [(1000.0, "x (conflict).txt")]
    assert state.list_conflicts(since=1001) == []


@pytest.mark.parametrize("place", [0, 5000])
def test_rule_13_damaged_state_is_set_aside(path: Path, place: int) -> None:
    with State(path) as first:
        first.set_root(ROOT)
        for number in range(200):
            add_agreed(first, f"{number}", ROOT, f"{number}")
    content = bytearray(path.read_bytes())
    content[place : place + 20_000] = b"\xa5" * 20_000
    path.write_bytes(content)
    with State(path, clock=lambda: 7) as second:
        assert second.root_id is None
        assert second.set_aside == path.with_name("state.sqlite.damaged-7")
        assert second.set_aside.read_bytes() == content


@pytest.mark.parametrize("pragma", ["user_version = 99", "application_id = 5"])
def test_state_of_another_program_or_version_is_refused_and_kept(path: Path, pragma: str) -> None:
    with State(path) as first:
        first.database.execute(f"PRAGMA {pragma}")
        first.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    with pytest.raises(ClientError):
        State(path)
    assert path.read_bytes() == before


WRITE = """
import itertools, sys
from pathlib import Path
from dropbox_client.sync.state import State
from dropbox_client.sync.trees import BaseEntry, RemoteEntry
with State(Path(sys.argv[1])) as state:
    state.set_root("root")
    for number in itertools.count(1):
        with state.transaction():
            state.set_fact("cursor", f"{number}")
            for name in "abc":
                state.put_remote(RemoteEntry(name, "root", f"{number}", "folder", None, None, number))
                state.put_base(BaseEntry(name, "root", f"{number}", b"x", "folder", None, None, number))
        print(number, flush=True)
"""


def test_rule_13_kill_leaves_whole_transactions(path: Path) -> None:
    for run in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(10 + run):
                reported = int(process.stdout.readline())
            time.sleep(run * 0.0007)  # so that the kills hit other places of a transaction
            process.send_signal(signal.SIGKILL)
        with State(path) as state:
            assert state.set_aside is None
            assert state.cursor is not None
            assert int(state.cursor) >= reported
            bases, remotes = ([getattr(state, find)(name) for name in "abc"] for find in ("find_base", "find_remote"))
            assert {entry.name for entry in (*bases, *remotes)} == {state.cursor}
        path.unlink()
