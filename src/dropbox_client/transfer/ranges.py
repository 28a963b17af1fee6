"""The download of one content in parallel ranges, each retried until it is complete or the failure is permanent.

The bytes are not trusted: the caller compares the hash of the whole with `source.fingerprint`.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator
from concurrent.futures import Executor, Future, wait
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from dropbox_client.client import Client
from dropbox_client.errors import ClientError, Corrupt, Stopped, TransferFailed, Unreachable
from dropbox_client.models import DownloadUrl
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import MIB, Chunks, fixed
from dropbox_client.transfer.partial_file import BUFFER_BYTES
from dropbox_client.transport import ResponseStream

RANGE_BYTES = 8 * MIB
PARALLEL = 4
BUSY = frozenset({408, 429, 500, 502, 503, 504})
MAX_EXPIRED_URLS = 5

Write = Callable[[memoryview, int], None]
"""Called with bytes and their offset in the content, from many threads for different ranges."""


class Wanted(Protocol):
    """A revision of a file, as a `File` names it."""

    @property
    def id(self) -> str: ...
    @property
    def revision_id(self) -> str | None: ...
    @property
    def path(self) -> str: ...
    @property
    def size_bytes(self) -> int | None: ...
    @property
    def fingerprint(self) -> str | None: ...
    @property
    def client_modified_at(self) -> datetime | None: ...
    @property
    def executable(self) -> bool | None: ...


class RangeFetcher:
    """Fetches the ranges of one content. A context manager: at its exit all its threads have finished."""

    def __init__(
        self,
        client: Client,
        file: Wanted,
        pool: Executor,
        *,
        on_bytes: Callable[[int], None] = lambda _: None,
        retry_for_s: float = TRANSFER_RETRY_FOR_S,
        sign: Callable[[Wanted], DownloadUrl] | None = None,
    ) -> None:
        """Fetch the revision of `file` with threads of `pool`.

        `sign` returns its signed URL, by default from a request of its own. `on_bytes` gets the number of bytes
        received, negative if they must be fetched again; `retry_for_s` is how long a range is retried without
        progress. Raises ApiError not-found.
        """
        self.source = sign(file) if sign else client.files.sign_download(file.id, file.revision_id)
        self.chunks = Chunks(self.source.size_bytes, fixed(RANGE_BYTES))
        self.count = self.chunks.count if self.source.size_bytes else 0
        self._client = client
        self._file = file
        self._pool = pool
        self._on_bytes = on_bytes
        self._retry_window = RetryWindow(retry_for_s, waits=client.exchange.waits)
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Future[None] | None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._cancelled.set()
        if error and not isinstance(error, Exception | GeneratorExit):
            self._client.close()  # wakes threads that are blocked on the network
        running = [future for _, future in self._waiting if future and not future.cancel()]
        wait(running)

    def iterate(self, fetch: Callable[[int], None], *, present: Container[int] = (), ahead: int) -> Iterator[int]:
        """Fetch all ranges except the `present` ones, at most `ahead` of the consumer.

        Yields all range numbers in order, from 1, each when its bytes are complete. Raises exceptions of `fetch`.
        """
        requests = 0
        for number in range(1, self.count + 1):
            while requests > ahead:
                requests -= self._waiting[0][1] is not None
                yield self._await_next()
            future = None if number in present else self._pool.submit(fetch, number)
            requests += future is not None
            self._waiting.append((number, future))
        while self._waiting:
            yield self._await_next()

    def _await_next(self) -> int:
        number, future = self._waiting[0]
        if future:
            future.result()
        self._waiting.popleft()
        return number

    def fetch(self, offset: int, size: int, write: Write) -> None:
        """Fetch `size` bytes at `offset` into `write`, with retries; each attempt begins at `offset`.

        Raises: TransferFailed, Unreachable, Stopped, ApiError, exceptions of `write`.
        """
        with Backoff(self._retry_window) as backoff:
            self._fetch_until_complete(offset, size, write, backoff)

    def _fetch_until_complete(self, offset: int, size: int, write: Write, backoff: Backoff) -> None:
        expired_urls = 0
        while True:
            source = self.source
            failure: ClientError
            if self._cancelled.is_set():
                raise Stopped("stopped")
            try:
                status = self._fetch_once(source, offset, size, write)
            except Unreachable as error:
                failure = error
            else:
                if status == 206:
                    self._retry_window.renew()
                    return
                failure = TransferFailed(f"the store answered {status}")
                if status == 403 and expired_urls < MAX_EXPIRED_URLS:
                    expired_urls += 1
                    self._renew_url(source)
                    continue
                if status not in BUSY:
                    raise failure
            pause_s = backoff.next_pause_s(failure=failure)
            if pause_s is None:
                raise failure
            if self._cancelled.wait(pause_s):
                raise Stopped("stopped")

    def _fetch_once(self, source: DownloadUrl, offset: int, size: int, write: Write) -> int:
        """Make one attempt and return its status; 206 means that the whole range was written."""
        with self._client.transport.open(
            "GET", source.url, {"Range": f"bytes={offset}-{offset + size - 1}"}
        ) as response:
            if response.status == 206:
                self._receive(response, offset, size, write)
            response.read()  # to the end, so that the connection can be reused
            return response.status

    def _receive(self, response: ResponseStream, offset: int, size: int, write: Write) -> None:
        """Write exactly the requested bytes. Raises Unreachable if the response ends early."""
        expected = f"bytes {offset}-{offset + size - 1}/{self.source.size_bytes}"
        sent = response.headers.get("content-range")
        if sent != expected:
            raise TransferFailed(f"the store sent {sent} instead of {expected}")
        buffer = memoryview(bytearray(min(size, BUFFER_BYTES)))
        done = 0
        try:
            while done < size:
                count = response.read_into(buffer[: size - done])
                if self._cancelled.is_set():
                    raise Stopped("stopped")  # noqa: TRY301 - revokes the reported progress
                if not count:
                    raise Unreachable("the response of the store ended early")  # noqa: TRY301
                write(buffer[:count], offset + done)
                done += count
                self._on_bytes(count)
        except BaseException:
            self._on_bytes(-done)
            raise

    def _renew_url(self, old: DownloadUrl) -> None:
        """Get a new URL for the same revision, once for all threads that found the old one expired."""
        with self._lock:
            if self.source is old:
                self.source = self._client.files.sign_download(self._file.id, old.revision_id)


def stream_content(
    client: Client, file: Wanted, pool: Executor, *, on_bytes: Callable[[int], None] = lambda _: None
) -> Generator[memoryview, None, None]:
    """Iterate over the content of a file in pieces of at most 8 MiB; the last piece follows only if the hash matches.

    Close the generator unless it is exhausted. Raises Corrupt and the exceptions of `RangeFetcher`.
    """
    pieces: dict[int, memoryview] = {}
    digest = hashlib.sha256()
    with RangeFetcher(client, file, pool, on_bytes=on_bytes) as ranges:

        def fetch(number: int) -> None:
            start, size = ranges.chunks.offset(number), ranges.chunks.bytes_of(number)
            piece = memoryview(bytearray(size))

            def write(view: memoryview, offset: int) -> None:
                piece[offset - start : offset - start + len(view)] = view

            ranges.fetch(start, size, write)
            pieces[number] = piece

        for number in ranges.iterate(fetch, ahead=PARALLEL):
            piece = pieces.pop(number)
            digest.update(piece)
            if number < ranges.count:
                yield piece
        if digest.hexdigest() != ranges.source.fingerprint:
            raise Corrupt("the downloaded content does not match its fingerprint")
        if ranges.count:
            yield piece
