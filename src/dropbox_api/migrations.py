"""Upgrade the schema to the newest revision while the server runs. Concurrent runs are safe: one waits for the other.

Each migration commits by itself, and a repeated run continues at the one that did not finish. A migration waits at
most `LOCK_TIMEOUT_S` for a lock, because the queries of the server queue behind a waiting migration; then it is rolled
back and tried again. `schema_changes` has the steps for big tables.
"""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from dropbox_api.schema_changes import LOCK_TIMEOUT_S
from dropbox_api.settings import DatabaseSettings

MIGRATION_LOCK = 4_801_717_001
"""The key of the advisory lock: an arbitrary number, unique in this code base."""
ATTEMPTS = 60
RETRY_PAUSE_S = 2.0
_POLL_S = 0.5


class MigrationBlockedError(Exception):
    """Transactions of other programs held a lock that a migration needs, in every attempt."""


def script_directory() -> Path:
    """Return the folder of the migrations: inside the wheel, or beside `src` in a checkout."""
    packaged = Path(__file__).with_name("_alembic")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "alembic"


def config(connection: Connection | None = None) -> Config:
    result = Config()
    result.set_main_option("script_location", str(script_directory()))
    if connection is not None:
        result.attributes["connection"] = connection
    return result


async def migrate(settings: DatabaseSettings, revision: str = "head") -> None:
    """Upgrade the database to a revision.

    Raises MigrationBlockedError.
    Transaction: one for each migration; those for big tables commit in steps. Idempotent.
    """
    engine = create_async_engine(settings.url.get_secret_value(), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _take_turn(connection)
            await _upgrade(connection, revision)
    finally:
        await engine.dispose()


async def _take_turn(connection: AsyncConnection) -> None:
    """Take the advisory lock for the connection's life, and give the connection the timeouts of a migration.

    Poll: a query that waits for the lock holds a snapshot, for which CREATE INDEX CONCURRENTLY waits in turn.
    The connection that migrates holds the lock, so it is free only after the server process of a killed run ended.
    """
    while True:
        async with connection.begin():
            taken = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            if taken.scalar_one():
                break
        await asyncio.sleep(_POLL_S)
    async with connection.begin():
        # The role may have the short timeouts that suit requests.
        for name, value in {
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
        }.items():
            await connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


async def _upgrade(connection: AsyncConnection, revision: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await connection.run_sync(lambda sync: command.upgrade(config(sync), revision))
        except DBAPIError as error:
            if not isinstance(error.orig and error.orig.__cause__, asyncpg.exceptions.LockNotAvailableError):
                raise
            await connection.rollback()
            if attempt == ATTEMPTS:
                raise MigrationBlockedError(await _describe_oldest_transaction(connection)) from error
            await asyncio.sleep(RETRY_PAUSE_S)
        else:
            return


_OLDEST_TRANSACTION = text("""
    SELECT format('a transaction holds a lock that the migration needs. The oldest one: pid %s, %s, %s, since %s. '
        'End it, and run the migration again', pid, application_name, state, xact_start)
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 1
""")


async def _describe_oldest_transaction(connection: AsyncConnection) -> str:
    async with connection.begin():
        described = (await connection.execute(_OLDEST_TRANSACTION)).scalar_one_or_none()
    return described or "a transaction held a lock that the migration needs: run the migration again"


def head() -> str | None:
    """Return the schema revision that this code needs."""
    return ScriptDirectory.from_config(config()).get_current_head()


async def current(settings: DatabaseSettings) -> str | None:
    """Return the schema revision of the database, None for an empty one."""
    engine = create_async_engine(settings.url.get_secret_value(), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    finally:
        await engine.dispose()
