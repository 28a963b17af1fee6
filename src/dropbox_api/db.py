"""The database: connections, transactions, and the translation of its errors into problems. Only this module commits.

`Db.begin()` is one read-write transaction, committed when the block ends, before the answer leaves. `Db.read()` runs
queries without locks. Both await no network except the database's own (an architecture test checks). Statements are
SQLAlchemy Core on a plain connection: `models` names tables and columns, and rows come back as named tuples.
"""

import asyncio
import os
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dropbox_api import problems
from dropbox_api.head_request import is_head
from dropbox_api.settings import DatabaseSettings

Tx = AsyncConnection
"""A connection inside a transaction that its caller owns."""

_READERS = "readers"


def wake_readers(tx: Tx, user_id: uuid.UUID) -> None:
    """Let the commit wake the waiting readers of a user's journal: it has new events, or a reader lost its access."""
    tx.info.setdefault(_READERS, set()).add(user_id)


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): ids grow with time, so new rows go to one end of their indexes.

    Rows of one transaction share `created_at`, so their ids give the order: 12 bits below the millisecond (method 3 of
    the RFC's 6.2, steps of 244 ns) order the ids that one process makes in sequence.
    """
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    fraction = (rest_ns << 12) // 1_000_000
    random_bits = int.from_bytes(os.urandom(8)) >> 2
    return uuid.UUID(int=ms << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random_bits)


def first_id_at(moment: datetime) -> uuid.UUID:
    """Return the smallest UUIDv7 of a moment: all ids made before it are smaller, so that an id index finds them."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


CONSTRAINTS: Mapping[str, type[problems.Problem]] = {
    "users_email_key": problems.EmailTaken,
    "nodes_name_key": problems.NameTaken,
    "passkeys_credential_id_key": problems.InvalidPasskey,
}
"""The problem of a violated constraint. Operations check first, under the owner's lock; this covers unlocked races."""

_UNAVAILABLE = (
    asyncpg.exceptions.PostgresConnectionError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.TooManyConnectionsError,
    asyncpg.exceptions.QueryCanceledError,
    asyncpg.exceptions.DeadlockDetectedError,
    asyncpg.exceptions.SerializationError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.InterfaceError,
    asyncpg.exceptions.InternalClientError,
    OSError,
    TimeoutError,
    ssl.SSLError,
)


class Db:
    """An engine and its two kinds of transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Reads need no COMMIT and no snapshot beyond one statement: one round trip per query.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.on_commit: Callable[[Collection[uuid.UUID]], None] = lambda _: None
        """Called after a commit with the users whose readers it wakes. It must return at once."""

    @classmethod
    def connect(cls, settings: DatabaseSettings) -> Self:
        """Create a pool; the first transaction opens the first connection."""
        connect_args: dict[str, Any] = {
            "timeout": settings.connect_timeout_s,
            "command_timeout": settings.statement_timeout_s,
            "server_settings": {
                "application_name": "dropbox-api",
                "statement_timeout": str(int(settings.statement_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "60000",
                "timezone": "UTC",
            },
        }
        if not settings.prepared_statements:
            connect_args |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        engine = create_async_engine(
            settings.url.get_secret_value(),
            pool_size=settings.pool_size,
            max_overflow=settings.pool_overflow,
            pool_timeout=settings.pool_timeout_s,
            pool_use_lifo=True,
            hide_parameters=True,  # addresses and hashes stay out of tracebacks
            connect_args=connect_args,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
        )
        return cls(engine)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """Run the block in one transaction (READ COMMITTED: a read after a lock is current) and commit it.

        A HEAD request commits nothing: its transactions roll back.

        Raises: Unavailable when the database is down or overloaded (the outcome of a commit is then unknown, and the
            caller repeats), or the problem of a violated constraint.
        """
        with _ErrorTranslation():
            async with self._engine.connect() as tx:
                tx.info.pop(_READERS, None)  # left by a rolled-back transaction on this connection
                async with tx.begin() as transaction:
                    yield tx
                    if is_head():
                        await transaction.rollback()
                user_ids = tx.info.pop(_READERS, None)
        if user_ids:
            self.on_commit(user_ids)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Run the block's queries in autocommit mode: each one sees the rows committed when it starts."""
        with _ErrorTranslation():
            async with self._reader.connect() as tx:
                yield tx

    @property
    def in_use(self) -> int:
        """The number of connections of the pool in use."""
        return self._engine.pool.checkedout()  # type: ignore[attr-defined, no-any-return]

    async def close(self) -> None:
        await self._engine.dispose()


_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def use_snapshot(tx: Tx) -> None:
    """Let all queries of a transaction read one snapshot. Call it before the first query of the transaction."""
    await tx.execute(_SNAPSHOT)


class _ErrorTranslation:
    """Turn database errors into problems; leave all other exceptions unchanged."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (problems.Problem, asyncio.CancelledError)):
            return
        if isinstance(error, PoolTimeout):
            raise problems.Unavailable("Too many requests wait for the database", retry_after_s=2) from error
        if isinstance(error, IntegrityError):
            problem = CONSTRAINTS.get(getattr(_cause(error), "constraint_name", "") or "")
            if problem:
                raise problem from error
        if isinstance(error, DBAPIError):
            is_lost = error.connection_invalidated or isinstance(error, InterfaceError)
            if is_lost or isinstance(_cause(error), _UNAVAILABLE):
                raise problems.Unavailable("The database does not answer", retry_after_s=2) from error
        elif isinstance(error, (OSError, asyncpg.exceptions.PostgresError, asyncpg.exceptions.InterfaceError)):
            raise problems.Unavailable("The database does not answer", retry_after_s=2) from error


def _cause(error: DBAPIError) -> BaseException | None:
    """Return asyncpg's exception inside SQLAlchemy's wrapper."""
    return error.orig.__cause__ if error.orig is not None else None
