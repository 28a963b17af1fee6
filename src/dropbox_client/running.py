"""Running a command for which we are responsible: signals that end us reach it, and all that it has started, first.

Each command is a session of its own. A terminal sends Ctrl-C to all that run in front of it, so that some would get it
twice and others, started by a shell that has ended, would live on; a session gets it from us, once, as a whole.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Runner:
    """Runs commands one at a time, while the context lasts; for the main thread.

    A signal that ends us raises SystemExit with 128 + its number: at once, or at the end of `shielded`.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._is_shielded = False
        self._number: int | None = None

    @property
    def is_ending(self) -> bool:
        """Whether a signal came: what the command could not finish is not its fault."""
        return self._number is not None

    def __enter__(self) -> Self:
        for ending in _ENDING:
            if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup does, and a shell for what is behind
                self._before[ending] = signal.signal(ending, self._signalled)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for ending, handler in self._before.items():
            signal.signal(ending, handler)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Do the block to its end; what signals ask for comes after it."""
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        if self._number is not None:
            raise SystemExit(128 + self._number)

    def run(self, command: Sequence[str], environment: Mapping[str, str], stdin: bytes) -> int:
        """Run a command to its end, within `shielded`; return its exit code, minus the signal that ended it.

        Raises: OSError when it cannot be started.
        """
        process = subprocess.Popen(  # noqa: S603 - it is what the person who runs us has typed
            command, env=environment, stdin=subprocess.PIPE, start_new_session=True
        )
        self._child = process
        if self._number is not None:  # it came before there was a child to pass it on to
            self._pass_on(self._number)
        process.communicate(stdin)
        self._child = None
        return process.returncode

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if not self._is_shielded:
            raise SystemExit(128 + number)
        self._pass_on(number if self._number is None else signal.SIGKILL)
        self._number = number

    def _pass_on(self, number: int) -> None:
        if self._child:
            with contextlib.suppress(OSError):  # all of them have ended
                os.killpg(self._child.pid, number)
