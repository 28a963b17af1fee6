"""Slots for requests that hold a resource as long as their client is slow: a limit in all, and one for each user."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dropbox_api import problems

WAIT_S = 10.0


class TransferSlots:
    """`slots` transfers at a time in this process; one user gets a quarter of them, so that others find a free one."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._slots_per_user = max(1, slots // 4)
        self._held: Counter[uuid.UUID] = Counter()
        self._changed = asyncio.Condition()
        self.waiting = 0

    @asynccontextmanager
    async def hold(self, user_id: uuid.UUID) -> AsyncIterator[None]:
        """Hold a slot while the block runs. Raises Unavailable when none becomes free within `WAIT_S`."""
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S), self._changed:
                await self._changed.wait_for(lambda: self._is_free(user_id))
                self._held[user_id] += 1
        except TimeoutError:
            raise problems.Unavailable("All transfer slots of the server are in use", retry_after_s=5) from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._held -= Counter([user_id])  # also drops users that hold none
                self._changed.notify_all()

    def _is_free(self, user_id: uuid.UUID) -> bool:
        return self._held.total() < self._slots and self._held[user_id] < self._slots_per_user
