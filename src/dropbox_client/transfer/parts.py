"""Sending one part: a PUT to a signed URL, repeated until the store takes it or there is no use.

The store refuses whatever does not hash to what was signed, so a 200 is proof that it has these bytes.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto

from dropbox_client.errors import ClientError, FileChanged, Stopped, TransferFailed, Unreachable
from dropbox_client.models import SignedPart
from dropbox_client.retry import Backoff, Patience
from dropbox_client.transfer.concurrency import Pace
from dropbox_client.transfer.source import Source, hash_range
from dropbox_client.transport import Reply, Wire

_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"})
_DAMAGED_TRIES = 5
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class Sent(Enum):
    """How sending a part ended, if not with an exception."""

    LANDED = auto()
    STALE = auto()
    """The URL is not valid any more: ask for another."""
    GONE = auto()
    """The store does not know the upload any more: ask the server what became of it."""


class _Busy(TransferFailed):
    """The store has no time for us just now."""


class _Damaged(TransferFailed):
    """The store saw other bytes than those that were signed."""


@dataclass(frozen=True, slots=True)
class PartSender:
    """Sends parts of one file. Thread-safe."""

    wire: Wire
    source: Source
    patience: Patience
    cancelled: threading.Event
    moved: Callable[[int], None]
    """Told of bytes on the wire; of negative ones when they have to be sent again."""
    pace: Pace | None = None
    """Limits how many parts are on the wire; small files have their own limit."""

    def send(self, part: SignedPart, sha256: str) -> Sent:
        """PUT the bytes of `part`, which hashed to `sha256` (hex) when it was signed.

        Raises: FileChanged, Unreadable, Stopped when cancelled, TransferFailed or Unreachable when it is given up.
        """
        backoff, damaged = Backoff(self.patience), 0
        while True:
            failure: ClientError
            try:
                return self._judge(part, self._put(part))
            except (Unreachable, _Busy) as refusal:
                failure = refusal
                if self.pace:
                    self.pace.pushed_back()
            except _Damaged as damage:
                failure = damage
                damaged += 1
                if hash_range(self.source, part.offset_bytes, part.size_bytes) != sha256:
                    raise FileChanged(f"{self.source.path} changed while it was sent") from damage
                if damaged == _DAMAGED_TRIES:
                    raise
            pause_s = backoff.next_pause_s()
            if pause_s is None:
                raise failure
            if self.cancelled.wait(pause_s):
                raise Stopped("stopped")

    def _put(self, part: SignedPart) -> Reply:
        """Make one attempt; what was told as moved is taken back unless the store took it."""
        told = 0

        def body() -> Iterator[memoryview]:
            nonlocal told
            self.moved(-told)  # a connection that idled to death: sent anew
            told = 0
            for block in self.source.blocks(part.offset_bytes, part.size_bytes):
                if self.cancelled.is_set():
                    raise Stopped("stopped")
                yield block
                told += len(block)
                self.moved(len(block))

        slot: AbstractContextManager[None] = self.pace.slot() if self.pace else nullcontext()
        ok = False
        try:
            with slot:
                if self.cancelled.is_set():
                    raise Stopped("stopped")
                reply = self.wire.send("PUT", part.url, part.headers, body)
            ok = reply.status in {200, 204}
            return reply
        finally:
            if not ok:
                self.moved(-told)

    def _judge(self, part: SignedPart, reply: Reply) -> Sent:
        """Return what an answer means. Raises _Busy, _Damaged, or TransferFailed where trying again is no use."""
        if reply.status in {200, 204}:
            self.patience.renew()
            if self.pace:
                self.pace.landed(part.size_bytes)
            return Sent.LANDED
        if reply.status in {403, 404}:
            return Sent.STALE if reply.status == 403 else Sent.GONE
        code = _error_code(reply)
        text = f"the store answered {reply.status} {code} to part {part.number}"
        if code in _DAMAGED:
            raise _Damaged(text)
        if reply.status in _BUSY or code == "RequestTimeout":
            raise _Busy(text)
        raise TransferFailed(text)


def _error_code(reply: Reply) -> str:
    match = _CODE.search(reply.body)
    return match[1].decode() if match else "without a code"
