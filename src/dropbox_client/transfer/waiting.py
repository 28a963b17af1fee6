"""Waiting for several coroutines."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def gather(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines together. The first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
