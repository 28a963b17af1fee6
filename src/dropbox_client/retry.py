"""Retries: the pause before the next attempt, and when to give up.

Full jitter: the pause before retry k is uniform between 0 and min(cap, base * 2^k), which spreads the retries of many
clients. Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
"""

import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dropbox_client.waits import Wait, Waits

TRANSFER_RETRY_FOR_S = 600.0
"""How long a transfer is retried without progress: long enough for a restart of the server or the store."""


class RetryWindow:
    """The time without progress after which retries stop. Threads that work on the same task share one."""

    def __init__(
        self, duration_s: float, *, waits: Waits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`waits` shows what is retried."""
        self.duration_s = duration_s
        self.waits = waits
        self.clock = clock
        self.last_progress = float("-inf")

    def renew(self) -> None:
        """Restart the window after a success."""
        self.last_progress = self.clock()


class Backoff:
    """The pauses between attempts of one operation. A context manager: at its exit the operation waits no more.

    Make one per operation; not thread-safe.
    """

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._window.waits:
            self._window.waits.remove(self)

    def next_pause_s(self, at_least_s: float = 0, *, failure: Exception | None = None) -> float | None:
        """Return the pause before the next attempt, None to give up.

        `at_least_s` is the server's Retry-After; `failure` is shown as the reason of the wait.
        """
        now = self._window.clock()
        if self._failing_since is None:
            self._failing_since = now
        pause_s = at_least_s + self._uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        began = self._failing_since

        def describe() -> Wait:
            since = max(began, self._window.last_progress)
            return Wait(failure or "", since, since + self._window.duration_s)

        if now + pause_s > describe().until:
            return None
        if self._window.waits and failure:
            self._window.waits.record(self, describe)
        return pause_s
