"""Getting one session's chunks into the store: hash ahead, sign just in time, send in parallel.

Three kinds of threads: a hasher reads ahead, senders PUT, and the caller's thread conducts. The conductor alone keeps
the books; the others tell it what happened through one queue. URLs are asked for in batches that double, so that the
first byte leaves early and 6,400 parts cost some thirty calls.
"""

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from queue import SimpleQueue

from dropbox_client.api import Client
from dropbox_client.errors import Stopped, TransferFailed
from dropbox_client.models import SignedPart, Upload
from dropbox_client.transfer.chunks import GIB, Chunks
from dropbox_client.transfer.concurrency import Pace
from dropbox_client.transfer.parts import PartSender, Sent
from dropbox_client.transfer.source import Source, hash_file, hash_range

FIRST_BATCH, LARGEST_BATCH = 4, 1000
_AHEAD_BYTES = 4 * GIB
"""How far hashing may run ahead of sending: far enough for large batches, near enough for the page cache."""
_AHEAD_S = 600
"""A batch is no more than what the link takes in this time, a third of a URL's life."""
_STALE_TRIES = 5


@dataclass(slots=True)
class Hashes:
    """What is known of a file's hashes, for one way of cutting it."""

    chunk_size_bytes: int
    chunks: dict[int, str] = field(default_factory=dict)
    """SHA-256 (hex) by chunk number."""
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class _Hashed:
    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _HashingEnded:
    fingerprint: str | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _PartEnded:
    part: SignedPart
    sent: Sent | None = None
    error: BaseException | None = None


class SessionGone(Exception):
    """The store does not know the upload any more."""


