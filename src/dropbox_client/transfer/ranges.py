"""One content, fetched from the store in ranges by several threads, each repeated until it is whole or there is no use.

What comes is not trusted: whoever puts the ranges together compares the hash of the whole with `source.fingerprint`.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator
from concurrent.futures import Executor, Future, wait
from types import TracebackType
from typing import Self

from dropbox_client.api import Client
from dropbox_client.errors import ClientError, Stopped, TransferFailed, Unreachable
from dropbox_client.models import Download, File
from dropbox_client.retry import PATIENCE_S, Backoff, Patience
from dropbox_client.transfer.chunks import KIB, MIB, Chunks
from dropbox_client.transport import Answer

RANGE_BYTES = 8 * MIB
PARALLEL = 4
BUFFER_BYTES = 256 * KIB
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_STALE_TRIES = 5

Write = Callable[[memoryview, int], None]
"""Takes some bytes and where in the content they belong; in many threads, for different ranges."""


class Corrupt(ClientError):
    """What came is not what the server says it stores."""


class Ranges:
    """The ranges of one content. A context manager: when it is left, no thread is at work on them any more."""

    def __init__(
        self,
        client: Client,
        file: File,
        pool: Executor,
        *,
        moved: Callable[[int], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Fetch the revision that `file` shows, with threads of `pool`.

        `moved` is told of bytes that came or (negative) have to come again; `patience_s` is how long the store may be
        away. Raises ApiProblem not-found.
        """
        self.source = client.download(file.id, file.revision_id)
        self.chunks = Chunks(self.source.size_bytes, RANGE_BYTES)
        self.count = self.chunks.count if self.source.size_bytes else 0
        self._client = client
        self._file = file
        self._pool = pool
        self._moved = moved
        self._patience = Patience(patience_s)
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Future[None] | None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._cancelled.set()
        if error and not isinstance(error, Exception | GeneratorExit):
            self._client.close()  # wakes threads that wait for the network
        under_way = [future for _, future in self._waiting if future and not future.cancel()]
        wait(under_way)

    def in_order(self, fetch: Callable[[int], None], *, there: Container[int] = (), ahead: int) -> Iterator[int]:
        """Have every range but those that are `there` fetched, at most `ahead` at a time before they are taken.

        Iterates over all range numbers, from 1 on, each when its bytes are there. Raises what `fetch` raises.
        """
        requests = 0
        for number in range(1, self.count + 1):
            while requests > ahead:
                requests -= self._waiting[0][1] is not None
                yield self._take()
            future = None if number in there else self._pool.submit(fetch, number)
            requests += future is not None
            self._waiting.append((number, future))
        while self._waiting:
            yield self._take()

    def _take(self) -> int:
        number, future = self._waiting[0]
        if future:
            future.result()
        self._waiting.popleft()
        return number

    def fetch(self, number: int, write: Write) -> None:
        """Hand one range to `write`, with as many tries as patience allows; a try begins the range anew.

        Raises: TransferFailed, Unreachable, Stopped, ApiProblem, and what `write` raises.
        """
        backoff, stale = Backoff(self._patience), 0
        while True:
            source = self.source
            failure: ClientError
            if self._cancelled.is_set():
                raise Stopped("stopped")
            try:
                status = self._fetch_once(source, number, write)
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

    def _fetch_once(self, source: Download, number: int, write: Write) -> int:
        """Return the status of one attempt; 206 means that every byte of the range was written."""
        offset, size = self.chunks.offset(number), self.chunks.bytes_of(number)
        with self._client.wire.open("GET", source.url, {"Range": f"bytes={offset}-{offset + size - 1}"}) as answer:
            if answer.status == 206:
                self._receive(answer, offset, size, write)
            answer.read()  # the end itself, so that the connection can be used again
            return answer.status

    def _receive(self, answer: Answer, offset: int, size: int, write: Write) -> None:
        """Write exactly the bytes that were asked for. Raises Unreachable when fewer come."""
        expected = f"bytes {offset}-{offset + size - 1}/{self.source.size_bytes}"
        sent = answer.headers.get("content-range")
        if sent != expected:
            raise TransferFailed(f"the store sent {sent} instead of {expected}")
        buffer = memoryview(bytearray(min(size, BUFFER_BYTES)))
        done = 0
        try:
            while done < size:
                count = answer.read_into(buffer[: size - done])
                if self._cancelled.is_set():
                    raise Stopped("stopped")  # noqa: TRY301 - what was told has to be taken back
                if not count:
                    raise Unreachable("the store ended its answer early")  # noqa: TRY301 - likewise
                write(buffer[:count], offset + done)
                done += count
                self._moved(count)
        except BaseException:
            self._moved(-done)
            raise

    def _renew(self, old: Download) -> None:
        """Get a fresh URL for the same revision, once for all threads that found the old one expired."""
        with self._lock:
            if self.source is old:
                self.source = self._client.download(self._file.id, old.revision_id)


def stream(client: Client, file: File, pool: Executor) -> Generator[memoryview, None, None]:
    """Iterate over the content of a file in pieces of at most 8 MiB, the last of them only once the whole is verified.

    Close it if you do not take all. Raises Corrupt, and what `Ranges` raises.
    """
    pieces: dict[int, memoryview] = {}
    digest = hashlib.sha256()
    with Ranges(client, file, pool) as ranges:

        def fetch(number: int) -> None:
            start = ranges.chunks.offset(number)
            piece = memoryview(bytearray(ranges.chunks.bytes_of(number)))

            def write(view: memoryview, offset: int) -> None:
                piece[offset - start : offset - start + len(view)] = view

            ranges.fetch(number, write)
            pieces[number] = piece

        for number in ranges.in_order(fetch, ahead=PARALLEL):
            piece = pieces.pop(number)
            digest.update(piece)
            if number < ranges.count:
                yield piece
        if digest.hexdigest() != ranges.source.fingerprint:
            raise Corrupt("the content that came is not the content that was stored")
        if ranges.count:
            yield piece
