"""How long to wait before trying again, and when to stop trying.

Full jitter: the pause before retry k is uniform between 0 and min(cap, base * 2^k), so that many clients do not return
at once. Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
"""

import random
import time
from collections.abc import Callable

PATIENCE_S = 600.0
"""Of a transfer, without any progress; long enough for a server or a store to be restarted."""


class Patience:
    """Time without any progress after which an effort is given up. Shared by threads that work on the same thing."""

    def __init__(self, give_up_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.give_up_s = give_up_s
        self.clock = clock
        self.last_progress = float("-inf")

    def renew(self) -> None:
        """Something succeeded: the wait starts over."""
        self.last_progress = self.clock()


class Backoff:
    """The pauses of one operation that keeps failing; make a new one for each operation. Not thread-safe."""

    def __init__(
        self,
        patience: Patience,
        *,
        base_s: float = 0.25,
        cap_s: float = 15,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._patience = patience
        self._ceiling_s = base_s
        self._cap_s = cap_s
        self._uniform = uniform
        self._failing_since: float | None = None

    def next_pause_s(self, at_least_s: float = 0) -> float | None:
        """Return how long to wait before the next try, None to give up; `at_least_s` is the server's Retry-After."""
        now = self._patience.clock()
        if self._failing_since is None:
            self._failing_since = now
        pause_s = at_least_s + self._uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        hopeless_at = max(self._failing_since, self._patience.last_progress) + self._patience.give_up_s
        return pause_s if now + pause_s <= hopeless_at else None
