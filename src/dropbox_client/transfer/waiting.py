"""Waiting for several coroutines, and for blocking iterators."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

_T = TypeVar("_T")


async def gather(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines together. The first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def run_to_end(function: Callable[[], _T], on_cancel: Callable[[], object] = lambda: None) -> _T:
    """Run a function in a thread, and return when it has ended, also after a cancellation: it uses an open file.

    `on_cancel` tells the function to end early.
    """
    running = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        on_cancel()
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        running.exception()  # retrieved: the cancellation is raised instead
        raise


async def iterate_in_threads(blocks: Iterator[memoryview]) -> AsyncIterator[bytes]:
    """Iterate over copies of blocks, each of which is read in a thread."""
    while block := await asyncio.to_thread(lambda: bytes(next(blocks, b""))):
        yield block
