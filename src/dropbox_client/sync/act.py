"""The carrying out of plans: each action once, with what it takes to try it again."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from dropbox_client.errors import ApiError, ClientError, Corrupt, FileChanged, NotSignedIn, Stopped, Unreachable
from dropbox_client.models import File
from dropbox_client.models.files import normalize_name
from dropbox_client.problems import NotFound, ParentGone, RevisionConflict
from dropbox_client.sync.apply import Busy, LocalActions
from dropbox_client.sync.delays import Delays
from dropbox_client.sync.describe import Describer, find_id, find_size, find_work, is_remote
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.scan import Scanner
from dropbox_client.sync.send import RemoteAction, RemoteActions
from dropbox_client.sync.snapshot import Item, Work
from dropbox_client.sync.transfers import Done, Transfer, Transfers
from dropbox_client.sync.trees import (
    Action,
    Adopt,
    CopyConflict,
    Detach,
    Download,
    DropBase,
    LocalEntry,
    MoveLocal,
    NodeId,
    Pair,
    Park,
    PlaceMount,
    Plan,
    RemoteEntry,
    SendEdit,
    SendNew,
    TrashLocal,
    Tree,
    Trees,
)

_log = logging.getLogger("dropbox_client.sync")
_ROWS_PER_TRANSACTION = 500
_LEAST_EDIT_REST_S, _EDIT_BYTES_S = 10.0, 10 * 1024 * 1024
"""A file is sent at most once in this time, and in the time that its size takes at this rate."""
_PATIENCE: Final = 3
_PATIENCE_S: Final = 10.0
_VERBS: Final[dict[Work, str]] = {"move": "moved", "delete": "deleted", "folder": "made the folder"}
_ROWS_ONLY = (Adopt, Pair, DropBase, Detach, PlaceMount)


class Actor:
    """Carries out the plans of one root. The control thread owns it."""

    def __init__(
        self,
        rows: Rows,
        local: LocalActions,
        remote: RemoteActions,
        transfers: Transfers,
        scanner: Scanner,
        *,
        is_interrupted: Callable[[], bool],
        on_unreachable: Callable[[Unreachable], None],
    ) -> None:
        self._rows, self._state = rows, rows.state
        self._local, self._remote, self._transfers, self._scanner = local, remote, transfers, scanner
        self._is_interrupted, self._on_unreachable = is_interrupted, on_unreachable
        self.delays = Delays()
        self._rests = Delays()
        """Of files that were sent just now."""
        self.describer = Describer(rows, self.delays)
        self.left: list[Action] = []
        """Actions of the last plan that wait."""
        self._running: dict[NodeId, Transfer] = {}
        """Transfers that were begun, by the id of their entry."""
        self._fetched_first: set[NodeId] = set()
        """Nodes of which the content was asked for before a conflict copy is made."""
        self.total_bytes = 0
        """To send and to fetch since no transfer ran."""
        self._done_before = 0

    # What goes on

    @property
    def is_idle(self) -> bool:
        """Whether no transfer runs."""
        return not self._running

    @property
    def pending(self) -> int:
        """How many actions run or wait."""
        return len(self._running) + len(self.left)

    @property
    def done_bytes(self) -> int:
        """How many of `total_bytes` are done."""
        return min(self._transfers.done_bytes - self._done_before, self.total_bytes)

    @property
    def is_ready(self) -> bool:
        """Whether an action that waited may be tried again."""
        return not all(map(self._is_waiting, self.left))

    def find_wait_s(self) -> float | None:
        """Return in how many seconds one may, None if nothing waits."""
        return min((wait for wait in (self.delays.next_s(), self._rests.next_s()) if wait is not None), default=None)

    @property
    def is_stuck(self) -> bool:
        """Whether all that is left has failed several times, or was refused: a run that ends does not wait for it."""
        return self.is_idle and all(
            self.delays.count_failures(node_id) >= _PATIENCE or self.delays.find_wait_s(node_id) > _PATIENCE_S
            for node_id in map(find_id, self.left)
        )

    def list_items(self, limit: int) -> tuple[Item, ...]:
        """Return what runs and what waits."""
        running = [
            replace(self.describer.describe(one), done_bytes=max(0, self._transfers.find_bytes(node_id)))
            for node_id, one in islice(self._running.items(), limit)
        ]
        waiting = [self.describer.describe(one) for one in islice(self.left, limit - len(running))]
        return (*running, *waiting)

    def hide_sent(self, trees: Trees) -> Trees:
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

    # Plans

    def act(self, plan: Plan) -> bool:
        """Carry out a plan, stage by stage; return whether something was done that another plan has to see."""
        self.left = []
        did_act = False
        for stage in plan.stages:
            rows: list[Action] = []
            remote: list[RemoteAction] = []
            other: list[Action] = []
            for action in stage:
                if self._is_running(action):
                    continue
                if self._is_waiting(action):
                    self.left.append(action)
                elif isinstance(action, _ROWS_ONLY):
                    rows.append(action)
                elif is_remote(action):
                    remote.append(action)
                else:
                    other.append(action)
            did_act |= self._act_on_rows(rows) | self._act_on_server(remote)
            for action in other:
                if self._is_interrupted():
                    break
                did_act |= self._act_alone(action)
            if self._is_interrupted():
                break
        return did_act

    def _is_running(self, action: Action) -> bool:
        """Return whether a transfer runs already; a download of the same revision takes over the newest plan."""
        if not isinstance(action, Transfer):
            return False
        node_id = find_id(action)
        running = self._running.get(node_id)
        match running, action:
            case Download(old), Download(new) if old.revision_id == new.revision_id:
                self._running[node_id] = action
        return running is not None

    def _is_waiting(self, action: Action) -> bool:
        """Return whether nothing is done with an entry now."""
        node_id = find_id(action)
        if isinstance(action, SendEdit) and self._rests.find_reason(node_id) is not None:
            return True
        return self.delays.find_reason(node_id) is not None

    def _act_on_rows(self, actions: list[Action]) -> bool:
        for first in range(0, len(actions), _ROWS_PER_TRANSACTION):
            with self._state.transaction():
                for action in actions[first : first + _ROWS_PER_TRANSACTION]:
                    self._try(action, lambda action=action: self._local.run(action))  # type: ignore[misc]
        return bool(actions)

    def _act_on_server(self, actions: list[RemoteAction]) -> bool:
        """Carry out the actions of one stage; return whether any of them had an effect."""
        paths = [self.describer.find_path(find_id(action)) for action in actions]  # unknown after a deletion
        refusals = {id(refusal.action): refusal for refusal in self._remote.run(actions)} if actions else {}
        for action, path in zip(actions, paths, strict=True):
            refusal = refusals.get(id(action))
            if refusal is None:
                self.delays.succeed(find_id(action))
                self._log_action(action, path)
            elif isinstance(refusal.problem, Mismatch):
                self._note_mismatch(action, refusal.problem)
            else:
                self._note_refusal(action, refusal.problem)
        return len(refusals) < len(actions)

    def _act_alone(self, action: Action) -> bool:
        """Act on the disk, or begin a transfer; return whether another plan has to see it."""
        if isinstance(action, SendNew | SendEdit):
            self._try(action, lambda: self._begin(action, lambda: self._transfers.send(action)))
            return False
        if isinstance(action, Download):
            self._try(action, lambda: self._begin(action, lambda: self._transfers.fetch(action)))
            return False
        if isinstance(action, CopyConflict) and not self._has_successor(action):
            return False
        path = self.describer.describe(action).path
        if self._try(action, lambda: self._local.run(action)):
            self._log_action(action, path)
        if isinstance(action, MoveLocal | TrashLocal | Park):
            self._scanner.forget_paths()
        return True

    def _has_successor(self, conflict: CopyConflict) -> bool:
        """Return whether the version that takes the name of a conflict copy is here; fetch it first, if there is one.

        Else the name would be missing until the end of the download.
        """
        local = conflict.local
        remote = self._find_successor(local)
        if remote is None or remote.content is None or self._transfers.has_fetched(remote):
            return True
        fetch = Download(remote, local, local.parent or "", local.name)
        if self._is_waiting(fetch):
            self.left.append(conflict)
        elif remote.id not in self._running:  # one that runs keeps its plan: this one must not be published
            self._fetched_first.add(remote.id)
            self._try(fetch, lambda: self._begin(fetch, lambda: self._transfers.fetch(fetch)))
        return False

    def _find_successor(self, local: LocalEntry) -> RemoteEntry | None:
        """Return the node that the server has in place of a local file: the same one, or a new one of its name."""
        node = self._state.find_remote(local.id)
        if node is not None or local.parent is None:
            return node
        name = normalize_name(local.name.decode(errors="replace"))
        there = self._state.list_remote(self._rows.resolve(local.parent))
        return next((one for one in there if normalize_name(one.name) == name), None)

    def _begin(self, action: Transfer, start: Callable[[], None]) -> None:
        start()
        self._running[find_id(action)] = action
        self.total_bytes += find_size(action)

    def _try(self, action: Action, act: Callable[[], object]) -> bool:
        """Carry out an action; record why it failed. Returns whether it did not."""
        node_id = find_id(action)
        try:
            act()
        except Mismatch as mismatch:
            self._note_mismatch(action, mismatch)
        except Busy as busy:
            self._delay(action, str(busy), 5.0)
        except OSError as error:
            self._delay(action, error.strerror or str(error), 2.0)
            _log.warning("%s: %s", self.describer.describe(action).path, error.strerror or error)
        except ApiError as problem:
            self._note_refusal(action, problem)
        else:
            if node_id not in self._running:  # a transfer has only begun: it may fail as it did before
                self.delays.succeed(node_id)
            return True
        return False

    def _delay(self, action: Action, reason: str, least_s: float = 0.0) -> None:
        self.delays.fail(find_id(action), reason, least_s)
        self.left.append(action)

    def _note_mismatch(self, action: Action, mismatch: Mismatch) -> None:
        if mismatch.path is not None:
            self._scanner.mark(mismatch.path)
        self._delay(action, f"{mismatch}; it is looked at again")

    def _note_refusal(self, action: Action, problem: ApiError) -> None:
        """Let an action wait that the server refused; events will show what another device did."""
        is_outrun = problem.status in {404, 409, 412}
        self._delay(action, problem.detail or problem.code, 0.0 if is_outrun else 30.0)
        if not is_outrun:
            _log.warning("%s: %s", self.describer.describe(action).path, problem)

    # Ends of transfers

    def end_transfers(self, done: Sequence[Done]) -> None:
        """Record the ends of transfers. Raises: NotSignedIn, and what is a defect."""
        with self._state.transaction():
            for one in done:
                self._end_transfer(one)
            self._local.sync_folders()
        if not self._running:
            self._done_before, self.total_bytes = self._transfers.done_bytes, 0

    def _end_transfer(self, done: Done) -> None:
        node_id = find_id(done.action)
        action = self._running.pop(node_id, done.action)
        is_fetched_first = node_id in self._fetched_first
        self._fetched_first.discard(node_id)
        result = done.result
        path = self.describer.describe(action).path
        if isinstance(result, File) and not isinstance(action, Download):
            self._record_upload(action, result)
            rest_s = max(_LEAST_EDIT_REST_S, (result.size_bytes or 0) / _EDIT_BYTES_S)
            self.delays.succeed(node_id)
            self._rests.rest(result.id, rest_s)
            _log.info("uploaded %s%s", path, done.detail)
        elif isinstance(result, bytes) and isinstance(action, Download):
            if self._is_ignored(path):
                self._local.discard(result)
            elif not is_fetched_first and self._try(action, lambda: self._local.publish(action, result)):
                _log.info("downloaded %s", path)
        elif isinstance(result, Exception):
            self._note_failed_transfer(action, result, path)

    def _is_ignored(self, path: str) -> bool:
        """Return whether a rule came into force while a file was transferred: both sides agree on no ignored file."""
        return self._scanner.ignores.has_path(path, is_folder=False)

    def _record_upload(self, action: SendNew | SendEdit, file: File) -> None:
        """Record what the server has got: content and place that were sent, since the answer shows the file as it is
        by now, maybe with the edit or the move of another device.
        """
        entry = self._rows.put_file(file)
        sent = replace(entry, content=action.local.content, executable=action.local.executable)
        if isinstance(action, SendNew):
            if self._is_ignored(self.describer.find_path(entry.id)):
                return
            if self._state.find_local(self._rows.resolve(action.local.id)) is not None:
                with suppress(Mismatch):
                    self._rows.bind(action.local.id, entry.id)
            if self._state.find_base(entry.id) is None:
                parent = self._rows.resolve(action.parent)
                self._rows.agree(replace(sent, parent=parent, name=action.name), action.local.name)
            if self._state.find_remote(entry.id) is None:
                self._state.put_fates({entry.id: "removed"})
        elif action.remote is not None:
            self._rows.change_base(
                sent.id, content=sent.content, revision_id=sent.revision_id, executable=sent.executable
            )

    def _note_failed_transfer(self, action: Transfer, error: Exception, path: str) -> None:
        if isinstance(error, Stopped):
            return
        if isinstance(error, NotSignedIn):
            raise error
        cannot_return = isinstance(error, NotFound | ParentGone | RevisionConflict)
        if isinstance(action, SendEdit) and action.remote is None and cannot_return:
            with suppress(Mismatch):
                self._local.run(Detach(action.local))
            return
        if isinstance(error, Unreachable):
            self._delay(action, "the server cannot be reached")
            self._on_unreachable(error)
        elif isinstance(error, FileChanged):
            with suppress(Mismatch):
                self._scanner.mark(
                    self._rows.find_path(self._rows.find_entry(action.local).dir) if action.local else b""
                )
            self._delay(action, "it changed while it was sent")
        elif isinstance(error, Corrupt) and isinstance(action, Download):
            self._state.refuse_content(action.remote)
            _log.warning("%s: %s", path, error)
        elif isinstance(error, ApiError):
            self._note_refusal(action, error)
        elif isinstance(error, OSError | ClientError):
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._delay(action, reason, 5.0)
            _log.warning("%s: %s", path, reason)
        else:
            raise error

    def _log_action(self, action: Action, path: str) -> None:
        work = find_work(action)
        if isinstance(action, CopyConflict):
            _log.warning("conflict: %s is kept as %s", path, action.name.decode(errors="replace"))
        elif work in _VERBS:
            side = "on the server" if is_remote(action) else "on disk"
            _log.info("%s %s %s", _VERBS[work], path, side)
