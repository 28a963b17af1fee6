"""Upgrade the schema to the newest revision. Concurrent runs are safe: they queue on a lock."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dropbox_api.settings import DatabaseSettings

MIGRATION_LOCK = 4_801_717_001
"""The key of the advisory lock: an arbitrary number, unique in this code base."""


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


async def migrate(settings: DatabaseSettings) -> None:
    """Upgrade the database to head.

    Transaction: one for all migrations; a failure leaves the schema unchanged.
    """
    engine = create_async_engine(settings.url.get_secret_value(), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(lambda sync: command.upgrade(config(sync), "head"))
    finally:
        await engine.dispose()


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
