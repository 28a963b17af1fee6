"""What a person sees while files move: a bar for each large file and one for all, on a terminal only.

Transfers only add numbers; a thread of its own draws them ten times a second, and pays for importing rich while the
first bytes are on their way.
"""

import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dropbox_client.transfer.chunks import KIB, MIB
from dropbox_client.transfer.progress import Item, Outcome, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_OWN_BAR_BYTES = 8 * MIB
_TOTAL = "total"


@dataclass(slots=True)
class _Bar:
    size_bytes: int = 0
    moved_bytes: int = 0
    hashed_bytes: int = 0


class Display(Watcher):
    """Bars on stderr while the context lasts, if stderr is a terminal and `wanted`."""

    def __init__(self, *, wanted: bool) -> None:
        self._lock = threading.Lock()
        self._bars: dict[str, _Bar] = {_TOTAL: _Bar()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True) if wanted and sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def expect(self, size_bytes: int) -> None:
        """Count on so many bytes more."""
        with self._lock:
            self._bars[_TOTAL].size_bytes += size_bytes

    def found(self, item: Item) -> None:
        self.expect(item.size_bytes)

    def hashed(self, item: Item, size_bytes: int) -> None:
        with self._lock:
            if bar := self._bar(item):
                bar.hashed_bytes += size_bytes

    def moved(self, item: Item, size_bytes: int) -> None:
        self.fetched(size_bytes)
        with self._lock:
            if bar := self._bar(item):
                bar.moved_bytes += size_bytes

    def fetched(self, size_bytes: int) -> None:
        """So many bytes came, or (negative) have to come again."""
        with self._lock:
            self._bars[_TOTAL].moved_bytes += size_bytes

    def ended(self, outcome: Outcome) -> None:
        with self._lock:
            self._bars.pop(str(outcome.item.path), None)

    def _bar(self, item: Item) -> _Bar | None:
        if item.size_bytes <= _OWN_BAR_BYTES:
            return None
        return self._bars.setdefault(str(item.path), _Bar(item.size_bytes))

    def _draw(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - takes longer to import than many an upload takes
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()
        ) as progress:
            tasks: dict[str, TaskID] = {}
            self._update(progress, tasks)
            while not self._ended.wait(0.1):
                self._update(progress, tasks)

    def _update(self, progress: "Progress", tasks: "dict[str, TaskID]") -> None:
        with self._lock:
            bars = {name: (bar.size_bytes, bar.moved_bytes, bar.hashed_bytes) for name, bar in self._bars.items()}
        for name in tasks.keys() - bars.keys():
            progress.remove_task(tasks.pop(name))
        for name, (size, moved, hashed) in bars.items():
            if name not in tasks:
                tasks[name] = progress.add_task(name[-40:], total=size)
            hashing = moved == 0 and hashed > 0
            label = f"hashing {name[-32:]}" if hashing else name[-40:]
            progress.update(tasks[name], total=size, completed=hashed if hashing else moved, description=label)


def human_bytes(size_bytes: float) -> str:
    """Write a size in the largest binary unit that leaves a number of 1 or more: 1.5 MiB."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size_bytes >= KIB and len(units) > 1:
        size_bytes /= KIB
        units.pop(0)
    return f"{size_bytes:.0f} B" if units[0] == "B" else f"{size_bytes:.1f} {units[0]}"
