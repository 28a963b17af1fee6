"""The processes that keep roots in sync: one for each root, and one above them for `dbx sync run`."""

import concurrent.futures
import logging
import logging.handlers
import multiprocessing
import multiprocessing.connection
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from dropbox_client.cli import EXIT_NOT_SIGNED_IN, output
from dropbox_client.cli.arguments import Format
from dropbox_client.cli.progress_bars import ProgressBars, open_progress_bars
from dropbox_client.cli.signals import ExitOnSignal
from dropbox_client.cli.sync.notices import Notices, find_notifier
from dropbox_client.cli.sync.roots import open_client
from dropbox_client.cli.sync.show import count_changes, describe_phase, describe_question
from dropbox_client.cli.visible import make_visible
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn
from dropbox_client.sync.config import Registry, RootConfig
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.snapshot import Snapshot
from dropbox_client.sync.state import read_conflicts
from dropbox_client.sync.state_file import STATE_NAME
from dropbox_client.sync.status import StatusServer, hold_root
from dropbox_client.sync.trees import BrakeKind

LOG_NAME: Final = "log"
_LOG_BYTES, _LOG_FILES = 2 * 1024 * 1024, 5
_STOP_S = 10.0
"""How long the engine may take to end by itself; then its requests are aborted."""
_LOOK_S, _RESTART_S = 5.0, 60.0

T = TypeVar("T")
_log = logging.getLogger("dropbox_client.sync")


class RootRun:
    """The engine of one root in this process, with its notices and socket. Use it inside of `hold_root`."""

    def __init__(self, registry: Registry, config: RootConfig, client: Client, engine: Engine) -> None:
        self.config, self.client, self.engine = config, client, engine
        self._registry = registry
        self._state_path = registry.folder(config.id) / STATE_NAME
        self._stopped = threading.Event()
        notify = find_notifier()
        self._notices = Notices(config.path, notify) if notify else None

    def run(self, work: Callable[[], T], observe: Callable[[Snapshot], object], *, every_s: float) -> T | None:
        """Let the engine work in a thread, and observe its snapshots until it ends; None if it was told to stop.

        A signal stops the engine, and raises SystemExit. Raises the exceptions of `work`.
        """

        def stop() -> None:
            self._stopped.set()
            self.engine.stop()

        with StatusServer(self._registry, self.config.id, self.engine, stop=stop):
            future: concurrent.futures.Future[T] = concurrent.futures.Future()
            threading.Thread(target=_work, args=(future, work), name="engine", daemon=True).start()
            try:
                with ExitOnSignal():
                    self._observe_until_done(future, observe, every_s)
            finally:
                self._end(future)
            try:
                return None if self._stopped.is_set() else future.result()
            except sqlite3.Error as error:
                raise ClientError(f"{self._state_path}: {error}") from error

    def _observe_until_done(
        self, future: "concurrent.futures.Future[T]", observe: Callable[[Snapshot], object], every_s: float
    ) -> None:
        seen, is_done = None, False
        while not is_done:
            is_done = bool(concurrent.futures.wait([future], every_s).done)
            snapshot = self.engine.snapshot
            if snapshot != seen:
                seen = snapshot
                observe(snapshot)
                if self._notices:
                    with suppress(ClientError):  # the state is being made
                        self._notices.observe(snapshot, read_conflicts(self._state_path))

    def _end(self, future: "concurrent.futures.Future[T]") -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # systemd and `Supervisor` both send one
        self.engine.stop()
        try:
            concurrent.futures.wait([future], _STOP_S)
        finally:  # also at a second Ctrl-C
            if not future.done():
                self.client.close()
                concurrent.futures.wait([future], _STOP_S)


