"""The data that scan, remote, state, planner and engine share: three trees of one folder, and the actions of a plan.

- **base**: the last agreed state, one `BaseEntry` for each node that both sides had.
- **local**: the disk as last scanned, one `LocalEntry` for each directory entry.
- **remote**: the server as last read from tree and journal, one `RemoteEntry` for each live node below the root.

All three are keyed by `NodeId`. A local entry has the id of the node to which its row is bound, whatever its place and
name are now; an entry without a node has an id of its own (`new_id`). The root folder has the same id in all trees, and
parent None. The names of mounts, and the folder of mounts (`SHARED_ID`), are in the remote tree where they belong on
disk, so that a place means the same in all trees.

The planner needs all entries of which something may differ, not all entries of the account. A part of the trees is
*closed*, and may be planned, when for each entry of any tree whose state differs between the trees it also has: the
ancestors of its places in all three trees; the siblings there (names are unique among siblings); everything below it
if it is a folder that is gone or unknown on one side, in all trees. A node is left out of all three trees or of none.

Everything is immutable and compares by value. An entry costs about 200 bytes, so a closed part of 10,000 is nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

NodeId = str
"""The server's id of a file or folder, or that of a local entry without a node: see `new_id`."""

SHARED_ID: NodeId = "shared-with-me"
"""The folder in which shares are mounted. It exists in the three trees of a client only, never on the server."""

Kind = Literal["file", "folder", "other"]
"""`other` is local only: a symbolic link, socket or device. It takes its name and is never followed or replaced."""

LocalStatus = Literal["ok", "busy", "unknown", "unreadable", "invalid", "unmanaged"]
"""What a scan knows about a directory entry.

- ok: read, and of a file hashed.
- busy: a file that is being written, or that has no hash yet.
- unknown: its stat, listing or reading failed; it may work the next time. Below such a folder everything is unknown,
  and no create or delete is planned anywhere: a move into the folder would be one.
- unreadable: the same for good (no permission). Stops nothing but what lies at, above and below it.
- invalid: its name is one that the server cannot hold (invalid UTF-8, too long).
- unmanaged: ignored (.dbxignore), not selected, or a temporary name; also below it.
"""

Selection = Literal["selected", "ignored", "unselected"]
"""Whether a node is kept on this device, with everything below it. Neither of the others ever changes the server.

- ignored: by a rule; nothing is done on either side.
- unselected: by `dbx sync`; unchanged local files go to the local trash, changed ones stay.
"""

Access = Literal["own", "editor", "viewer"]
Fate = Literal["live", "trashed", "deleted", "removed", "unknown"]
"""What became of a node that the remote tree lost.

- trashed, deleted, unknown: as `POST /v1/files/lookup` answers for the own tree.
- live: outside the root, as its path shows. A live node below the root is no fate: the journal brings it back.
- removed: proven for a share, by a removal event in the own journal or by a complete read of its tree under the same
  epoch and grant.
"""


def new_id(key: object) -> NodeId:
    """Return the id of a local entry without a node: `+` and a key that stays the same while its row lives."""
    return f"+{key}"


def is_new(node_id: NodeId) -> bool:
    """Return whether an id is that of a local entry without a node."""
    return node_id.startswith("+")


