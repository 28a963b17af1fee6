"""Running a command for which we are responsible: signals that end us reach it, and all that it has started, first.

Each command is a session of its own. A terminal sends Ctrl-C to all that run in front of it, so that some would get it
twice and others, started by a shell that has ended, would live on; a session gets it from us, once, as a whole.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from dropbox_client.cli.signals import awake

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Signals that end us raise SystemExit with 128 + their number, while the context lasts; for the main thread.

    What a handler raises in a destructor the interpreter swallows: so it is raised each second until we end.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._awake = awake(self._end)
        self._number: int | None = None

    def __enter__(self) -> Self:
        for ending in _ENDING:
            if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup does, and a shell for what is behind
                self._before[ending] = signal.signal(ending, self._signalled)
        self._awake.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._awake.__exit__(None, None, None)
        for ending, handler in self._before.items():
            signal.signal(ending, handler)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        self._number = number
        self._end()

    def _end(self) -> None:
        if self._number is not None:
            raise SystemExit(128 + self._number)


class Runner(Ending):
    """Runs commands one at a time, while the context lasts.

    What ends us comes at once, or at the end of `shielded`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_shielded = False

    def __enter__(self) -> Self:
        # Ignored, as whoever started us may have left it, the kernel keeps from us how a command ended.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return super().__enter__()

    @property
    def is_ending(self) -> bool:
        """Whether a signal came: what the command could not finish is not its fault."""
        return self._number is not None

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Do the block to its end; what signals ask for comes after it."""
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        self._end()

    def run(self, command: Sequence[str], environment: Mapping[str, str], stdin: bytes) -> int:
        """Run a command to its end, within `shielded`; return its exit code, minus the signal that ended it.

        Raises: OSError when it cannot be started.
        """
        # A pipe that it leaves to a daemon, which reads nothing, would keep us waiting for that one's end.
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            process = subprocess.Popen(  # noqa: S603 - it is what the person who runs us has typed
                command, env=environment, stdin=file, start_new_session=True
            )
        self._child = process
        if self._number is not None:  # it came before there was a child to pass it on to
            self._pass_on(self._number)
        process.wait()
        self._child = None
        return process.returncode

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._is_shielded:
            self._pass_on(number if self._number is None else signal.SIGKILL)
        super()._signalled(number, frame)

    def _end(self) -> None:
        if not self._is_shielded:
            super()._end()

    def _pass_on(self, number: int) -> None:
        if self._child:
            with contextlib.suppress(OSError):  # all of them have ended
                os.killpg(self._child.pid, number)
