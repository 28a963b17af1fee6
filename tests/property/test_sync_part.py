"""The part of the trees that is loaded for a plan is closed, and holds all on which the trees differ."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dropbox_client.sync.part import load_part
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import ROOT_CHILD
from dropbox_client.sync.trees import BaseEntry, ContentId, RemoteEntry, Tree

ROOT = "root"
NODES = [f"n{number}" for number in range(12)]
CONTENT = ContentId("cd" * 32, 1)

Placed = dict[str, tuple[str, str]]
"""Parent and name of each node of one tree; the first six are folders."""


def is_folder(node_id: str) -> bool:
    return node_id == ROOT or int(node_id[1:]) < 6


@st.composite
def placed(draw: st.DrawFn) -> Placed:
    """Return a tree: the parent of a node is the root, or a folder before it."""
    found: Placed = {}
    for node_id in draw(st.permutations(NODES)):
        if draw(st.integers(0, 4)):
            folders = [ROOT, *(one for one in found if is_folder(one))]
            found[node_id] = (draw(st.sampled_from(folders)), node_id)
    return found


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, Placed]]:
    """Return a common tree, then other trees of single sides."""
    sides = draw(st.lists(st.tuples(st.sampled_from(["base", "local", "remote"]), placed()), max_size=3))
    return [("all", draw(placed())), *sides]


def write(state: State, side: str, tree: Placed) -> None:
    """Make one side of the state equal to a tree."""
    with state.transaction():
        if side == "base":
            state.database.execute("DELETE FROM base WHERE id != ?", (ROOT,))
            for node_id, (parent, name) in tree.items():
                kind = "folder" if is_folder(node_id) else "file"
                content = None if is_folder(node_id) else CONTENT
                state.put_base(BaseEntry(node_id, parent, name, name.encode(), kind, content, "r", 1))  # type: ignore[arg-type]
        elif side == "remote":
            state.database.execute("DELETE FROM remote WHERE id != ?", (ROOT,))
            for node_id, (parent, name) in tree.items():
                kind = "folder" if is_folder(node_id) else "file"
                content = None if is_folder(node_id) else CONTENT
                state.put_remote(RemoteEntry(node_id, parent, name, kind, content, "r", 1))  # type: ignore[arg-type]
        else:
            state.database.execute("DELETE FROM local WHERE id != ?", (ROOT,))
            numbers = {ROOT: ROOT_CHILD}
            for node_id, (parent, name) in tree.items():
                child = numbers.setdefault(node_id, state.next_number()) if is_folder(node_id) else None
                kind, fp = ("folder", None) if is_folder(node_id) else ("file", b"\xcd" * 32)
                row = (numbers[parent], name.encode(), kind, 1, 0o644, 1, 1, 1, None, child, node_id, fp)
                state.put_local([LocalRow(*row)])  # type: ignore[arg-type]


def places(tree: Tree) -> Placed:  # type: ignore[type-arg]
    return {entry.id: (entry.parent, entry.id) for entry in tree.values() if entry.parent is not None}


def above(tree: Placed, node_id: str) -> set[str]:
    found: set[str] = set()
    while node_id in tree:
        node_id = tree[node_id][0]
        found.add(node_id)
    return found


def below(tree: Placed, node_id: str) -> set[str]:
    return {one for one in tree if node_id in above(tree, one)}


@settings(max_examples=150)
@given(changes())
def test_loaded_part_is_closed_and_holds_all_differences(steps: list[tuple[str, Placed]]) -> None:
    with tempfile.TemporaryDirectory() as folder, State(Path(folder) / "state") as state:
        state.set_root(ROOT)
        sides: dict[str, Placed] = {}
        for side, tree in steps:
            for one in ("base", "local", "remote") if side == "all" else (side,):
                write(state, one, tree)
                sides[one] = tree
            trees = load_part(state, 1, lambda *_: "selected", is_settled=True)
            loaded = {"base": places(trees.base), "local": places(trees.local), "remote": places(trees.remote)}
            part = set().union(*loaded.values())
            for one, whole in sides.items():
                assert loaded[one] == {node_id: place for node_id, place in whole.items() if node_id in part}
            for node_id in NODES:
                where = [whole.get(node_id) for whole in sides.values()]
                if where.count(where[0]) == 3:
                    continue
                wanted = {node_id}
                for whole in sides.values():
                    wanted |= above(whole, node_id) - {ROOT}
                    if node_id in whole:
                        wanted |= {one for one, (parent, _) in whole.items() if parent == whole[node_id][0]}
                    if is_folder(node_id) and None in where:
                        wanted |= below(whole, node_id)
                assert wanted <= part
