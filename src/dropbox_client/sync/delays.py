"""When an action that failed, or was carried out just now, may be tried again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FIRST_S: Final = 0.5
_MOST_S: Final = 60.0
_FEW, _MOST_OF_MANY_S = 1_000, 600.0
"""Of more entries than this each one waits longer, at most so long: a server may refuse all of them."""


@dataclass(slots=True)
class _Delay:
    until: float
    reason: str
    failures: int


class Delays:
    """The entries of a root that have to wait, by id."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delays: dict[str, _Delay] = {}

    def fail(self, node_id: str, reason: str, least_s: float = 0.0) -> None:
        """Record a failure: the entry waits, longer each time; `reason` is for people."""
        before = self._delays.get(node_id)
        failures = before.failures + 1 if before else 1
        wait_s = max(least_s, min(_MOST_S, _FIRST_S * 2 ** min(failures - 1, 10)))
        wait_s = max(wait_s, min(_MOST_OF_MANY_S, wait_s * len(self._delays) / _FEW))
        self._delays[node_id] = _Delay(self._clock() + wait_s, reason, failures)

    def rest(self, node_id: str, rest_s: float) -> None:
        """Let an entry wait for some seconds after a success."""
        self._delays[node_id] = _Delay(self._clock() + rest_s, "sent just now", 0)

    def succeed(self, node_id: str) -> None:
        """Forget the failures of an entry."""
        self._delays.pop(node_id, None)

    def find_reason(self, node_id: str) -> str | None:
        """Return why an entry waits, None if it does not."""
        delay = self._delays.get(node_id)
        return delay.reason if delay and delay.until > self._clock() else None

    def find_wait_s(self, node_id: str) -> float:
        """Return in how many seconds an entry may be tried again, 0 if now."""
        delay = self._delays.get(node_id)
        return max(0.0, delay.until - self._clock()) if delay else 0.0

    def count_failures(self, node_id: str) -> int:
        """Return how often an entry failed without a success."""
        delay = self._delays.get(node_id)
        return delay.failures if delay else 0

    def next_s(self) -> float | None:
        """Return in how many seconds an entry may be tried again, None if none waits. Forgets those that rested."""
        now = self._clock()
        for node_id in [one for one, delay in self._delays.items() if delay.until <= now and not delay.failures]:
            del self._delays[node_id]
        waiting = [delay.until - now for delay in self._delays.values() if delay.until > now]
        return min(waiting, default=None)

    def forget(self) -> None:
        """Let everything be tried now: a person asked for it, or the connection is back."""
        for delay in self._delays.values():
            delay.until = 0.0
