"""New databases on the session's Postgres."""

import contextlib
import uuid
from collections.abc import AsyncIterator

import asyncpg


async def execute(url: str, statement: str) -> None:
    """Run one statement outside of any transaction; `url` is a SQLAlchemy URL."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def create_database(url: str, template: str = "template1") -> str:
    """Create a copy of a database that has no connections; return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    await execute(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{url.rpartition('/')[0]}/{name}"


@contextlib.asynccontextmanager
async def fresh_database(url: str, template: str = "template1") -> AsyncIterator[str]:
    """Yield the URL of a new database, by default empty; it is dropped at the end, even with connections."""
    created = await create_database(url, template)
    try:
        yield created
    finally:
        await execute(url, f"DROP DATABASE {created.rpartition('/')[2]} WITH (FORCE)")
