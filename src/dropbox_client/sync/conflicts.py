"""The rules of the planner for one node: what becomes of it, of its place, and of its content.

Each function is a part of the planner's table (docs/adr/0036). They decide as if the node were alone. The planner then
decides what depends on other nodes: folders that must stay for their contents, cycles, names that are taken.
"""

from dataclasses import dataclass
from typing import Literal

from dropbox_client.sync.trees import BaseEntry, Fate, LocalEntry, Mount, NodeId, RemoteEntry

Answer = Literal["confirmed", "rejected"]
"""What a person decided about a node of a brake."""

Existence = Literal[
    "both",  # on both sides: place and content decide
    "fetch",  # the disk gets it
    "send",  # the server gets it as a new node
    "restore",  # the server gets it by an upload to its id, out of the trash
    "renew",  # the server gets it as another node: base is forgotten
    "split",  # the local entry becomes a new one, the node is gone on disk
    "outside",  # a conflict copy outside the share keeps the local content
    "stay",  # on disk only, where nothing is sent
    "trash-remote",
    "trash-local",
    "forget",  # gone on both sides
    "look-up",  # the server is asked first
    "hold",  # nothing is done for now
]

Place = Literal["same", "agree", "local", "remote"]
"""Which place counts: both have it as before; both moved it to one place; that of the disk; that of the server."""

Content = Literal["same", "adopt", "send", "fetch", "conflict"]


@dataclass(frozen=True, slots=True)
class Row:
    """A node in the three trees: a row of the table."""

    id: NodeId
    base: BaseEntry | None
    local: LocalEntry | None
    remote: RemoteEntry | None
    mount: Mount
    """Of the node on the server, last known."""
    local_mount: Mount
    """Where the local entry is now; equal to `mount` without one."""
    fate: Fate | None = None
    answer: Answer | None = None
    is_mount_root: bool = False
    """The top of a share: it is placed on this disk only, and its removal is asked about."""
    is_unmounted: bool = False
    """It, or the top of the share in which it lies, is gone on disk."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        entry = self.remote or self.local or self.base
        return entry is not None and entry.kind == "file"

    @property
    def is_edited_locally(self) -> bool:
        """Whether the disk has another content than base."""
        return _is_edited(self.base, self.local)

    @property
    def is_edited_remotely(self) -> bool:
        """Whether the server has another content than base."""
        return _is_edited(self.base, self.remote)

    @property
    def is_moved_locally(self) -> bool:
        """Whether the disk has it at another place than base, or base is unknown."""
        base, local = self.base, self.local
        return local is not None and (base is None or (local.parent, local.name) != (base.parent, base.local_name))

    @property
    def is_moved_remotely(self) -> bool:
        """Whether the server has it at another place than base, or base is unknown."""
        base, remote = self.base, self.remote
        return remote is not None and (base is None or (remote.parent, remote.name) != (base.parent, base.name))


def _is_edited(base: BaseEntry | None, entry: LocalEntry | RemoteEntry | None) -> bool:
    if entry is None or entry.kind != "file":
        return False
    return base is None or entry.content != base.content


def decide_existence(row: Row) -> Existence:
    """Decide on which sides a node is to exist."""
    if row.local is None and row.remote is None:
        return "forget"
    if row.local is None:
        return _decide_missing_locally(row)
    if row.base is None and row.remote is None:
        return "send" if row.local_mount.is_writable else "stay"
    if _is_moved_across(row) or _has_other_kind(row):
        return "split"
    return _decide_missing_remotely(row) if row.remote is None else "both"


def _is_moved_across(row: Row) -> bool:
    """Return whether a local entry was moved to where its node cannot follow: it is sent there as another one."""
    if row.is_mount_root or row.local_mount.root == row.mount.root or not row.local_mount.is_writable:
        return False
    return not (row.mount.is_writable and row.mount.has_owner_of(row.local_mount))


def _has_other_kind(row: Row) -> bool:
    known = row.remote or row.base
    return known is not None and row.local is not None and row.local.kind != known.kind


def _decide_missing_locally(row: Row) -> Existence:
    if row.base is None or row.answer == "rejected":
        return "fetch"
    if row.is_unmounted:
        return "hold"
    if not row.mount.is_writable or row.is_edited_remotely:
        return "fetch"  # put back what a viewer deleted; an edit beats a delete
    return "trash-remote"


def _decide_missing_remotely(row: Row) -> Existence:
    if not row.mount.is_active:
        return "outside" if row.is_edited_locally else "trash-local"
    if row.fate is None:
        return "look-up"
    if row.fate == "unknown":
        return "hold"
    if not row.mount.is_writable:
        return "outside" if row.is_edited_locally else "trash-local"
    if row.answer == "rejected":
        return "renew"
    if not row.is_edited_locally:
        return "trash-local"
    return "renew" if row.fate == "deleted" else "restore"


def decide_place(row: Row, local_name: str) -> Place:
    """Decide which place of a node on both sides counts; `local_name` is its name on disk as the server has names."""
    local, remote = row.local, row.remote
    if local is None or remote is None or not (row.is_moved_locally or row.is_moved_remotely):
        return "same"
    if (local.parent, local_name) == (remote.parent, remote.name):
        return "agree"
    is_movable = row.is_mount_root or (row.mount.is_writable and row.local_mount.is_writable)
    return "local" if is_movable and not row.is_moved_remotely else "remote"


def decide_content(row: Row) -> Content:
    """Decide which content of a file on both sides counts."""
    local, remote = row.local, row.remote
    if local is None or remote is None or local.kind != "file":
        return "same"
    if local.content == remote.content:
        is_known = row.base is not None and row.base.revision_id == remote.revision_id and not row.is_edited_locally
        return "same" if is_known else "adopt"
    if not row.is_edited_locally:
        return "fetch"
    return "conflict" if row.is_edited_remotely or not row.mount.is_writable else "send"


def decide_executable(row: Row) -> Literal["same", "send", "fetch"]:
    """Decide which executable bit of a file on both sides counts: the one that changed."""
    base, local, remote = row.base, row.local, row.remote
    if base is None or local is None or remote is None or local.kind != "file" or local.executable == remote.executable:
        return "same"
    is_sent = local.executable != base.executable and row.mount.is_writable
    return "send" if is_sent else "fetch"


def is_downloadable(remote: RemoteEntry) -> bool:
    """Return whether the content of a file may be fetched."""
    return remote.content_status not in {"quarantined", "damaged"} and not remote.is_refused
