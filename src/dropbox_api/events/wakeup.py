"""Wake-ups: who waits for news of a journal is told to look, in this process at once, in others by way of Postgres.

After a commit this process' own waiters are woken, and the others get a NOTIFY: one at a time, what comes meanwhile
goes with the next, and never inside the transaction of a change, since Postgres lets one transaction with a NOTIFY
commit after the other. A wake-up says nothing but "look": it may come for nothing, late, or never. Nothing is lost by
that, because whoever waits registers first and looks then, and because journals of those who wait are compared with
what they have seen every few seconds, whatever was heard.

One connection of the process listens. It must be direct: a pool in transaction mode has no sessions to listen in.
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

_IDS_AT_ONCE = 200
"""What a NOTIFY carries is less than 8,000 bytes; an id and a space are 37."""
_ASK_S = 30.0
"""The listening connection is asked so often whether it is still there: nobody speaks on it for hours."""
_ANSWER_S = 5.0
_MAX_PAUSE_S = 10.0

T = TypeVar("T")

log = logging.getLogger(__name__)

_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', :payload)")
_NEWEST = text("SELECT id, journal_seq FROM users WHERE id = ANY(CAST(:ids AS uuid[]))")


class Waiter:
    """One who waits for news of one journal: `with wakeup.waiter(user_id) as waiter`, then look, then wait."""

    __slots__ = ("_is_woken", "_timeout", "_wakeup", "seq", "user_id")

    def __init__(self, wakeup: "Wakeup", user_id: uuid.UUID) -> None:
        self.user_id = user_id
        self.seq = 0
        """Number of the newest event that was seen; kept by whoever looks."""
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

    async def wait(self, until: float, other: Callable[[], Awaitable[object]]) -> bool:
        """Wait until woken (True), also before this call, or until the loop's clock says `until` (False).

        Meanwhile `other` runs, and is cancelled then; what it raises, passes. A wake-up is a time-out that comes early:
        no task is needed to wait for two things, and ten thousand who wait have ten thousand tasks, not more.
        """
        if not self._is_woken:
            try:
                async with asyncio.timeout_at(until) as self._timeout:
                    await other()
            except TimeoutError:
                pass
            finally:
                self._timeout = None
        woken, self._is_woken = self._is_woken, self._wakeup.is_closing
        return woken


class Looks:
    """What those who were woken ask the database: few at a time, for others need it, too, and the same only once."""

    def __init__(self, at_once: int) -> None:
        self._gate = asyncio.Semaphore(at_once)
        self._to_come: dict[Hashable, asyncio.Task[Any]] = {}

    async def once(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what `work` finds, and what it raises: one call for all who ask by this key before it has begun.

        Who asks later may have been woken by something newer, and gets another.
        """
        task: asyncio.Task[T] | None = self._to_come.get(key)
        if task is None:
            task = self._to_come[key] = asyncio.create_task(self._look(key, work))
        return await asyncio.shield(task)  # whoever leaves does not take it from the others

    async def _look(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._gate:
            del self._to_come[key]
            return await work()


class Wakeup:
    """Those who wait in this process, and its ear and voice among the others."""

    def __init__(self, db: Db, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._me = uuid.uuid4()
        """Leads every NOTIFY of this process, which needs not hear itself."""
        self._waiters: dict[uuid.UUID, set[Waiter]] = {}
        self._untold: set[uuid.UUID] = set()
        self._has_untold = asyncio.Event()
        self._changes = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.is_closing = False
        self.waiting = 0
        """How many wait now."""
        self.looks = Looks(max(1, settings.database.pool_size // 2))

    @classmethod
    async def start(cls, db: Db, settings: Settings) -> Self:
        """Begin to listen, and to be told by `db` of each commit; Postgres need not be there yet."""
        wakeup = cls(db, settings)
        loops = {"listen": wakeup._listen, "notify": wakeup._tell, "compare": wakeup._keep_comparing}
        wakeup._tasks = [asyncio.create_task(loop(), name=f"wakeup-{name}") for name, loop in loops.items()]
        db.on_commit = wakeup.notify
        return wakeup

    async def stop(self) -> None:
        """End everything. Whoever waits is let go, as by `close`."""
        self.close()
        self._db.on_commit = lambda _: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Let go of all who wait, and of whoever comes to: the process is about to end."""
        self.is_closing = True
        self._wake(list(self._waiters))

    # Who waits

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

    async def anything(self, timeout_s: float, after: int | None = None) -> int:
        """Wait until anybody's journal was written into, by whichever process, but no longer than `timeout_s`.

        Returns a number for `after` of the next call, which then returns at once when something was written since this
        one returned: so nothing is missed by whoever is at work in between. None: from now on.
        """
        seen = self._changes if after is None else after
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._changes == seen:
                    await self._changed.wait()
        return self._changes

    def notify(self, user_ids: Collection[uuid.UUID]) -> None:
        """Wake whoever waits for these journals, here and in all other processes. Returns at once."""
        self._wake(user_ids)
        self._untold.update(user_ids)
        self._has_untold.set()

    def _wake(self, user_ids: Iterable[uuid.UUID]) -> None:
        for user_id in user_ids:
            for waiter in self._waiters.get(user_id, ()):
                waiter.wake()
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    # The other processes

    async def _tell(self) -> None:
        while True:
            await self._has_untold.wait()
            told = [self._untold.pop() for _ in range(min(_IDS_AT_ONCE, len(self._untold)))]
            if not self._untold:
                self._has_untold.clear()
            payload = " ".join(map(str, [self._me, *told]))
            try:
                async with self._db.read() as tx:
                    await tx.execute(_NOTIFY, {"payload": payload})
            except Exception as error:  # noqa: BLE001 - whatever it is: those who wait find out by themselves
                log.warning("other processes were not woken: %s", error)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        first, *rest = str(payload).split(" ")
        if first == str(self._me):
            return
        with contextlib.suppress(ValueError):  # of somebody who has nothing to say to us
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
                        await raw.add_listener(CHANNEL, self._heard)
                        pause_s = 0.1
                        self._wake(())
                        await self._compare()  # for what was said while nobody listened
                        await self._until_gone(raw)
                    finally:
                        await connection.invalidate()
            except Exception as error:  # noqa: BLE001 - whatever it is: without this, wake-ups are only late
                log.warning("not listening for changes made elsewhere: %s", error)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _until_gone(self, raw: Any) -> None:
        gone = asyncio.Event()
        raw.add_termination_listener(lambda _: gone.set())
        while not raw.is_closed():
            try:
                await asyncio.wait_for(gone.wait(), _ASK_S)
            except TimeoutError:
                await raw.execute("SELECT 1", timeout=_ANSWER_S)

    async def _keep_comparing(self) -> None:
        while True:
            await asyncio.sleep(self._settings.events.poll_interval_s)
            try:
                await self._compare()
            except Exception as error:  # noqa: BLE001 - whatever it is: it is tried again
                log.warning("journals were not compared: %s", error)

    async def _compare(self) -> None:
        """Wake those whose journal is not where they have seen it, should they not have heard."""
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
    """Tell whether a connection that listens hears what another one notifies: through a pool it may not."""
    engine = create_async_engine((settings.listen_url or settings.url).get_secret_value(), poolclass=NullPool)
    channel, heard = f"{CHANNEL}_doctor", asyncio.Event()
    try:
        async with engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.add_listener(channel, lambda *_: heard.set())
            async with engine.connect() as other:
                await other.execution_options(isolation_level="AUTOCOMMIT")
                await other.exec_driver_sql(f"NOTIFY {channel}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), _ANSWER_S)
            await connection.invalidate()
    finally:
        await engine.dispose()
    return heard.is_set()
