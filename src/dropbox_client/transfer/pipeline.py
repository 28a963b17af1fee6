"""The upload of one session's chunks: hash ahead, list, sign just in time, send in parallel.

Three kinds of threads: a hasher reads ahead, senders PUT parts, the caller's thread coordinates. Only the coordinator
has state; the others report to it through one queue. Parts are signed in batches of doubling size, so that the first
byte leaves early and 6,400 parts cost some thirty calls. Where the client lists the chunks, it does so in growing
pages, and sends only those that the server does not reuse.
"""

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from queue import SimpleQueue

from dropbox_client.client import Client
from dropbox_client.errors import Stopped, TransferFailed
from dropbox_client.models import ListedChunk, SignedPart, Upload
from dropbox_client.transfer.chunks import GIB, Hashes, parse_ranges
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.parts import PartResult, PartSender
from dropbox_client.transfer.source import Source, hash_file, hash_range

FIRST_BATCH, LARGEST_BATCH = 4, 1000
FIRST_PAGE, LARGEST_PAGE = 8, 1000
_AHEAD_BYTES = 4 * GIB
"""How far hashing may run ahead of sending: enough for large batches, and still in the page cache."""
_BATCH_S = 600
"""A batch has at most the parts that the link takes in this time, a third of the lifetime of a URL."""
_MAX_EXPIRED_URLS = 5


@dataclass(frozen=True, slots=True)
class _ChunkHashed:
    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _HasherDone:
    fingerprint: str | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _PartDone:
    part: SignedPart
    result: PartResult | None = None
    error: BaseException | None = None


def list_chunks(hashes: Hashes, numbers: Iterable[int]) -> list[ListedChunk]:
    """Return chunks as a request lists them."""
    return [ListedChunk(hashes.chunks[number], hashes.plan.bytes_of(number)) for number in numbers]


class SessionGone(Exception):
    """The store does not know the multipart upload."""


