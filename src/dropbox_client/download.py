"""Fetching a file: parallel ranges into a temporary file beside its final place, verified, then renamed.

Invariants: under the final name there is either what was there before or the whole verified file; nothing that does not
hash to the fingerprint is ever put there; what is there already is replaced only when asked. Bytes are hashed in order,
right behind the fetching, while they are still in the page cache.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from dropbox_client.api import Client
from dropbox_client.chunker import KIB, MIB, Chunks
from dropbox_client.errors import ClientError, FileChanged, Stopped, TransferFailed, Unreachable, Unreadable
from dropbox_client.hashing import Source, hash_range
from dropbox_client.retry import Backoff, Patience
from dropbox_client.shapes import Download, File
from dropbox_client.wire import Answer

_RANGE_BYTES = 8 * MIB
_PARALLEL = 4
_BUFFER_BYTES = 256 * KIB
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_STALE_TRIES = 5


class LocalExists(ClientError):
    """There is something at the destination, and it was not asked to be replaced."""


class Corrupt(ClientError):
    """What came is not what the server says it stores. Nothing was written under the final name."""


def download(
    client: Client,
    file: File,
    target: Path,
    *,
    overwrite: bool = False,
    moved: Callable[[int], None] = lambda _: None,
    patience_s: float = 600,
) -> None:
    """Fetch the head revision of `file` and put it at `target`, whose folder must exist.

    `moved` is told, in many threads, of bytes that came or (negative) have to come again; `patience_s` is how long the
    store may be away before it is given up.

    Raises: LocalExists, Corrupt, TransferFailed, Unreachable, Stopped, ApiProblem, NotSignedIn; OSError of the local
    file system, such as a full disk.
    """
    if not overwrite and os.path.lexists(target):
        raise LocalExists(f"{target} exists already")
    start = target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
    part = target.with_name(f".{start}.{os.urandom(4).hex()}.dbx-part")
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _Fetching(client, file, fd, moved, Patience(patience_s)).run()
            if file.client_modified_at:
                moment_ns = int(file.client_modified_at.timestamp() * 1_000_000) * 1000
                os.utime(fd, ns=(moment_ns, moment_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
        _put_in_place(part, target, overwrite=overwrite)
    finally:
        part.unlink(missing_ok=True)


def is_same(file: File, target: Path) -> bool:
    """Whether `target` holds exactly the content of `file` already."""
    try:
        with Source(target) as source:
            return source.size_bytes == file.size_bytes and hash_range(source, 0, source.size_bytes) == file.fingerprint
    except (Unreadable, FileChanged):
        return False


class _Fetching:
    """One content on its way into one open file."""

    def __init__(self, client: Client, file: File, fd: int, moved: Callable[[int], None], patience: Patience) -> None:
        self._client = client
        self._file = file
        self._fd = fd
        self._moved = moved
        self._patience = patience
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._download = client.download(file.id)
        self._chunks = Chunks(self._download.size_bytes, _RANGE_BYTES)

    def run(self) -> None:
        """Fetch every range and check the whole against the fingerprint."""
        digest = hashlib.sha256()
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as pool:
            try:
                for number, fetched in self._in_order(pool):
                    fetched.result()
                    self._hash_into(digest, number)
            except BaseException as error:
                self._cancelled.set()
                if not isinstance(error, Exception):
                    self._client.close()  # wakes threads that wait for the network
                raise
        if digest.hexdigest() != self._download.fingerprint:
            raise Corrupt(f"{self._file.path}: the content that came is not the content that was stored")

    def _in_order(self, pool: ThreadPoolExecutor) -> Iterator[tuple[int, Future[None]]]:
        """Iterate over the ranges by number, each being fetched, with only a few requests ahead."""
        ahead: list[tuple[int, Future[None]]] = []
        for number in range(1, self._chunks.count + 1) if self._download.size_bytes else ():
            ahead.append((number, pool.submit(self._fetch, number)))
            if len(ahead) > 2 * _PARALLEL:
                yield ahead.pop(0)
        yield from ahead

    def _hash_into(self, digest: "hashlib._Hash", number: int) -> None:
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        offset, end = self._chunks.offset(number), self._chunks.offset(number) + self._chunks.bytes_of(number)
        while offset < end:
            count = os.preadv(self._fd, [buffer[: end - offset]], offset)
            if not count:
                raise Corrupt(f"{self._file.path}: the temporary file was cut short")
            digest.update(buffer[:count])
            offset += count

    # In the pool's threads

    def _fetch(self, number: int) -> None:
        """Write one range into the file, with as many tries as patience allows."""
        backoff, stale = Backoff(self._patience), 0
        while True:
            source = self._download
            failure: ClientError
            try:
                status = self._fetch_once(source, number)
            except Unreachable as error:
                failure = error
            else:
                if status == 206:
                    self._patience.renew()
                    return
                failure = TransferFailed(f"the store answered {status}")
                if status == 403 and stale < _STALE_TRIES:
                    stale += 1
                    self._renew(source)
                    continue
                if status not in _BUSY:
                    raise failure
            pause_s = backoff.next_pause_s()
            if pause_s is None:
                raise failure
            if self._cancelled.wait(pause_s):
                raise Stopped("stopped")

    def _fetch_once(self, source: Download, number: int) -> int:
        """Return the status of one attempt; 206 means that every byte of the range is written."""
        offset, size = self._chunks.offset(number), self._chunks.bytes_of(number)
        with self._client.wire.open("GET", source.url, {"Range": f"bytes={offset}-{offset + size - 1}"}) as answer:
            if answer.status == 206:
                self._receive(answer, offset, size, source.size_bytes)
            answer.read()  # the end itself, so that the connection can be used again
            return answer.status

    def _receive(self, answer: Answer, offset: int, size: int, total_bytes: int) -> None:
        """Write exactly the bytes that were asked for. Raises Unreachable when fewer come."""
        expected, sent = f"bytes {offset}-{offset + size - 1}/{total_bytes}", answer.headers.get("content-range")
        if sent != expected:
            raise TransferFailed(f"the store sent {sent} instead of {expected}")
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        done = 0
        try:
            while done < size:
                count = answer.read_into(buffer[: size - done])
                if self._cancelled.is_set():
                    raise Stopped("stopped")  # noqa: TRY301 - what was told has to be taken back
                if not count:
                    raise Unreachable("the store ended its answer early")  # noqa: TRY301 - likewise
                _write_all(self._fd, buffer[:count], offset + done)
                done += count
                self._moved(count)
        except BaseException:
            self._moved(-done)
            raise

    def _renew(self, old: Download) -> None:
        """Get a fresh URL for the same revision, once for all threads that found the old one expired."""
        with self._lock:
            if self._download is old:
                self._download = self._client.download(self._file.id, old.revision_id)


def _write_all(fd: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _put_in_place(part: Path, target: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, durably; without `overwrite` even a file made meanwhile is left alone."""
    if overwrite:
        part.replace(target)
    else:
        try:
            target.hardlink_to(part)
        except FileExistsError as error:
            raise LocalExists(f"{target} exists already") from error
        except OSError:  # a file system without hard links: look once more, then rename
            if os.path.lexists(target):
                raise LocalExists(f"{target} exists already") from None
            part.replace(target)
    with contextlib.suppress(OSError):  # not every file system can
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
