"""Places for requests that hold something for as long as their client pleases: few in all, fewer for each user."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dropbox_api import problems

WAIT_S = 10.0


class TransferSlots:
    """`places` at a time in this process, a quarter of them for one user: nobody keeps all the others out."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._of_one = max(1, places // 4)
        self._held: Counter[uuid.UUID] = Counter()
        self._changed = asyncio.Condition()
        self.waiting = 0

    @asynccontextmanager
    async def hold(self, user_id: uuid.UUID) -> AsyncIterator[None]:
        """Hold a place while the block runs. Raises Unavailable when none becomes free within `WAIT_S`."""
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S), self._changed:
                await self._changed.wait_for(lambda: self._is_free(user_id))
                self._held[user_id] += 1
        except TimeoutError:
            raise problems.Unavailable("Too many transfers pass the server itself", retry_after_s=5) from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._held -= Counter([user_id])  # which also forgets who holds none
                self._changed.notify_all()

    def _is_free(self, user_id: uuid.UUID) -> bool:
        return self._held.total() < self._places and self._held[user_id] < self._of_one
