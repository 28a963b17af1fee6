"""Fetching a file: parallel ranges into a temporary file beside its final place, verified, then renamed.

Invariants: under the final name there is either what was there before or the whole verified file; nothing that does not
hash to the fingerprint is ever put there; what is there already is replaced only when asked. Bytes are hashed in order,
right behind the fetching, while they are still in the page cache.

A larger file that was cut off stays beside its place, under a name that its content decides, and the next download goes
on with it. Behind the content it has one byte for each range, set when all of the range is written; what that says is
not trusted but hashed as everything else is.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from dropbox_client.api import Client
from dropbox_client.errors import ClientError, FileChanged, Unreadable
from dropbox_client.models import File
from dropbox_client.places import PART_SUFFIX
from dropbox_client.retry import PATIENCE_S
from dropbox_client.transfer.ranges import BUFFER_BYTES, PARALLEL, Corrupt, Ranges
from dropbox_client.transfer.source import Source, hash_range

_AHEAD = 2 * PARALLEL


class LocalExists(ClientError):
    """There is something at the destination, and it was not asked to be replaced."""


class Refused(ClientError):
    """This computer cannot hold it under that name, or it would lie outside the folder that was asked for."""


def child(folder: Path, name: str) -> Path:
    """Return the path of a name from the server in a local folder. Raises Refused for one that leads elsewhere.

    The server allows no such names; that is not relied on.
    """
    if name in {"", ".", ".."} or any(sign in name for sign in ("\0", "/", os.sep, os.altsep or "/")):
        raise Refused(f"a file on this computer cannot be named {name!r}")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise Refused(f"a file on this computer cannot be named {name!r}") from error
    return folder / name


def download(
    client: Client,
    file: File,
    target: Path,
    *,
    overwrite: bool = False,
    pool: Executor | None = None,
    moved: Callable[[int], None] = lambda _: None,
    patience_s: float = PATIENCE_S,
) -> None:
    """Fetch the revision that `file` shows and put it at `target`, whose folder must exist.

    Goes on with what an earlier download of it left there. `pool` fetches, threads of its own if None; `moved` is told,
    in many threads, of bytes that came or (negative) have to come again; `patience_s` is how long the store may be away
    before it is given up.

    Raises: LocalExists, Corrupt, TransferFailed, Unreachable, Stopped, ApiProblem, NotSignedIn; OSError of the local
    file system, such as a full disk.
    """
    if not overwrite and os.path.lexists(target):
        raise LocalExists(f"{target} exists already")
    with contextlib.ExitStack() as stack:
        pool = pool or stack.enter_context(ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch"))
        while not _attempt(client, file, target, pool, overwrite=overwrite, moved=moved, patience_s=patience_s):
            pass


def is_same(file: File, target: Path) -> bool:
    """Whether `target` holds exactly the content of `file` already."""
    try:
        with Source(target) as source:
            return source.size_bytes == file.size_bytes and hash_range(source, 0, source.size_bytes) == file.fingerprint
    except (Unreadable, FileChanged):
        return False


def _attempt(
    client: Client,
    file: File,
    target: Path,
    pool: Executor,
    *,
    overwrite: bool,
    moved: Callable[[int], None],
    patience_s: float,
) -> bool:
    """Return whether the file is in place; if not, what an earlier download had left was damaged, and is gone now."""
    ranges = Ranges(client, file, pool, moved=moved, patience_s=patience_s)
    with _Part(target, ranges) as part, ranges:
        there_bytes = sum(map(ranges.chunks.bytes_of, part.there))
        moved(there_bytes)

        def fetch(number: int) -> None:
            ranges.fetch(number, part.write)
            part.note(number)

        digest = hashlib.sha256()
        for number in ranges.in_order(fetch, there=part.there, ahead=_AHEAD):
            part.hash_into(digest, ranges.chunks.offset(number), ranges.chunks.bytes_of(number))
        if digest.hexdigest() == ranges.source.fingerprint:
            part.put_in_place(target, file, overwrite=overwrite)
            return True
        part.keep = False
        if not part.there:
            raise Corrupt(f"{file.path}: the content that came is not the content that was stored")
        moved(-ranges.source.size_bytes)
        return False


class _Part:
    """The temporary file of one download, beside its target. Only one download at a time has it: it is locked."""

    def __init__(self, target: Path, ranges: Ranges) -> None:
        """Open what an earlier download left, or a new one. Raises OSError."""
        start = target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
        self._size_bytes, self._count = ranges.source.size_bytes, ranges.count
        self.keep = False
        self.there: frozenset[int] = frozenset()
        """Numbers of the ranges that an earlier download fetched."""
        if ranges.count > 1:
            self._path = target.with_name(f".{start}.{ranges.source.fingerprint[:16]}{PART_SUFFIX}")
            with contextlib.suppress(OSError):  # another download has it, or the file system knows no locks
                self._fd = self._open_to_keep()
                self.keep = True
                notes = os.pread(self._fd, self._count, self._size_bytes)
                self.there = frozenset(number for number, whole in enumerate(notes, start=1) if whole)
                return
        self._path = target.with_name(f".{start}.{os.urandom(4).hex()}{PART_SUFFIX}")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _open_to_keep(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(fd), self._path.lstat()):
                raise FileNotFoundError(self._path)  # noqa: TRY301 - whoever had it put it in its place just now
        except BaseException:
            os.close(fd)
            raise
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self.keep:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def write(self, view: memoryview, offset: int) -> None:
        while view:
            count = os.pwrite(self._fd, view, offset)
            view, offset = view[count:], offset + count

    def note(self, number: int) -> None:
        """Note for a later download that a range is written."""
        if self.keep:
            os.pwrite(self._fd, b"\1", self._size_bytes + number - 1)

    def hash_into(self, digest: "hashlib._Hash", offset: int, size_bytes: int) -> None:
        buffer = memoryview(bytearray(min(size_bytes, BUFFER_BYTES)))
        end = offset + size_bytes
        while offset < end:
            count = os.preadv(self._fd, [buffer[: end - offset]], offset)
            if not count:
                raise Corrupt(f"{self._path} was cut short")
            digest.update(buffer[:count])
            offset += count

    def put_in_place(self, target: Path, file: File, *, overwrite: bool) -> None:
        """Give the finished file its name, durably; without `overwrite` even a file made meanwhile is left alone."""
        self.keep = False
        os.ftruncate(self._fd, self._size_bytes)
        if file.client_modified_at:
            moment_ns = int(file.client_modified_at.timestamp() * 1_000_000) * 1000
            os.utime(self._fd, ns=(moment_ns, moment_ns))
        os.fsync(self._fd)
        if overwrite:
            self._rename(target)
        else:
            try:
                target.hardlink_to(self._path)
            except FileExistsError as error:
                raise LocalExists(f"{target} exists already") from error
            except OSError:  # a file system without hard links: look once more, then rename
                if os.path.lexists(target):
                    raise LocalExists(f"{target} exists already") from None
                self._rename(target)
        with contextlib.suppress(OSError):  # not every file system can
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _rename(self, target: Path) -> None:
        self._path.replace(target)
        self.keep = True  # under its old name there may be another's by now
