"""The actions on the disk, and those on rows alone.

Each compares rows and disk with what it was planned for, changes the disk, and writes the rows, all in the control
thread. A crash between effect and rows is mended by the next scan, which shows both sides equal; where it would show
something else (an entry that is parked, a conflict copy) an intent is committed first, and finished at the start.

No other entry is ever replaced: names are taken with renames that fail where one exists, and a file that is replaced
changes places with its successor, which is undone if it is not the one that was planned for.
"""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import singledispatchmethod
from typing import Final

from dropbox_client.sync import trees
from dropbox_client.sync.disk import Disk, DiskEntry, join_path
from dropbox_client.sync.ignores import PRIVATE_NAME, lock_names
from dropbox_client.sync.localtrash import LocalTrash
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.state import Intent, LocalRow
from dropbox_client.sync.state_file import ROOT_CHILD
from dropbox_client.sync.trees import Action, LocalEntry, NodeId, RemoteEntry

INCOMING_PATH: Final = f"{PRIVATE_NAME}/incoming".encode()
"""The folder of complete downloads that wait for their place."""
_LOCK_WAIT_S = 600.0
_EXECUTABLE = 0o100


class Busy(Exception):
    """The action has to wait; the message is for people."""


class LocalActions:
    """The actions on one root."""

    def __init__(self, rows: Rows, disk: Disk, trash: LocalTrash, *, clock: Callable[[], float] = time.time) -> None:
        self._rows, self._state = rows, rows.state
        self._disk = disk
        self._trash = trash
        self._clock = clock
        self._locked_since: dict[NodeId, float] = {}
        self._unsynced: set[bytes] = set()
        """Paths of folders with new entries that are not durable yet."""
        self._replaced: dict[bytes, tuple[DiskEntry, bytes]] = {}
        """Files in `INCOMING_PATH` that lost their place to a download, and this place; their content is a revision on
        the server."""

    @singledispatchmethod
    def run(self, action: Action) -> None:
        """Carry out an action. Raises: Mismatch, without an effect; Busy; OSError."""
        raise TypeError(action)

    # Preconditions

    @contextmanager
    def _open(self, local: LocalEntry) -> Iterator[tuple[LocalRow, int, bytes]]:
        """Open the folder of an entry that is as planned, in its row and on disk; yield row, folder and its path."""
        row = self._rows.find_entry(local)
        with self._open_folder(row.dir) as (folder, path):
            self._require_same(row, self._disk.stat(folder, row.name), path)
            yield row, folder, path

    @contextmanager
    def _open_folder(self, number: int) -> Iterator[tuple[int, bytes]]:
        path = self._rows.find_path(number)
        try:
            opened = self._disk.open_folder(path)
            folder = opened.__enter__()
        except OSError as error:
            raise Mismatch(error.strerror or str(error), path) from error
        try:
            row = self._state.find_folder(number)
            if row is None or (number != ROOT_CHILD and row.inode != self._disk.stat_folder(folder).inode):
                raise Mismatch("another folder has its place", path)
            yield folder, path
        finally:
            opened.__exit__(None, None, None)

    def _require_same(self, row: LocalRow, entry: DiskEntry | None, path: bytes) -> None:
        if entry is None or entry.kind != row.kind or entry.inode != row.inode:
            raise Mismatch("the disk has another entry there", path)
        if entry.kind == "file" and entry[:6] != row[2:8]:
            raise Mismatch("the file has changed on disk", path)

    def _require_free(self, folder: int, name: bytes, number: int, path: bytes) -> None:
        if self._state.find_place(number, name) is not None or self._disk.stat(folder, name) is not None:
            raise Mismatch("the name is taken", path)

    def _move(self, row: LocalRow, folder: int, number: int, name: bytes) -> LocalRow:
        """Rename an entry of an open folder, and move its row; return it."""
        with self._open_folder(number) as (target, path):
            holder = self._state.find_place(number, name)
            if holder is not None and holder.id != row.id:
                raise Mismatch("the name is taken", path)
            try:
                self._disk.move(folder, row.name, target, name)
            except FileExistsError:
                raise Mismatch("the name is taken", path) from None
            except OSError as error:
                if error.errno == errno.EINVAL:  # into itself: a folder above it was moved meanwhile
                    raise Mismatch("the folder is below it", path) from error
                raise
            entry = self._disk.stat(target, name)
        if entry is None:
            raise Mismatch("the entry is gone again", path)
        # Its time of change is that of the rename; a file that was written to just then is found by its other times.
        moved = self._state.move_local(row, number, name)
        return self._rows.put_entry(moved, entry) if _is_unwritten(row, entry) else moved

    # Folders and places

    @run.register
    def _(self, action: trees.MakeLocal) -> None:
        if self._state.find_local(action.remote.id) is not None:
            raise Mismatch("the folder is there already")
        number = self._rows.find_folder(action.parent)
        with self._open_folder(number) as (folder, path):
            self._require_free(folder, action.name, number, path)
            try:
                self._disk.make_folder(folder, action.name)
            except FileExistsError:
                raise Mismatch("the name is taken", path) from None
            self._record_new(action, folder, number, path)

    def _record_new(self, action: trees.MakeLocal | trees.Download, folder: int, number: int, path: bytes) -> None:
        """Write the rows of an entry that the disk has just got."""
        name, remote = action.name, action.remote
        entry, birth_ns = self._disk.stat(folder, name), self._disk.find_birth_ns(folder, name)
        if entry is None:
            raise Mismatch("the entry is gone again", path)
        with self._state.transaction():
            child = self._state.next_number() if entry.kind == "folder" else None
            row = LocalRow(number, name, *entry[:6], birth_ns, child, remote.id, _pack(remote))
            self._state.put_local([row])
            self._rows.agree(remote, name)

    @run.register
    def _(self, action: trees.MoveLocal) -> None:
        with self._open(action.local) as (row, folder, _), self._state.transaction():
            self._move(row, folder, self._rows.find_folder(action.parent), action.name)
            if action.remote is not None:
                remote = action.remote
                self._rows.change_base(remote.id, parent=remote.parent, name=remote.name, local_name=action.name)

    @run.register
    def _(self, action: trees.Park) -> None:
        assert isinstance(action.entry, LocalEntry), "of the other side"  # noqa: S101
        with self._open(action.entry) as (row, folder, _):
            number = self._rows.find_folder(action.parent)
            parent = self._rows.find_parent(action.parent)
            place = {"parent": parent, "name": action.name, "local_name": action.local_name.hex()}
            intent = self._state.add_intent("park", id=row.id, inode=row.inode, dir=number, **place)
            with self._undo_on_failure(intent), self._state.transaction():
                self._move(row, folder, number, action.local_name)
                self._rows.change_base(row.id, parent=parent, name=action.name, local_name=action.local_name)
                self._state.end_intent(intent)

    @run.register
    def _(self, action: trees.CopyConflict) -> None:
        with self._open(action.local) as (row, folder, _):
            number = self._rows.find_folder(action.parent)
            intent = self._state.add_intent(
                "copy",
                id=row.id,
                inode=row.inode,
                dir=number,
                local_name=action.name.hex(),
                old_dir=row.dir,
                old_name=row.name.hex(),
            )
            with self._undo_on_failure(intent), self._state.transaction():
                self._move(row, folder, number, action.name)
                self._end_copy(intent, row.id, row.dir, row.name, number, action.name)

    def _end_copy(self, intent: int, node_id: NodeId, old_dir: int, old_name: bytes, number: int, name: bytes) -> None:
        path, copy = self._rows.show_path(old_dir, old_name), self._rows.show_path(number, name)
        self._rows.detach(node_id)
        self._state.add_conflict(node_id, path, copy)
        self._state.end_intent(intent)

    @contextmanager
    def _undo_on_failure(self, intent: int) -> Iterator[None]:
        try:
            yield
        except (Mismatch, OSError):  # without an effect
            self._state.end_intent(intent)
            raise

    @run.register
    def _(self, action: trees.TrashLocal) -> None:
        with self._open(action.local) as (row, folder, path):
            own = join_path(path, row.name)
            names = {below.name for below in action.below}
            if row.child is not None:
                self._require_only(own, names)
            trashed = self._trash.put(folder, row.name, own)
            self._return_if_changed(trashed, row, names, folder, path)
            with self._state.transaction():
                self._rows.remove_below(row)

    def _require_only(self, path: bytes, names: set[bytes]) -> None:
        """Raise Mismatch if a folder has other entries than these."""
        with self._disk.open_folder(path) as opened:
            if {name for name, _ in self._disk.list(opened)} - names:
                raise Mismatch("the folder is not empty", path)

    def _return_if_changed(self, trashed: bytes, row: LocalRow, names: set[bytes], folder: int, path: bytes) -> None:
        """Move an entry back out of the trash if it was written to, or a file was put into it, just before."""
        above, _, last = trashed.rpartition(b"/")
        with self._disk.open_folder(above) as opened:
            try:
                if row.child is not None:
                    self._require_only(trashed, names)
                else:
                    self._require_unwritten(row, self._disk.stat(opened, last), path)
            except Mismatch:
                self._disk.move(opened, last, folder, row.name)
                raise

    def _require_unwritten(self, row: LocalRow, entry: DiskEntry | None, path: bytes) -> None:
        """Compare an entry that was renamed, which changed its ctime. Raises Mismatch."""
        if entry is None or not _is_unwritten(row, entry):
            raise Mismatch("the file was written to just now", path)

    # Files

    def publish(self, action: trees.Download, incoming: bytes) -> None:
        """Give a complete download, by its name in `INCOMING_PATH`, its place. Call `sync_folders` before the rows are
        committed. Raises: Mismatch, Busy, OSError.
        """
        known = self._state.find_remote(action.remote.id)
        if known is None or known.version < action.remote.version:
            raise Mismatch("the server has lost this version")  # in a new epoch: what was agreed is void
        with self._disk.open_folder(INCOMING_PATH) as store:
            if action.local is None:
                self._publish_new(action, store, incoming)
            else:
                self._publish_over(action, action.local, store, incoming)

    def discard(self, incoming: bytes) -> None:
        """Remove a complete download that has no place any more. Raises OSError."""
        with self._disk.open_folder(INCOMING_PATH) as store, suppress(FileNotFoundError):
            self._disk.remove_file(store, incoming)

    def sync_folders(self) -> None:
        """Make what was published durable, and remove what it replaced. Raises OSError.

        A program that had a replaced file open may write to it: that one goes to the local trash.
        """
        for path in self._unsynced:
            with suppress(FileNotFoundError, NotADirectoryError), self._disk.open_folder(path) as folder:
                self._disk.sync(folder)
        self._unsynced.clear()
        with self._disk.open_folder(INCOMING_PATH) as store:
            while self._replaced:
                name, (entry, path) = self._replaced.popitem()
                if self._disk.stat(store, name) != entry or self._disk.is_open_elsewhere(store, name):
                    self._trash.put(store, name, path)
                else:
                    self._disk.remove_file(store, name)

    def _publish_new(self, action: trees.Download, store: int, incoming: bytes) -> None:
        if self._state.find_local(action.remote.id) is not None:
            raise Mismatch("the file is there already")
        number = self._rows.find_folder(action.parent)
        with self._open_folder(number) as (folder, path):
            self._require_free(folder, action.name, number, path)
            try:
                self._disk.move(store, incoming, folder, action.name, is_durable=False)
            except FileExistsError:
                raise Mismatch("the name is taken", path) from None
            self._unsynced.add(path)
            self._record_new(action, folder, number, path)

    def _publish_over(self, action: trees.Download, local: LocalEntry, store: int, incoming: bytes) -> None:
        remote = action.remote
        base = self._state.find_base(remote.id)
        if base is None or base.content != local.content or self._rows.resolve(local.id) != remote.id:
            raise Mismatch("the server never had what the file contains")
        with self._open(local) as (row, folder, path):
            self._require_unlocked(row, folder)
            mode = _set_executable(row.mode & ~0o111, executable=remote.executable)
            self._disk.set_mode(store, incoming, mode)
            download = self._disk.stat(store, incoming)
            self._disk.exchange(store, incoming, folder, row.name)
            replaced = self._disk.stat(store, incoming)
            if replaced is None or not _is_unwritten(row, replaced):
                self._put_back(store, incoming, folder, row.name, path, download)
                raise Mismatch("the file was written to just now", path)
            entry = self._disk.stat(folder, row.name)
            birth_ns = self._disk.find_birth_ns(folder, row.name)
            if entry is None:
                raise Mismatch("the file is gone again", path)
            with self._state.transaction():
                self._rows.put_entry(row, entry, birth_ns, _pack(remote))
                self._rows.change_base(
                    remote.id, content=remote.content, revision_id=remote.revision_id, executable=remote.executable
                )
            self._unsynced.add(path)
            self._replaced[incoming] = replaced, join_path(path, row.name)

    def _put_back(
        self, store: int, incoming: bytes, folder: int, name: bytes, path: bytes, download: DiskEntry | None
    ) -> None:
        """Give a file its place back from the download, or one in the local trash if a program took that just then."""
        try:
            self._disk.exchange(store, incoming, folder, name)
            out = self._disk.stat(store, incoming)
            if out is not None and download is not None and out.inode == download.inode:
                return
            self._disk.exchange(store, incoming, folder, name)
        except OSError:
            self._trash.put(store, incoming, join_path(path, name))
            raise
        self._trash.put(store, incoming, join_path(path, name))

    def _require_unlocked(self, row: LocalRow, folder: int) -> None:
        """Raise Busy for a document that an office program has open, for at most ten minutes (rule 6)."""
        name = row.name.decode(errors="surrogateescape")
        is_locked = any(self._disk.stat(folder, one.encode(errors="surrogateescape")) for one in lock_names(name))
        if not is_locked:
            self._locked_since.pop(row.id, None)
        elif self._clock() - self._locked_since.setdefault(row.id, self._clock()) < _LOCK_WAIT_S:
            raise Busy("an office program has the document open")

    @run.register
    def _(self, action: trees.MarkLocal) -> None:
        with self._open(action.local) as (row, folder, path):
            mode = _set_executable(row.mode, executable=action.executable)
            self._disk.set_mode(folder, row.name, mode)
            entry = self._disk.stat(folder, row.name)
            if entry is None or entry[3:5] != row[5:7]:
                raise Mismatch("the file was written to just now", path)
            if bool(entry.mode & _EXECUTABLE) != action.executable:
                raise OSError(errno.ENOTSUP, "this disk holds no executable bits")
            with self._state.transaction():
                self._rows.put_entry(row, entry)
                self._rows.change_base(row.id, executable=action.executable)

    # Rows alone

    @run.register
    def _(self, action: trees.Adopt) -> None:
        row = self._rows.find_entry(action.local)
        folder = self._state.find_folder(row.dir)
        if action.remote.parent is not None and (folder is None or folder.id != action.remote.parent):
            raise Mismatch("the folder is another one")
        with self._state.transaction():
            self._rows.bind(action.local.id, action.remote.id)
            self._rows.agree(action.remote, row.name)

    @run.register
    def _(self, action: trees.Pair) -> None:
        self._rows.find_entry(action.local)
        self._rows.bind(action.local.id, action.base.id)

    @run.register
    def _(self, action: trees.DropBase) -> None:
        self._state.remove_base(action.id)

    @run.register
    def _(self, action: trees.Detach) -> None:
        row = self._rows.find_entry(action.local)
        with self._state.transaction():
            if not action.keeps_base:
                self._state.remove_base(row.id)
            self._rows.detach(action.local.id)

    @run.register
    def _(self, action: trees.PlaceMount) -> None:
        row = self._rows.find_entry(action.local)
        mount = self._state.find_mount(action.remote.id)
        folder = self._state.find_folder(row.dir)
        if mount is None or folder is None:
            raise Mismatch("the share is gone")
        name = row.name.decode()
        remote = replace(action.remote, parent=folder.id, name=name)
        with self._state.transaction():
            self._state.put_mount(mount._replace(parent=folder.id, name=name))
            self._state.put_remote(remote, self._state.find_modified_at(remote.id))
            self._rows.agree(remote, row.name)

    # What a crash left

    def recover(self) -> None:
        """Finish what was begun on disk before a crash, or undo it. Call before the first scan. Raises OSError."""
        for intent in self._state.list_intents():
            if intent.kind in {"park", "copy"}:
                with self._state.transaction():
                    self._recover(intent)
                    self._state.end_intent(intent.number)

    def _recover(self, intent: Intent) -> None:
        detail = intent.detail
        row = self._state.find_local(detail["id"])
        number, name = detail["dir"], bytes.fromhex(detail["local_name"])
        path = self._state.local_path(number)
        if row is None or path is None or row.inode != detail["inode"]:
            return
        with suppress(FileNotFoundError, NotADirectoryError), self._disk.open_folder(path) as folder:
            entry = self._disk.stat(folder, name)
            if entry is None or entry.inode != row.inode or self._state.find_place(number, name):
                return  # the effect did not happen
            moved = self._state.move_local(row, number, name)
            if _is_unwritten(row, entry):
                self._rows.put_entry(moved, entry)
            if intent.kind == "park":
                place = {"parent": detail["parent"], "name": detail["name"], "local_name": name}
                self._rows.change_base(row.id, **place)
            else:
                old = bytes.fromhex(detail["old_name"])
                self._end_copy(intent.number, row.id, detail["old_dir"], old, number, name)


def _is_unwritten(row: LocalRow, entry: DiskEntry) -> bool:
    """Return whether an entry that was renamed is as its row: only its ctime is that of the rename."""
    return entry[:5] == row[2:7]


def _set_executable(mode: int, *, executable: bool) -> int:
    """Return a mode with which all who may read a file may run it, or none."""
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def _pack(remote: RemoteEntry) -> bytes | None:
    return bytes.fromhex(remote.content.fingerprint) if remote.content else None
