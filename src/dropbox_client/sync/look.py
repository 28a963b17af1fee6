"""The comparison of one listed folder with its rows: what is new, moved, changed and missing."""

import errno
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from dropbox_client.sync.disk import Disk, DiskEntry
from dropbox_client.sync.ignores import PRIVATE_NAME, Ignores
from dropbox_client.sync.names import BadLocalName, RootTraits, read_name
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import LIMBO, ROOT_CHILD
from dropbox_client.sync.trees import LocalStatus, new_id


class _Seen(NamedTuple):
    """The columns of a row that a listing is compared with."""

    kind: str
    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    child: int | None
    status: LocalStatus


_SELECT = "SELECT name, kind, inode, mode, size, mtime_ns, ctime_ns, child, status FROM local WHERE dir = ?"
_PRIVATE = PRIVATE_NAME.encode()


@dataclass(slots=True)
class Findings:
    """What a look at a folder leaves to do."""

    folders: list[int] = field(default_factory=list)
    """The numbers of the folders in it."""
    new_folders: list[int] = field(default_factory=list)
    """Those among them of which everything below has to be looked at."""
    busy: dict[bytes, DiskEntry] = field(default_factory=dict)
    """Files without a valid hash."""
    missing: list[bytes] = field(default_factory=list)
    """Names of rows that were not listed."""
    displaced: list[bytes] = field(default_factory=list)
    """Names, in limbo, of rows whose name another entry has now."""
    has_unknown: bool = False
    has_moved: bool = False


