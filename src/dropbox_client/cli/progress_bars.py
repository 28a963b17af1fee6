"""Progress bars on a terminal: one for the whole transfer, and one for each large upload.

Transfers only add numbers. A separate thread draws ten times a second, and imports rich while the transfer is running.
"""

import contextlib
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dropbox_client.cli.arguments import Format
from dropbox_client.cli.visible import make_visible
from dropbox_client.cli.wait_report import describe_reason, is_long
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.waits import Waits

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MIN_BAR_BYTES = 8 * MIB
_TOTAL = "total"
_LABEL_CHARS, _WAIT_CHARS = 40, 60


@dataclass(slots=True)
class _Bar:
    size_bytes: int = 0
    moved_bytes: int = 0
    hashed_bytes: int = 0


def open_progress_bars(output_format: Format, waits: Waits) -> "ProgressBars":
    """Return progress bars, which are drawn if stderr is a terminal and the output is text."""
    return ProgressBars(waits, is_drawn=output_format is Format.TEXT and sys.stderr.isatty())


class ProgressBars(ProgressListener):
    """Counts the progress and draws it on stderr while the context lasts."""

    def __init__(self, waits: Waits, *, is_drawn: bool) -> None:
        self.is_drawn = is_drawn
        self.label = _TOTAL
        """Of the whole transfer."""
        self._waits = waits
        self._lock = threading.Lock()
        self._bars: dict[str, _Bar] = {_TOTAL: _Bar()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw_quietly, daemon=True) if is_drawn else None

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def add_expected(self, size_bytes: int) -> None:
        """Raise the total by `size_bytes`."""
        with self._lock:
            self._bars[_TOTAL].size_bytes += size_bytes

    def on_item(self, item: UploadItem) -> None:
        self.add_expected(item.size_bytes)

    def on_hashed(self, item: UploadItem, size_bytes: int) -> None:
        with self._lock:
            if bar := self._bar(item):
                bar.hashed_bytes += size_bytes

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:
        self.add_bytes(size_bytes)
        with self._lock:
            if bar := self._bar(item):
                bar.moved_bytes += size_bytes

    def add_bytes(self, size_bytes: int) -> None:
        """Count transferred bytes; negative if they must be transferred again."""
        with self._lock:
            self._bars[_TOTAL].moved_bytes += size_bytes

    def on_result(self, result: UploadResult) -> None:
        with self._lock:
            self._bars.pop(str(result.item.path), None)

    def _bar(self, item: UploadItem) -> _Bar | None:
        if item.size_bytes <= _MIN_BAR_BYTES:
            return None
        return self._bars.setdefault(str(item.path), _Bar(item.size_bytes))

    def _draw_quietly(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self._draw()

    def _draw(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - importing it takes longer than many uploads
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
            while not self._stop.wait(0.1):
                self._update(progress, tasks)

    def _update(self, progress: "Progress", tasks: "dict[str, TaskID]") -> None:
        with self._lock:
            bars = {name: (bar.size_bytes, bar.moved_bytes, bar.hashed_bytes) for name, bar in self._bars.items()}
        wait = self._waits.find_longest()
        is_waiting = wait is not None and is_long(wait, self._waits.clock())
        for name in tasks.keys() - bars.keys():
            progress.remove_task(tasks.pop(name))
        for name, (size, moved, hashed) in bars.items():
            label = make_visible(self.label if name == _TOTAL else name)[-_LABEL_CHARS:]
            if name not in tasks:
                tasks[name] = progress.add_task(label, total=size)
            hashing = moved == 0 and hashed > 0
            if wait and is_waiting and name == _TOTAL:
                label = f"waiting: {make_visible(describe_reason(wait))}"[:_WAIT_CHARS]
            elif hashing:
                label = f"hashing {label[-32:]}"
            progress.update(tasks[name], total=size, completed=hashed if hashing else moved, description=label)
