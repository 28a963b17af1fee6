"""Where each node is to be in the end: which nodes stay, in which folder, and by which name on either side.

The rules of `conflicts` decide for each node alone. Here they meet: a folder stays for its contents, a cycle undoes a
local move, and of two nodes at one name the one that the server has there keeps it.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dropbox_client.models.files import normalize_name
from dropbox_client.sync.conflicts import Existence, Place, Row, decide_existence, decide_place
from dropbox_client.sync.facts import Facts
from dropbox_client.sync.names import BadLocalName, RootTraits, make_local_key, make_twin_names, write_name
from dropbox_client.sync.trees import NodeId

KEPT: Final[frozenset[Existence]] = frozenset({"both", "fetch", "send", "restore", "renew", "split"})
"""What a folder must stay for."""


@dataclass(frozen=True, slots=True)
class Target:
    """The place that a node is to have on both sides."""

    parent: NodeId
    name: str
    local_name: bytes
    chosen: Place


class Targets:
    """The final state of a part of the trees. Only read after it is made."""

    def __init__(self, facts: Facts, traits: RootTraits) -> None:
        self._facts, self._traits = facts, traits
        self._undone: set[NodeId] = set()
        self.existence: dict[NodeId, Existence] = {}
        self.places: dict[NodeId, Target] = {}
        """Of the nodes in `KEPT`."""
        self.held: dict[NodeId, str] = {}
        """Why nothing is done with a node, beside `Facts.blocked`."""
        self.clashes: dict[NodeId, NodeId] = {}
        """New local files, and the node that the server has at their name with another content."""
        self.displaced: dict[NodeId, bytes] = {}
        """Local entries that must leave their name to another node, and the name that they get."""
        self.displaced_nodes: dict[NodeId, str] = {}
        """The same for new nodes of the server: files at the name of a new local folder."""
        while True:
            self._decide_alone()
            self._keep_folders()
            cycle = self._find_cycle()
            if not cycle:
                break
            self._undone.add(min(cycle))
        self._give_names()

    # Each node alone

    def _decide_alone(self) -> None:
        self.existence.clear()
        self.places.clear()
        for row in self._facts.rows.values():
            if row.id in self._facts.blocked:
                self._decide_unselected(row)
            elif row.id != self._facts.trees.root:
                existence = self.existence[row.id] = decide_existence(row)
                if existence == "hold":
                    is_unmounted = row.remote is not None
                    self.held[row.id] = "its share is gone from this disk" if is_unmounted else "the server lost it"
                self._place(row)

    def _decide_unselected(self, row: Row) -> None:
        """Unchanged files that are not selected any more leave the disk; nothing else is done with blocked nodes."""
        is_unselected = row.remote is not None and row.remote.selection == "unselected"
        if not is_unselected or row.id in self._facts.blocked_locally or row.base is None:
            return
        if row.local is None:
            self.existence[row.id] = "forget"
        elif not row.is_edited_locally:
            self.existence[row.id] = "trash-local"

    def _place(self, row: Row) -> None:
        existence = self.existence[row.id]
        try:
            if existence == "both":
                self.places[row.id] = self._choose_place(row)
            elif existence == "fetch":
                self.places[row.id] = self._place_remote(row)
            elif existence in KEPT:
                self.places[row.id] = self._place_local(row)
        except BadLocalName as bad:
            self.existence[row.id] = "hold"
            self.held[row.id] = str(bad)

    def _choose_place(self, row: Row) -> Target:
        assert row.local is not None  # noqa: S101 # on both sides
        assert row.remote is not None  # noqa: S101
        chosen = decide_place(row, self._facts.names[row.id])
        if chosen == "remote" or row.id in self._undone:
            return self._place_remote(row)
        if chosen == "local":
            return self._place_local(row)
        return Target(row.remote.parent or "", row.remote.name, row.local.name, chosen)

    def _place_remote(self, row: Row) -> Target:
        remote, base = row.remote, row.base
        assert remote is not None  # noqa: S101
        is_named_so = base is not None and base.name == remote.name
        name = base.local_name if base is not None and is_named_so else write_name(remote.name, self._traits)
        return Target(remote.parent or "", remote.name, name, "remote")

    def _place_local(self, row: Row) -> Target:
        assert row.local is not None  # noqa: S101
        return Target(row.local.parent or "", self._facts.names[row.id], row.local.name, "local")

    # Folders stay for their contents

    def _keep_folders(self) -> None:
        seen: set[NodeId] = set()
        for node_id in list(self.places):
            self._keep_above(self.places[node_id].parent, seen)
        trees = self._facts.trees
        for node_id, reason in self._find_stops():
            for folder in trees.remote.above(node_id):
                if self.existence.get(folder.id) == "trash-remote":
                    self.existence[folder.id] = "hold"
                    self.held[folder.id] = f"something in it stays: {reason}"
        for row in self._facts.rows.values():
            if self.existence.get(row.id) == "stay" and row.local and row.local.parent:
                is_doomed = self.existence.get(row.local.parent) == "trash-local"
                self.existence[row.id] = "outside" if is_doomed else "stay"

    def _keep_above(self, node_id: NodeId | None, seen: set[NodeId]) -> None:
        while node_id is not None and node_id not in seen:
            seen.add(node_id)
            row = self._facts.rows.get(node_id)
            if row is None or node_id in self._facts.blocked:
                return
            if self.existence.get(node_id) == "trash-remote":
                self.existence[node_id] = "fetch"
                self._place(row)
            elif self.existence.get(node_id) == "trash-local" and row.local_mount.is_writable:
                self.existence[node_id] = "renew"
                self._place(row)
            node_id = self.places[node_id].parent if node_id in self.places else None

    def _find_stops(self) -> Iterator[tuple[NodeId, str]]:
        """Yield nodes with which nothing is done now: the folders in which the server has them are not deleted."""
        for node_id, reason in self._facts.blocked.items():
            if self.existence.get(node_id) != "forget":
                yield node_id, reason
        for node_id, existence in self.existence.items():
            if existence in {"hold", "look-up"}:
                yield node_id, self.held.get(node_id, "waits for the server")

    def _find_cycle(self) -> set[NodeId]:
        """Return the local moves of one cycle of targets, which all other targets of it contradict; empty: none."""
        checked: set[NodeId] = set()
        for start in self.places:
            path: dict[NodeId, None] = {}
            node_id: NodeId | None = start
            while node_id is not None and node_id not in checked and node_id not in path:
                path[node_id] = None
                node_id = self._find_parent(node_id)
            if node_id in path:
                cycle = list(path)[list(path).index(node_id) :]
                return {one for one in cycle if one in self.places and self._is_undoable(one)}
            checked.update(path)
        return set()

    def _is_undoable(self, node_id: NodeId) -> bool:
        return self.existence[node_id] == "both" and self.places[node_id].chosen == "local"

    def _find_parent(self, node_id: NodeId) -> NodeId | None:
        if node_id in self.places:
            return self.places[node_id].parent
        row = self._facts.rows.get(node_id)
        entry = row and (row.remote or row.local or row.base)
        return entry.parent if entry else None

    # Names

    def _give_names(self) -> None:
        """Give each kept node a name of its own on both sides, as near as possible to the one it should have."""
        taken = self._find_fixed_names()
        movers = [node_id for node_id, target in self.places.items() if taken.get(self._key(target)) != node_id]
        remote = self._facts.trees.remote
        for node_id in sorted(movers, key=lambda one: (one not in remote, self.places[one].name, one)):
            if self.existence[node_id] in {"restore", "split"}:
                continue
            target = self.places[node_id]
            holder = taken.get(self._key(target))
            if holder is not None and self._make_twin(node_id, target, holder, taken):
                continue
            taken[self._key(self.places[node_id])] = node_id
        self._give_local_names()

    def _find_fixed_names(self) -> dict[tuple[NodeId | None, str], NodeId]:
        """Return the names on the server whose nodes stay where they are."""
        taken: dict[tuple[NodeId | None, str], NodeId] = {}
        for remote in self._facts.trees.remote.values():
            key = (remote.parent, normalize_name(remote.name))
            target = self.places.get(remote.id)
            is_leaving = self.existence.get(remote.id) == "trash-remote"
            if not is_leaving and (target is None or self._key(target) == key):
                taken[key] = remote.id
        return taken

    def _key(self, target: Target) -> tuple[NodeId | None, str]:
        return target.parent, normalize_name(target.name)

    def _local_key(self, parent: NodeId | None, name: bytes) -> tuple[NodeId | None, Hashable]:
        return parent, make_local_key(name, self._traits)

    def _make_twin(
        self, node_id: NodeId, target: Target, holder: NodeId, taken: dict[tuple[NodeId | None, str], NodeId]
    ) -> bool:
        """Give a node a suffix on the server; return True if another one is to leave, or it must leave, first."""
        row, rival = self._facts.rows[node_id], self._facts.rows[holder]
        if self.existence[node_id] == "send" and self.existence.get(holder) == "fetch" and rival.is_file:
            if row.is_file:
                self.clashes[node_id] = holder
                del self.places[node_id]
                return True
            if rival.base is None and rival.mount.is_writable:
                self.displaced_nodes[holder] = self._find_twin(self.places.pop(holder), taken)
                return False
        if self._is_passing(rival):
            del self.places[node_id]
            self.held[node_id] = f"its name is taken: {self._facts.blocked[holder]}"
            return True
        name = self._find_twin(target, taken)
        other = self.places.get(holder)
        local_key = self._local_key(target.parent, target.local_name)
        if other is not None and self._local_key(other.parent, other.local_name) == local_key:
            self.displaced[node_id] = write_name(name, self._traits)
            del self.places[node_id]
            return True
        self.places[node_id] = replace(target, name=name)
        return False

    def _is_passing(self, row: Row) -> bool:
        """Return whether nothing is known for now of a node that holds a name: it may give it up."""
        is_kept_out = row.remote is not None and row.remote.selection != "selected"
        return row.id in self._facts.blocked and not is_kept_out and row.id not in self._facts.carried

    def _find_twin(self, target: Target, taken: dict[tuple[NodeId | None, str], NodeId]) -> str:
        """Return a name beside that of a target, free in its folder on both sides."""
        trees = self._facts.trees
        local_keys = {make_local_key(one.name, self._traits) for one in trees.local.children(target.parent)}
        local_keys |= {make_local_key(name, self._traits) for name in self.displaced.values()}
        keys = {normalize_name(one.name) for one in trees.remote.children(target.parent)}
        for name in make_twin_names(target.name, self._traits):
            key = normalize_name(name)
            is_free = (target.parent, key) not in taken and key not in keys
            if is_free and make_local_key(write_name(name, self._traits), self._traits) not in local_keys:
                return name
        raise AssertionError("names have no end")

    def _give_local_names(self) -> None:
        """Give nodes that come to the disk another local name where their own is taken for good: by a link, an ignored
        file, or a name that this disk takes as the same.
        """
        taken: dict[tuple[NodeId | None, Hashable], NodeId] = {}
        comers = []
        for local in self._facts.trees.local.values():
            target = self.places.get(local.id)
            is_leaving = self.existence.get(local.id) in {"trash-local", "outside"}
            is_leaving |= local.id in self.displaced or local.id in self.clashes
            if target is not None and (target.parent, target.local_name) != (local.parent, local.name):
                is_leaving = True
            if not is_leaving:
                taken[self._local_key(local.parent, local.name)] = local.id
        for node_id, target in self.places.items():
            if taken.get(self._local_key(target.parent, target.local_name)) != node_id:
                comers.append(node_id)
        for node_id in sorted(comers):
            target = self.places[node_id]
            holder = taken.get(self._local_key(target.parent, target.local_name))
            if holder is not None:
                if self.existence.get(holder) in {"both", "fetch", "send"} or holder in self._facts.carried:
                    target = self.places[node_id] = self._make_local_twin(target, taken)
                else:  # it leaves, or is known better, before the next plan
                    del self.places[node_id]
                    self.held[node_id] = "its name is taken on this disk"
                    if self.existence.get(holder) == "stay":
                        self.existence[holder] = "outside"
                    continue
            taken[self._local_key(target.parent, target.local_name)] = node_id

    def _make_local_twin(self, target: Target, taken: dict[tuple[NodeId | None, Hashable], NodeId]) -> Target:
        for name in make_twin_names(target.name, self._traits):
            local_name = write_name(name, self._traits)
            key = self._local_key(target.parent, local_name)
            if key not in taken and not any(
                self._local_key(one.parent, one.name) == key for one in self._facts.trees.local.children(target.parent)
            ):
                return replace(target, local_name=local_name)
        raise AssertionError("names have no end")
