"""A server, and devices with a disk, in memory: they check what the real ones check, and carry out plans.

`SimServer` refuses what the API refuses: another version, another base revision, a taken name, a cycle, another tree.
`SimDevice` refuses an action whose entries differ from its rows or disk, and writes the rows that `trees` describes.
Every content is a number; nothing is ever removed from `SimServer.stored` and `SimDevice.trash`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Any

from dropbox_client.models.files import normalize_name
from dropbox_client.sync import trees
from dropbox_client.sync.names import RootTraits, make_local_key
from dropbox_client.sync.plan import Situation, make_plan
from dropbox_client.sync.trees import (
    SHARED_ID,
    Action,
    BaseEntry,
    ContentId,
    Fate,
    LocalEntry,
    Mount,
    NodeId,
    Plan,
    RemoteEntry,
    Tree,
    Trees,
)

ROOT: NodeId = "root"


class Mismatch(Exception):
    """A precondition does not hold: the action has no effect, and another plan is made."""


def content(number: int) -> ContentId:
    """Return the content that a number stands for; 0 is the empty one."""
    return ContentId(f"c{number}", 0 if number == 0 else 1)


@dataclass
class SimNode:
    """A node of the server."""

    id: NodeId
    parent: NodeId | None
    name: str
    kind: trees.Kind
    content: ContentId | None = None
    revisions: dict[str, ContentId] = field(default_factory=dict)
    version: int = 1
    executable: bool = False
    is_trashed: bool = False
    status: Any = "stored"

    @property
    def revision_id(self) -> str | None:
        """The id of the head."""
        return list(self.revisions)[-1] if self.revisions else None


class SimServer:
    """The trees of several owners: a root each, of which devices see what their mounts give."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, SimNode] = {ROOT: SimNode(ROOT, None, "", "folder")}
        self.purged: set[NodeId] = set()
        self._count = 0

    def _next(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count:03}"

    @property
    def stored(self) -> set[ContentId]:
        """All contents that the server still has: live, in the trash, or in revisions."""
        return {one for node in self.nodes.values() for one in node.revisions.values()}

    def is_live(self, node_id: NodeId | None) -> bool:
        """Return whether a node and all folders above it exist and are not in the trash."""
        while node_id is not None:
            node = self.nodes.get(node_id)
            if node is None or node.is_trashed:
                return False
            node_id = node.parent
        return True

    def children(self, parent: NodeId | None) -> list[SimNode]:
        """Return the live nodes of a folder."""
        return [one for one in self.nodes.values() if one.parent == parent and not one.is_trashed]

    def below(self, node_id: NodeId) -> Iterator[SimNode]:
        """Yield the live nodes below one."""
        for child in self.children(node_id):
            yield child
            yield from self.below(child.id)

    def is_free(self, parent: NodeId | None, name: str, node_id: NodeId = "") -> bool:
        """Return whether no other node of a folder has this name."""
        key = normalize_name(name)
        return all(normalize_name(one.name) != key or one.id == node_id for one in self.children(parent))

    def find_root(self, node_id: NodeId | None) -> NodeId:
        """Return the root of a node's owner."""
        while (node := self.nodes[node_id or ""]).parent is not None:
            node_id = node.parent
        return node.id

    def make(
        self, parent: NodeId | None, name: str, kind: trees.Kind, what: ContentId | None, executable: bool
    ) -> SimNode:
        if not self.is_live(parent) or self.nodes[parent or ""].kind != "folder" or not self.is_free(parent, name):
            raise Mismatch("parent or name")
        node = SimNode(self._next("n"), parent, name, kind, what, executable=executable)
        if what is not None:
            node.revisions[self._next("r")] = what
        self.nodes[node.id] = node
        return node

    def _match(self, node_id: NodeId, version: int) -> SimNode:
        node = self.nodes.get(node_id)
        if node is None or not self.is_live(node_id) or node.version != version:
            raise Mismatch("version")
        return node

    def move(self, node_id: NodeId, version: int, parent: NodeId, name: str) -> SimNode:
        node = self._match(node_id, version)
        above: NodeId | None = parent
        while above is not None and above != node_id:
            above = self.nodes[above].parent if above in self.nodes else None
        if above == node_id or not self.is_live(parent) or self.nodes[parent].kind != "folder":
            raise Mismatch("parent")
        if self.find_root(parent) != self.find_root(node_id) or not self.is_free(parent, name, node_id):
            raise Mismatch("owner or name")
        node.parent, node.name, node.version = parent, name, node.version + 1
        return node

    def write(self, node_id: NodeId, base: str | None, what: ContentId, executable: bool) -> SimNode:
        """Upload to an identity; restores a node that is itself in the trash."""
        node = self.nodes.get(node_id)
        if node is None or not self.is_live(node.parent):
            raise Mismatch("parent-gone")
        if node.content == what and not node.is_trashed:
            return node
        if node.revision_id != base:
            raise Mismatch("revision-conflict")
        if node.is_trashed:
            name, n = node.name, 0
            while not self.is_free(node.parent, name):
                n += 1
                name = f"{node.name} ({n})"
            node.is_trashed, node.name = False, name
        node.content, node.version, node.executable = what, node.version + 1, executable
        node.revisions[self._next("r")] = what
        return node

    def mark(self, node_id: NodeId, version: int, executable: bool) -> SimNode:
        node = self._match(node_id, version)
        node.executable, node.version = executable, node.version + 1
        return node

    def trash(self, node_id: NodeId, version: int, below: Iterable[tuple[NodeId, int]]) -> None:
        node = self._match(node_id, version)
        if sorted((one.id, one.version) for one in self.below(node_id)) != sorted(below):
            raise Mismatch("tree-changed")
        node.is_trashed, node.version = True, node.version + 1

    def purge(self, node_id: NodeId) -> None:
        """Remove a node and everything below it for good, trashed or not."""
        for node in [one for one in self.nodes.values() if one.parent == node_id]:
            self.purge(node.id)
        del self.nodes[node_id]
        self.purged.add(node_id)

    def look_up(self, node_id: NodeId) -> Fate:
        if node_id in self.purged:
            return "deleted"
        return "live" if self.is_live(node_id) else "trashed"


