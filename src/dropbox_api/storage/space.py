"""Whether the store has room for new content.

MinIO, Ceph and others say so in the answer to a PUT. SeaweedFS answers 500 InternalError, as for any fault of its own,
and keeps answering reads. A store whose probe write fails so twice, and which answers a read, therefore counts as full.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from dropbox_api.storage.object_store import NoSpace, StoreError, StoreUnavailable

PROBE_KEY = "probe/space"
OK_FOR_S = 30.0
FULL_FOR_S = 3.0
_TIMEOUT_S = 5.0
_PAUSE_S = 1.0


class SpaceProbe:
    """The last answer to the question, and the probe that renews it. One per store client."""

    def __init__(self, write: Callable[[], Awaitable[object]], read: Callable[[], Awaitable[object]]) -> None:
        """`write` stores a small object, and `read` sends a cheap read; each sends one request."""
        self._write = write
        self._read = read
        self._lock = asyncio.Lock()
        self._full: NoSpace | None = None
        self._probed_at_s = float("-inf")

    async def require_space(self, *, max_age_s: float = OK_FOR_S) -> None:
        """Raise NoSpace when the store is full. An answer may be `max_age_s` old, "full" `FULL_FOR_S`."""
        async with self._lock:
            age_s = time.monotonic() - self._probed_at_s
            if age_s > (FULL_FOR_S if self._full else max_age_s):
                self._full = await self._probe()
                self._probed_at_s = time.monotonic()
            if self._full:
                raise NoSpace(self._full.detail)

    async def _probe(self) -> NoSpace | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                refusal = await self._try_write()
                if isinstance(refusal, StoreUnavailable) and refusal.code == "InternalError":
                    await asyncio.sleep(_PAUSE_S)  # it may be making room at this moment
                    refusal = await self._try_write()
                if isinstance(refusal, StoreUnavailable) and refusal.code == "InternalError":
                    await self._read()
                    return NoSpace(f"the store answers reads and fails to store a small object: {refusal.detail}")
        except (StoreError, TimeoutError):
            return None
        return refusal if isinstance(refusal, NoSpace) else None

    async def _try_write(self) -> StoreError | None:
        try:
            await self._write()
        except StoreError as error:
            return error
        return None
