"""The rows of the state that actions read before their effect, and write after it.

A row that differs from what an action was planned for is a `Mismatch`: the action does nothing, and another plan is
made from what is true by then.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from dropbox_client.models import File
from dropbox_client.sync.disk import DiskEntry, join_path
from dropbox_client.sync.mounts import show_file
from dropbox_client.sync.state import LocalRow, State, read_content
from dropbox_client.sync.trees import BaseEntry, LocalEntry, NodeId, RemoteEntry, new_id


class Mismatch(Exception):
    """What an action was planned for is not so any more; `path` is the folder to look at, if the disk differs."""

    def __init__(self, message: str, path: bytes | None = None) -> None:
        super().__init__(message)
        self.path = path


class Rows:
    """The rows of one root. The control thread owns it, as it does the state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._bound: dict[NodeId, NodeId] = {}
        """The nodes to which new local entries were bound: later actions of the same plan name them by their old id."""

    # Reading

    def resolve(self, node_id: NodeId) -> NodeId:
        """Return the id that an entry has by now."""
        return self._bound.get(node_id, node_id)

    def find_entry(self, local: LocalEntry) -> LocalRow:
        """Return the row of a local entry. Raises Mismatch if it has another place or content than planned."""
        row = self.state.find_local(self.resolve(local.id))
        if row is None or local.parent is None:
            raise Mismatch("the entry is gone")
        folder = self.state.find_folder(row.dir)
        is_there = folder is not None and folder.id == self.resolve(local.parent) and row.name == local.name
        if not is_there or row.kind != local.kind:
            raise Mismatch("the entry was moved")
        # A file that was seen changed and not read yet has no content: it is not the one that was planned for.
        content = read_content(row.fp, row.size) if row.kind == "file" and row.status == "ok" else None
        if content != local.content:
            raise Mismatch("the file was changed")
        return row

    def find_folder(self, node_id: NodeId) -> int:
        """Return the number of a folder on disk. Raises Mismatch."""
        row = self.state.find_local(self.resolve(node_id))
        if row is None or row.child is None:
            raise Mismatch("the folder is not there")
        return row.child

    def find_path(self, folder: int) -> bytes:
        """Return the path of a folder on disk. Raises Mismatch."""
        path = self.state.local_path(folder)
        if path is None:
            raise Mismatch("the folder is not there")
        return path

    def find_parent(self, node_id: NodeId) -> NodeId:
        """Return the id of a folder on the server. Raises Mismatch if an earlier action has not made it."""
        found = self.resolve(node_id)
        if self.state.find_remote(found) is None:
            raise Mismatch("the folder is not on the server")
        return found

    def show_path(self, folder: int, name: bytes) -> str:
        """Return a path below the root for people."""
        path = self.state.local_path(folder) or b""
        return join_path(path, name).decode(errors="replace")

    # Writing

    def put_entry(
        self, row: LocalRow, entry: DiskEntry, birth_ns: int | None = None, fp: bytes | None = None
    ) -> LocalRow:
        """Write what the disk shows of an entry now into its row."""
        birth_ns = row.birth_ns if birth_ns is None else birth_ns
        fp = row.fp if fp is None else fp
        made = LocalRow(row.dir, row.name, *entry[:6], birth_ns, row.child, row.id, fp, row.status, row.reason)
        self.state.put_local([made])
        return made

    def bind(self, local_id: NodeId, node_id: NodeId) -> None:
        """Bind a local entry to a node. Raises Mismatch if another one is."""
        known = self.resolve(local_id)
        if known == node_id:
            return
        if self.state.find_local(node_id) is not None:
            raise Mismatch("the node is on disk already")
        self.state.bind(known, node_id)
        self._bound[local_id] = node_id

    def detach(self, local_id: NodeId) -> None:
        """Make a local entry one without a node."""
        self.state.bind(self.resolve(local_id), new_id(self.state.next_number()))

    def put_file(self, file: File) -> RemoteEntry:
        """Record what the server answered, unless it is known to be gone by now; return it as this device shows it."""
        entry, state = show_file(self.state, file), self.state
        is_gone = entry.id in state.forgotten and state.find_remote(entry.id) is None
        if not is_gone and state.find_remote(entry.parent or "") is not None:
            state.put_remote(entry, file.client_modified_at.isoformat() if file.client_modified_at else None)
        return entry

    def agree(self, remote: RemoteEntry, local_name: bytes) -> None:
        """Make base equal to a node that the disk has at its place."""
        self.state.put_base(
            BaseEntry(
                remote.id,
                remote.parent,
                remote.name,
                local_name,
                remote.kind,
                remote.content,
                remote.revision_id,
                remote.version,
                remote.executable,
            )
        )

    def change_base(self, node_id: NodeId, **changes: Any) -> None:
        """Change members of a base row, if there is one."""
        base = self.state.find_base(node_id)
        if base is not None:
            self.state.put_base(replace(base, **changes))

    def remove_below(self, row: LocalRow) -> None:
        """Remove a local entry with all below it, and what was agreed on them."""
        if row.child is not None:
            for below in self.state.list_local(row.child):
                self.remove_below(below)
        self.state.remove_base(row.id)
        with suppress(KeyError):
            del self._bound[row.id]
        self.state.remove_local(row)