class UploadPipeline:
    """Sends chunks of one session; single use."""

    def __init__(
        self,
        *,
        client: Client,
        senders: Executor,
        concurrency: ConcurrencyLimit,
        sender: PartSender,
        source: Source,
        upload: Upload,
        hashes: Hashes,
        listed: int,
        on_present: Callable[[int], None],
    ) -> None:
        """Send chunks of `upload`, of which the server knows the hashes or sizes of the first `listed`.

        `on_present` is called with the bytes of chunks that are listed then and need not be sent.
        """
        self._client = client
        self._senders = senders
        self._concurrency = concurrency
        self._sender = sender
        self._source = source
        self.upload = upload
        """As the server answered last."""
        self.listed = listed
        self.left = set(parse_ranges(upload.reusing) + parse_ranges(upload.reused))
        """Chunks that are left to the server: it makes them, or has."""
        self._hashes = hashes
        self._on_present = on_present
        self._events: SimpleQueue[_ChunkHashed | _HasherDone | _PartDone] = SimpleQueue()
        self._todo: set[int] = set()
        self._unsigned: deque[int] = deque()
        self._in_flight = 0
        self._futures: set[Future[None]] = set()
        self._hasher: threading.Thread | None = None
        self._expired_urls: Counter[int] = Counter()
        self._batch, self._page = FIRST_BATCH, FIRST_PAGE
        ahead = max(8, _AHEAD_BYTES // max(upload.chunk_size_bytes, 1))
        self._largest_batch = min(LARGEST_BATCH, ahead // 2)
        self._ahead = threading.Semaphore(ahead)
        self.stored_bytes = 0

    def run(
        self,
        todo: Iterable[int],
        signed: Iterable[SignedPart],
        *,
        also_hash: Iterable[int],
        on_fingerprint: Callable[[str], None],
    ) -> None:
        """Send the chunks `todo` (ascending); `signed` has parts that are signed already. Return when all are stored.

        Chunks after the `listed` ones are listed first, and sent if the server answers that they are missing.
        Missing hashes of `todo` and `also_hash` are computed meanwhile. If the fingerprint is missing, the whole file
        is read and `on_fingerprint` is called with it; its exceptions end the upload.

        Raises: FileChanged, Unreadable, SessionGone, Stopped, TransferFailed, Unreachable, ApiError.
        """
        parts = [part for part in signed if part.number in self._hashes.chunks]
        self._todo = {number for number in todo if number <= self.listed}
        self.left -= self._todo
        self._unsigned.extend(sorted(self._todo - {part.number for part in parts}))
        self._submit(parts)
        self._start_hashing([*self._unsigned, *also_hash])
        try:
            while self._unsigned or self._in_flight or self._hasher or self._hashes.count_known(self.listed + 1):
                self._list_page()
                self._sign_batch()
                if self._in_flight or self._hasher:
                    self._record(self._events.get(), on_fingerprint)
        except (KeyboardInterrupt, SystemExit):
            self._client.close()  # wakes senders that are blocked on the network
            raise
        finally:
            self._drain()

    def _list_page(self) -> None:
        """List the hashed chunks, up to a page; a full one while the senders are busy, or the hasher will fill it."""
        ready = self._hashes.count_known(self.listed + 1)
        is_busy = bool(self._unsigned) or self._in_flight >= self._concurrency.limit
        if not ready or (self._hasher and ready < (self._page if is_busy else FIRST_PAGE)):
            return
        first = self.listed + 1
        numbers = range(first, first + min(ready, self._page if self._hasher else LARGEST_PAGE))
        self.upload = self._client.uploads.add_chunks(self.upload.id, first, list_chunks(self._hashes, numbers))
        self.listed = numbers[-1]
        self._page = min(8 * self._page, self._largest_batch)
        missing = set(parse_ranges(self.upload.missing)).intersection(numbers)
        self._todo |= missing
        self._unsigned.extend(sorted(missing))
        present = [number for number in numbers if number not in missing]
        self.left.update(present)
        self._on_present(sum(map(self._hashes.plan.bytes_of, present)))
        for _ in present:
            self._ahead.release()

    def _sign_batch(self) -> None:
        """Sign the hashed chunks, up to a batch, when the senders are about to run out of parts."""
        if not self._unsigned or self._in_flight > 2 * self._concurrency.limit:
            return
        first = itertools.islice(self._unsigned, self._batch)
        ready = list(itertools.takewhile(self._hashes.chunks.__contains__, first))
        if not ready or (self._in_flight and len(ready) < min(self._batch, len(self._unsigned))):
            return  # wait for a larger batch while parts are in flight
        parts = self._client.uploads.sign_parts(
            self.upload.id, {number: self._hashes.chunks[number] for number in ready}
        )
        for _ in ready:
            self._unsigned.popleft()
        self._submit(parts)
        self._batch = min(2 * self._batch, self._largest_batch, self._count_batch_of_link())

    def _count_batch_of_link(self) -> int:
        """Return the number of chunks that the link takes in `_BATCH_S`."""
        rate = self._concurrency.rate_bytes_s
        return max(FIRST_BATCH, int(rate * _BATCH_S / self.upload.chunk_size_bytes)) if rate else LARGEST_BATCH

    def _submit(self, parts: Iterable[SignedPart]) -> None:
        for part in parts:
            future = self._senders.submit(self._send, part)
            self._futures.add(future)
            future.add_done_callback(self._futures.discard)
            self._in_flight += 1

    def _send(self, part: SignedPart) -> None:
        try:
            result = self._sender.send(part, self._hashes.chunks[part.number])
            self._events.put(_PartDone(part, result=result))
        except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
            self._events.put(_PartDone(part, error=error))

    def _record(self, event: _ChunkHashed | _HasherDone | _PartDone, on_fingerprint: Callable[[str], None]) -> None:
        match event:
            case _ChunkHashed(number, sha256):
                self._hashes.chunks[number] = sha256
                if number <= self.listed and number not in self._todo:
                    self._ahead.release()
            case _HasherDone(fingerprint, error):
                self._hasher = None
                if error:
                    raise error
                if fingerprint:
                    self._hashes.fingerprint = fingerprint
                    on_fingerprint(fingerprint)
            case _PartDone(part, result, error):
                self._in_flight -= 1
                if error:
                    raise error
                self._record_part(part, result)

    def _record_part(self, part: SignedPart, result: PartResult | None) -> None:
        if result is PartResult.SESSION_GONE:
            raise SessionGone
        if result is PartResult.URL_EXPIRED:
            self._expired_urls[part.number] += 1
            if self._expired_urls[part.number] == _MAX_EXPIRED_URLS:
                raise TransferFailed(f"the store refuses the signed URL of part {part.number}")
            self._unsigned.appendleft(part.number)
        else:
            self.stored_bytes += part.size_bytes
            self._ahead.release()

    def _drain(self) -> None:
        """Wait for all threads that use the file. Counters cannot be trusted: Ctrl-C may interrupt their update."""
        if self._in_flight or self._hasher:
            self._sender.cancelled.set()
        wait(tuple(self._futures))
        if self._hasher:
            self._hasher.join()
        self._in_flight, self._hasher = 0, None

    # Hasher thread

    def _start_hashing(self, numbers: Iterable[int]) -> None:
        unknown = [number for number in dict.fromkeys(numbers) if number not in self._hashes.chunks]
        if unknown or self._hashes.fingerprint is None:
            self._hasher = threading.Thread(target=self._hash, args=(unknown,), daemon=True)
            self._hasher.start()

    def _hash(self, unknown: list[int]) -> None:
        try:
            if self._hashes.fingerprint is None:
                self._events.put(_HasherDone(hash_file(self._source, self._hashes.plan, self._report_hash)))
                return
            for number in unknown:
                plan = self._hashes.plan
                self._report_hash(number, hash_range(self._source, plan.offset(number), plan.bytes_of(number)))
            self._events.put(_HasherDone())
        except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
            self._events.put(_HasherDone(error=error))

    def _report_hash(self, number: int, sha256: str) -> None:
        self._events.put(_ChunkHashed(number, sha256))
        while not self._ahead.acquire(timeout=0.2):
            if self._sender.cancelled.is_set():
                raise Stopped("stopped")
        if self._sender.cancelled.is_set():
            raise Stopped("stopped")
