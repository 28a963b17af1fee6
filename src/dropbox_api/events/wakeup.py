"""Wake the readers that wait for new events, in this process and, through Postgres, in the others.

After a commit the process wakes its own waiters and sends a NOTIFY to the other processes: one at a time, with the
changes of the meantime in the next one. The NOTIFY is never inside the transaction of a change, because Postgres
commits transactions with a NOTIFY one after the other. A wake-up only means "read again"; it may be spurious, late or
lost. No event is missed: a reader registers its waiter before it reads, and every few seconds the process compares the
journals of all waiters with what they have seen.

One connection of the process listens. It must be direct: a pool in transaction mode has no sessions for LISTEN.
"""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Iterable
from typing import Any, Self, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dropbox_api.db import Db
from dropbox_api.settings import DatabaseSettings, Settings

CHANNEL = "dropbox_journals"

_IDS_PER_NOTIFY = 200
"""The payload of a NOTIFY is limited to 8,000 bytes; an id and a space are 37."""
_PROBE_S = 30.0
"""Interval of probes of the listening connection, which may be idle for hours."""
_PROBE_TIMEOUT_S = 5.0
_MAX_PAUSE_S = 10.0

T = TypeVar("T")

log = logging.getLogger(__name__)

_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', :payload)")
_NEWEST = text("SELECT id, journal_seq FROM users WHERE id = ANY(CAST(:ids AS uuid[]))")


class Waiter:
    """Waits for new events of one journal: `with wakeup.waiter(user_id) as waiter`, then read, then wait."""

    __slots__ = ("_is_woken", "_timeout", "_wakeup", "seq", "user_id")

    def __init__(self, wakeup: "Wakeup", user_id: uuid.UUID) -> None:
        self.user_id = user_id
        self.seq = 0
        """Number of the newest event that the reader has seen; the reader sets it."""
        self._wakeup = wakeup
        self._is_woken = False
        self._timeout: asyncio.Timeout | None = None

    def __enter__(self) -> Self:
        self._wakeup.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._wakeup.remove(self)

    def wake(self) -> None:
        if not self._is_woken and self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0)
        self._is_woken = True

    async def wait(self, until: float, meanwhile: Callable[[], Awaitable[object]]) -> bool:
        """Wait for a wake-up (True) or until the loop's clock reads `until` (False).

        A wake-up before this call counts. `meanwhile` runs during the wait and is then cancelled; its exceptions pass
        through. A wake-up is an early time-out, so waiting for two things needs no extra task: ten thousand waiting
        requests are ten thousand tasks.
        """
        if not self._is_woken:
            try:
                async with asyncio.timeout_at(until) as self._timeout:
                    await meanwhile()
            except TimeoutError:
                pass
            finally:
                self._timeout = None
        woken, self._is_woken = self._is_woken, self._wakeup.is_closing
        return woken


