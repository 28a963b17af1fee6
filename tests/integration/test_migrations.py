"""Migrations beside a running server: they wait for locks briefly, block no writes, and resume after a kill."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dropbox_api import migrations, schema_changes
from dropbox_api.core import names
from dropbox_api.settings import DatabaseSettings
from tests.support.database import fresh_database

BEFORE_INDEXES, WITH_INDEXES = "0005", "0006"
"""0006 builds indexes on big tables; 0004 alters tables in one transaction."""


@pytest.fixture
async def settings(postgres_url: str) -> AsyncIterator[DatabaseSettings]:
    async with fresh_database(postgres_url) as url:
        yield DatabaseSettings.model_validate({"url": url})


@pytest.fixture
async def other(settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of another program."""
    connection = await asyncpg.connect(settings.url.get_secret_value().replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def watcher(settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A further connection, for the time while `other` holds a transaction open."""
    connection = await asyncpg.connect(settings.url.get_secret_value().replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def wait_until(watcher: asyncpg.Connection, condition: str) -> None:
    """Wait until another connection of the database is in this state, a condition on `pg_stat_activity`."""
    query = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND {condition})"
    async with asyncio.timeout(60):
        while not await watcher.fetchval(query):  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(0.02)


IS_WAITING = "wait_event_type = 'Lock' AND query ILIKE '%{}%' AND pid <> pg_backend_pid()"


async def list_invalid_indexes(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    return [name for (name,) in rows]


async def test_migration_behind_an_open_transaction_lets_queries_pass_and_ends_after_it(
    settings: DatabaseSettings,
    other: asyncpg.Connection,
    watcher: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "RETRY_PAUSE_S", 0.05)
    await migrations.migrate(settings, "0003")
    holding = other.transaction()
    await holding.start()
    await other.execute("SELECT FROM blobs")
    migrating = asyncio.create_task(migrations.migrate(settings, BEFORE_INDEXES))
    await wait_until(watcher, IS_WAITING.format("ALTER TABLE blobs"))
    async with asyncio.timeout(60):  # without a lock timeout the query would queue until the transaction ends
        assert await watcher.fetchval("SELECT count(*) FROM blobs") == 0
    assert not migrating.done()
    await holding.rollback()
    await migrating
    assert await migrations.current(settings) == BEFORE_INDEXES


async def test_migration_blocked_in_every_attempt_names_the_open_transaction(
    settings: DatabaseSettings, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 1)
    await migrations.migrate(settings, "0003")
    async with other.transaction():
        await other.execute("SELECT FROM blobs")
        with pytest.raises(migrations.MigrationBlockedError, match=f"pid {other.get_server_pid()}, .*End it"):
            await migrations.migrate(settings)
    await migrations.migrate(settings)
    assert await migrations.current(settings) == migrations.head()


async def test_writes_continue_while_an_index_is_built(
    settings: DatabaseSettings, other: asyncpg.Connection, watcher: asyncpg.Connection
) -> None:
    await migrations.migrate(settings, BEFORE_INDEXES)
    snapshot = other.transaction(isolation="repeatable_read")
    await snapshot.start()
    await other.execute("SELECT FROM users")
    migrating = asyncio.create_task(migrations.migrate(settings, WITH_INDEXES))
    await wait_until(watcher, IS_WAITING.format("CREATE INDEX CONCURRENTLY"))
    async with asyncio.timeout(60):
        await watcher.execute("UPDATE grants SET role = 'viewer'")
        await watcher.execute("DELETE FROM uploads")
    assert not migrating.done()
    await snapshot.rollback()
    await migrating
    assert await list_invalid_indexes(watcher) == []


async def test_index_left_invalid_by_a_killed_run_is_built_again(
    settings: DatabaseSettings, other: asyncpg.Connection, watcher: asyncpg.Connection
) -> None:
    await migrations.migrate(settings, BEFORE_INDEXES)
    snapshot = other.transaction(isolation="repeatable_read")
    await snapshot.start()
    await other.execute("SELECT FROM users")
    killed = asyncio.create_task(migrations.migrate(settings, WITH_INDEXES))
    await wait_until(watcher, IS_WAITING.format("CREATE INDEX CONCURRENTLY"))
    await watcher.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {IS_WAITING.format('CREATE')}")
    with pytest.raises(SQLAlchemyError):
        await killed
    await snapshot.rollback()
    assert await list_invalid_indexes(watcher) == ["grants_owner_id_idx"]
    await migrations.migrate(settings, WITH_INDEXES)
    assert await list_invalid_indexes(watcher) == []
    assert await watcher.fetchval("SELECT to_regclass('grants_owner_id_idx')")
    await migrations.migrate(settings)
    assert await migrations.current(settings) == migrations.head()


async def test_two_migrations_at_once_both_succeed(settings: DatabaseSettings) -> None:
    async with asyncio.timeout(120):  # a waiting query would hold the snapshot that the index build waits for
        await asyncio.gather(*(migrations.migrate(settings) for _ in range(3)))
    assert await migrations.current(settings) == migrations.head()


async def test_migration_of_a_role_with_short_timeouts_is_not_cancelled(
    settings: DatabaseSettings, other: asyncpg.Connection, watcher: asyncpg.Connection
) -> None:
    await migrations.migrate(settings, BEFORE_INDEXES)
    name = await watcher.fetchval("SELECT current_database()")
    await watcher.execute(f"ALTER DATABASE {name} SET statement_timeout = 50")
    snapshot = other.transaction(isolation="repeatable_read")
    await snapshot.start()
    await other.execute("SELECT FROM users")
    migrating = asyncio.create_task(migrations.migrate(settings, WITH_INDEXES))
    overdue = IS_WAITING.format("CREATE INDEX") + " AND query_start < now() - interval '200 ms'"
    await wait_until(watcher, overdue)
    await snapshot.rollback()
    await migrating
    assert await migrations.current(settings) == WITH_INDEXES


# Backfill


def backfill_twice_the_value(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        schema_changes.backfill("filled", "twice = 2 * value, changes = changes + 1", "twice IS NULL")


async def test_backfill_interrupted_in_the_middle_resumes_and_changes_each_row_once(
    settings: DatabaseSettings, other: asyncpg.Connection, watcher: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_changes, "ROWS_PER_BATCH", 10)
    monkeypatch.setattr(schema_changes, "LOCK_TIMEOUT_S", 1)
    await watcher.execute("""
        CREATE TABLE filled (id uuid PRIMARY KEY, value int, twice int, changes int DEFAULT 0);
        INSERT INTO filled SELECT gen_random_uuid(), n FROM generate_series(1, 95) n
    """)
    engine = create_async_engine(settings.url.get_secret_value(), poolclass=NullPool)
    async with other.transaction():
        await other.execute("SELECT FROM filled ORDER BY id DESC LIMIT 1 FOR UPDATE")
        with pytest.raises(DBAPIError, match="lock timeout"):
            async with engine.connect() as connection:
                await connection.run_sync(backfill_twice_the_value)
    assert await watcher.fetchval("SELECT count(*) FROM filled WHERE twice IS NULL") == 5
    async with engine.connect() as connection:
        await connection.run_sync(backfill_twice_the_value)
    await engine.dispose()
    rows = await watcher.fetch("SELECT twice = 2 * value, changes, count(*) FROM filled GROUP BY 1, 2")
    assert [tuple(row) for row in rows] == [(True, 1, 95)]


async def insert_names(connection: asyncpg.Connection, keys: list[str]) -> uuid.UUID:
    """Insert an account with folders of these names as the first version did; return its root folder."""
    user_id = await connection.fetchval("""
        INSERT INTO users (id, email, quota_bytes, quota_nodes)
        VALUES (gen_random_uuid(), 'ada@example.org', 1, 1) RETURNING id
    """)
    root: uuid.UUID = await connection.fetchval(
        "INSERT INTO nodes (id, owner_id, kind, name, name_key) VALUES (gen_random_uuid(), $1, 'folder', '', '')"
        " RETURNING id",
        user_id,
    )
    await connection.execute(
        "INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key)"
        " SELECT gen_random_uuid(), $1, $2, 'folder', key, key FROM unnest($3::text[]) AS key",
        user_id,
        root,
        keys,
    )
    return root


async def test_backfill_of_folded_names_fills_accented_names_in_batches_and_keeps_newer_values(
    settings: DatabaseSettings, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.migrate(settings, "0007")
    root = await insert_names(other, ["plain", *(f"é{n}" for n in range(7)), "łódź", "日本"])
    await other.execute("UPDATE nodes SET folded_key = 'newer' WHERE name_key = 'é3'")
    monkeypatch.setattr(schema_changes, "ROWS_PER_BATCH", 2)
    for _ in range(2):
        await migrations.migrate(settings, "0008")
    rows = await other.fetch("SELECT name_key, folded_key FROM nodes WHERE parent_id = $1", root)
    folded = {row["name_key"]: row["folded_key"] for row in rows}
    expected = {f"é{n}": f"e{n}" for n in range(7)} | {"é3": "newer", "łódź": "lodz", "plain": None, "日本": None}
    assert folded == expected


async def test_backfill_of_sorted_names_fills_every_name_in_batches_and_keeps_newer_values(
    settings: DatabaseSettings, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.migrate(settings, "0015")
    keys = ["file10", "file9", "äpfel", "apfel"]
    root = await insert_names(other, [*keys, "zz"])
    await other.execute("UPDATE nodes SET name_sort = 'newer' WHERE name_key = 'zz'")
    monkeypatch.setattr(schema_changes, "ROWS_PER_BATCH", 2)
    for _ in range(2):
        await migrations.migrate(settings, "0016")
    rows = await other.fetch("SELECT name_key, name_sort FROM nodes WHERE parent_id = $1 ORDER BY name_sort", root)
    assert {row["name_key"]: row["name_sort"] for row in rows} == {key: names.make_sort_key(key) for key in keys} | {
        "zz": "newer"
    }
    assert [row["name_key"] for row in rows] == ["apfel", "äpfel", "file9", "file10", "zz"]
