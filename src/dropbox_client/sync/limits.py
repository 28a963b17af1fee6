"""Bandwidth limits: every byte of content waits in the transport until its bucket has a token for it."""

import threading
import time
from collections.abc import Callable
from typing import Final

from dropbox_client.client import Client
from dropbox_client.sync.config import RootConfig

_BURST_S: Final = 1.0
_PIECE_S: Final = 0.25
_MAX_PIECE_BYTES: Final = 1 << 20
_MIN_PIECE_BYTES: Final = 1 << 10


class TokenBucket:
    """Lets bytes through at a rate. Thread-safe; threads are served in the order in which they come.

    A caller takes its bytes at once, on credit, and waits until the debt before it is paid. So in any time `t` at most
    rate * (t + 1 s) bytes are let through, and one more piece.
    """

    def __init__(
        self,
        bytes_s: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._rate = bytes_s
        self._tokens = 0.0
        self._filled_at = clock()
        self.piece_bytes = min(max(int(bytes_s * _PIECE_S), _MIN_PIECE_BYTES), _MAX_PIECE_BYTES)
        """How many bytes to take at a time, so that no connection is silent for long."""

    def take(self, size_bytes: int) -> None:
        """Wait until `size_bytes` may pass."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._rate * _BURST_S)
            self._filled_at = now
            wait_s = -self._tokens / self._rate
            self._tokens -= size_bytes
        if wait_s > 0:
            self._sleep(wait_s)


def limit_client(client: Client, config: RootConfig) -> None:
    """Limit the content that a client sends and receives; its `close` ends all waits."""
    if config.upload_bytes_s is not None:
        client.transport.upload_limit = TokenBucket(config.upload_bytes_s, sleep=client.stopping.wait)
    if config.download_bytes_s is not None:
        client.transport.download_limit = TokenBucket(config.download_bytes_s, sleep=client.stopping.wait)
