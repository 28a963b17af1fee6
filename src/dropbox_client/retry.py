"""Retries: the pause before the next attempt, and when to give up.

Full jitter: the pause before retry k is uniform between 0 and min(cap, base * 2^k), which spreads the retries of many
clients. Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
"""

import random
import time
from collections.abc import Callable

TRANSFER_RETRY_FOR_S = 600.0
"""How long a transfer is retried without progress: long enough for a restart of the server or the store."""


class RetryWindow:
    """The time without progress after which retries stop. Threads that work on the same task share one."""

    def __init__(self, duration_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.duration_s = duration_s
        self.clock = clock
        self.last_progress = float("-inf")

    def renew(self) -> None:
        """Restart the window after a success."""
        self.last_progress = self.clock()


class Backoff:
    """The pauses between attempts of one operation. Make one per operation; not thread-safe."""

    def __init__(
        self,
        window: RetryWindow,
        *,
        base_s: float = 0.25,
        cap_s: float = 15,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._window = window
        self._ceiling_s = base_s
        self._cap_s = cap_s
        self._uniform = uniform
        self._failing_since: float | None = None

    def next_pause_s(self, at_least_s: float = 0) -> float | None:
        """Return the pause before the next attempt, None to give up; `at_least_s` is the server's Retry-After."""
        now = self._window.clock()
        if self._failing_since is None:
            self._failing_since = now
        pause_s = at_least_s + self._uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        ends_at = max(self._failing_since, self._window.last_progress) + self._window.duration_s
        return pause_s if now + pause_s <= ends_at else None
