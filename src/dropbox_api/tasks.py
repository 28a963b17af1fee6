"""Tasks that may outlive the request or job that started them. They belong to the services of one application."""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine

from dropbox_api import problems

log = logging.getLogger(__name__)


class TaskPool:
    """Running tasks, `size` at most, and a quarter of them for each account. References keep tasks from collection."""

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._size_per_account = max(1, size // 4)
        self._running: dict[asyncio.Task[None], uuid.UUID] = {}

    def start(
        self, account_id: uuid.UUID, work: Callable[[], Coroutine[None, None, None]]
    ) -> asyncio.Task[None] | None:
        """Start a task for an account; return None when the pool has no room for it."""
        per_account = Counter(self._running.values())
        if per_account.total() >= self._size or per_account[account_id] >= self._size_per_account:
            return None
        task = asyncio.create_task(work())
        self._running[task] = account_id
        task.add_done_callback(self._retire)
        return task

    def _retire(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, problems.Problem):
            log.error("task failed", exc_info=error)

    async def close(self) -> None:
        """Cancel the tasks and wait for their end."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
