"""The number of parts in flight: additive increase, multiplicative decrease.

The limit grows by one while that raises the throughput, and halves when the store refuses work (503, a broken
connection, a timeout). More parallel parts than the link needs only cost memory and fairness.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MIN_PARALLEL, START_PARALLEL, MAX_PARALLEL = 2, 4, 16
_FASTER, _SLOWER = 1.05, 0.8
_DECAY = 0.99
"""Factor by which the best rate decays per window, so that the limit adapts to a link that became slower."""
_REFUSAL_INTERVAL_S = 1.0
"""Refusals closer together than this have one cause and count once."""


class ConcurrencyLimit:
    """Slots for parts in flight, in an adaptive number. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = START_PARALLEL
        self.rate_bytes_s: float | None = None
        """The throughput of the last complete window; None before the first."""
        self._clock = clock
        self._free = threading.Condition()
        self._in_use = 0
        self._best_bytes_s = 0.0
        self._did_grow = False
        self._refused_at = float("-inf")
        self._window_start, self._window_bytes, self._window_parts = clock(), 0, 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for one of `limit` slots and hold it."""
        with self._free:
            if self._in_use == 0:  # after an idle time, which must not count as a slow link
                self._open_window()
            self._free.wait_for(lambda: self._in_use < self.limit)
            self._in_use += 1
        try:
            yield
        finally:
            with self._free:
                self._in_use -= 1
                self._free.notify_all()

    def record_part(self, size_bytes: int) -> None:
        """Count a stored part; every window of 2 * limit parts adjusts the limit."""
        with self._free:
            self._window_bytes += size_bytes
            self._window_parts += 1
            if self._window_parts >= 2 * self.limit:
                self._end_window()

    def record_refusal(self) -> None:
        """Halve the limit after the store or the network refused a part."""
        with self._free:
            now = self._clock()
            if now - self._refused_at >= _REFUSAL_INTERVAL_S:
                self.limit = max(MIN_PARALLEL, self.limit // 2)
                self._best_bytes_s = 0.0
                self._did_grow = False
                self._open_window()
            self._refused_at = now

    def _open_window(self) -> None:
        self._window_start, self._window_bytes, self._window_parts = self._clock(), 0, 0

    def _end_window(self) -> None:
        self.rate_bytes_s = rate = self._window_bytes / max(self._clock() - self._window_start, 1e-6)
        if rate > self._best_bytes_s * _FASTER:
            self._best_bytes_s, self._did_grow = rate, self.limit < MAX_PARALLEL
            self.limit = min(MAX_PARALLEL, self.limit + 1)
        elif self._did_grow or rate < self._best_bytes_s * _SLOWER:
            self._did_grow = False
            self.limit = max(MIN_PARALLEL, self.limit - 1)  # the last increase brought nothing
        self._best_bytes_s *= _DECAY
        self._free.notify_all()
        self._open_window()