@dataclass(frozen=True, slots=True)
class ContentId:
    """What makes two contents equal."""

    fingerprint: str
    """SHA-256 in lower-case hex."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stat tells about a directory entry: equal stamps mean an unchanged file (but for the racy window)."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class BaseEntry:
    """A node as both sides last agreed on it."""

    id: NodeId
    parent: NodeId | None
    name: str
    """Its name on the server, in NFC."""
    local_name: bytes
    """Its name on disk: mostly the same in UTF-8, else NFD, escaped, or with the suffix of a twin."""
    kind: Kind
    content: ContentId | None
    """None of a folder."""
    revision_id: str | None
    """The revision of `content`, the base of the next upload. None of a folder."""
    version: int
    """That of the remote entry which was agreed on, within the current data epoch."""
    executable: bool = False


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A directory entry as last scanned."""

    id: NodeId
    parent: NodeId | None
    name: bytes
    """Exactly as on disk."""
    kind: Kind
    content: ContentId | None
    """None of a folder, and of a file whose status is not ok."""
    executable: bool = False
    status: LocalStatus = "ok"
    reason: str = ""
    """Why the status is not ok, for people."""
    stamp: Stamp | None = None
    """None only in simulations. The precondition of every action on this entry."""


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A live node of the server as last read."""

    id: NodeId
    parent: NodeId | None
    name: str
    kind: Kind
    content: ContentId | None
    revision_id: str | None
    version: int
    """Its ETag is `"EPOCH.VERSION"`: the precondition of every action on this node."""
    executable: bool = False
    content_status: Literal["stored", "verified", "quarantined", "damaged"] | None = None
    selection: Selection = "selected"
    is_refused: bool = False
    """A download of this content failed its fingerprint: wait for the verifier."""


class _Entry(Protocol):
    @property
    def id(self) -> NodeId: ...
    @property
    def parent(self) -> NodeId | None: ...


E = TypeVar("E", bound=_Entry)


class Tree(Generic[E]):
    """The entries of one tree by id, and the ids in each folder. Built once, in linear time, then only read."""

    __slots__ = ("_children", "_entries")

    def __init__(self, entries: Iterable[E] = ()) -> None:
        self._entries: dict[NodeId, E] = {entry.id: entry for entry in entries}
        self._children: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
        for entry in self._entries.values():
            if entry.parent is not None:
                self._children[entry.parent].append(entry.id)

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, node_id: NodeId) -> bool:
        return node_id in self._entries

    def get(self, node_id: NodeId | None) -> E | None:
        """Return an entry; None where the tree has none."""
        return None if node_id is None else self._entries.get(node_id)

    def values(self) -> Iterable[E]:
        """Return all entries, in the order in which they were given."""
        return self._entries.values()

    def children(self, node_id: NodeId) -> list[E]:
        """Return the entries of a folder, also of one that is not in the tree itself."""
        return [self._entries[child] for child in self._children.get(node_id, ())]

    def above(self, node_id: NodeId) -> Iterator[E]:
        """Yield the ancestors of an entry, its parent first; ends where the tree ends, or where it has a cycle."""
        entry, seen = self.get(node_id), {node_id}
        while entry is not None and entry.parent is not None and entry.parent not in seen:
            seen.add(entry.parent)
            entry = self.get(entry.parent)
            if entry is not None:
                yield entry

    def below(self, node_id: NodeId) -> Iterator[E]:
        """Yield everything below a folder, each folder before its contents."""
        waiting, seen = [node_id], {node_id}
        while waiting:
            for child in self.children(waiting.pop()):
                if child.id not in seen:
                    seen.add(child.id)
                    waiting.append(child.id)
                    yield child


@dataclass(frozen=True, slots=True)
class Mount:
    """A part of the tree with an access of its own: the root itself, or a share (also one inside of another)."""

    root: NodeId
    access: Access
    is_active: bool = True
    """False once the share was revoked or left: kept until base and local tree have nothing more of it."""
    owner: str = ""
    """Whose tree it is. A node moves between two mounts of one owner only; "" is an owner of its own."""

    @property
    def is_writable(self) -> bool:
        """Whether changes below it are sent."""
        return self.is_active and self.access != "viewer"

    def has_owner_of(self, other: "Mount") -> bool:
        """Return whether a node may move from one mount to the other."""
        return self.root == other.root or (self.owner != "" and self.owner == other.owner)


@dataclass(frozen=True, slots=True)
class Trees:
    """A closed part of the three trees, and what else is known about its nodes."""

    root: NodeId
    base: Tree[BaseEntry]
    local: Tree[LocalEntry]
    remote: Tree[RemoteEntry]
    mounts: Mapping[NodeId, Mount]
    """By root. That of the whole tree is always there. `SHARED_ID` has one with access `viewer`: nothing is sent there.
    The mount of a node is that of its nearest ancestor with one."""
    fates: Mapping[NodeId, Fate] = field(default_factory=dict)
    """Of nodes that are in base and not in remote, as far as known; forgotten when remote has the node again. `LookUp`
    asks for those that are missing."""
    is_settled: bool = True
    """False while any directory is dirty or overflowed, or events remain to be read: no create or delete is planned."""


# Actions. Each has the entries that it was planned for: its precondition. Before the effect the engine compares them
# with its rows (place, content), the disk (stamp) and the server (ETag); on a difference it does nothing, and plans
# again. After the effect it writes the rows that the docstring names. `parent`, also that of `local`, may be a new id:
# that of a folder which an earlier action of the same plan makes, and then stands for the node. If that one failed, so
# does this.


@dataclass(frozen=True, slots=True)
class MakeRemote:
    """Make a folder on the server (`on_conflict=fail`). Rows: binds the local entry to the new node; base = both."""

    local: LocalEntry
    parent: NodeId
    name: str


@dataclass(frozen=True, slots=True)
class SendNew:
    """Upload a local file as a new node (`on_conflict=fail`). Rows: binds the local entry; base = both."""

    local: LocalEntry
    parent: NodeId
    name: str


@dataclass(frozen=True, slots=True)
class SendEdit:
    """Upload to an identity: `{file_id, base_revision_id}`, wherever the node is. Rows: content of remote and base.

    `revision-conflict` plans again. `remote` is None for a node in the trash: the upload restores it, and the base row
    stays as it is, so that the next plan sees its place; `parent-gone` and `not-found` do the rows of `Detach`.
    """

    local: LocalEntry
    base: BaseEntry
    remote: RemoteEntry | None


@dataclass(frozen=True, slots=True)
class MoveRemote:
    """PATCH place and name with If-Match, `on_conflict=fail`. Rows: place of remote; of base, if there is one, too.

    Without `local` the node is one that the disk never had: only the place of remote changes.
    """

    remote: RemoteEntry
    local: LocalEntry | None
    parent: NodeId
    name: str


@dataclass(frozen=True, slots=True)
class TrashRemote:
    """Move a node to the trash with If-Match; of a folder with `if_tree` over `below`. Rows: removes all of them from
    remote and base.
    """

    remote: RemoteEntry
    below: tuple[RemoteEntry, ...]
    """All live nodes below it as last read, sorted by id; () of a file."""


@dataclass(frozen=True, slots=True)
class MarkRemote:
    """PATCH `executable` with If-Match. Rows: executable of remote and base."""

    remote: RemoteEntry
    executable: bool


@dataclass(frozen=True, slots=True)
class MakeLocal:
    """Make a directory; an existing name is a mismatch. Rows: local entry with the node's id; base = both."""

    remote: RemoteEntry
    parent: NodeId
    name: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch the content and publish it by rename, over `local` or, if None, at a free name. Rows: local, base = remote.

    An existing local file keeps its own place: its `parent` and `name` are those of `local`, and base gets only the
    content, since a move of the node is an action of its own.
    """

    remote: RemoteEntry
    local: LocalEntry | None
    parent: NodeId
    name: bytes


@dataclass(frozen=True, slots=True)
class MoveLocal:
    """Rename on disk, never over another entry. Rows: place of local; of base, if there is one, too.

    Without `remote` only the place of local changes: the server never had the entry, or gets the new name later.
    """

    local: LocalEntry
    remote: RemoteEntry | None
    parent: NodeId
    name: bytes


@dataclass(frozen=True, slots=True)
class CopyConflict:
    """Rename a local file to the name of its conflict copy. Rows: the entry becomes one without node; base stays.

    The next plan finds the node gone locally and changed remotely, and downloads it; it sends the copy as a new file.
    The engine records the copy: it gets no copy of itself, and counts for the brake.
    """

    local: LocalEntry
    parent: NodeId
    name: bytes


@dataclass(frozen=True, slots=True)
class TrashLocal:
    """Move a file or a directory to the local trash. Rows: removes it, and all below it, from local and base."""

    local: LocalEntry
    below: tuple[LocalEntry, ...] = ()
    """What a directory still contains, all of it unmanaged: it goes along. Anything else there is a mismatch."""


@dataclass(frozen=True, slots=True)
class MarkLocal:
    """Set or clear the executable bit. Rows: executable of local and base."""

    local: LocalEntry
    executable: bool


@dataclass(frozen=True, slots=True)
class Park:
    """Move one entry of a swap or chain out of the way. Rows: the place of that side *and of base* is the parked one.

    So the next plan sees that side unchanged and moves the entry on, also after a crash.
    """

    entry: LocalEntry | RemoteEntry
    """Its type tells the side."""
    parent: NodeId
    name: str
    """Visible and harmless (`NAME (moving 1a2b).EXT`): a client that never comes back leaves a complete file."""
    local_name: bytes
    """The same for a disk."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """No effect: both sides agree. Rows: the local entry has the node's id; base = both, executable that of remote."""

    local: LocalEntry
    remote: RemoteEntry


