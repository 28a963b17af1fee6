"""What the sync client asks of the file system. Each call goes through open folders, never through a path.

A folder is opened component by component with O_NOFOLLOW, so that a link that replaces a folder leads nowhere. A test
overrides a method to inject a failure, or another history.
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final, NamedTuple

from dropbox_client.errors import FileChanged
from dropbox_client.sync.names import RootTraits
from dropbox_client.sync.trees import Kind
from dropbox_client.transfer.source import DescriptorSource, hash_blocks

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SIGNED = 1 << 63
_STATX = struct.Struct("I76xqI")
"""The mask and the time of birth in the 256 bytes of `struct statx`."""
_MASK_BIRTH = 0x800
_MAX_SMALL_BYTES = 1 << 20
_NO_FOLLOW: Final = 0x100
_NO_REPLACE, _EXCHANGE = 1, 2


class DiskEntry(NamedTuple):
    """What a stat tells, in the order of the columns of the table `local`."""

    kind: Kind
    inode: int
    """A signed number: SQLite has no others."""
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int


def _read_stat(status: os.stat_result) -> DiskEntry:
    mode, inode = status.st_mode, status.st_ino
    kind: Kind = "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"
    return DiskEntry(
        kind,
        inode if inode < _SIGNED else inode - 2 * _SIGNED,
        mode,
        0 if kind == "folder" else status.st_size,
        0 if kind == "folder" else status.st_mtime_ns,
        0 if kind == "folder" else status.st_ctime_ns,
        status.st_dev,
    )


def join_path(folder: bytes, name: bytes) -> bytes:
    """Return the path of an entry below the root; `folder` is b"" for the root itself."""
    return b"/".join([folder, name]) if folder else name


class Disk:
    """The file system below one root."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self.is_stopping = False
        """Ends hashes that run in other threads."""

    @contextmanager
    def open_folder(self, path: bytes) -> Iterator[int]:
        """Open a folder by its path below the root, b"" for the root itself. Raises OSError."""
        fd = os.dup(self._root_fd)
        try:
            for name in path.split(b"/") if path else ():
                above, fd = fd, -1
                try:
                    fd = os.open(name, _FOLDER_FLAGS, dir_fd=above)
                finally:
                    os.close(above)
            yield fd
        finally:
            if fd >= 0:
                os.close(fd)

    def list(self, folder: int) -> Iterator[tuple[bytes, DiskEntry | OSError]]:
        """Yield the entries of an open folder, each with its stat or why there is none. Raises OSError.

        Entries that are gone by now are left out.
        """
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    yield os.fsencode(entry.name), _read_stat(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield os.fsencode(entry.name), error

    def stat_folder(self, folder: int) -> DiskEntry:
        """Return the stat of an open folder. Raises OSError."""
        return _read_stat(os.fstat(folder))

    def stat(self, folder: int, name: bytes) -> DiskEntry | None:
        """Return the stat of an entry, None if there is none. Raises OSError."""
        try:
            return _read_stat(os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def find_birth_ns(self, folder: int, name: bytes) -> int | None:
        """Return when an entry was made, None where that is unknown: inode numbers are used again."""
        call = _load_statx()
        if call is None:
            return None
        buffer = ctypes.create_string_buffer(_STATX.size + 160)
        if call(folder, name, _NO_FOLLOW, _MASK_BIRTH, buffer):
            return None
        mask, seconds, rest_ns = _STATX.unpack_from(buffer)
        return seconds * 1_000_000_000 + rest_ns if mask & _MASK_BIRTH else None

    def probe(self, folder: int) -> RootTraits:
        """Find out what the file system does to names, with files in an open folder of the client. Raises OSError."""
        names = [f"probe {os.urandom(4).hex()} {end}" for end in ("a", "\N{LATIN SMALL LETTER E WITH ACUTE}")]
        made = [name.encode() for name in names]
        try:
            for name in made:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder))
            is_case_blind = self.stat(folder, made[0].upper()) is not None
            return RootTraits(is_case_blind, is_decomposed=made[1] not in {name for name, _ in self.list(folder)})
        finally:
            for name in made:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    # Changes

    def make_folder(self, folder: int, name: bytes) -> None:
        """Make a folder durably. Raises: FileExistsError, OSError."""
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)

    def move(self, folder: int, name: bytes, to_folder: int, to_name: bytes, *, is_durable: bool = True) -> None:
        """Rename an entry, never over another one; durably, or until `sync`. Raises: FileExistsError, OSError."""
        if not _rename(folder, name, to_folder, to_name, _NO_REPLACE):
            there = self.stat(to_folder, to_name)
            here = self.stat(folder, name)
            is_itself = there and here and there.inode == here.inode and folder == to_folder
            if there and not is_itself:  # a disk without this call; itself: another case of the same name
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)
        if is_durable:
            self.sync(folder, to_folder)

    def exchange(self, folder: int, name: bytes, to_folder: int, to_name: bytes) -> None:
        """Give two entries each the place of the other one, until `sync`. Raises OSError."""
        if not _rename(folder, name, to_folder, to_name, _EXCHANGE):
            passing = name + b".old"
            os.rename(to_name, passing, src_dir_fd=to_folder, dst_dir_fd=folder)
            self.move(folder, name, to_folder, to_name)
            os.rename(passing, name, src_dir_fd=folder, dst_dir_fd=folder)

    def set_mode(self, folder: int, name: bytes, mode: int) -> None:
        """Set the permission bits of a regular file. Raises OSError."""
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder)
        try:
            os.fchmod(fd, stat.S_IMODE(mode))
            os.fsync(fd)
        finally:
            os.close(fd)

    def is_open_elsewhere(self, folder: int, name: bytes) -> bool:
        """Return whether another program has a regular file open, or may have: it can still write to it."""
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        fd = os.open(name, _FILE_FLAGS, dir_fd=folder)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # granted only where the file is open nowhere else
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def remove_file(self, folder: int, name: bytes) -> None:
        """Remove a file of the client's own. Raises OSError."""
        os.unlink(name, dir_fd=folder)

    def sync(self, *folders: int) -> None:
        """Make the entries of open folders durable. Raises OSError."""
        for folder in dict.fromkeys(folders):
            os.fsync(folder)

    # Content

    def open_source(self, folder: int, name: bytes) -> DescriptorSource:
        """Open a regular file, never through a link. Raises: Unreadable, OSError."""
        return DescriptorSource(os.open(name, _FILE_FLAGS, dir_fd=folder))

    def read_file(self, folder: int, name: bytes) -> bytes:
        """Return the content of a small regular file. Raises: Unreadable, OSError."""
        with self.open_source(folder, name) as source:
            if source.size_bytes > _MAX_SMALL_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return b"".join(bytes(block) for block in source.blocks(0, source.size_bytes))

    def hash_file(self, folder: int, name: bytes) -> tuple[str, DiskEntry]:
        """Return the SHA-256 of a regular file and its stat, which was the same before and after.

        Raises: FileChanged, Unreadable, OSError.
        """
        with self.open_source(folder, name) as source:
            before = self.stat(folder, name)
            fingerprint = hash_blocks(self._until_stopped(source.blocks(0, source.size_bytes)))
            source.check()
            after = self.stat(folder, name)
            if before is None or before != after or after.size != source.size_bytes:
                raise FileChanged("the file changed while it was read")
            return fingerprint, after

    def _until_stopped(self, blocks: Iterator[memoryview]) -> Iterator[memoryview]:
        for block in blocks:
            if self.is_stopping:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            yield block


@cache
def _load_statx() -> Callable[..., int] | None:
    """Return statx(2) of the C library: Python shows no birth times on Linux."""
    with suppress(AttributeError, OSError):
        statx: Callable[..., int] = ctypes.CDLL(None).statx
        return statx
    return None


def _rename(folder: int, name: bytes, to_folder: int, to_name: bytes, flags: int) -> bool:
    """Rename with renameat2(2); return False where system or disk lack it. Raises: FileExistsError, OSError."""
    call = _load_renameat2()
    if call is None:
        return False
    if call(folder, name, to_folder, to_name, flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS} or (number == errno.EEXIST and folder == to_folder):
        return False
    raise OSError(number, os.strerror(number))


@cache
def _load_renameat2() -> Callable[..., int] | None:
    """Return renameat2(2) of the C library: Python has no rename that replaces nothing, and none that exchanges."""
    with suppress(AttributeError, OSError):
        renameat2: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
        return renameat2
    return None
