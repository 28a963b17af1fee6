"""The upload of one part: a PUT to a signed URL, retried until the store accepts it or the failure is permanent.

The signature covers the hash of the bytes, so a 200 proves that the store has exactly these bytes.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto

from dropbox_client.call import Response
from dropbox_client.errors import ClientError, FileChanged, Stopped, TransferFailed, Unreachable
from dropbox_client.models import SignedPart
from dropbox_client.problems import StoreFull
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.source import Source, hash_range
from dropbox_client.transport import Transport

_BUSY = frozenset({408, 429, 502, 503, 504})
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"})
MAX_DAMAGED_TRIES = 5
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class PartResult(Enum):
    """The result of sending a part."""

    STORED = auto()
    URL_EXPIRED = auto()
    """The signed URL is no longer valid: sign the part again."""
    SESSION_GONE = auto()
    """The store does not know the multipart upload: reconcile the session with the server."""


class Busy(TransferFailed):
    """The store is overloaded or unavailable."""


class Failing(Busy):
    """The store answered 500 or 507. It may be full: SeaweedFS does not say so, the server knows."""


class Damaged(TransferFailed):
    """The store received other bytes than were signed."""


@dataclass(frozen=True, slots=True)
class PartSender:
    """Sends the parts of one file. Thread-safe."""

    transport: Transport
    source: Source
    retry_window: RetryWindow
    cancelled: threading.Event
    on_bytes: Callable[[int], None]
    """Called with the number of bytes sent; negative if they must be sent again."""
    sign_again: Callable[[int, str], object]
    """Lets the server sign a part again, by number and hash. It refuses while the store is full."""
    concurrency: ConcurrencyLimit | None = None
    """Limits the parts in flight; None for small files, which have their own limit."""

    def send(self, part: SignedPart, sha256: str) -> PartResult:
        """PUT the bytes of `part`, which was signed with the hash `sha256` (hex).

        Raises: FileChanged, Unreadable, Stopped if cancelled, TransferFailed, StoreFull or Unreachable after the last
        attempt.
        """
        with Backoff(self.retry_window) as backoff:
            return self._send_until_stored(part, sha256, backoff)

    def _send_until_stored(self, part: SignedPart, sha256: str, backoff: Backoff) -> PartResult:
        damaged = 0
        while True:
            failure: ClientError
            try:
                return self._interpret(part, self._put(part))
            except (Unreachable, Busy) as refusal:
                failure = self._explain(refusal, part, sha256)
                if self.concurrency:
                    self.concurrency.record_refusal()
            except Damaged as damage:
                failure = damage
                damaged += 1
                if hash_range(self.source, part.offset_bytes, part.size_bytes) != sha256:
                    raise FileChanged(f"{self.source.path} changed while it was sent") from damage
                if damaged == MAX_DAMAGED_TRIES:
                    raise
            pause_s = backoff.next_pause_s(failure=failure)
            if pause_s is None:
                raise failure
            if self.cancelled.wait(pause_s):
                raise Stopped("stopped")

    def _explain(self, refusal: Unreachable | Busy, part: SignedPart, sha256: str) -> ClientError:
        """Return the problem of a full store in place of its 500."""
        if isinstance(refusal, Failing):
            try:
                self.sign_again(part.number, sha256)
            except StoreFull as full:
                return full
        return refusal

    def _put(self, part: SignedPart) -> Response:
        """Make one attempt; revoke its progress unless the store accepted the part."""
        reported = 0

        def body() -> Iterator[memoryview]:
            nonlocal reported
            self.on_bytes(-reported)  # a stale pooled connection: the transport sends the body again
            reported = 0
            for block in self.source.blocks(part.offset_bytes, part.size_bytes):
                if self.cancelled.is_set():
                    raise Stopped("stopped")
                yield block
                reported += len(block)
                self.on_bytes(len(block))

        slot: AbstractContextManager[None] = self.concurrency.slot() if self.concurrency else nullcontext()
        is_stored = False
        try:
            with slot:
                if self.cancelled.is_set():
                    raise Stopped("stopped")
                response = self.transport.send("PUT", part.url, part.headers, body)
            is_stored = response.status in {200, 204}
            return response
        finally:
            if not is_stored:
                self.on_bytes(-reported)

    def _interpret(self, part: SignedPart, response: Response) -> PartResult:
        result = read_result(part, response)
        if result is PartResult.STORED:
            self.retry_window.renew()
            if self.concurrency:
                self.concurrency.record_part(part.size_bytes)
        return result


def read_result(part: SignedPart, response: Response) -> PartResult:
    """Return the meaning of a response. Raises Busy, Damaged, or TransferFailed for a permanent failure."""
    if response.status in {200, 204}:
        return PartResult.STORED
    if response.status in {403, 404}:
        return PartResult.URL_EXPIRED if response.status == 403 else PartResult.SESSION_GONE
    code = _find_error_code(response)
    text = f"the store answered {response.status} ({code}) for part {part.number}"
    if code in _DAMAGED:
        raise Damaged(text)
    if response.status in {500, 507}:
        raise Failing(text)
    if response.status in _BUSY or code == "RequestTimeout":
        raise Busy(text)
    raise TransferFailed(text)


def _find_error_code(response: Response) -> str:
    match = _CODE.search(response.body)
    return match[1].decode() if match else "no error code"