@dataclass(frozen=True, slots=True)
class Pair:
    """No effect: a new local entry is a node that vanished from its place. Rows: the local entry has the node's id."""

    local: LocalEntry
    base: BaseEntry


@dataclass(frozen=True, slots=True)
class DropBase:
    """No effect: gone on both sides. Rows: removes base."""

    id: NodeId


@dataclass(frozen=True, slots=True)
class Detach:
    """No effect. Rows: removes the binding, and base unless it is kept: the local entry is new, to be sent as another
    node. With its base the former node is one that is gone on disk.
    """

    local: LocalEntry
    keeps_base: bool = False


@dataclass(frozen=True, slots=True)
class PlaceMount:
    """No effect on the server: a share was moved on disk. Rows: place of the mount in remote; base = place of local."""

    local: LocalEntry
    remote: RemoteEntry


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the server what became of nodes, at most 1,000. Rows: `Trees.fates`."""

    ids: tuple[NodeId, ...]


Action = (
    MakeRemote
    | SendNew
    | SendEdit
    | MoveRemote
    | TrashRemote
    | MarkRemote
    | MakeLocal
    | Download
    | MoveLocal
    | CopyConflict
    | TrashLocal
    | MarkLocal
    | Park
    | Adopt
    | Pair
    | DropBase
    | Detach
    | PlaceMount
    | LookUp
)

BrakeKind = Literal["local-deletes", "remote-deletes", "conflicts", "unmount"]


@dataclass(frozen=True, slots=True)
class Brake:
    """A question to a person: the plan has none of the actions in question until `dbx sync confirm|reject`."""

    kind: BrakeKind
    """local-deletes: gone on disk, to be trashed on the server; remote-deletes: the reverse; unmount: one share."""
    count: int
    ids: tuple[NodeId, ...]
    """The nodes in question, sorted. A confirmation holds for exactly these, or for some of them."""


@dataclass(frozen=True, slots=True)
class Held:
    """An entry with which nothing is done for now, and why, for `dbx status`."""

    id: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next. A plan is done, and another one made, until `stages` is empty: then the trees agree.

    All actions of a stage may run at once, in any order; a stage begins when the one before it has ended. Any of them
    may fail or be left out: the next plan begins from what is then true.
    """

    stages: tuple[tuple[Action, ...], ...]
    brakes: tuple[Brake, ...] = ()
    held: tuple[Held, ...] = ()
