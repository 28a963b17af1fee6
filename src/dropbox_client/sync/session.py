"""One run of the engine on an open root: observe, plan, act, and wait for what happens next.

The thread that calls `run` is the only one that touches state and planner. Other threads send messages: hints, pages of
events, ends of transfers. Everything that is known is in the state, so that a session may end at any point: after a
failure of the root it is closed, and another one begins where it ended.
"""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self

from dropbox_client.client import Client
from dropbox_client.errors import ApiError, InvalidResponse, Unreachable
from dropbox_client.sync.act import Actor
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.describe import find_work
from dropbox_client.sync.limits import limit_client
from dropbox_client.sync.mounts import make_select
from dropbox_client.sync.observe import Observer
from dropbox_client.sync.part import load_part
from dropbox_client.sync.plan import Situation, make_plan
from dropbox_client.sync.poll import Polled
from dropbox_client.sync.root import OpenRoot
from dropbox_client.sync.send import RemoteActions
from dropbox_client.sync.snapshot import Item, Phase, Question, Snapshot
from dropbox_client.sync.transfers import Done, Transfers
from dropbox_client.sync.trees import Plan

Message = Done | Polled | None
"""None only wakes the thread: there are hints, or a person asked for something."""

_log = logging.getLogger("dropbox_client.sync")
_DONE_PER_TRANSACTION = 200
_REST_AFTER_PLAN, _REST_WHILE_BUSY = 1.0, 10.0
"""What passes between two plans, as a multiple of the time that a plan takes. While transfers run it can wait."""
_SHOWN, _SHOWN_ITEMS = 1_000, 200
_SHOWN_OF_QUESTION = 20
_CONFLICT_WINDOW_S = 600.0
_DAY_S = 86_400.0
_REPORT_S, _REPORT_SOON_S = 300.0, 10.0
_MOST_WAIT_S = 60.0
_SHOW_S = 1.0
_RATE_WINDOW_S = 10.0
_UNSHOWN: Final = frozenset({"ignored", "ignored on this device", "unselected on this device", "is being sent"})


