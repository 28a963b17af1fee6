"""How many parts are on the wire at once: additive increase, multiplicative decrease.

One more as long as that made the whole faster, half as many when the store pushes back (503, a cut connection, a
timeout). Parallel parts fill a long pipe; beyond that they only cost memory and fairness.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MIN_PARALLEL, START_PARALLEL, MAX_PARALLEL = 2, 4, 16
_BETTER, _WORSE = 1.05, 0.8
_FORGET = 0.99
"""The best rate seen fades by this a window, so that a link that became slower is not searched for ever."""
_CALM_S = 1.0
"""Refusals this close together have one cause and count once."""


class Pace:
    """Slots for parts, as many as the link is worth. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = START_PARALLEL
        self.rate_bytes_s: float | None = None
        """Of the last full window; None until one is over."""
        self._clock = clock
        self._free = threading.Condition()
        self._in_use = 0
        self._best_bytes_s = 0.0
        self._grew = False
        self._pushed_back_at = float("-inf")
        self._window_start, self._window_bytes, self._window_parts = clock(), 0, 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of `limit` slots; waits for it."""
        with self._free:
            if self._in_use == 0:  # after idling; a pause is not a slow link
                self._open_window()
            self._free.wait_for(lambda: self._in_use < self.limit)
            self._in_use += 1
        try:
            yield
        finally:
            with self._free:
                self._in_use -= 1
                self._free.notify_all()

    def landed(self, size_bytes: int) -> None:
        """Count a part that the store took; at the end of each window of 2 * limit parts the limit is thought over."""
        with self._free:
            self._window_bytes += size_bytes
            self._window_parts += 1
            if self._window_parts >= 2 * self.limit:
                self._end_window()

    def pushed_back(self) -> None:
        """Halve the limit: the store or the network refused work."""
        with self._free:
            now = self._clock()
            if now - self._pushed_back_at >= _CALM_S:
                self.limit = max(MIN_PARALLEL, self.limit // 2)
                self._best_bytes_s = 0.0
                self._grew = False
                self._open_window()
            self._pushed_back_at = now

    def _open_window(self) -> None:
        self._window_start, self._window_bytes, self._window_parts = self._clock(), 0, 0

    def _end_window(self) -> None:
        self.rate_bytes_s = rate = self._window_bytes / max(self._clock() - self._window_start, 1e-6)
        if rate > self._best_bytes_s * _BETTER:
            self._best_bytes_s, self._grew = rate, self.limit < MAX_PARALLEL
            self.limit = min(MAX_PARALLEL, self.limit + 1)
        elif self._grew or rate < self._best_bytes_s * _WORSE:
            self._grew = False
            self.limit = max(MIN_PARALLEL, self.limit - 1)  # the last one more was worth nothing
        self._best_bytes_s *= _FORGET
        self._free.notify_all()
        self._open_window()