def _work(future: "concurrent.futures.Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised by `result`
        future.set_exception(error)


@contextmanager
def open_root(registry: Registry, config: RootConfig) -> Iterator[RootRun]:
    """Open the engine of a root. Raises NotSignedIn, ClientError."""
    folder = registry.folder(config.id)
    with open_log(folder), open_client(registry, config) as client:
        yield RootRun(registry, config, client, open_engine(registry, config, folder, client))


def open_engine(registry: Registry, config: RootConfig, folder: Path, client: Client) -> Engine:
    """Return the engine of a root whose state is in `folder`."""
    others = [other.path for other in registry.list() if other.id != config.id]
    return Engine(config, folder, client, others=others)


# The log


class _LogFormatter(logging.Formatter):
    """Names of files may have any characters; a line of the log stays one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of the library
        return make_visible(super().formatMessage(record))


@contextmanager
def open_log(folder: Path) -> Iterator[None]:
    """Write the log of a root into its private folder, while the context lasts."""
    handler = logging.handlers.RotatingFileHandler(
        folder / LOG_NAME, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES - 1, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(_LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    with _handled(handler):
        yield


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    _log.setLevel(logging.INFO)
    _log.propagate = False
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        handler.close()


class _PrintHandler(logging.Handler):
    """Prints each line: changes as results, warnings as notes. `shows_changes` is off while bars are drawn."""

    shows_changes = True
    last = ""
    """The last message."""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()
        try:
            if record.levelno >= logging.WARNING:
                output.print_error(self.last)
            elif self.shows_changes:
                output.print_text(self.last)
                sys.stdout.flush()
        except (OSError, ValueError):  # the reader has closed it: the work goes on
            pass


# In the foreground


@contextmanager
def show_progress(root: RootRun, output_format: Format, *, tells_phases: bool) -> Iterator[Callable[[Snapshot], None]]:
    """Yield a function that shows snapshots: as JSON, or as bars until all is up to date, then as lines."""
    if output_format is Format.JSON:
        yield _print_snapshot
        return
    handler = _PrintHandler()
    with _handled(handler), ExitStack() as stack:
        bars = stack.enter_context(open_progress_bars(output_format, root.client.exchange.waits))
        yield _Progress(root.config.path, bars, handler, stack.close, tells_phases=tells_phases)


def _print_snapshot(snapshot: Snapshot) -> None:
    output.print_json(snapshot)
    sys.stdout.flush()


class _Progress:
    def __init__(
        self,
        root: Path,
        bars: ProgressBars,
        handler: _PrintHandler,
        end_bars: Callable[[], None],
        *,
        tells_phases: bool,
    ) -> None:
        self._root = root
        self._bars, self._handler, self._end_bars, self._tells_phases = bars, handler, end_bars, tells_phases
        self._total_bytes = self._done_bytes = 0
        self._phase = ""
        self._kinds: set[BrakeKind] = set()
        """Of the open questions that were told."""
        handler.shows_changes = not bars.is_drawn

    def __call__(self, snapshot: Snapshot) -> None:
        if not self._handler.shows_changes:
            self._draw(snapshot)
            if snapshot.phase in {"up-to-date", "paused", "stopped"}:
                self._end_bars()
                self._handler.shows_changes = True
        told = describe_phase(snapshot) if snapshot.phase in {"up-to-date", "paused", "offline"} else ""
        is_logged = self._handler.last == f"{snapshot.phase}: {snapshot.reason}"
        if self._tells_phases and told and told != self._phase and not is_logged:
            output.print_note(told)
        self._phase = told
        kinds = {question.kind for question in snapshot.questions}
        for question in snapshot.questions if self._tells_phases else ():
            if question.kind not in self._kinds:
                output.print_note(*describe_question(question, self._root))
        self._kinds = kinds

    def _draw(self, snapshot: Snapshot) -> None:
        self._bars.label = f"{count_changes(snapshot.pending)}" if snapshot.pending else snapshot.phase
        self._bars.add_expected(snapshot.total_bytes - self._total_bytes)
        self._bars.add_bytes(snapshot.done_bytes - self._done_bytes)
        self._total_bytes, self._done_bytes = snapshot.total_bytes, snapshot.done_bytes


# In the background


class Supervisor:
    """Keeps a process for each root: one that fails stops no other, and is started again after a minute.

    A root whose token was revoked waits for a new one.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._processes: dict[str, BaseProcess] = {}
        self._due: dict[str, float] = {}
        self._revoked: dict[str, float] = {}
        """When the rejected token was written, by root."""

    def run(self) -> int:
        """Run until a signal raises SystemExit, or until no root has a valid token: returns 3."""
        for error in self._registry.list_damaged():
            output.print_error(str(error))
        if not self._registry.list():
            output.print_note("no folder was added yet: `dbx sync add DIR`")
        try:
            with ExitOnSignal():
                while True:
                    configs = self._registry.list()
                    for config in configs:
                        self._start(config)
                    if configs and all(config.id in self._revoked for config in configs):
                        return EXIT_NOT_SIGNED_IN
                    self._wait(configs)
        finally:
            self._end()

    def _start(self, config: RootConfig) -> None:
        if config.id in self._revoked:
            if self._revoked[config.id] == self._find_token_time(config.id):
                return
            del self._revoked[config.id], self._due[config.id]
        if config.id in self._processes or time.monotonic() < self._due.get(config.id, 0):
            return
        output.print_note(f"{config.path}: started")
        process = self._context.Process(target=_run_child, args=(self._registry.directory, config.id), daemon=True)
        process.start()
        self._processes[config.id] = process

    def _wait(self, configs: Collection[RootConfig]) -> None:
        multiprocessing.connection.wait([process.sentinel for process in self._processes.values()], _LOOK_S)
        paths = {config.id: config.path for config in configs}
        for root_id, process in list(self._processes.items()):
            if process.exitcode is None:
                continue
            del self._processes[root_id]
            self._due[root_id] = time.monotonic() + _RESTART_S
            if process.exitcode == EXIT_NOT_SIGNED_IN:
                self._revoked[root_id] = self._find_token_time(root_id)
            output.print_note(f"{paths.get(root_id, root_id)}: ended with {process.exitcode}")
        if not self._processes:
            time.sleep(_LOOK_S)

    def _find_token_time(self, root_id: str) -> float:
        try:
            return self._registry.tokens(root_id).path.stat().st_mtime
        except OSError:
            return 0

    def _end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        until = time.monotonic() + 2 * _STOP_S
        for process in self._processes.values():
            process.join(max(0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()


def _run_child(directory: Path, root_id: str) -> NoReturn:
    """Run one root in a process of its own, until a signal or the end of the parent."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    registry = Registry(directory)
    config = registry.read(root_id)
    sys.exit(0 if config is None else run_quietly(registry, config))


def _end_with(parent: BaseProcess) -> None:
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def run_quietly(registry: Registry, config: RootConfig) -> int:
    """Run a root, and return an exit code; the log and stderr tell why."""
    try:
        with hold_root(registry.folder(config.id)), open_root(registry, config) as root:
            root.run(root.engine.run, lambda _: None, every_s=5)
    except (ClientError, OSError) as error:
        output.print_error(output.describe_error(error, str(config.path)))
        return EXIT_NOT_SIGNED_IN if isinstance(error, NotSignedIn) else 1
    except Exception:  # noqa: BLE001 - the other roots go on
        with open_log(registry.folder(config.id)):
            _log.exception("internal error")
        output.print_error(f"{config.path}: internal error, see `dbx sync log {config.path}`")
        return 1
    return 0
