"""A folder on disk with the state of a sync client, scanned by a clock that tests move."""

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dropbox_client.sync.disk import Disk, DiskEntry
from dropbox_client.sync.guard import RootFolder
from dropbox_client.sync.scan import Scanner
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import ROOT_CHILD


class FakeClock:
    """The time of the system, moved forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class FaultyDisk(Disk):
    """A disk on which chosen operations fail, by the last name of a folder or the name of a file."""

    failures: dict[bytes, OSError]
    devices: dict[bytes, int]
    """Of entries that are mounted."""

    def __init__(self, root_fd: int) -> None:
        super().__init__(root_fd)
        self.failures, self.devices = {}, {}

    @contextmanager
    def open_folder(self, path: bytes) -> Iterator[int]:
        self._fail(path.rpartition(b"/")[2])
        with super().open_folder(path) as folder:
            yield folder

    def list(self, folder: int) -> Iterator[tuple[bytes, DiskEntry | OSError]]:
        for name, entry in super().list(folder):
            if isinstance(entry, DiskEntry) and name in self.devices:
                yield name, entry._replace(device=self.devices[name])
            else:
                yield name, entry

    def hash_file(self, folder: int, name: bytes) -> tuple[str, DiskEntry]:
        self._fail(name)
        return super().hash_file(folder, name)

    def _fail(self, name: bytes) -> None:
        if name in self.failures:
            raise self.failures[name]


@dataclass
class SyncFolder:
    """A root with its state and its scanner."""

    root: Path
    state: State
    disk: FaultyDisk
    device: int
    root_fd: int
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new scanner on the same state, as after a kill."""
        self.scanner = Scanner(self.state, self.disk, self.device, clock=self.clock)

    def scan(self, after_s: float = 0) -> None:
        """Look at everything."""
        self.clock.ahead_s += after_s
        self.scanner.mark_all()
        self.scanner.run()

    def settle(self, pool: Executor | None = None) -> None:
        """Look at everything until the tree is complete."""
        self.scanner.mark_all()
        self.scanner.run(large_pool=pool)
        while not self.scanner.is_settled:
            self.clock.ahead_s += (self.scanner.next_look_s() or 0) + 0.01
            self.scanner.run(large_pool=pool)

    def rows(self) -> dict[str, LocalRow]:
        """Return all rows by path."""
        found: dict[str, LocalRow] = {}
        folders = [("", ROOT_CHILD)]
        while folders:
            above, number = folders.pop()
            for row in self.state.list_local(number):
                path = above + os.fsdecode(row.name)
                found[path] = row
                if row.child is not None:
                    folders.append((f"{path}/", row.child))
        return found

    def row(self, path: str) -> LocalRow:
        return self.rows()[path]

    def ids(self) -> dict[str, str]:
        return {path: row.id for path, row in self.rows().items()}

    def contents(self) -> dict[str, str]:
        """Return the kind of each row, or the hash of a file."""
        return {path: row.fp.hex() if row.fp else row.kind for path, row in self.rows().items()}

    def disk_contents(self) -> dict[str, str]:
        """Return the same as `contents` from the disk."""
        found: dict[str, str] = {}
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                found[name] = "other"
            else:
                found[name] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        return found


@contextmanager
def sync_folder(folder: Path) -> Iterator[SyncFolder]:
    """Open a root in a folder, with its state beside it."""
    root = folder / "root"
    root.mkdir()
    with RootFolder(root) as opened, State(folder / "state.sqlite") as state:
        state.set_root("root")
        yield SyncFolder(root, state, FaultyDisk(opened.fd), opened.device, opened.fd)
