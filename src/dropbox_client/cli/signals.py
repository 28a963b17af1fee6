"""Signals that end `dbx`: reliable delivery while the main thread blocks, and exit codes.

Imported at every start: it must stay cheap.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible(check: Callable[[], None] = lambda: None, interval_s: float = 1) -> Iterator[None]:
    """Make the interpreter handle pending signals every `interval_s` while the context lasts. Main thread only.

    A signal that arrives just before a blocking call is handled only when that call returns, which may be never. A
    timer interrupts the call. `check` is called at each interval, and may raise.
    """
    handler = signal.signal(signal.SIGALRM, lambda *_: check())
    timer = signal.setitimer(signal.ITIMER_REAL, interval_s, interval_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


class ExitOnSignal:
    """Raises SystemExit(128 + number) on INT, TERM and HUP while the context lasts. Main thread only.

    The interpreter swallows exceptions of a signal handler that runs inside a destructor, so the exception is raised
    again every second.
    """

    def __init__(self) -> None:
        self._previous: dict[signal.Signals, Any] = {}
        self._interruptible = interruptible(self._exit_if_signalled)
        self._number: int | None = None

    def __enter__(self) -> Self:
        for number in _ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs ignore some of them
                self._previous[number] = signal.signal(number, self._on_signal)
        self._interruptible.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._interruptible.__exit__(None, None, None)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._number = number
        self._exit_if_signalled()

    def _exit_if_signalled(self) -> None:
        if self._number is not None:
            raise SystemExit(128 + self._number)