class Session:
    """A root at work. A context manager."""

    def __init__(
        self,
        config: RootConfig,
        root: OpenRoot,
        client: Client,
        inbox: "SimpleQueue[Message]",
        show: Callable[[Snapshot], None],
        *,
        is_interrupted: Callable[[], bool],
        take_look: Callable[[], bool],
    ) -> None:
        """Begin to watch. `show` gets a snapshot whenever something changes, at most one a second.

        `is_interrupted` tells when `run` is to end, `take_look` whether a person asked for a look at everything.
        """
        self._config, self._client, self._inbox, self._show_snapshot = config, client, inbox, show
        self._root, self._state = root, root.state
        self._is_interrupted, self._take_look = is_interrupted, take_look
        self._is_plan_due = True
        self._next_plan_at = 0.0
        self._did_act = False
        now = time.monotonic()
        self._clean_at = self._report_at = now
        self._reported: tuple[str | None, int] | None = None
        self._snapshot = Snapshot("starting")
        self._shown_at = 0.0
        self._rate = 0.0
        self._measured = now, 0
        self._stack = ExitStack()
        # A client of its own: closing it ends transfers and waits, and nothing else.
        own = Client(client.base_url, client.exchange.store)
        limit_client(own, config)
        transfers = Transfers(own, root.rows, root.disk, root.path, inbox.put)
        self._transfers = self._stack.enter_context(transfers)
        self._observer = self._stack.enter_context(
            Observer(root, client, config.folder, lambda: inbox.put(None), poll=inbox.put, poll_client=own)
        )
        self._stack.callback(own.close)  # before its users end
        self._remote = RemoteActions(client, root.rows)
        self._actor = Actor(
            *(root.rows, root.actions, self._remote, transfers, self._observer.scanner),
            is_interrupted=is_interrupted,
            on_unreachable=self._observer.note_failure,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def run(self, *, is_once: bool = False) -> bool:
        """Keep both sides equal until interrupted, or once until they are, as far as they can be.

        Returns False when the server's data began a new epoch: what runs is about an older one; begin a new session.
        Raises: RootPaused; NotSignedIn; ServerReplaced; ApiError; with `is_once` also Unreachable; OSError and
        sqlite3.Error of the state.
        """
        if not is_once:
            self._observer.wait_until_watching()
        epoch = self._state.epoch
        while not self._is_interrupted():
            self._take_messages()
            self._observe(is_once=is_once)
            if epoch not in {None, self._state.epoch}:
                return False
            epoch = self._state.epoch
            self._plan_and_act(is_once=is_once)
            if is_once and self._is_done:
                self._show(is_last=True)
                return True
            self._keep_house()
            self._show()
            wait_s = self._find_wait_s()
            if wait_s > 0:
                with suppress(Empty):
                    self._take([self._inbox.get(timeout=wait_s)])
        return True

    def preview(self) -> tuple[Item, ...]:
        """Return what would be done first, without doing it. Raises as `run` with `is_once`."""
        while not self._observer.is_settled:
            self._observe(is_once=True)
            time.sleep(max(0.0, min(self._observer.find_wait_s(), 1.0)))
        actions = (action for stage in self._make_plan().stages for action in stage)
        return tuple(self._actor.describer.describe(action) for action in actions if find_work(action) != "other")

    @property
    def _is_done(self) -> bool:
        return not self._is_plan_due and self._observer.is_settled and self._actor.is_stuck

    def _find_wait_s(self) -> float:
        """Return how long nothing is to be done."""
        now = time.monotonic()
        waits = [_MOST_WAIT_S, self._observer.find_wait_s(), self._report_at - now]
        if self._can_plan:
            waits.append(self._next_plan_at - now)
        elif not self._is_plan_due and (retry_s := self._actor.find_wait_s()) is not None:
            waits.append(retry_s)
        if not self._actor.is_idle:
            waits.append(_SHOW_S)
        return min(waits)

    # Messages

    def _take_messages(self) -> None:
        messages: list[Message] = []
        with suppress(Empty):
            while len(messages) < _DONE_PER_TRANSACTION:
                messages.append(self._inbox.get_nowait())
        self._take(messages)

    def _take(self, messages: list[Message]) -> None:
        # The ends of uploads first: the events of a page may be about them.
        done = [message for message in messages if isinstance(message, Done)]
        if done:
            self._is_plan_due = True
            self._actor.end_transfers(done)
        for message in messages:
            if isinstance(message, Polled):
                self._observer.end_poll(message)

    # Observing, planning, acting

    def _observe(self, *, is_once: bool) -> None:
        is_asked = self._take_look()
        was_offline = self._observer.offline_reason is not None
        self._observer.look(at_everything=is_asked)
        self._observer.read(is_once=is_once, is_interrupted=self._is_interrupted)
        is_back = was_offline and self._observer.offline_reason is None
        if is_asked or is_back:
            self._actor.delays.forget()
            self._is_plan_due = True
        self._is_plan_due |= self._observer.has_news
        self._observer.has_news = False

    @property
    def _can_plan(self) -> bool:
        return self._is_plan_due and self._state.cursor is not None and self._observer.offline_reason is None

    def _plan_and_act(self, *, is_once: bool) -> None:
        now = time.monotonic()
        self._is_plan_due = self._is_plan_due or self._actor.is_ready
        if not self._can_plan or now < self._next_plan_at:
            return
        self._is_plan_due = False
        try:
            self._remote.recover()
            plan = self._make_plan()
            took_s = time.monotonic() - now
            self._next_plan_at = now + took_s + took_s * (_REST_AFTER_PLAN if self._actor.is_idle else _REST_WHILE_BUSY)
            self._ask(plan)
            self._did_act = self._actor.act(plan)
            self._is_plan_due |= self._did_act  # another plan sees what is left
        except (Unreachable, InvalidResponse, ApiError) as error:
            if is_once:
                raise
            self._observer.note_failure(error)
            self._is_plan_due = True

    def _make_plan(self) -> Plan:
        trees = load_part(
            *(self._state, self._root.folder.device, make_select(self._observer.scanner.ignores)),
            is_settled=self._observer.is_settled,
            excluded=self._state.find_excluded(self._config.unselected),
        )
        situation = Situation(
            self._config.device_name,
            f"{datetime.now().astimezone():%Y-%m-%d}",
            self._state.count_files(),
            len(self._state.list_conflicts(time.time() - _CONFLICT_WINDOW_S)),
            self._state.list_answers(),
            self._root.traits,
        )
        return make_plan(self._actor.hide_sent(trees), situation)

    def _ask(self, plan: Plan) -> None:
        """Record the questions of a plan, and tell of new ones."""
        find_path = self._actor.describer.find_path
        questions = tuple(
            Question(brake.kind, brake.count, tuple(map(find_path, brake.ids[:_SHOWN_OF_QUESTION])))
            for brake in plan.brakes
        )
        asked = {node_id: brake.kind for brake in plan.brakes for node_id in brake.ids}
        if asked != self._state.list_questions():
            self._state.put_questions(asked)
            for question in questions:
                _log.warning("asks about %d files (%s): %s", question.count, question.kind, ", ".join(question.paths))
        shown = (held for held in plan.held if held.reason not in _UNSHOWN)
        held = tuple(Item(find_path(one.id), None, one.reason) for one in islice(shown, _SHOWN))
        self._snapshot = replace(self._snapshot, questions=questions, held=held)

    # Upkeep

    def _keep_house(self) -> None:
        now = time.monotonic()
        if self._actor.is_idle:
            self._state.forgotten.clear()
        if now >= self._clean_at:
            self._clean_at = now + _DAY_S
            removed = self._root.trash.clean()
            if removed:
                _log.info("removed %d old entries of the local trash", removed)
        if now >= self._report_at:
            self._report(now)

    def _report(self, now: float) -> None:
        """Tell the server how far this device is: when that changes, and every few minutes."""
        self._report_at = now + _REPORT_SOON_S
        news = self._state.cursor, self._actor.pending
        if self._observer.offline_reason is not None or news[0] is None:
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

    def _show(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        phase = self._find_phase()
        if phase == self._snapshot.phase and now - self._shown_at < _SHOW_S and not is_last:
            return
        self._shown_at = now
        self._measure(now)
        actor = self._actor
        rest_bytes = actor.total_bytes - actor.done_bytes
        self._snapshot = replace(
            self._snapshot,
            phase=phase,
            reason=self._observer.offline_reason or "",
            items=actor.list_items(_SHOWN_ITEMS),
            pending=actor.pending,
            total_bytes=actor.total_bytes,
            done_bytes=actor.done_bytes,
            eta_s=rest_bytes / self._rate if self._rate > 0 and not actor.is_idle else None,
            agreed_files=self._state.count_files(),
            synced_at=time.time() if phase == "up-to-date" else self._snapshot.synced_at,
            hint_problem=self._observer.hint_problem,
        )
        self._show_snapshot(self._snapshot)

    def _find_phase(self) -> Phase:
        if self._observer.offline_reason is not None:
            return "offline"
        if not self._actor.is_idle or self._did_act:
            return "syncing"
        if not self._observer.is_settled:
            return "looking"
        return "syncing" if self._is_plan_due or self._actor.left else "up-to-date"

    def _measure(self, now: float) -> None:
        """Follow the rate of all transfers."""
        at, before = self._measured
        passed, done = now - at, self._transfers.done_bytes
        if passed > 0:
            share = min(1.0, passed / _RATE_WINDOW_S)
            self._rate += share * (max(0, done - before) / passed - self._rate)
            self._measured = now, done
