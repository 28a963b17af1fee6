"""The child processes of `dbx watch`: signals that end dbx reach the child and its descendants first.

Each child is the leader of its own session. A terminal sends Ctrl-C to its whole foreground group, so some processes
would get it twice and others not at all; a session gets it once, from dbx.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Self

from dropbox_client.cli.signals import ExitOnSignal


class CommandRunner(ExitOnSignal):
    """Runs one command at a time. A signal exits immediately, or at the end of a `shielded` block."""

    def __init__(self) -> None:
        super().__init__()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_shielded = False

    def __enter__(self) -> Self:
        # The parent may have set SIGCHLD to be ignored: the kernel would then discard the exit status of children.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return super().__enter__()

    @property
    def is_ending(self) -> bool:
        """True after a signal: a failure of the command is then not its own."""
        return self._number is not None

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Postpone the exit until the end of the block."""
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        self._exit_if_signalled()

    def run(self, command: Sequence[str], environment: Mapping[str, str], stdin: bytes) -> int:
        """Run a command inside `shielded` and return its exit code, or minus the signal that ended it.

        Raises: OSError if it cannot be started.
        """
        # A file, not a pipe: a daemon that inherits a pipe and never reads it would block dbx.
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            process = subprocess.Popen(  # noqa: S603 - the user typed this command
                command, env=environment, stdin=file, start_new_session=True
            )
        self._child = process
        if self._number is not None:  # the signal arrived before the child existed
            self._pass_on(self._number)
        process.wait()
        self._child = None
        return process.returncode

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_shielded:
            self._pass_on(number if self._number is None else signal.SIGKILL)
        super()._on_signal(number, frame)

    def _exit_if_signalled(self) -> None:
        if not self._is_shielded:
            super()._exit_if_signalled()

    def _pass_on(self, number: int) -> None:
        if self._child:
            with contextlib.suppress(OSError):  # all processes of the session have ended
                os.killpg(self._child.pid, number)
