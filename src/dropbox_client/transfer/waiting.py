"""Waiting for several coroutines, and for blocking iterators."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any


async def gather(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines together. The first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def iterate_in_threads(blocks: Iterator[memoryview]) -> AsyncIterator[bytes]:
    """Iterate over copies of blocks, each of which is read in a thread."""
    while block := await asyncio.to_thread(lambda: bytes(next(blocks, b""))):
        yield block
