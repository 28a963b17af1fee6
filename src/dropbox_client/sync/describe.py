"""What actions and entries are called before people."""

from typing import Final, TypeGuard

from dropbox_client.sync.delays import Delays
from dropbox_client.sync.rows import Rows
from dropbox_client.sync.send import RemoteAction
from dropbox_client.sync.snapshot import Item, Work
from dropbox_client.sync.trees import (
    Action,
    Adopt,
    CopyConflict,
    Detach,
    Download,
    DropBase,
    LookUp,
    MakeLocal,
    MakeRemote,
    MarkLocal,
    MarkRemote,
    MoveLocal,
    MoveRemote,
    NodeId,
    Pair,
    Park,
    PlaceMount,
    RemoteEntry,
    SendEdit,
    SendNew,
    TrashLocal,
    TrashRemote,
)

_MAX_DEPTH = 1_000
_WORK: Final[dict[type, Work]] = {
    SendNew: "upload",
    SendEdit: "upload",
    Download: "download",
    MoveLocal: "move",
    MoveRemote: "move",
    CopyConflict: "move",
    TrashLocal: "delete",
    TrashRemote: "delete",
    MakeLocal: "folder",
    MakeRemote: "folder",
}


class Describer:
    """Describes entries of one root, by its rows."""

    def __init__(self, rows: Rows, delays: Delays) -> None:
        self._rows, self._delays = rows, delays

    def describe(self, action: Action) -> Item:
        """Return an action with its path, its size, and why it waits."""
        node_id = find_id(action)
        reason = self._delays.find_reason(node_id) or ""
        return Item(self.find_path(node_id), find_work(action), reason, find_size(action))

    def find_path(self, node_id: NodeId) -> str:
        """Return the path of an entry: on disk, else on the server."""
        state = self._rows.state
        row = state.find_local(self._rows.resolve(node_id))
        if row is not None and row.dir > 0:
            return self._rows.show_path(row.dir, row.name)
        names: list[str] = []
        place: NodeId | None = node_id
        while place is not None and place != state.root_id and len(names) < _MAX_DEPTH:
            entry = state.find_remote(place) or state.find_base(place)
            if entry is None:
                break
            names.append(entry.name)
            place = entry.parent
        return "/".join(reversed(names)) or "(unknown)"


def find_work(action: Action) -> Work:
    """Return what kind of work an action is."""
    return _WORK.get(type(action), "other")


def is_remote(action: Action) -> TypeGuard[RemoteAction]:
    """Return whether an action changes the server, but for transfers."""
    if isinstance(action, Park):
        return isinstance(action.entry, RemoteEntry)
    return isinstance(action, MakeRemote | MoveRemote | TrashRemote | MarkRemote | LookUp)


def find_id(action: Action) -> NodeId:
    """Return the id of the entry that an action is about."""
    match action:
        case MakeRemote(local) | SendNew(local) | SendEdit(local):
            return local.id
        case MoveRemote(remote) | TrashRemote(remote) | MarkRemote(remote) | MakeLocal(remote) | Download(remote):
            return remote.id
        case MoveLocal(local) | CopyConflict(local) | TrashLocal(local) | MarkLocal(local):
            return local.id
        case Adopt(local) | Pair(local) | Detach(local) | PlaceMount(local):
            return local.id
        case Park(entry):
            return entry.id
        case DropBase(node_id):
            return node_id
        case LookUp(ids):
            return ids[0] if ids else ""


def find_size(action: Action) -> int:
    """Return how many bytes an action transfers."""
    if isinstance(action, Download):
        return action.remote.content.size_bytes if action.remote.content else 0
    if isinstance(action, SendNew | SendEdit):
        return action.local.content.size_bytes if action.local.content else 0
    return 0
