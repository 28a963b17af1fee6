"""Hash and check passwords with argon2id, a few at a time, so that a storm of sign-ins leaves the event loop its cores.

Parameters: OWASP Password Storage Cheat Sheet, 46 MiB, one pass, one lane. The usual four lanes would start four
threads a hash and so undo the bound. Hashes made with other parameters are replaced at the next sign-in.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

_MEMORY_KIB = 46 * 1024


class Passwords:
    """A pool of `concurrency` threads, each busy with one hash."""

    def __init__(self, concurrency: int) -> None:
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="passwords")
        self._argon2 = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=_MEMORY_KIB, parallelism=1),))
        self._decoy = self._argon2.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._argon2.hash, password)

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Tell whether the password is right, and the hash to store instead if the stored one is of older parameters.

        `stored` is None for an unknown account: the same work is done in vain, so that time tells nobody who is here.
        """
        # The decoy is the hash of something random: nothing typed is ever right.
        check = self._argon2.verify_and_update
        return await asyncio.get_running_loop().run_in_executor(self._pool, check, password, stored or self._decoy)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
