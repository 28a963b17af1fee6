"""One run of the engine on an open root: observe, plan, act, and wait for what happens next.

The thread that calls `run` is the only one that touches state and planner. Other threads send messages: hints, pages of
events, ends of transfers. Everything that is known is in the state, so that a session may end at any point: after a
failure of the root it is closed, and another one begins where it ended.
"""

import logging
import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self, TypeGuard

from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Corrupt, FileChanged, NotSignedIn, Stopped, Unreachable
from dropbox_client.models import File
from dropbox_client.problems import NotFound, ParentGone
from dropbox_client.sync.apply import INCOMING_PATH, Busy, LocalActions
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.delays import Delays
from dropbox_client.sync.disk import Disk
from dropbox_client.sync.guard import (
    Host,
    RootFolder,
    RootLock,
    RootPaused,
    check_root,
    make_marker,
    require_disjoint,
    require_local_disk,
)
from dropbox_client.sync.ignores import PRIVATE_NAME
from dropbox_client.sync.localtrash import LocalTrash
from dropbox_client.sync.mounts import make_select
from dropbox_client.sync.part import load_part
from dropbox_client.sync.plan import Situation, make_plan
from dropbox_client.sync.poll import Polled, Poller
from dropbox_client.sync.remote import RemoteReader
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.scan import Place, Scanner
from dropbox_client.sync.send import RemoteAction, RemoteActions
from dropbox_client.sync.snapshot import Item, Phase, Question, Snapshot, Work
from dropbox_client.sync.state import State
from dropbox_client.sync.transfers import Done, Transfer, Transfers
from dropbox_client.sync.trees import (
    Action,
    Adopt,
    CopyConflict,
    Detach,
    Download,
    DropBase,
    LookUp,
    MakeLocal,
    MakeRemote,
    MarkLocal,
    MarkRemote,
    MoveLocal,
    MoveRemote,
    NodeId,
    Pair,
    Park,
    PlaceMount,
    Plan,
    RemoteEntry,
    SendEdit,
    SendNew,
    TrashLocal,
    TrashRemote,
    Tree,
    Trees,
)
from dropbox_client.sync.watch import Watcher, rescan_interval_s
from dropbox_client.transfer.partial_file import is_partial_file
from dropbox_client.transfer.source import Source, hash_range

Message = Done | Polled | None
"""None only wakes the thread: there are hints, or a person asked for something."""

_log = logging.getLogger("dropbox_client.sync")
STATE_NAME: Final = "state.db"
_HASHERS = 2
_ROWS_PER_TRANSACTION = 500
_DONE_PER_TRANSACTION = 200
_PLANS_SHARE = 10.0
"""Between two plans passes ten times the time that a plan takes."""
_SHOWN = 1_000
_SHOWN_OF_QUESTION = 20
_CONFLICT_WINDOW_S = 600.0
_CHECK_ONE_S = 60.0
_DAY_S = 86_400.0
_REPORT_S, _REPORT_SOON_S = 300.0, 10.0
_OFFLINE_S = (1.0, 60.0)
_LONG_WAIT_S = 60.0
_SHOW_S = 1.0
_LEAST_EDIT_REST_S, _EDIT_BYTES_S = 10.0, 10 * 1024 * 1024
"""A file is sent at most once in this time, and in the time that its size takes at this rate."""
_PATIENCE = 3
"""How often an action is tried before `run_once` leaves it."""
_UNSHOWN: Final = frozenset({"ignored", "ignored on this device", "unselected on this device"})
_WORK: Final[dict[type, Work]] = {
    SendNew: "upload",
    SendEdit: "upload",
    Download: "download",
    MoveLocal: "move",
    MoveRemote: "move",
    CopyConflict: "move",
    TrashLocal: "delete",
    TrashRemote: "delete",
    MakeLocal: "folder",
    MakeRemote: "folder",
}
_ROWS_ONLY = (Adopt, Pair, DropBase, Detach, PlaceMount)