@dataclass
class SimFile:
    """A directory entry of a disk; its number is its inode."""

    number: int
    parent: int | None
    name: bytes
    kind: trees.Kind
    content: ContentId | None = None
    executable: bool = False
    status: trees.LocalStatus = "ok"


class SimDevice:
    """A disk, the rows of a client, and what it knows of the server."""

    def __init__(self, server: SimServer, name: str = "laptop", traits: RootTraits | None = None) -> None:
        self.server, self.name, self.traits = server, name, traits or RootTraits()
        self.files: dict[int, SimFile] = {1: SimFile(1, None, b"", "folder")}
        self.ids: dict[int, NodeId] = {1: ROOT}
        """The nodes to which entries are bound."""
        self.base: dict[NodeId, BaseEntry] = {ROOT: BaseEntry(ROOT, None, "", b"", "folder", None, None, 1)}
        self.remote: dict[NodeId, RemoteEntry] = {}
        self.mounts: dict[NodeId, Mount] = {ROOT: Mount(ROOT, "own", owner="me")}
        self.mount_places: dict[NodeId, tuple[NodeId, str]] = {}
        self.fates: dict[NodeId, Fate] = {}
        self.trash: list[ContentId] = []
        self.scanned: dict[int, SimFile] = {}
        self.is_settled = True
        self.conflicts: list[ContentId] = []
        self.answers: dict[NodeId, Any] = {}
        self.read: set[ContentId] = set()
        """Contents that were on this disk."""

    # The user

    def children(self, number: int) -> list[SimFile]:
        return [one for one in self.files.values() if one.parent == number]

    def below(self, number: int) -> Iterator[SimFile]:
        for child in self.children(number):
            yield child
            yield from self.below(child.number)

    def is_free(self, parent: int, name: bytes, number: int = 0) -> bool:
        key = make_local_key(name, self.traits)
        return all(
            make_local_key(one.name, self.traits) != key or one.number == number for one in self.children(parent)
        )

    def is_inside(self, number: int | None, folder: int) -> bool:
        while number is not None and number != folder:
            number = self.files[number].parent
        return number == folder

    def put(
        self, parent: int, name: bytes, kind: trees.Kind, what: ContentId | None = None, executable: bool = False
    ) -> SimFile:
        if parent not in self.files or self.files[parent].kind != "folder" or not self.is_free(parent, name):
            raise Mismatch("name")
        made = SimFile(max([*self.files, *self.ids]) + 1, parent, name, kind, what, executable)
        self.files[made.number] = made
        self.ids[made.number] = trees.new_id(made.number)
        if what is not None:
            self.read.add(what)
        return made

    def rename(self, number: int, parent: int, name: bytes) -> None:
        if parent not in self.files or self.is_inside(parent, number) or not self.is_free(parent, name, number):
            raise Mismatch("name")
        self.files[number].parent, self.files[number].name = parent, name

    def write(self, number: int, what: ContentId) -> None:
        self.files[number].content = what
        self.read.add(what)

    def remove(self, number: int) -> None:
        for one in [number, *(one.number for one in self.below(number))]:
            del self.files[one]

    # The trees

    def pull(self) -> None:
        """Read the server's tree, as far as this device sees it, and what became of the rest."""
        self.remote = {}
        for root, mount in self.mounts.items():
            if root == SHARED_ID:
                self.remote[SHARED_ID] = RemoteEntry(SHARED_ID, ROOT, "Shared with me", "folder", None, None, 1)
            elif mount.is_active and self.server.is_live(root):
                place = self.mount_places.get(root, (None, ""))
                if place[0] != SHARED_ID and not self.server.is_live(place[0]):
                    place = self.mount_places[root] = (SHARED_ID, "share again")
                self._pull_node(self.server.nodes[root], *place)
                for node in self.server.below(root):
                    if node.id not in self.remote and node.id not in self.mounts:
                        self._pull_node(node, node.parent, node.name)
        for node_id in self.base.keys() - self.remote.keys():
            is_own = node_id in self.server.purged or self.server.find_root(node_id) == ROOT
            self.fates[node_id] = self.server.look_up(node_id) if is_own else "removed"
        for root, mount in self.mounts.items():
            if mount.is_active and root != SHARED_ID and not self.server.is_live(root):
                self.mounts[root] = replace(mount, is_active=False)

    def _pull_node(self, node: SimNode, parent: NodeId | None, name: str) -> None:
        self.remote[node.id] = RemoteEntry(
            node.id,
            parent,
            name,
            node.kind,
            node.content,
            node.revision_id,
            node.version,
            node.executable,
            node.status if node.kind == "file" else None,
        )

    def scan(self) -> None:
        """Read the disk. What lies below an unknown folder is not seen.

        A new inode at the place of a row is that row's node: programs save by renaming a new file over the old one.
        """
        rows = {(row.parent, row.name, row.kind): number for number, row in self.scanned.items()}
        for number, one in self.files.items():
            former = rows.get((one.parent, one.name, one.kind))
            if former is not None and former not in self.files and number not in self.scanned:
                self.ids[number] = self.ids.pop(former)
        hidden = {
            one.number for top in self.files.values() if top.status == "unknown" for one in self.below(top.number)
        }
        self.scanned = {number: replace(one) for number, one in self.files.items() if number not in hidden}

    def _show(self, one: SimFile) -> LocalEntry:
        seen = one.content if one.status == "ok" else None
        parent = None if one.parent is None else self.ids[one.parent]
        return LocalEntry(self.ids[one.number], parent, one.name, one.kind, seen, one.executable, one.status)

    def look(self) -> Trees:
        """Return the trees as this device knows them."""
        local = Tree(self._show(one) for one in self.scanned.values())
        remote = Tree(self.remote.values())
        return Trees(ROOT, Tree(self.base.values()), local, remote, self.mounts, self.fates, self.is_settled)

    def plan(self) -> Plan:
        files = sum(1 for one in self.base.values() if one.kind == "file")
        return make_plan(
            self.look(), Situation(self.name, "2026-11-30", files, answers=self.answers, traits=self.traits)
        )

    # Actions

    def apply(self, action: Action) -> None:
        """Carry out one action. Raises: Mismatch; nothing has changed then."""
        self._do(action)

    def _file(self, local: LocalEntry) -> SimFile:
        """Return the disk's entry, if it is still the one that was planned for."""
        for number, node_id in self.ids.items():
            if node_id != local.id or number not in self.files or number not in self.scanned:
                continue
            one, row = self.files[number], self.scanned[number]
            parent = None if one.parent is None else self.ids[one.parent]
            is_there = one == row and (self._resolve(local.parent), local.name) == (parent, one.name)
            if is_there and one.kind == local.kind and (one.status != "ok" or one.content == local.content):
                return one
        raise Mismatch("local")

    def _resolve(self, node_id: NodeId | None) -> NodeId | None:
        if node_id is None or not trees.is_new(node_id):
            return node_id
        return self.ids.get(int(node_id[1:]), node_id)

    def _parent(self, node_id: NodeId) -> NodeId:
        parent = self._resolve(node_id)
        if parent is None or trees.is_new(parent):
            raise Mismatch("parent")
        return parent

    def _directory(self, node_id: NodeId) -> int:
        for number, bound in self.ids.items():
            if bound == self._resolve(node_id) and number in self.files:
                return number
        raise Mismatch("directory")

    def _agree(self, number: int, node: RemoteEntry) -> None:
        """Bind a local entry to a node, and make base equal to both."""
        one = self.files[number]
        self.ids[number] = node.id
        self.scanned[number] = replace(one)
        self.base[node.id] = BaseEntry(
            node.id,
            node.parent,
            node.name,
            one.name,
            node.kind,
            node.content,
            node.revision_id,
            node.version,
            node.executable,
        )

    def _refresh(self, node: SimNode) -> RemoteEntry:
        old = self.remote.get(node.id)
        is_root = node.id in self.mounts and old is not None
        place = (old.parent, old.name) if is_root and old else (node.parent, node.name)
        self._pull_node(node, *place)
        return self.remote[node.id]

    def _forget(self, number: int) -> None:
        self.base.pop(self.ids[number], None)
        self.scanned.pop(number, None)

    @singledispatchmethod
    def _do(self, action: Action) -> None:
        raise TypeError(action)

    @_do.register
    def _(self, action: trees.MakeRemote) -> None:
        one = self._file(action.local)
        node = self.server.make(self._parent(action.parent), action.name, "folder", None, False)
        self._agree(one.number, self._refresh(node))

    @_do.register
    def _(self, action: trees.SendNew) -> None:
        one = self._file(action.local)
        node = self.server.make(self._parent(action.parent), action.name, "file", one.content, one.executable)
        self._agree(one.number, self._refresh(node))

    @_do.register
    def _(self, action: trees.SendEdit) -> None:
        one = self._file(action.local)
        assert one.content is not None
        try:
            node = self.server.write(action.base.id, action.base.revision_id, one.content, one.executable)
        except Mismatch:
            if action.remote is None:
                self._detach(one.number)
            raise
        remote = self._refresh(node)
        self.base[node.id] = replace(
            self.base[node.id], content=node.content, revision_id=node.revision_id, executable=remote.executable
        )

    @_do.register
    def _(self, action: trees.MoveRemote) -> None:
        one = self._file(action.local) if action.local else None
        parent = self._parent(action.parent)
        node = self.server.move(action.remote.id, action.remote.version, parent, action.name)
        self._refresh(node)
        if one is not None and node.id in self.base:
            self.base[node.id] = replace(self.base[node.id], parent=parent, name=node.name, local_name=one.name)

    @_do.register
    def _(self, action: trees.TrashRemote) -> None:
        ids = [action.remote.id, *(one.id for one in action.below)]
        self.server.trash(action.remote.id, action.remote.version, [(one.id, one.version) for one in action.below])
        for node_id in ids:
            self.remote.pop(node_id, None)
            self.base.pop(node_id, None)

    @_do.register
    def _(self, action: trees.MarkRemote) -> None:
        node = self.server.mark(action.remote.id, action.remote.version, action.executable)
        self._refresh(node)
        self.base[node.id] = replace(self.base[node.id], executable=action.executable)

    @_do.register
    def _(self, action: trees.MakeLocal) -> None:
        if action.remote.id in (self.ids.get(number) for number in self.files):
            raise Mismatch("it exists")
        made = self.put(self._directory(action.parent), action.name, "folder")
        self._agree(made.number, action.remote)

    @_do.register
    def _(self, action: trees.Download) -> None:
        node = self.server.nodes.get(action.remote.id)
        if node is None or action.remote.revision_id not in node.revisions:
            raise Mismatch("revision")
        what = node.revisions[action.remote.revision_id]
        if action.local is None:
            if action.remote.id in (self.ids.get(number) for number in self.files):
                raise Mismatch("it exists")
            made = self.put(self._directory(action.parent), action.name, "file", what, action.remote.executable)
            self._agree(made.number, action.remote)
            return
        one = self._file(action.local)
        one.content, one.executable = what, action.remote.executable
        self.read.add(what)
        self.scanned[one.number] = replace(one)
        changes = {"content": what, "revision_id": action.remote.revision_id, "executable": action.remote.executable}
        self.base[node.id] = replace(self.base[node.id], **changes)  # type: ignore[arg-type]

    @_do.register
    def _(self, action: trees.MoveLocal) -> None:
        one = self._file(action.local)
        self.rename(one.number, self._directory(action.parent), action.name)
        self.scanned[one.number] = replace(one)
        if action.remote is not None and action.remote.id in self.base:
            base = self.base[action.remote.id]
            name, parent = action.remote.name, action.remote.parent
            self.base[base.id] = replace(base, parent=parent, name=name, local_name=one.name)

    @_do.register
    def _(self, action: trees.CopyConflict) -> None:
        one = self._file(action.local)
        self.rename(one.number, self._directory(action.parent), action.name)
        self._detach(one.number, keeps_base=True)
        self.conflicts += [one.content] if one.content else []

    def _detach(self, number: int, *, keeps_base: bool = False) -> None:
        if not keeps_base:
            self.base.pop(self.ids[number], None)
        # An id of its own: a row of the state has one as long as it lives.
        one = self.files.pop(number)
        self.scanned.pop(number, None)
        moved = max([*self.files, *self.ids]) + 1
        for child in self.files.values():
            child.parent = moved if child.parent == number else child.parent
        for row in self.scanned.values():
            row.parent = moved if row.parent == number else row.parent
        one.number = moved
        self.files[moved], self.scanned[moved] = one, replace(one)
        self.ids[moved] = trees.new_id(moved)

    @_do.register
    def _(self, action: trees.TrashLocal) -> None:
        one = self._file(action.local)
        if {self.ids[child.number] for child in self.below(one.number)} != {below.id for below in action.below}:
            raise Mismatch("not empty")
        for gone in [one, *self.below(one.number)]:
            self.trash += [gone.content] if gone.content else []
            self._forget(gone.number)
        self.remove(one.number)

    @_do.register
    def _(self, action: trees.MarkLocal) -> None:
        one = self._file(action.local)
        one.executable = action.executable
        self.scanned[one.number] = replace(one)
        self.base[action.local.id] = replace(self.base[action.local.id], executable=action.executable)

    @_do.register
    def _(self, action: trees.Park) -> None:
        entry = action.entry
        if isinstance(entry, RemoteEntry):
            self._refresh(self.server.move(entry.id, entry.version, self._parent(action.parent), action.name))
        else:
            one = self._file(entry)
            self.rename(one.number, self._directory(action.parent), action.local_name)
            self.scanned[one.number] = replace(one)
        if entry.id in self.base:
            base, parent = self.base[entry.id], self._parent(action.parent)
            self.base[base.id] = replace(base, parent=parent, name=action.name, local_name=action.local_name)

    @_do.register
    def _(self, action: trees.Adopt) -> None:
        one = self._file(action.local)
        if action.remote.parent is not None and self.ids[one.parent or 0] != action.remote.parent:
            raise Mismatch("parent")
        self._agree(one.number, action.remote)

    @_do.register
    def _(self, action: trees.Pair) -> None:
        one = self._file(action.local)
        if action.base.id in (self.ids.get(number) for number in self.files):
            raise Mismatch("it exists")
        self.ids[one.number] = action.base.id

    @_do.register
    def _(self, action: trees.DropBase) -> None:
        self.base.pop(action.id, None)

    @_do.register
    def _(self, action: trees.Detach) -> None:
        self._detach(self._file(action.local).number, keeps_base=action.keeps_base)

    @_do.register
    def _(self, action: trees.PlaceMount) -> None:
        one = self._file(action.local)
        place = (self._parent(self.ids[one.parent or 0]), one.name.decode())
        self.mount_places[action.remote.id] = place
        self._agree(one.number, replace(action.remote, parent=place[0], name=place[1]))
        self.remote[action.remote.id] = replace(action.remote, parent=place[0], name=place[1])

    @_do.register
    def _(self, action: trees.LookUp) -> None:
        for node_id in action.ids:
            self.fates[node_id] = self.server.look_up(node_id)
