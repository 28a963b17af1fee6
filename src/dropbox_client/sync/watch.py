"""Hints of the system that something changed below the root. They say where to look, and nothing else.

The system drops hints without a word when there are too many, and tells moves in two halves: a scan decides. So a large
batch, a failure and a clock that jumped (the machine slept) ask for a look at everything, and everything is looked at
now and then in any case. Directories that links lead to may be watched too: the hint is then of the link.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchfiles import watch

from dropbox_client.sync.ignores import PRIVATE_NAME

_MAX_CHANGES = 4_000
_MAX_JUMP_S = 60.0
_GROUP_MS, _STEP_MS = 300, 100
_RETRY_S = 300.0
_RESCAN_S = 3_600.0
_REPLACED = "\ufffd"
_HELP: Final = "raise the limit (sysctl fs.inotify.max_user_watches=1048576); until then folders are looked at in turns"


@dataclass(slots=True)
class Hints:
    """Where to look."""

    folders: set[bytes] = field(default_factory=set)
    """Paths below the root, b"" for the root."""
    has_gaps: bool = False
    """Whether hints may have been lost: look at everything."""

    def add(self, root: str, paths: Iterable[str]) -> None:
        """Add the folders of changed paths, which begin with the real path of the root."""
        for count, path in enumerate(paths, 1):
            folder = os.path.relpath(os.path.dirname(path), root) if path != root else "."  # noqa: PTH120 - quick
            if _REPLACED in path or count >= _MAX_CHANGES or folder.startswith(".."):
                self.has_gaps = True
            elif folder.split("/")[0] != PRIVATE_NAME:
                self.folders.add(b"" if folder == "." else os.fsencode(folder))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the library takes as an event."""

    is_set: Callable[[], bool]


class Watcher:
    """A thread that collects hints. A context manager."""

    def __init__(
        self,
        root: Path,
        wake: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch; `wake` is called in the thread when there are hints."""
        self.problem: str | None = None
        """Why the system gives no hints, for people; None while it does."""
        self._root = str(root.resolve())
        self._wake = wake
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._hints = Hints()
        self._times = clock(), monotonic()
        self._stopping = threading.Event()
        self._is_watching = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_until_watching(self, timeout_s: float) -> bool:
        """Wait until changes give hints: scan after that."""
        return self._is_watching.wait(timeout_s)

    def take(self) -> Hints:
        """Return the hints since the last call. They have gaps after the clock has jumped."""
        with self._lock:
            hints, self._hints = self._hints, Hints()
        now = self._clock(), self._monotonic()
        passed, measured = (new - old for new, old in zip(now, self._times, strict=True))
        self._times = now
        hints.has_gaps |= abs(passed - measured) > _MAX_JUMP_S
        return hints

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except (OSError, RuntimeError) as error:  # RuntimeError: of the library
                self.problem = f"{error}: {_HELP}" if "limit" in str(error) else str(error)
            if not self._stopping.is_set():
                self._is_watching.clear()
                self._add([], has_gaps=True)
                self._stopping.wait(_RETRY_S)

    def _watch(self) -> None:
        batches = watch(
            self._root,
            watch_filter=None,
            debounce=_GROUP_MS,
            step=_STEP_MS,
            stop_event=_Asked(self._note_step),
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        for changes in batches:
            self._add([path for _, path in changes])

    def _note_step(self) -> bool:
        """Return whether to end. The library asks every `_STEP_MS`, first when the system gives hints."""
        if not self._is_watching.is_set():  # what changed until now may have been missed
            self.problem = None
            self._is_watching.set()
            self._add([], has_gaps=True)
        return self._stopping.is_set()

    def _add(self, paths: list[str], *, has_gaps: bool = False) -> None:
        with self._lock:
            self._hints.has_gaps |= has_gaps
            self._hints.add(self._root, paths)
        self._wake()


def rescan_interval_s(took_s: float, *, is_watching: bool) -> float:
    """Return after how long to look at everything again; scans take at most a thousandth of the time."""
    return max(_RESCAN_S if is_watching else _RETRY_S, 1_000 * took_s)
