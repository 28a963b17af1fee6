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


@contextlib.asynccontextmanager
async def fresh_database(url: str) -> AsyncIterator[str]:
    """Yield the URL of a new, empty database; it is dropped at the end, even if clients are still connected."""
    name = f"test_{uuid.uuid4().hex}"
    await execute(url, f"CREATE DATABASE {name}")
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        await execute(url, f"DROP DATABASE {name} WITH (FORCE)")
