"""Migrations create the tables of `models`, and every migration can be reverted."""

from collections.abc import AsyncIterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from dropbox_api import migrations
from dropbox_api.models import Base
from tests.support.database import fresh_database


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    async with fresh_database(postgres_url) as url:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.connect() as connected:
            yield connected
        await engine.dispose()


def upgrade(connection: Connection) -> None:
    command.upgrade(migrations.config(connection), "head")


def differences(connection: Connection) -> list[object]:
    def is_modelled(_object: object, name: str | None, kind: str, *_rest: object) -> bool:
        # Partitions belong to their table; the `alembic_` tables belong to Alembic.
        return not (kind == "table" and name is not None and name.startswith(("events_p", "alembic_")))

    options = {"compare_type": True, "compare_server_default": True, "include_object": is_modelled}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_migrations_have_one_head() -> None:
    assert len(ScriptDirectory.from_config(migrations.config()).get_heads()) == 1


async def test_migrated_database_equals_the_models(connection: AsyncConnection) -> None:
    await connection.run_sync(upgrade)
    assert await connection.run_sync(differences) == []


async def test_downgrade_to_base_and_upgrade_again_restores_the_tables(connection: AsyncConnection) -> None:
    await connection.run_sync(upgrade)
    made = await connection.run_sync(tables)
    await connection.run_sync(lambda sync: command.downgrade(migrations.config(sync), "base"))
    assert await connection.run_sync(tables) == set()
    await connection.run_sync(upgrade)
    assert await connection.run_sync(tables) == made
    assert await connection.run_sync(differences) == []