class Sending:
    """One go at sending chunks of one session; use it once."""

    def __init__(
        self,
        *,
        client: Client,
        senders: Executor,
        pace: Pace,
        sender: PartSender,
        source: Source,
        upload: Upload,
        hashes: Hashes,
    ) -> None:
        self._client = client
        self._senders = senders
        self._pace = pace
        self._sender = sender
        self._source = source
        self._upload = upload
        self._hashes = hashes
        self._chunks = Chunks(upload.size_bytes, upload.chunk_size_bytes)
        self._events: SimpleQueue[_Hashed | _HashingEnded | _PartEnded] = SimpleQueue()
        self._todo: frozenset[int] = frozenset()
        self._unsigned: deque[int] = deque()
        self._on_the_way = 0
        self._under_way: set[Future[None]] = set()
        self._hasher: threading.Thread | None = None
        self._stale: Counter[int] = Counter()
        self._batch = FIRST_BATCH
        ahead = max(8, _AHEAD_BYTES // max(upload.chunk_size_bytes, 1))
        self._largest_batch = min(LARGEST_BATCH, ahead // 2)
        self._ahead = threading.Semaphore(ahead)
        self.landed_bytes = 0

    def run(
        self,
        todo: Iterable[int],
        signed: Iterable[SignedPart],
        *,
        also_hash: Iterable[int],
        on_fingerprint: Callable[[str], None],
    ) -> None:
        """Send the chunks `todo` (ascending), of which some may be `signed` already; return when all have landed.

        Hashes that are missing are computed on the way, for `todo` and `also_hash`; if the fingerprint is among them
        the whole file is read and `on_fingerprint` is told as soon as it is known. What it raises ends the sending.

        Raises: FileChanged, Unreadable, SessionGone, Stopped, TransferFailed, Unreachable, ApiProblem.
        """
        parts = [part for part in signed if part.number in self._hashes.chunks]
        self._todo = frozenset(todo)
        self._unsigned.extend(sorted(self._todo - {part.number for part in parts}))
        self._submit(parts)
        self._start_hashing([*self._unsigned, *also_hash])
        try:
            while self._unsigned or self._on_the_way or self._hasher:
                self._sign_some()
                self._note(self._events.get(), on_fingerprint)
        except (KeyboardInterrupt, SystemExit):
            self._client.close()  # wakes senders that wait for the network
            raise
        finally:
            self._drain()

    def _sign_some(self) -> None:
        """Ask for URLs when the senders are about to run out: as many as are hashed, up to a batch."""
        if not self._unsigned or self._on_the_way > 2 * self._pace.limit:
            return
        first = itertools.islice(self._unsigned, self._batch)
        ready = list(itertools.takewhile(self._hashes.chunks.__contains__, first))
        if not ready or (self._on_the_way and len(ready) < min(self._batch, len(self._unsigned))):
            return  # a larger batch is worth waiting for while there is something to send
        parts = self._client.sign_parts(self._upload.id, {number: self._hashes.chunks[number] for number in ready})
        for _ in ready:
            self._unsigned.popleft()
        self._submit(parts)
        self._batch = min(2 * self._batch, self._largest_batch, self._soon())

    def _soon(self) -> int:
        """Return how many chunks the link takes before their URLs get old."""
        rate = self._pace.rate_bytes_s
        return max(FIRST_BATCH, int(rate * _AHEAD_S / self._upload.chunk_size_bytes)) if rate else LARGEST_BATCH

    def _submit(self, parts: Iterable[SignedPart]) -> None:
        for part in parts:
            future = self._senders.submit(self._send, part)
            self._under_way.add(future)
            future.add_done_callback(self._under_way.discard)
            self._on_the_way += 1

    def _send(self, part: SignedPart) -> None:
        try:
            sent = self._sender.send(part, self._hashes.chunks[part.number])
            self._events.put(_PartEnded(part, sent=sent))
        except BaseException as error:  # noqa: BLE001 - raised again by the conductor
            self._events.put(_PartEnded(part, error=error))

    def _note(self, event: _Hashed | _HashingEnded | _PartEnded, on_fingerprint: Callable[[str], None]) -> None:
        match event:
            case _Hashed(number, sha256):
                self._hashes.chunks[number] = sha256
                if number not in self._todo:
                    self._ahead.release()
            case _HashingEnded(fingerprint, error):
                self._hasher = None
                if error:
                    raise error
                if fingerprint:
                    self._hashes.fingerprint = fingerprint
                    on_fingerprint(fingerprint)
            case _PartEnded(part, sent, error):
                self._on_the_way -= 1
                if error:
                    raise error
                self._note_part(part, sent)

    def _note_part(self, part: SignedPart, sent: Sent | None) -> None:
        if sent is Sent.GONE:
            raise SessionGone
        if sent is Sent.STALE:
            self._stale[part.number] += 1
            if self._stale[part.number] == _STALE_TRIES:
                raise TransferFailed(f"the store refuses the signed URL of part {part.number}")
            self._unsigned.appendleft(part.number)
        else:
            self.landed_bytes += part.size_bytes
            self._ahead.release()

    def _drain(self) -> None:
        """Wait until no thread uses the file any more. The books do not say: Ctrl-C may come between two entries."""
        if self._on_the_way or self._hasher:
            self._sender.cancelled.set()
        wait(tuple(self._under_way))
        if self._hasher:
            self._hasher.join()
        self._on_the_way, self._hasher = 0, None

    # In the hasher's thread

    def _start_hashing(self, numbers: Iterable[int]) -> None:
        unknown = [number for number in dict.fromkeys(numbers) if number not in self._hashes.chunks]
        if unknown or self._hashes.fingerprint is None:
            self._hasher = threading.Thread(target=self._hash, args=(unknown,), daemon=True)
            self._hasher.start()

    def _hash(self, unknown: list[int]) -> None:
        try:
            if self._hashes.fingerprint is None:
                self._events.put(_HashingEnded(hash_file(self._source, self._chunks, self._tell)))
                return
            for number in unknown:
                offset, size = self._chunks.offset(number), self._chunks.bytes_of(number)
                self._tell(number, hash_range(self._source, offset, size))
            self._events.put(_HashingEnded())
        except BaseException as error:  # noqa: BLE001 - raised again by the conductor
            self._events.put(_HashingEnded(error=error))

    def _tell(self, number: int, sha256: str) -> None:
        self._events.put(_Hashed(number, sha256))
        while not self._ahead.acquire(timeout=0.2):
            if self._sender.cancelled.is_set():
                raise Stopped("stopped")
        if self._sender.cancelled.is_set():
            raise Stopped("stopped")
