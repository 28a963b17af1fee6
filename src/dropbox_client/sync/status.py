"""The socket by which commands talk to the process that runs a root: a line of JSON each way, then it is closed.

The process holds the lock `run.lock` while it lives, so that a socket without it is that of a killed process. The
folder of the socket is private to the user.
"""

import contextlib
import fcntl
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from dropbox_client.errors import ClientError
from dropbox_client.sync.config import Registry
from dropbox_client.sync.snapshot import Item, Question, Snapshot

if TYPE_CHECKING:
    from dropbox_client.sync.engine import Engine

Command = Literal["status", "confirmed", "rejected", "look", "configure", "stop"]
"""What the process is asked. `configure`: read the configuration again; `stop`: end."""

_SOCKET: Final = "socket"
_LOCK: Final = "run.lock"
_TIMEOUT_S: Final = 30.0
_MAX_REQUEST_BYTES: Final = 1 << 16
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.05
_MAX_ADDRESS_BYTES: Final = 100
"""Of 108 on Linux and 104 on macOS, with the final zero."""


class RootRuns(ClientError):
    """Another process runs this root."""


class NotRunning(ClientError):
    """No process runs this root."""


@contextmanager
def hold_root(folder: Path) -> Iterator[None]:
    """Be the one process that runs the root with this private folder. Raises RootRuns."""
    with (folder / _LOCK).open("a+", encoding="ascii") as file:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # for a moment also by `find_process`
                if not left:
                    file.seek(0)
                    raise RootRuns(f"process {file.read().strip() or 'unknown'} keeps it in sync already") from None
            time.sleep(_LOCK_PAUSE_S)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def find_process(folder: Path) -> int | None:
    """Return the id of the process that runs the root with this private folder; None if there is none."""
    try:
        with (folder / _LOCK).open(encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        with contextlib.suppress(ValueError):
            return int((folder / _LOCK).read_text(encoding="ascii"))
        return 0


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Yield the address of the socket, which the system limits to about 100 bytes."""
    path = os.fspath(folder / _SOCKET)
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield path
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{_SOCKET}"
    finally:
        os.close(fd)


# The process


class StatusServer:
    """Answers commands in threads, until it is closed. A context manager; use it inside of `hold_root`."""

    def __init__(self, registry: Registry, root_id: str, engine: "Engine", *, stop: Callable[[], None]) -> None:
        """`stop` ends the process."""
        self._registry, self._root_id, self._engine, self._stop = registry, root_id, engine, stop
        self._folder = registry.folder(root_id)
        (self._folder / _SOCKET).unlink(missing_ok=True)
        with _address(self._folder) as address:
            self._server = _Server(address, self._answer)
        (self._folder / _SOCKET).chmod(0o600)
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_closing = True
        with socket.socket(socket.AF_UNIX) as connection, _address(self._folder) as address:
            connection.connect(address)  # wakes the thread
        self._thread.join()
        self._server.server_close()
        (self._folder / _SOCKET).unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._is_closing:
            self._server.handle_request()

    def _answer(self, command: Command) -> Any:
        engine = self._engine
        match command:
            case "status":
                return asdict(engine.snapshot)
            case "confirmed" | "rejected":
                return engine.answer(command)
            case "look":
                return engine.look()
            case "configure":
                if config := self._registry.read(self._root_id):
                    engine.configure(config)
                return None
            case "stop":
                return self._stop()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, answer: Callable[[Command], Any]) -> None:
        super().__init__(address, _Handler)
        self.answer = answer

    def handle_error(self, *_: object) -> None:
        """Print nothing: the caller has closed its side."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def handle(self) -> None:
        document: dict[str, Any]
        try:
            command = json.loads(self.rfile.readline(_MAX_REQUEST_BYTES))["command"]
            if command not in get_args(Command):
                raise ClientError(f"the running dbx does not know {command!r}: restart it")  # noqa: TRY301
            document = {"result": self.server.answer(command)}
        except (ClientError, OSError) as error:
            document = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - one request must not end the process
            document = {"error": f"{type(error).__name__}: {error}"}
        self.wfile.write(json.dumps(document).encode() + b"\n")


# The commands


def ask(folder: Path, command: Command) -> Any:
    """Ask the process that runs the root with this private folder. Raises NotRunning; ClientError of the process."""
    if find_process(folder) is None:
        raise NotRunning("no process keeps it in sync")
    try:
        with socket.socket(socket.AF_UNIX) as connection, _address(folder) as address:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(address)
            connection.sendall(json.dumps({"command": command}).encode() + b"\n")
            with connection.makefile("rb") as answer:
                document = json.loads(answer.readline())
    except (FileNotFoundError, ConnectionError, ValueError) as error:  # it is starting or ending
        raise NotRunning("the process that keeps it in sync does not answer") from error
    except TimeoutError as error:
        raise ClientError("the process that keeps it in sync does not answer") from error
    if "error" in document:
        raise ClientError(document["error"])
    return document["result"]


def read_snapshot(document: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot of an answer; members that this version does not know are left out."""
    known = _known(Snapshot, document)
    for name, kind in (("items", Item), ("held", Item), ("questions", Question)):
        known[name] = tuple(kind(**_known(kind, one)) for one in known.get(name, ()))
    return Snapshot(**known)


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        member.name: tuple(value) if isinstance(value := document[member.name], list) else value
        for member in fields(kind)
        if member.name in document
    }
