"""Migrations create the tables of `models`, and every migration can be reverted."""

import ast
import re
from collections.abc import AsyncIterator, Iterator

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
from tests.support.source import calls, last_name


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    async with fresh_database(postgres_url) as url:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.connect() as connected:
            yield connected
        await engine.dispose()


def upgrade(connection: Connection) -> None:
    command.upgrade(migrations.config(connection), "head")


def downgrade(connection: Connection) -> None:
    connection.rollback()  # a migration that builds an index commits, and so must begin, its own transactions
    command.downgrade(migrations.config(connection), "base")


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
    await connection.run_sync(downgrade)
    assert await connection.run_sync(tables) == set()
    await connection.rollback()
    await connection.run_sync(upgrade)
    assert await connection.run_sync(tables) == made
    assert await connection.run_sync(differences) == []


# Migrations of big tables (CONTRIBUTING.md, Migrations)

FIRST_CHECKED = "0005"
"""Older migrations were written before the first release."""
_STEPS = {
    "create_index": "schema_changes.create_index",
    "drop_index": "schema_changes.drop_index",
    "create_unique_constraint": "schema_changes.create_index(unique=True), then ADD CONSTRAINT ... USING INDEX",
    "create_exclude_constraint": "a new table",
    "create_primary_key": "schema_changes.create_index(unique=True), then ADD CONSTRAINT ... USING INDEX",
    "create_foreign_key": "postgresql_not_valid=True, then VALIDATE CONSTRAINT in the next migration",
    "create_check_constraint": "postgresql_not_valid=True, then VALIDATE CONSTRAINT in the next migration",
}
_SCANNING_SQL = re.compile(
    r"\s*(UPDATE|DELETE|MERGE|INSERT INTO .*\bSELECT|CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)"
    r"|DROP INDEX (?!CONCURRENTLY)|CLUSTER|VACUUM|LOCK|ALTER TABLE .*(SET NOT NULL|SET DATA TYPE|ALTER .* TYPE))",
    re.IGNORECASE | re.DOTALL,
)


def blocking_steps(tree: ast.AST) -> Iterator[str]:
    """Yield the steps of `upgrade` that scan, rewrite or lock an existing table for as long as it is large."""
    upgrade = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    new_tables = {
        call.args[0].value
        for call in calls(upgrade)
        if last_name(call.func) == "create_table" and isinstance(call.args[0], ast.Constant)
    }
    for call in calls(upgrade):
        if not isinstance(call.func, ast.Attribute) or last_name(call.func.value) != "op":
            continue
        name = call.func.attr
        given = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        keywords = {
            keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)
        }
        if name == "execute":
            if not given or _SCANNING_SQL.match(str(given[0])):
                yield f"{call.lineno}: execute: use schema_changes, or literal SQL that changes no rows"
        elif name == "alter_column" and (
            keywords.get("nullable") is False or "type_" in {k.arg for k in call.keywords}
        ):
            yield f"{call.lineno}: alter_column: use a new column, or a NOT NULL constraint that is NOT VALID at first"
        elif (
            name in _STEPS
            and not new_tables & {*given, keywords.get("table_name")}
            and not keywords.get("postgresql_not_valid")
        ):
            yield f"{call.lineno}: {name}: use {_STEPS[name]}"


def test_migrations_of_big_tables_block_no_requests() -> None:
    scripts = sorted(migrations.script_directory().glob("versions/*.py"))
    checked = [script for script in scripts if script.name >= FIRST_CHECKED]
    assert checked
    found = [
        f"{script.name}:{step}" for script in checked for step in blocking_steps(ast.parse(script.read_text("utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("step", "is_blocking"),
    [
        ('op.create_index("i", "nodes", ["name"])', True),
        ('op.create_table("made", sa.Column("id")); op.create_index("i", "made", ["id"])', False),
        ('schema_changes.create_index("i", "nodes", ["name"])', False),
        ('op.drop_index("i", table_name="nodes")', True),
        ('op.execute("UPDATE nodes SET version = 1")', True),
        ('op.execute("CREATE UNIQUE INDEX i ON nodes (name)")', True),
        ('op.execute("ALTER TABLE nodes ALTER COLUMN name SET NOT NULL")', True),
        ('op.execute(f"UPDATE {table}")', True),
        ('op.execute("ALTER TABLE nodes VALIDATE CONSTRAINT c")', False),
        ('schema_changes.backfill("nodes", "version = 1", "version IS NULL")', False),
        ('op.add_column("nodes", sa.Column("note", sa.Text()))', False),
        ('op.alter_column("nodes", "name", nullable=False)', True),
        ('op.alter_column("nodes", "name", type_=sa.Text())', True),
        ('op.create_check_constraint("c", "nodes", "version > 0")', True),
        ('op.create_check_constraint("c", "nodes", "version > 0", postgresql_not_valid=True)', False),
        ('op.create_foreign_key("f", "nodes", "users", ["owner_id"], ["id"])', True),
    ],
)
def test_blocking_step_of_a_migration_is_found(step: str, *, is_blocking: bool) -> None:
    assert bool(list(blocking_steps(ast.parse(f"def upgrade():\n    {step}")))) is is_blocking
