"""The temporary file of a download, beside its target, from which an interrupted download resumes.

Its name is derived from the fingerprint. After the content it has one byte per range, set once the range is written.
These marks are not trusted: the whole content is hashed before the file gets its final name.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import threading
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dropbox_client.errors import Corrupt, LocalExists
from dropbox_client.models import DownloadUrl
from dropbox_client.transfer.chunks import KIB

BUFFER_BYTES = 256 * KIB

_SUFFIX = ".dbx-part"
_NAME = re.compile(r"\.(.*)\.(?:[0-9a-f]{8}|[0-9a-f]{16})\.dbx-part", re.DOTALL)
_MAX_START_BYTES = 200
_MAX_AGE_S = 7 * 86400


def is_partial_file(name: str) -> bool:
    """Return whether a file name is that of an incomplete download."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def require_target(target: Path, *, overwrite: bool) -> None:
    """Raise LocalExists if something has the name, with `overwrite` only for a folder: no file replaces it."""
    if overwrite and target.is_dir() and not target.is_symlink():
        raise LocalExists(f"{target} is a folder")
    if not overwrite and os.path.lexists(target):
        raise LocalExists(f"{target} already exists")


class PartialFile:
    """The locked temporary file of one download. A context manager that deletes it unless `is_kept`."""

    def __init__(self, target: Path, source: DownloadUrl | None, count: int) -> None:
        """Open the file of an earlier download, or a new one; without `source` for content of unknown size.

        Raises OSError.
        """
        start = target.name.encode(errors="surrogateescape")[:_MAX_START_BYTES].decode(errors="ignore")
        self._size_bytes, self._count = source.size_bytes if source else 0, count
        self.is_kept = False
        """True if a later download can resume from the file."""
        self.present: frozenset[int] = frozenset()
        """Numbers of the ranges that an earlier download fetched."""
        self._is_size_known = source is not None
        if source and count > 1:
            self._path = target.with_name(f".{start}.{source.fingerprint[:16]}{_SUFFIX}")
            with contextlib.suppress(OSError):  # another download holds it, or the file system has no locks
                self._fd = self._open_locked()
                self.is_kept = True
                marks = os.pread(self._fd, self._count, self._size_bytes)
                self.present = frozenset(number for number, mark in enumerate(marks, start=1) if mark)
                return
        self._path = target.with_name(f".{start}.{os.urandom(4).hex()}{_SUFFIX}")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # the file system has no locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _open_locked(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            # The previous holder has just renamed it, or was killed when it had linked it to its target.
            if not os.path.samestat(status, self._path.lstat()) or status.st_nlink > 1:
                raise FileNotFoundError(self._path)  # noqa: TRY301
        except BaseException:
            os.close(fd)
            raise
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self.is_kept:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def write(self, view: memoryview, offset: int) -> None:
        while view:
            count = os.pwrite(self._fd, view, offset)
            view, offset = view[count:], offset + count

    def discard(self) -> None:
        """Delete what was written."""
        os.ftruncate(self._fd, 0)

    def mark_range(self, number: int) -> None:
        """Mark a range as written, for a later download."""
        if self.is_kept:
            os.pwrite(self._fd, b"\1", self._size_bytes + number - 1)

    def hash_into(self, digest: "hashlib._Hash", offset: int, size_bytes: int) -> None:
        buffer = memoryview(bytearray(min(size_bytes, BUFFER_BYTES)))
        end = offset + size_bytes
        while offset < end:
            count = os.preadv(self._fd, [buffer[: end - offset]], offset)
            if not count:
                raise Corrupt(f"{self._path} was truncated during the download")
            digest.update(buffer[:count])
            offset += count

    def replace_target(self, target: Path, modified_at: datetime | None, *, executable: bool = False) -> None:
        """Rename the finished file to `target` durably, over an existing file."""
        self._finish(modified_at, executable=executable)
        self._rename(target)
        _sync_folder(target.parent)

    def create_target(self, target: Path, modified_at: datetime | None, *, executable: bool = False) -> None:
        """Rename the finished file to `target` durably. Raises LocalExists, also for a file created meanwhile."""
        self._finish(modified_at, executable=executable)
        try:
            target.hardlink_to(self._path)
        except FileExistsError as error:
            raise LocalExists(f"{target} already exists") from error
        except OSError:  # a file system without hard links: check again, then rename
            if os.path.lexists(target):
                raise LocalExists(f"{target} already exists") from None
            self._rename(target)
        _sync_folder(target.parent)

    def _finish(self, modified_at: datetime | None, *, executable: bool) -> None:
        self.is_kept = False
        if self._is_size_known:
            os.ftruncate(self._fd, self._size_bytes)
        if executable:
            allow_execution(self._fd)
        if modified_at:
            set_modified_at(self._fd, modified_at)
        os.fsync(self._fd)

    def _rename(self, target: Path) -> None:
        self._path.replace(target)
        self.is_kept = True  # the old name may belong to another download by now


class StalePartialFiles:
    """Deletes temporary files that no download will continue. Reads each folder once; thread-safe.

    They are those of a target that is complete (its version was replaced meanwhile) and those that nothing was written
    to for a week. Files that a running download has locked stay, and so do all where the file system has no locks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._found: dict[str, list[Path]] = {}

    def delete(self, target: Path) -> None:
        """Delete those of a complete target, and the old ones of its folder. Ignores failures."""
        with self._lock:
            if self._folder != target.parent:
                self._folder, self._found = target.parent, _find_partial_files(target.parent)
                cutoff = time.time() - _MAX_AGE_S
                for path in [path for paths in self._found.values() for path in paths]:
                    with contextlib.suppress(OSError):
                        if path.lstat().st_mtime < cutoff:
                            _delete_unlocked(path)
            for path in self._found.pop(target.name, ()):
                _delete_unlocked(path)


def _find_partial_files(folder: Path) -> dict[str, list[Path]]:
    """Return the temporary files in a folder by the name of their target."""
    found: dict[str, list[Path]] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                found.setdefault(match[1], []).append(folder / entry.name)
    return found


def _delete_unlocked(path: Path) -> None:
    with contextlib.suppress(OSError):  # a download holds it, or has just renamed it
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.lstat()):
                path.unlink()
        finally:
            os.close(fd)


def set_modified_at(file: Path | int, modified_at: datetime) -> None:
    """Set the times of a file, exact to the microsecond, where the file system can hold them."""
    moment_ns = int(modified_at.timestamp() * 1_000_000) * 1000
    with contextlib.suppress(OSError, OverflowError):  # such as the year 9999
        os.utime(file, ns=(moment_ns, moment_ns))


def allow_execution(file: Path | int) -> None:
    """Let all accounts that may read a file run it, where the file system can hold that."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(os.stat(file).st_mode)  # noqa: PTH116 - a path or a descriptor
        os.chmod(file, mode | (mode & 0o444) >> 2)  # noqa: PTH101


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems do not support it
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
