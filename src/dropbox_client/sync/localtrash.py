"""The local trash: what the server's side deleted or replaced, `.dbx/trash` below the root.

Nothing is deleted at once: an entry is renamed into a folder of its own, `TIME/content/NAME`; `TIME/from` tells where
it was. It is removed after 30 days, the oldest ones earlier where all of them take more than a tenth of the disk.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dropbox_client.sync.disk import Disk
from dropbox_client.sync.ignores import PRIVATE_NAME

TRASH_PATH: Final = f"{PRIVATE_NAME}/trash".encode()
_ORIGIN = b"from"
_CONTENT = b"content"
_MAX_AGE_S = 30 * 86_400
_MAX_SHARE = 0.1
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class TrashedEntry:
    """An entry of the local trash."""

    name: bytes
    """The name of its folder in the trash; sorts by time."""
    trashed_at: float
    path: bytes
    """Where it was below the root."""


class LocalTrash:
    """The trash of one root."""

    def __init__(
        self,
        root_fd: int,
        disk: Disk,
        *,
        clock: Callable[[], float] = time.time,
        capacity_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._root_fd = root_fd
        self._disk = disk
        self._clock = clock
        self._capacity_bytes = capacity_bytes or (lambda: shutil.disk_usage(root_fd).total)

    def put(self, folder: int, name: bytes, path: bytes) -> bytes:
        """Rename an entry of an open folder into the trash; return the path of it there, below the root.

        `path` is where it was below the root. The entry keeps its inode. Raises OSError.
        """
        with self._open() as trash:
            own = self._make_folder(trash)
            fd = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trash)
            try:
                origin = os.open(_ORIGIN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
                try:
                    os.write(origin, path)
                    os.fsync(origin)
                finally:
                    os.close(origin)
                os.mkdir(_CONTENT, 0o700, dir_fd=fd)
                target = b"/".join([_CONTENT, name])
                os.rename(name, target, src_dir_fd=folder, dst_dir_fd=fd)
            finally:
                os.close(fd)
            place = b"/".join([TRASH_PATH, own])
            for changed in (b"/".join([place, _CONTENT]), place, TRASH_PATH):
                with self._disk.open_folder(changed) as opened:
                    os.fsync(opened)
            os.fsync(folder)
        return b"/".join([place, target])

    def _make_folder(self, trash: int) -> bytes:
        now = datetime.fromtimestamp(self._clock(), UTC)
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.urandom(4).hex()}".encode()
        os.mkdir(name, 0o700, dir_fd=trash)
        return name

    @contextmanager
    def _open(self) -> Iterator[int]:
        parts = TRASH_PATH.split(b"/")
        for depth in range(len(parts)):
            with self._disk.open_folder(b"/".join(parts[:depth])) as above, suppress(FileExistsError):
                os.mkdir(parts[depth], 0o700, dir_fd=above)
        with self._disk.open_folder(TRASH_PATH) as trash:
            yield trash

    def list(self) -> list[TrashedEntry]:
        """Return the entries, oldest first. Raises OSError."""
        with self._open() as trash:
            return [
                TrashedEntry(name, _read_time(name), self._read_origin(trash, name))
                for name in sorted(os.fsencode(one) for one in os.listdir(trash))  # noqa: PTH208 - a descriptor
            ]

    def _read_origin(self, trash: int, name: bytes) -> bytes:
        try:
            with open(os.open(name + b"/" + _ORIGIN, os.O_RDONLY | os.O_CLOEXEC, dir_fd=trash), "rb") as file:  # noqa: PTH123
                return file.read()
        except OSError:  # the client was killed just then
            return b""

    def clean(self) -> int:
        """Remove what is too old, or too much; return the number of entries removed. Raises OSError."""
        removed = 0
        with self._open() as trash:
            entries = self.list()
            sizes = [self._measure(entry.name) for entry in entries]
            excess = sum(sizes) - self._capacity_bytes() * _MAX_SHARE
            for entry, size in zip(entries, sizes, strict=True):
                if self._clock() - entry.trashed_at > _MAX_AGE_S or excess > 0:
                    shutil.rmtree(os.fsdecode(entry.name), dir_fd=trash, ignore_errors=True)
                    excess -= size
                    removed += 1
        return removed

    def _measure(self, name: bytes) -> int:
        """Return the bytes that an entry takes on the disk."""
        top = os.fsdecode(TRASH_PATH + b"/" + name)
        total = 0
        for _, folders, files, fd in os.fwalk(top, dir_fd=self._root_fd):
            for one in (*folders, *files):
                with suppress(OSError):
                    total += os.stat(one, dir_fd=fd, follow_symlinks=False).st_blocks * _BLOCK_BYTES
        return total


def _read_time(name: bytes) -> float:
    try:
        return datetime.strptime(name.split(b"-")[0].decode(), "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:  # not made by this client: kept until there is too much
        return float("inf")
