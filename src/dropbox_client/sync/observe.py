"""What keeps the trees of a root true: scans where hints lead, lists and events of the server, and their failures."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from dropbox_client.client import Client
from dropbox_client.errors import ApiError, InvalidResponse, Stopped, Unreachable
from dropbox_client.problems import CursorExpired, InvalidCursor
from dropbox_client.sync.guard import RootPaused
from dropbox_client.sync.poll import Polled, Poller
from dropbox_client.sync.remote import RemoteReader
from dropbox_client.sync.root import OpenRoot
from dropbox_client.sync.scan import Hashed, Place, Scanner
from dropbox_client.sync.state import LocalRow
from dropbox_client.sync.watch import Watcher, rescan_interval_s

_log = logging.getLogger("dropbox_client.sync")
_HASHERS = 2
_CHECK_ONE_S, _CHECKED_BYTES_S = 60.0, 1 << 20
_DAY_S: Final = 86_400.0
_LEAST_OFFLINE_S, _MOST_OFFLINE_S = 1.0, 60.0
_WATCH_WAIT_S = 10.0


class Observer:
    """The observers of one root. A context manager; the control thread owns it."""

    def __init__(
        self,
        root: OpenRoot,
        client: Client,
        folder: str,
        wake: Callable[[], None],
        *,
        poll: Callable[[Polled], None],
        poll_client: Client,
    ) -> None:
        """`wake` is called in another thread when there are hints, `poll` when there are events or a failure.

        `poll_client` waits for events; closing it ends the wait.
        """
        self._root, self._state = root, root.state
        self.scanner = Scanner(root.state, root.disk, root.folder.device, traits=root.traits)
        self.reader = RemoteReader(client, root.state, folder=folder)
        self.offline_reason: str | None = None
        """Why the server cannot be asked; None while it can."""
        self.has_news = True
        """Whether a tree changed since this was cleared."""
        self._offline_since = 0.0
        self._asked_cursor: str | None = None
        self._checked: Place = (0, b"")
        self._check: tuple[LocalRow, Future[Hashed]] | None = None
        """The file that is hashed again right now."""
        now = time.monotonic()
        self._next_read_at = 0.0
        self._rescan_at, self._check_at, self._reload_at = now, now + _CHECK_ONE_S, now + _DAY_S
        self._stack = ExitStack()
        self._hashers = self._stack.enter_context(ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash"))
        self._large_hasher = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="large"))
        self._poller = self._stack.enter_context(Poller(poll_client, poll))
        self._watcher = self._stack.enter_context(Watcher(root.path, wake))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._root.disk.is_stopping = True  # ends hashes of large files
        self._stack.close()

    @property
    def is_settled(self) -> bool:
        """Whether both trees are complete."""
        return self.scanner.is_settled and self.reader.is_settled

    @property
    def hint_problem(self) -> str | None:
        """Why the system gives no hints, None while it does."""
        return self._watcher.problem

    def wait_until_watching(self) -> None:
        """Wait until the system gives hints, or a while."""
        self._watcher.wait_until_watching(_WATCH_WAIT_S)

    def find_wait_s(self) -> float:
        """Return in how many seconds there is something to observe."""
        now = time.monotonic()
        waits = [self._check_at - now, self._rescan_at - now, self._reload_at - now]
        if not self.reader.is_settled or self._next_read_at > now:
            waits.append(self._next_read_at - now)
        next_look_s = self.scanner.next_look_s()
        return min(waits if next_look_s is None else [*waits, next_look_s])

    # The disk

    def look(self, *, at_everything: bool = False) -> None:
        """Bring the local tree up to date where it is time to. Raises: RootPaused."""
        hints = self._watcher.take()
        now = time.monotonic()
        self._check_one(now)
        is_whole = at_everything or hints.has_gaps or now >= self._rescan_at
        if is_whole:
            self.scanner.mark_all()
        for path in hints.folders:
            self.scanner.mark(path)
        next_look_s = self.scanner.next_look_s()
        if next_look_s is None or next_look_s > 0:
            return
        self._root.check()
        before, was_settled = self._state.database.total_changes, self.scanner.is_settled
        try:
            self.scanner.run(self._hashers, self._large_hasher)
        except OSError as error:
            raise RootPaused(f"{self._root.path}: {error.strerror or error}") from error
        self._root.check()
        has_changed = self._state.database.total_changes != before
        self.has_news |= has_changed or (self.scanner.is_settled and not was_settled)
        if is_whole:
            took_s = time.monotonic() - now
            self._rescan_at = time.monotonic() + rescan_interval_s(took_s, is_watching=self._watcher.problem is None)

    def _check_one(self, now: float) -> None:
        """Hash one file again every minute, at a mebibyte a second on average."""
        if self._check is not None and self._check[1].done():
            row, future = self._check
            self.scanner.end_check(row, future.result())
            self._checked, self._check = (row.dir, row.name), None
            self._check_at = now + max(_CHECK_ONE_S, row.size / _CHECKED_BYTES_S)
        elif self._check is None and now >= self._check_at:
            self._check = self.scanner.begin_check(self._checked, self._large_hasher)
            self._check_at = now + _CHECK_ONE_S
            if self._check is None:
                self._checked = (0, b"")

    # The server

    def read(self, *, is_once: bool, is_interrupted: Callable[[], bool]) -> None:
        """Bring the remote tree up to date: with requests until it is complete, then by a wait in another thread.

        Raises: NotSignedIn, ServerReplaced, ApiError; with `is_once` also Unreachable.
        """
        now = time.monotonic()
        if now >= self._reload_at:
            self.reader.reload()
            self._reload_at = now + _DAY_S
        if now < self._next_read_at:
            return
        try:
            while not self.reader.is_settled and not is_interrupted():
                pause_s = self.reader.step()
                self.has_news = True
                self._note_success()
                if pause_s:
                    self._next_read_at = time.monotonic() + pause_s
                    break
        except (Unreachable, InvalidResponse, ApiError) as error:
            if is_once:
                raise
            self.note_failure(error)
            return
        cursor = self._state.cursor
        if not is_once and self.reader.is_settled and self._asked_cursor is None and cursor is not None:
            self._asked_cursor = cursor
            self._poller.ask(cursor)

    def end_poll(self, polled: Polled) -> None:
        """Take over what the wait for events brought. Raises: NotSignedIn, ApiError."""
        self._asked_cursor = None
        result = polled.result
        if isinstance(result, Stopped) or polled.cursor != self._state.cursor:
            return
        if isinstance(result, CursorExpired | InvalidCursor):
            self.reader.reload()
            return
        if isinstance(result, Exception):
            self.note_failure(result)
            return
        self.reader.apply(result)
        self.has_news |= bool(result.events)
        if result.backoff_s:
            self._next_read_at = time.monotonic() + result.backoff_s

    def note_failure(self, error: Exception) -> None:
        """Note that the server cannot be asked, and ask it again later. Raises what no time mends."""
        # An invalid response is that of another server, such as the page of a hotel's network.
        is_transient = isinstance(error, Unreachable | InvalidResponse)
        if not is_transient and not (isinstance(error, ApiError) and error.retryable):
            raise error
        now = time.monotonic()
        if self.offline_reason is None:
            self._offline_since = now
            _log.warning("offline: %s", error)
        self.offline_reason = str(error)
        self.reader.expect_more()
        self._next_read_at = now + min(max(_LEAST_OFFLINE_S, now - self._offline_since), _MOST_OFFLINE_S)

    def _note_success(self) -> None:
        if self.offline_reason is None:
            return
        if time.monotonic() - self._offline_since > _DAY_S:
            self.reader.reload()
        _log.info("online again")
        self.offline_reason = None
