"""Checks that the folder on disk is the one that was synchronized, and that one process works on it (rules 1 and 13).

The folder `.dbx` of the root holds the marker, a file with a random id. The state database records this id with the
inode and the device of the root. An unmounted, emptied or replaced root has another marker, or none, and pauses: its
files are unknown, not deleted. Device numbers change at each boot, and are compared within one boot only.

The database is bound to one machine, since a copy of it would describe files of another disk, and needs a local file
system: SQLite's locks and shared memory are not reliable over a network or FUSE.
"""

import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dropbox_client.errors import ClientError
from dropbox_client.sync.ignores import PRIVATE_NAME

MARKER: Final = f"{PRIVATE_NAME}/marker"
_MAX_MARKER_BYTES = 100
_REMOTE_TYPES = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|afs|9p|ceph|lustre|glusterfs|gfs2|ocfs2|ncpfs|fuse.*|virtiofs|vboxsf|beegfs|gpfs"
)


class RootRefused(ClientError):
    """The folder or the place of the state cannot be used as they are; a person must choose others."""


class RootPaused(ClientError):
    """The folder is not the one that was synchronized: nothing may be concluded from what it lacks."""


@dataclass(frozen=True, slots=True)
class Host:
    """The running system."""

    machine: str
    """Identifies the machine; a hash, because the id itself is confidential."""
    boot: str
    """Identifies the boot."""
    mounts: str
    """The text of /proc/self/mountinfo; empty on other systems."""

    @classmethod
    def read(cls) -> Self:
        machine = _read_text("/etc/machine-id") or f"{uuid.getnode():012x}"
        return cls(
            hashlib.sha256(b"dropbox-api sync " + machine.encode()).hexdigest(),
            _read_text("/proc/sys/kernel/random/boot_id"),
            _read_text("/proc/self/mountinfo"),
        )


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class RootRecord:
    """What the state records of its root."""

    marker: str
    inode: int
    device: int
    boot: str
    machine: str


def make_marker(root: Path, host: Host, others: Iterable[Path] = ()) -> RootRecord:
    """Make a folder a root: write its marker durably, and return the record.

    `others` are the roots that this account of the machine has already. A marker that exists is kept: the folder was a
    root before, and both trees are united.
    Raises: RootRefused for a root inside of another or around one; OSError.
    """
    require_disjoint(root, others)
    folder = root / PRIVATE_NAME
    folder.mkdir(mode=0o700, exist_ok=True)
    marker = root / MARKER
    with suppress(FileExistsError):
        fd = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")
            file.flush()
            os.fsync(file.fileno())
    for above in (folder, root):
        sync_folder(above)
    with RootFolder(root) as opened:
        return RootRecord(opened.read_marker(), opened.inode, opened.device, host.boot, host.machine)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def require_disjoint(root: Path, others: Iterable[Path]) -> None:
    """Raise RootRefused if a root lies inside of another, or around one."""
    real = root.resolve()
    for other in (path.resolve() for path in others):
        if real == other:
            raise RootRefused(f"{root} is synchronized already")
        if real.is_relative_to(other) or other.is_relative_to(real):
            raise RootRefused(f"{root} and the synchronized folder {other} lie inside of each other")
    for folder in real.parents:
        if os.path.lexists(folder / MARKER):
            raise RootRefused(f"{root} lies inside of the synchronized folder {folder}")


class RootFolder:
    """The open root folder. A context manager."""

    def __init__(self, root: Path) -> None:
        """Open the root. Raises RootPaused."""
        self.path = root
        try:
            self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RootPaused(f"{root} cannot be opened: {error.strerror}") from error
        status = os.fstat(self.fd)
        self.inode, self.device = status.st_ino, status.st_dev

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self.fd)

    def open_marker(self) -> int:
        """Return a descriptor of the marker. Raises RootPaused."""
        try:
            return os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            raise RootPaused(
                f"{self.path} has no readable {MARKER} ({error.strerror}): it is not mounted, or was emptied"
            ) from error

    def read_marker(self) -> str:
        """Return the id in the marker. Raises RootPaused."""
        fd = self.open_marker()
        try:
            return os.read(fd, _MAX_MARKER_BYTES).decode("ascii", "replace").strip()
        except OSError as error:
            raise RootPaused(f"{self.path / MARKER}: {error.strerror}") from error
        finally:
            os.close(fd)


def check_root(folder: RootFolder, record: RootRecord, host: Host) -> RootRecord:
    """Return the record as of now, which differs after a boot. Call before and after each scan.

    Raises: RootRefused for the state of another machine; RootPaused.
    """
    if record.machine != host.machine:
        raise RootRefused("the state was made on another machine: add the folder here with a state of its own")
    if folder.read_marker() != record.marker:
        raise RootPaused(f"{folder.path} is another folder than the one that was synchronized: its marker differs")
    if folder.inode != record.inode:
        raise RootPaused(f"{folder.path} was replaced by a copy: its inode differs")
    if record.boot == host.boot and folder.device != record.device:
        raise RootPaused(f"{folder.path} is on another file system than before")
    if not _is_at_path(folder):
        raise RootPaused(f"{folder.path} was moved or replaced while it was open")
    return replace(record, device=folder.device, boot=host.boot)


def _is_at_path(folder: RootFolder) -> bool:
    """Return whether the path still leads to the open folder: a file system may have been mounted over it."""
    try:
        return os.path.samestat(os.stat(folder.path), os.fstat(folder.fd))  # noqa: PTH116 - compared with a descriptor
    except OSError:
        return False


class RootLock:
    """The locks of the one process that works on a root and its state. A context manager."""

    def __init__(self, folder: RootFolder, state: Path) -> None:
        """Lock the marker, and a file beside the state. Raises RootRefused, RootPaused."""
        self._fds: list[int] = []
        try:
            self._lock(folder.open_marker(), folder.path)
            lock = state.with_name(f"{state.name}.lock")
            self._lock(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), state)
        except BaseException:
            self.close()
            raise

    def _lock(self, fd: int, path: Path) -> None:
        self._fds.append(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RootRefused(f"{path} is in use by another `dbx sync`") from None
        except OSError:  # the file system of the root has no locks: that of the state has some
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


def require_local_disk(folder: Path, host: Host) -> None:
    """Raise RootRefused if a folder for the state is on a network file system or on FUSE."""
    kind = find_file_system(folder, host)
    if _REMOTE_TYPES.fullmatch(kind):
        raise RootRefused(f"{folder} is on {kind}: the state of `dbx sync` needs a local disk, see XDG_STATE_HOME")


def find_file_system(folder: Path, host: Host) -> str:
    """Return the type of the file system of a folder, "" if it is unknown."""
    best, found = -1, ""
    real = folder.resolve()
    for line in host.mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        if real.is_relative_to(point) and len(point.parts) >= best:  # a later mount covers an earlier one
            best, found = len(point.parts), after.split(" ")[0]
    return found
