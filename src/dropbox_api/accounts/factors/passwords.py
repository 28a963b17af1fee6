"""Hash and check passwords with argon2id in a bounded pool: many sign-ins at once leave the event loop its cores.

Parameters: OWASP Password Storage Cheat Sheet, 46 MiB, one pass, one lane. The usual four lanes would start four
threads per hash and exceed the bound. The queue is bounded too: beyond it a request fails at once instead of waiting.
A hash with other parameters is replaced at the next sign-in.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from dropbox_api.problems import Unavailable

T = TypeVar("T")

MAX_WAITING = 128
_MEMORY_KIB = 46 * 1024


class Passwords:
    """A pool of `concurrency` threads, each busy with one hash.

    MAX_WAITING further calls may wait: beyond that, both methods raise Unavailable.
    """

    def __init__(self, concurrency: int) -> None:
        self._most = concurrency + MAX_WAITING
        self._taken = 0
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="passwords")
        self._argon2 = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=_MEMORY_KIB, parallelism=1),))
        self._decoy = self._argon2.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Return whether the password is right, and a new hash if the stored one has older parameters.

        `stored` is None for an unknown account: the same work against a decoy keeps the time of the answer equal.
        """
        # The decoy is the hash of a random value: no password matches it.
        return await self._run(lambda: self._argon2.verify_and_update(password, stored or self._decoy))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= self._most:
            raise Unavailable("Too many sign-ins at this moment: repeat after a few seconds", retry_after_s=3)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._taken -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