class QueryCoalescer:
    """Runs the queries of woken readers: few at a time, and equal queries once."""

    def __init__(self, concurrency: int) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._queued: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, key: Hashable, query: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `query`; one call serves all callers with this key that arrive before it begins.

        A later caller may know of a newer event and gets a new call. Raises as `query` does.
        """
        task: asyncio.Task[T] | None = self._queued.get(key)
        if task is None:
            task = self._queued[key] = asyncio.create_task(self._run_queued(key, query))
        return await asyncio.shield(task)  # a cancelled caller must not cancel the call of the others

    async def _run_queued(self, key: Hashable, query: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._slots:
            del self._queued[key]
            return await query()


class Wakeup:
    """The waiters of this process, and its connection to the other processes."""

    def __init__(self, db: Db, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._process_id = uuid.uuid4()
        """First word of this process's NOTIFYs, by which it ignores its own."""
        self._waiters: dict[uuid.UUID, set[Waiter]] = {}
        self._unsent: set[uuid.UUID] = set()
        self._has_unsent = asyncio.Event()
        self._change_count = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.is_closing = False
        self.waiting = 0
        """Number of registered waiters."""
        self.queries = QueryCoalescer(max(1, settings.database.pool_size // 2))

    @classmethod
    async def start(cls, db: Db, settings: Settings) -> Self:
        """Start to listen and to follow the commits of `db`. Postgres may still be down."""
        wakeup = cls(db, settings)
        loops = {"listen": wakeup._listen, "notify": wakeup._send_notifies, "compare": wakeup._compare_periodically}
        wakeup._tasks = [asyncio.create_task(loop(), name=f"wakeup-{name}") for name, loop in loops.items()]
        db.on_commit = wakeup.notify
        return wakeup

    async def stop(self) -> None:
        """Release all waiters, as `close` does, and stop."""
        self.close()
        self._db.on_commit = lambda _: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Release all waiters, present and future: the process is about to end."""
        self.is_closing = True
        self._wake(list(self._waiters))

    # Waiters

    def waiter(self, user_id: uuid.UUID) -> Waiter:
        return Waiter(self, user_id)

    @property
    def is_full(self) -> bool:
        return self.waiting >= self._settings.events.max_waiting

    def add(self, waiter: Waiter) -> None:
        self._waiters.setdefault(waiter.user_id, set()).add(waiter)
        self.waiting += 1
        if self.is_closing:
            waiter.wake()

    def remove(self, waiter: Waiter) -> None:
        waiters = self._waiters[waiter.user_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[waiter.user_id]
        self.waiting -= 1

    async def wait_for_change(self, timeout_s: float, after: int | None = None) -> int:
        """Wait until any process writes to any journal, for at most `timeout_s`.

        Returns a number for `after` of the next call. That call returns at once when a write came in between, so a
        caller that works between two calls misses none. `after` None: wait from now on.
        """
        seen = self._change_count if after is None else after
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._change_count == seen:
                    await self._changed.wait()
        return self._change_count

    def notify(self, user_ids: Collection[uuid.UUID]) -> None:
        """Wake the waiters of these journals, in this and in all other processes. Returns at once."""
        self._wake(user_ids)
        self._unsent.update(user_ids)
        self._has_unsent.set()

    def _wake(self, user_ids: Iterable[uuid.UUID]) -> None:
        for user_id in user_ids:
            for waiter in self._waiters.get(user_id, ()):
                waiter.wake()
        self._change_count += 1
        self._changed.set()
        self._changed = asyncio.Event()

    # Other processes

    async def _send_notifies(self) -> None:
        while True:
            await self._has_unsent.wait()
            user_ids = [self._unsent.pop() for _ in range(min(_IDS_PER_NOTIFY, len(self._unsent)))]
            if not self._unsent:
                self._has_unsent.clear()
            payload = " ".join(map(str, [self._process_id, *user_ids]))
            try:
                async with self._db.read() as tx:
                    await tx.execute(_NOTIFY, {"payload": payload})
            except Exception as error:  # noqa: BLE001 - any error: the other processes compare
                log.warning("other processes were not woken: %s", error)

    def _receive_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        first, *rest = str(payload).split(" ")
        if first == str(self._process_id):
            return
        with contextlib.suppress(ValueError):  # not a NOTIFY of this server
            self._wake([uuid.UUID(word) for word in (first, *rest)])

    async def _listen(self) -> None:
        settings = self._settings.database
        engine = create_async_engine(
            (settings.listen_url or settings.url).get_secret_value(),
            poolclass=NullPool,
            connect_args={
                "timeout": settings.connect_timeout_s,
                "server_settings": {"application_name": "dropbox-api listen"},
            },
        )
        pause_s = 0.1
        while True:
            try:
                async with engine.connect() as connection:
                    try:
                        raw: Any = (await connection.get_raw_connection()).driver_connection
                        await raw.add_listener(CHANNEL, self._receive_notify)
                        pause_s = 0.1
                        self._wake(())
                        await self._compare_journals()  # events of the time without a connection
                        await self._wait_for_disconnect(raw)
                    finally:
                        await connection.invalidate()
            except Exception as error:  # noqa: BLE001 - any error: wake-ups are only late
                log.warning("not listening for changes made elsewhere: %s", error)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _wait_for_disconnect(self, raw: Any) -> None:
        disconnected = asyncio.Event()
        raw.add_termination_listener(lambda _: disconnected.set())
        while not raw.is_closed():
            try:
                await asyncio.wait_for(disconnected.wait(), _PROBE_S)
            except TimeoutError:
                await raw.execute("SELECT 1", timeout=_PROBE_TIMEOUT_S)

    async def _compare_periodically(self) -> None:
        while True:
            await asyncio.sleep(self._settings.events.poll_interval_s)
            try:
                await self._compare_journals()
            except Exception as error:  # noqa: BLE001 - any error: the next round tries again
                log.warning("journals were not compared: %s", error)

    async def _compare_journals(self) -> None:
        """Wake the waiters whose journal has other events than they have seen."""
        waiters = [waiter for waiting in self._waiters.values() for waiter in waiting]
        if not waiters:
            return
        async with self._db.read() as tx:
            rows = (await tx.execute(_NEWEST, {"ids": list(self._waiters)})).all()
        newest: dict[uuid.UUID, int] = {row.id: row.journal_seq for row in rows}
        for waiter in waiters:
            if newest.get(waiter.user_id) != waiter.seq:
                waiter.wake()


async def can_listen(settings: DatabaseSettings) -> bool:
    """Return whether a listening connection receives NOTIFYs: through a pool it may not."""
    engine = create_async_engine((settings.listen_url or settings.url).get_secret_value(), poolclass=NullPool)
    channel, received = f"{CHANNEL}_doctor", asyncio.Event()
    try:
        async with engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.add_listener(channel, lambda *_: received.set())
            async with engine.connect() as other:
                await other.execution_options(isolation_level="AUTOCOMMIT")
                await other.exec_driver_sql(f"NOTIFY {channel}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(received.wait(), _PROBE_TIMEOUT_S)
            await connection.invalidate()
    finally:
        await engine.dispose()
    return received.is_set()