class Session:
    """An open root. A context manager."""

    def __init__(
        self,
        config: RootConfig,
        directory: Path,
        client: Client,
        inbox: "SimpleQueue[Message]",
        show: Callable[[Snapshot], None],
        *,
        others: Collection[Path] = (),
        is_interrupted: Callable[[], bool] = lambda: False,
        take_look: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the root and its state.

        `is_interrupted` tells when `run` is to end, `take_look` whether a person asked for a look at everything.

        Raises: RootRefused, RootPaused, ClientError, OSError.
        """
        self._config, self._inbox, self._show_snapshot = config, inbox, show
        self._client = client
        self._is_interrupted = is_interrupted
        self._take_look = take_look
        self._stack = ExitStack()
        self._running: dict[NodeId, Transfer] = {}
        """Transfers that were begun, by the id of their entry."""
        self._delays = Delays()
        self._is_plan_due = True
        self._next_plan_at = 0.0
        self._left: list[Action] = []
        """Actions of the last plan that wait."""
        self._did_act = False
        self._offline_since: float | None = None
        self._offline_reason = ""
        self._next_read_at = 0.0
        self._polled_cursor: str | None = None
        self._checked: Place = (0, b"")
        now = time.monotonic()
        self._rescan_at, self._check_at, self._clean_at, self._reload_at = now, now + _CHECK_ONE_S, now, now + _DAY_S
        self._report_at = 0.0
        self._reported: tuple[str | None, int] | None = None
        self._shown_at = 0.0
        self._snapshot = Snapshot("starting")
        self._total_bytes = 0
        self._done_before = 0
        self._rate = 0.0
        self._measured = now, 0
        try:
            self._open(directory, others)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def _open(self, directory: Path, others: Collection[Path]) -> None:
        config, host = self._config, Host.read()
        require_local_disk(directory if directory.exists() else directory.parent, host)
        self._host = host
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self.state = self._stack.enter_context(State(directory / STATE_NAME))
        if state.set_aside:
            _log.warning("the state was damaged and is now %s: both sides are compared anew", state.set_aside)
        require_disjoint(config.path, others)
        if state.record is None:
            state.record = make_marker(config.path, host, others)
        folder = self._folder = self._stack.enter_context(RootFolder(config.path))
        self._stack.enter_context(RootLock(folder, state.path))
        record = state.record
        assert record is not None, "set above"  # noqa: S101
        state.record = check_root(folder, record, host)
        disk = self._disk = Disk(folder.fd)
        with disk.open_folder(PRIVATE_NAME.encode()) as private:
            traits = self._traits = disk.probe(private)
            with suppress(FileExistsError):
                os.mkdir(INCOMING_PATH.rpartition(b"/")[2], 0o700, dir_fd=private)
        self._trash = LocalTrash(folder.fd, disk)
        self._rows = Rows(state)
        self._local = LocalActions(self._rows, disk, self._trash)
        self._local.recover()
        self._clean_incoming()
        self._note_selection()
        self._remote = RemoteActions(self._client, self._rows)
        self._reader = RemoteReader(self._client, state, folder=config.folder)
        self._scanner = Scanner(state, disk, folder.device, traits=traits)
        self._hashers = self._stack.enter_context(ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash"))
        # Its own client: closing it ends the transfers, and nothing else.
        self._transfer_client = Client(self._client.base_url, self._client.exchange.store)
        self._transfers = self._stack.enter_context(
            Transfers(self._transfer_client, self._rows, disk, config.path, self._inbox.put)
        )
        self._poller = self._stack.enter_context(Poller(self._transfer_client, self._inbox.put))
        self._stack.callback(self._transfer_client.close)
        self._watcher = self._stack.enter_context(Watcher(config.path, lambda: self._inbox.put(None)))

    def _note_selection(self) -> None:
        """Let the next plan see everything if the selected folders are others than before."""
        text = "\n".join(sorted(self._config.unselected))
        if (self.state.read_fact("unselected") or "") != text:
            with self.state.transaction():
                self.state.mark_changed()
                self.state.set_fact("unselected", text)

    def _clean_incoming(self) -> None:
        """Keep complete downloads for their place; a file that lost its place to one goes to the local trash."""
        with self._disk.open_folder(INCOMING_PATH) as store:
            for name, entry in list(self._disk.list(store)):
                text = name.decode(errors="replace")
                if isinstance(entry, OSError) or entry.kind != "file" or is_partial_file(text):
                    continue
                fingerprint, _, node_id = text.partition("-")
                with Source(self._config.path / os.fsdecode(INCOMING_PATH) / os.fsdecode(name)) as source:
                    is_download = hash_range(source, 0, source.size_bytes) == fingerprint
                remote = self.state.find_remote(node_id)
                if not is_download:
                    _log.warning("an earlier version of %s was kept in the local trash", node_id)
                    self._trash.put(store, name, b"incoming/" + name)
                elif remote is None or remote.content is None or remote.content.fingerprint != fingerprint:
                    self._disk.remove_file(store, name)

    # The loop

    def run(self, *, is_once: bool = False) -> None:
        """Keep both sides equal until interrupted, or once until they are, as far as they can be.

        Raises: RootPaused, RootRefused; NotSignedIn; ServerReplaced; with `is_once` also Unreachable; OSError and
        sqlite3.Error of the state.
        """
        if not is_once:
            self._watcher.wait_until_watching(10)
        while not self._is_interrupted():
            self._take_messages()
            self._look()
            self._read(is_once=is_once)
            self._plan_and_act()
            if is_once and self._is_quiet():
                self._show(is_last=True)
                return
            self._keep_house()
            wait_s = self._find_wait_s()
            self._show()
            if wait_s > 0:
                with suppress(Empty):
                    self._take(self._inbox.get(timeout=wait_s))

    def preview(self) -> tuple[Item, ...]:
        """Return what would be done first, without doing it. Raises as `run` with `is_once`."""
        while not (self._scanner.is_settled and self._reader.is_settled):
            self._look()
            self._read(is_once=True)
            time.sleep(min(self._scanner.next_look_s() or 0.0, 1.0))
        plan = self._make_plan()
        return tuple(self._describe(action) for stage in plan.stages for action in stage if type(action) in _WORK)

    def _find_wait_s(self) -> float:
        """Return how long nothing is to be done."""
        now = time.monotonic()
        times = [self._check_at, self._rescan_at, self._report_at]
        if self._is_plan_due:
            times.append(self._next_plan_at)
        if not self._reader.is_settled or self._offline_since is not None:
            times.append(self._next_read_at)
        waits = [at - now for at in times]
        waits += [wait for wait in (self._scanner.next_look_s(), self._delays.next_s()) if wait is not None]
        if self._running:
            waits.append(_SHOW_S)
        return min(_LONG_WAIT_S, *waits)

    def _is_quiet(self) -> bool:
        is_settled = self._scanner.is_settled and self._reader.is_settled
        if self._is_plan_due or self._running or not is_settled or self._offline_since is not None:
            return False
        return all(self._delays.count_failures(_find_id(action)) >= _PATIENCE for action in self._left)

    # Messages

    def _take_messages(self) -> None:
        done: list[Done] = []
        with suppress(Empty):
            while len(done) < _DONE_PER_TRANSACTION:
                message = self._inbox.get_nowait()
                if isinstance(message, Done):
                    done.append(message)
                else:
                    self._take(message)
        self._end_transfers(done)

    def _take(self, message: Message) -> None:
        if isinstance(message, Done):
            self._end_transfers([message])
        elif isinstance(message, Polled):
            self._end_poll(message)

    def _end_poll(self, polled: Polled) -> None:
        self._polled_cursor = None
        if polled.cursor != self.state.cursor:
            return
        result = polled.result
        if isinstance(result, Exception):
            if isinstance(result, Stopped):
                return
            self._reader.expect_more()
            self._note_failure(result)
            return
        self._reader.apply(result)
        self._is_plan_due |= bool(result.events)
        if result.backoff_s:
            self._next_read_at = time.monotonic() + result.backoff_s

    # Observing

    def _look(self) -> None:
        """Bring the local tree up to date where it is time to."""
        hints = self._watcher.take()
        now = time.monotonic()
        is_asked = self._take_look()
        if is_asked:
            self._delays.forget()
            self._is_plan_due = True
        is_whole = is_asked or hints.has_gaps or now >= self._rescan_at
        if is_whole:
            self._scanner.mark_all()
        for path in hints.folders:
            self._scanner.mark(path)
        next_look_s = self._scanner.next_look_s()
        if next_look_s is None or next_look_s > 0:
            return
        record = self.state.record
        assert record is not None, "set by `_open`"  # noqa: S101
        check_root(self._folder, record, self._host)
        before = self.state.database.total_changes
        try:
            self._scanner.run(self._hashers)
        except OSError as error:
            raise RootPaused(f"{self._config.path}: {error.strerror or error}") from error
        check_root(self._folder, record, self._host)
        took_s = time.monotonic() - now
        self._is_plan_due |= self.state.database.total_changes != before or self._scanner.is_settled
        if is_whole:
            is_watching = self._watcher.problem is None
            self._rescan_at = time.monotonic() + rescan_interval_s(took_s, is_watching=is_watching)

    def _read(self, *, is_once: bool) -> None:
        """Bring the remote tree up to date: with requests until it is complete, then by a wait in another thread."""
        now = time.monotonic()
        if now >= self._reload_at:
            self._reader.reload()
            self._reload_at = now + _DAY_S
        if now < self._next_read_at:
            return
        try:
            while not self._reader.is_settled and not self._is_interrupted():
                pause_s = self._reader.step()
                self._is_plan_due = True
                if pause_s:
                    self._next_read_at = time.monotonic() + pause_s
                    break
        except (Unreachable, ApiError) as error:
            if is_once:
                raise
            self._note_failure(error)
            return
        self._note_success()
        cursor = self.state.cursor
        if not is_once and self._reader.is_settled and self._polled_cursor is None and cursor is not None:
            self._polled_cursor = cursor
            self._poller.ask(cursor)

    def _note_failure(self, error: Exception) -> None:
        """Note that the server cannot be asked; raise what no time mends."""
        if not isinstance(error, Unreachable | ApiError) or (isinstance(error, ApiError) and not error.retryable):
            raise error
        now = time.monotonic()
        if self._offline_since is None:
            self._offline_since = now
            _log.warning("offline: %s", error)
        self._offline_reason = str(error)
        passed = now - self._offline_since
        self._next_read_at = now + min(max(_OFFLINE_S[0], passed), _OFFLINE_S[1])

    def _note_success(self) -> None:
        if self._offline_since is None:
            return
        if time.monotonic() - self._offline_since > _DAY_S:
            self._reader.reload()
        _log.info("online again")
        self._offline_since, self._offline_reason = None, ""
        self._delays.forget()
        self._is_plan_due = True

    # Planning and acting

    def _plan_and_act(self) -> None:
        now = time.monotonic()
        wait_s = self._delays.next_s()
        if self._left and (wait_s is None or not all(self._is_waiting(action) for action in self._left)):
            self._is_plan_due = True
        if not self._is_plan_due or now < self._next_plan_at or self.state.cursor is None or self._offline_since:
            return
        self._is_plan_due = False
        try:
            self._remote.recover()
            plan = self._make_plan()
            self._next_plan_at = time.monotonic() + _PLANS_SHARE * (time.monotonic() - now)
            self._ask(plan)
            self._did_act = self._act(plan)
        except Unreachable as error:
            self._note_failure(error)
            self._is_plan_due = True
        # A plan that acted is followed by another one: it sees what is left.
        self._is_plan_due |= self._did_act

    def _make_plan(self) -> Plan:
        is_settled = self._scanner.is_settled and self._reader.is_settled
        select = make_select(self._scanner.ignores, self._config.unselected)
        trees = load_part(self.state, self._folder.device, select, is_settled=is_settled)
        situation = Situation(
            self._config.device_name,
            f"{datetime.now().astimezone():%Y-%m-%d}",
            self.state.count_files(),
            len(self.state.list_conflicts(time.time() - _CONFLICT_WINDOW_S)),
            self.state.list_answers(),
            self._traits,
        )
        return make_plan(self._hide_sent(trees), situation)

    def _hide_sent(self, trees: Trees) -> Trees:
        """Show files that are being sent as busy: until the answer, the server's news of them is old."""
        sent = {
            self._rows.resolve(node_id) for node_id, one in self._running.items() if not isinstance(one, Download)
        } & set(trees.local)
        if not sent:
            return trees
        local = Tree(
            replace(entry, status="busy", reason="is being sent", content=None) if entry.id in sent else entry
            for entry in trees.local.values()
        )
        return replace(trees, local=local)

    def _ask(self, plan: Plan) -> None:
        """Record the questions of a plan, and tell of new ones."""
        asked = {node_id: brake.kind for brake in plan.brakes for node_id in brake.ids}
        if asked == self.state.list_questions():
            questions = self._snapshot.questions
        else:
            self.state.put_questions(asked)
            questions = tuple(
                Question(brake.kind, brake.count, tuple(map(self._find_path, brake.ids[:_SHOWN_OF_QUESTION])))
                for brake in plan.brakes
            )
            for question in questions:
                _log.warning("asks about %d files (%s): %s", question.count, question.kind, ", ".join(question.paths))
        shown = (held for held in plan.held if held.reason not in _UNSHOWN)
        held = tuple(Item(self._find_path(one.id), None, one.reason) for one in islice(shown, _SHOWN))
        self._snapshot = replace(self._snapshot, questions=questions, held=held)

    def _act(self, plan: Plan) -> bool:
        """Carry out a plan, stage by stage; return whether something was done that another plan has to see."""
        self._left = []
        did_act = False
        for stage in plan.stages:
            rows: list[Action] = []
            remote: list[RemoteAction] = []
            other: list[Action] = []
            for action in stage:
                if self._is_waiting(action):
                    self._left.append(action)
                elif isinstance(action, _ROWS_ONLY):
                    rows.append(action)
                elif _is_remote(action):
                    remote.append(action)
                else:
                    other.append(action)
            did_act |= self._act_on_rows(rows) | self._act_on_server(remote)
            for action in other:
                did_act |= self._act_alone(action)
            if self._is_interrupted():
                break
        return did_act

    def _is_waiting(self, action: Action) -> bool:
        """Return whether nothing is done with an entry now; a running download takes over the newest plan."""
        node_id = _find_id(action)
        running = self._running.get(node_id)
        if isinstance(running, Download) and isinstance(action, Download):
            if running.remote.revision_id == action.remote.revision_id:
                self._running[node_id] = action
            return True
        if running is not None and isinstance(action, SendNew | SendEdit):
            return True
        return self._delays.find_reason(node_id) is not None

    def _act_on_rows(self, actions: list[Action]) -> bool:
        for first in range(0, len(actions), _ROWS_PER_TRANSACTION):
            with self.state.transaction():
                for action in actions[first : first + _ROWS_PER_TRANSACTION]:
                    self._try(action, lambda action=action: self._local.run(action))  # type: ignore[misc]
        return bool(actions)

    def _act_on_server(self, actions: list[RemoteAction]) -> bool:
        if not actions:
            return False
        for refusal in self._remote.run(actions):
            self._note_refusal(refusal.action, refusal.problem)
        for action in actions:
            if type(action) in _WORK and not self._delays.find_reason(_find_id(action)):
                self._log_action(action)
        return True

    def _act_alone(self, action: Action) -> bool:
        """Act on the disk, or begin a transfer; return whether another plan has to see it."""
        if isinstance(action, SendNew | SendEdit):
            self._try(action, lambda: self._begin(action, lambda: self._transfers.send(action)))
            return False
        if isinstance(action, Download):
            self._try(action, lambda: self._begin(action, lambda: self._transfers.fetch(action)))
            return False
        path = self._describe(action).path
        if self._try(action, lambda: self._local.run(action)):
            self._log_action(action, path)
        if isinstance(action, MoveLocal | TrashLocal | Park):
            self._scanner.forget_paths()
        return True

    def _begin(self, action: Transfer, start: Callable[[], None]) -> None:
        start()
        self._running[_find_id(action)] = action
        self._total_bytes += _find_size(action)

    def _try(self, action: Action, act: Callable[[], object]) -> bool:
        """Carry out an action; record why it failed. Returns whether it did not."""
        node_id = _find_id(action)
        try:
            act()
        except Mismatch as mismatch:
            if mismatch.path is not None:
                self._scanner.mark(mismatch.path)
            self._delay(action, f"{mismatch}; it is looked at again")
        except Busy as busy:
            self._delay(action, str(busy), 5.0)
        except OSError as error:
            self._delay(action, error.strerror or str(error), 2.0)
            _log.warning("%s: %s", self._describe(action).path, error.strerror or error)
        except ApiError as problem:
            self._note_refusal(action, problem)
        else:
            self._delays.succeed(node_id)
            return True
        return False

    def _delay(self, action: Action, reason: str, least_s: float = 0.0) -> None:
        self._delays.fail(_find_id(action), reason, least_s)
        self._left.append(action)

    def _note_refusal(self, action: Action, problem: ApiError) -> None:
        """Let an action wait that the server refused; events will show what another device did."""
        is_outrun = problem.status in {404, 409, 412}
        self._delay(action, problem.detail or problem.code, 0.0 if is_outrun else 30.0)
        if not is_outrun:
            _log.warning("%s: %s", self._describe(action).path, problem)

    # Transfers

    def _end_transfers(self, done: list[Done]) -> None:
        if not done:
            return
        self._is_plan_due = True
        with self.state.transaction():
            for one in done:
                self._end_transfer(one)
        if not self._running:
            self._done_before, self._total_bytes = self._transfers.done_bytes, 0

    def _end_transfer(self, done: Done) -> None:
        node_id = _find_id(done.action)
        action = self._running.pop(node_id, done.action)
        result = done.result
        path = self._describe(action).path
        if isinstance(result, File) and not isinstance(action, Download):
            self._record_upload(action, result)
            rest_s = max(_LEAST_EDIT_REST_S, (result.size_bytes or 0) / _EDIT_BYTES_S)
            self._delays.succeed(node_id)
            self._delays.succeed(result.id, rest_s)
            _log.info("uploaded %s", path)
        elif isinstance(result, bytes) and isinstance(action, Download):
            if self._try(action, lambda: self._local.publish(action, result)):
                _log.info("downloaded %s", path)
        elif isinstance(result, Exception):
            self._note_failed_transfer(action, result, path)

    def _record_upload(self, action: SendNew | SendEdit, file: File) -> None:
        entry = self._rows.put_file(file)
        if isinstance(action, SendNew):
            if self.state.find_local(self._rows.resolve(action.local.id)) is not None:
                with suppress(Mismatch):
                    self._rows.bind(action.local.id, entry.id)
            if self.state.find_base(entry.id) is None:
                self._rows.agree(entry, action.local.name)
        elif action.remote is not None:
            self._rows.change_base(
                entry.id, content=entry.content, revision_id=entry.revision_id, executable=entry.executable
            )

    def _note_failed_transfer(self, action: Transfer, error: Exception, path: str) -> None:
        if isinstance(error, Stopped):
            return
        if isinstance(error, NotSignedIn):
            raise error
        if isinstance(action, SendEdit) and action.remote is None and isinstance(error, NotFound | ParentGone):
            with suppress(Mismatch):
                self._local.run(Detach(action.local))
            return
        if isinstance(error, Unreachable):
            self._delay(action, "the server cannot be reached")
            self._note_failure(error)
        elif isinstance(error, FileChanged):
            with suppress(Mismatch):
                self._scanner.mark(
                    self._rows.find_path(self._rows.find_entry(action.local).dir) if action.local else b""
                )
            self._delay(action, "it changed while it was sent")
        elif isinstance(error, Corrupt) and isinstance(action, Download):
            self.state.refuse_content(action.remote.id)
            _log.warning("%s: %s", path, error)
        elif isinstance(error, ApiError):
            self._note_refusal(action, error)
        elif isinstance(error, OSError | ClientError):
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._delay(action, reason, 5.0)
            _log.warning("%s: %s", path, reason)
        else:
            raise error

    # Upkeep

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + _CHECK_ONE_S
            self._checked = self._scanner.check_one(self._checked)
        if now >= self._clean_at:
            self._clean_at = now + _DAY_S
            removed = self._trash.clean()
            if removed:
                _log.info("removed %d old entries of the local trash", removed)
        if now >= self._report_at:
            self._report(now)

    def _report(self, now: float) -> None:
        """Tell the server how far this device is."""
        self._report_at = now + _REPORT_SOON_S
        news = self.state.cursor, self._count_pending()
        if self._offline_since is not None or news[0] is None:
            return
        if news == self._reported:
            self._report_at = now + _REPORT_S
            self._reported = None
            return
        with suppress(ApiError, Unreachable):
            self._client.account.report_device(
                self._config.device_id, self._config.device_name, cursor=news[0], pending=news[1]
            )
            self._reported = news

    # What is shown

    def _count_pending(self) -> int:
        return len(self._running) + len(self._left)

    def _show(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        phase = self._find_phase()
        if phase == self._snapshot.phase and now - self._shown_at < _SHOW_S and not is_last:
            return
        self._shown_at = now
        done = self._transfers.done_bytes - self._done_before
        self._measure(now)
        rest = max(0, self._total_bytes - done)
        waiting = self._left if phase != "up-to-date" or self._left else []
        items = [self._describe_running(one) for one in islice(self._running.values(), _SHOWN)]
        items += [self._describe(action) for action in islice(waiting, _SHOWN - len(items))]
        self._snapshot = replace(
            self._snapshot,
            phase=phase,
            reason=self._offline_reason if phase == "offline" else "",
            items=tuple(items),
            pending=self._count_pending(),
            total_bytes=self._total_bytes,
            done_bytes=min(done, self._total_bytes),
            eta_s=rest / self._rate if self._rate > 0 and self._running else None,
            agreed_files=self.state.count_files(),
            synced_at=time.time() if phase == "up-to-date" else self._snapshot.synced_at,
            hint_problem=self._watcher.problem,
        )
        self._show_snapshot(self._snapshot)

    def _find_phase(self) -> Phase:
        if self._offline_since is not None:
            return "offline"
        if self._running or self._did_act:
            return "syncing"
        if not (self._scanner.is_settled and self._reader.is_settled):
            return "looking"
        return "syncing" if self._is_plan_due else "up-to-date"

    def _measure(self, now: float) -> None:
        """Follow the rate of all transfers."""
        at, before = self._measured
        passed, done = now - at, self._transfers.done_bytes
        if passed <= 0:
            return
        share = min(1.0, passed / 10)
        self._rate += share * (max(0, done - before) / passed - self._rate)
        self._measured = now, done

    def _describe_running(self, action: Transfer) -> Item:
        done = self._transfers.find_bytes(_find_id(action))
        return replace(self._describe(action), done_bytes=max(0, done))

    def _describe(self, action: Action) -> Item:
        reason = self._delays.find_reason(_find_id(action)) or ""
        return Item(self._find_path(_find_id(action)), _WORK.get(type(action), "other"), reason, _find_size(action))

    def _find_path(self, node_id: NodeId) -> str:
        """Return the path of an entry for people: on disk, else on the server."""
        row = self.state.find_local(self._rows.resolve(node_id))
        if row is not None and row.dir > 0:
            return self._rows.show_path(row.dir, row.name)
        names: list[str] = []
        place: NodeId | None = node_id
        while place is not None and place != self.state.root_id and len(names) < _SHOWN:
            entry = self.state.find_remote(place) or self.state.find_base(place)
            if entry is None:
                break
            names.append(entry.name)
            place = entry.parent
        return "/".join(reversed(names)) or "(unknown)"

    def _log_action(self, action: Action, path: str | None = None) -> None:
        verbs: dict[Work, str] = {"move": "moved", "delete": "deleted", "folder": "made the folder"}
        work = _WORK.get(type(action))
        if isinstance(action, CopyConflict):
            _log.warning("conflict: %s is kept as %s", path, action.name.decode(errors="replace"))
        elif work in verbs:
            side = "on the server" if _is_remote(action) else "on disk"
            _log.info("%s %s %s", verbs[work], path or self._find_path(_find_id(action)), side)


def _is_remote(action: Action) -> TypeGuard[RemoteAction]:
    if isinstance(action, Park):
        return isinstance(action.entry, RemoteEntry)
    return isinstance(action, MakeRemote | MoveRemote | TrashRemote | MarkRemote | LookUp)


def _find_id(action: Action) -> NodeId:
    """Return the id of the entry that an action is about."""
    match action:
        case MakeRemote(local) | SendNew(local) | SendEdit(local):
            return local.id
        case MoveRemote(remote) | TrashRemote(remote) | MarkRemote(remote) | MakeLocal(remote) | Download(remote):
            return remote.id
        case MoveLocal(local) | CopyConflict(local) | TrashLocal(local) | MarkLocal(local):
            return local.id
        case Adopt(local) | Pair(local) | Detach(local) | PlaceMount(local):
            return local.id
        case Park(entry):
            return entry.id
        case DropBase(node_id):
            return node_id
        case LookUp(ids):
            return ids[0] if ids else ""


def _find_size(action: Action) -> int:
    if isinstance(action, Download):
        return action.remote.content.size_bytes if action.remote.content else 0
    if isinstance(action, SendNew | SendEdit):
        return action.local.content.size_bytes if action.local.content else 0
    return 0
