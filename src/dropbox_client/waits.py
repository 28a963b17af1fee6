"""What a client waits for: operations that are being retried, and requests without an answer. For display only.

Progress of other operations counts: a part that is retried while others arrive is no wait.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """An operation without progress. Times are those of the monotonic clock."""

    reason: Exception | str
    since: float
    until: float
    """When its last failure is raised, or its request is counted as failed; inf if it is retried without end."""


class Waits:
    """The waits of one client. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._current: dict[object, Callable[[], Wait]] = {}
        self._progress_at = float("-inf")

    def record(self, key: object, describe: Callable[[], Wait]) -> None:
        """Add a wait, or replace that of the same operation."""
        with self._lock:
            self._current[key] = describe

    def remove(self, key: object) -> None:
        with self._lock:
            self._current.pop(key, None)

    def find_longest(self) -> Wait | None:
        """Return the wait that began first; None without any."""
        with self._lock:
            waits = [describe() for describe in self._current.values()]
        return min(waits, key=lambda wait: wait.since, default=None)

    @contextlib.contextmanager
    def watch(self, reason: str, *, expected_s: float, timeout_s: float) -> Iterator[None]:
        """Record the wait for an answer, which begins after `expected_s`."""
        key, began = object(), self.clock() + expected_s

        def describe() -> Wait:
            since = max(began, self._progress_at)
            return Wait(reason, since, since + timeout_s)

        self.record(key, describe)
        try:
            yield
        finally:
            self.remove(key)

    def record_progress(self) -> None:
        """Note that bytes were transferred, by any request."""
        self._progress_at = self.clock()