@dataclass(slots=True)
class Look:
    """A look at one open folder."""

    state: State
    disk: Disk
    ignores: Ignores
    traits: RootTraits
    device: int
    held_inodes: Collection[int]
    number: int
    path: bytes
    folder: int
    """Its descriptor."""
    findings: Findings = field(default_factory=Findings)

    def compare(self, entries: Iterable[tuple[bytes, DiskEntry | OSError]], *, is_checking_rules: bool) -> Findings:
        """Make the rows of the folder equal to its entries, as far as one look tells. Raises OSError."""
        rows = {row[0]: _Seen(*row[1:]) for row in self.state.database.execute(_SELECT, (self.number,))}
        new: list[tuple[bytes, DiskEntry]] = []
        different: list[tuple[bytes, DiskEntry]] = []
        for name, entry in entries:
            seen = rows.pop(name, None)
            if isinstance(entry, OSError):
                self._record_failure(name, entry)
            elif seen is None:
                new.append((name, entry))
            elif seen[:6] != entry[:6] or seen.status != "ok" or is_checking_rules or self._is_mounted(entry):
                different.append((name, entry))
            elif seen.child is not None:
                self.findings.folders.append(seen.child)
        # New ones first: a folder may have moved to a new name, and another one taken its old name.
        for update, found in ((self._add, new), (self._update, different)):
            for name, entry in found:
                if entry.inode not in self.held_inodes and (name != _PRIVATE or self.number != ROOT_CHILD):
                    update(name, entry)
        for name, seen in rows.items():
            self._miss(name, seen)
        return self.findings

    def _miss(self, name: bytes, seen: _Seen) -> None:
        """Record that a row was not listed."""
        row = self.state.find_place(self.number, name)
        if row is None or seen.inode in self.held_inodes:  # it has just been moved away
            return
        if seen.status == "unmanaged":
            self.state.remove_local(row)
        else:
            self.findings.missing.append(name)

    def _is_mounted(self, entry: DiskEntry) -> bool:
        """Return whether another file system begins here. Files of overlays have other device numbers, too."""
        return entry.device != self.device and entry.kind == "folder"

    def _judge(self, name: bytes, entry: DiskEntry) -> tuple[LocalStatus, str]:
        """Return whether an entry takes part, apart from its content."""
        text, folder = name.decode(errors="surrogateescape"), self.path.decode(errors="surrogateescape")
        if self.ignores.has_match(folder, text, is_folder=entry.kind == "folder"):
            return "unmanaged", "ignored"
        if self._is_mounted(entry):
            return "unreadable", "another file system is mounted here"
        try:
            read_name(name, self.traits)
        except BadLocalName as error:
            return "invalid", str(error)
        return "ok", ""

    def _record_failure(self, name: bytes, error: OSError) -> None:
        row = self.state.find_place(self.number, name)
        status, reason = explain_failure(error)
        if row is None:
            row = LocalRow(self.number, name, "other", 0, 0, 0, 0, 0, None, None, self._new_id(), None)
        self.state.put_local([row._replace(status=status, reason=reason)])
        self.findings.has_unknown = True

    def _new_id(self) -> str:
        return new_id(self.state.next_number())

    def _add(self, name: bytes, entry: DiskEntry) -> None:
        """Record an entry at a place without a row."""
        status, reason = self._judge(name, entry)
        if status == "invalid" and (moved := self._find_moved(entry, self.disk.find_birth_ns(self.folder, name))):
            self.findings.has_moved = True  # a new name that the server cannot hold is no deletion
            row = self.state.move_local(moved, self.number, name)
            self.state.put_local([row._replace(status=status, reason=reason)])
            return
        if status != "ok":
            row = LocalRow(self.number, name, *entry[:6], None, None, self._new_id(), None, status, reason)
            self.state.put_local([row])
            return
        birth_ns = self.disk.find_birth_ns(self.folder, name)
        moved = self._find_moved(entry, birth_ns)
        if moved:
            self.findings.has_moved = True
            row = self.state.move_local(moved, self.number, name)
        else:
            child = self.state.next_number() if entry.kind == "folder" else None
            row = LocalRow(self.number, name, *entry[:6], birth_ns, child, self._new_id(), None)
        if row.child is not None:
            self.findings.new_folders.append(row.child)
        self._record(row, entry, birth_ns)

    def _record(self, row: LocalRow, entry: DiskEntry, birth_ns: int | None) -> None:
        """Write what the stat tells into a row; a file gets its hash later."""
        is_busy = entry.kind == "file" and (row.fp is None or row[3:8] != entry[1:6])
        status: LocalStatus = "busy" if is_busy else "ok"
        fp = None if is_busy else row.fp
        self.state.put_local([LocalRow(row.dir, row.name, *entry[:6], birth_ns, row.child, row.id, fp, status)])
        if is_busy:
            self.findings.busy[row.name] = entry

    def _find_moved(self, entry: DiskEntry, birth_ns: int | None) -> LocalRow | None:
        """Return the row of an entry that was elsewhere before."""
        for row in self.state.find_inode(entry.inode):
            if row.kind == entry.kind and _is_same(row, entry, birth_ns) and self._has_left(row):
                return None if row.child and self._is_above(row.child) else row
        return None

    def _is_above(self, child: int) -> bool:
        """Return whether the rows have a folder above this one: then a folder between them was replaced."""
        number = self.number
        while number != child:
            row = self.state.find_folder(number)
            if row is None or number == ROOT_CHILD:
                return False
            number = row.dir
        return True

    def _has_left(self, row: LocalRow) -> bool:
        """Return whether an entry is not at its place any more.

        A file whose name another file has was replaced: that one is the same node, as after an atomic save.
        """
        if row.dir == LIMBO:
            return True
        path = self.state.local_path(row.dir)
        if path is None:
            return True
        try:
            with self.disk.open_folder(path) as folder:
                there = self.disk.stat(folder, row.name)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        if there is None or there.kind != row.kind:
            return True
        return row.kind == "folder" and there.inode != row.inode

    def _update(self, name: bytes, entry: DiskEntry) -> None:
        """Record an entry at a place with a row that differs, or that has to be judged again."""
        row = self.state.find_place(self.number, name)
        if row is None:  # its row has just been moved away
            self._add(name, entry)
            return
        status, _ = self._judge(name, entry)
        is_same_kind = row.kind == entry.kind
        if status == row.status != "ok" and is_same_kind:
            return
        birth_ns = row.birth_ns if row.inode == entry.inode else self.disk.find_birth_ns(self.folder, name)
        if status != "ok" or row.status in {"unmanaged", "invalid"} or not row.inode:
            self.state.remove_local(row)
            self._add(name, entry)
        elif not is_same_kind or (
            row.kind == "folder" and row.inode != entry.inode and self._find_moved(entry, birth_ns)
        ):
            self._displace(row)
            self._add(name, entry)
        else:
            self._record(row, entry, birth_ns)
            if row.child is not None:
                is_known = row.inode == entry.inode and row.status == "ok"
                (self.findings.folders if is_known else self.findings.new_folders).append(row.child)

    def _displace(self, row: LocalRow) -> None:
        """Move a row out of the way, until another look finds where its entry is now."""
        name = row.id.encode()
        self.state.move_local(row, LIMBO, name)
        self.findings.displaced.append(name)
        self.findings.has_moved = True


def _is_same(row: LocalRow, entry: DiskEntry, birth_ns: int | None) -> bool:
    """Return whether a row is of the entry with its inode, and not of one that had the inode before."""
    if row.birth_ns is not None and birth_ns is not None:
        return row.birth_ns == birth_ns
    return entry.kind == "folder" or (row.size, row.mtime_ns) == (entry.size, entry.mtime_ns)


def explain_failure(error: OSError) -> tuple[LocalStatus, str]:
    """Return the status of an entry that could not be read, and the reason for people."""
    is_final = error.errno in {errno.EACCES, errno.EPERM}
    return ("unreadable" if is_final else "unknown"), error.strerror or str(error)
