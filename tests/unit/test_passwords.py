"""Password hashing: strength, limited concurrency, and the same work for unknown accounts."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from dropbox_api.accounts.factors.passwords import Passwords

CONCURRENCY = 2


class Watched(PasswordHash):
    """Counts checks, and the maximum that ran concurrently."""

    def __init__(self, inner: PasswordHash) -> None:
        super().__init__(inner.hashers)
        self.checks = self.running = self.most_running = 0
        self._lock = threading.Lock()

    def verify_and_update(self, *args: Any, **kwargs: Any) -> tuple[bool, str | None]:
        with self._lock:
            self.checks += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            return super().verify_and_update(*args, **kwargs)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    result = Passwords(CONCURRENCY)
    yield result
    result.close()


@pytest.fixture
def watched(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> Watched:
    result = Watched(passwords._argon2)
    monkeypatch.setattr(passwords, "_argon2", result)
    return result


async def test_verify_compares_the_password_exactly(passwords: Passwords) -> None:
    stored = await passwords.hash("Pässword 1")
    assert await passwords.verify("Pässword 1", stored) == (True, None)
    for wrong in ("pässword 1", "Pässword 1 ", "Pa\u0308ssword 1", "Pässword 1\0", ""):
        assert await passwords.verify(wrong, stored) == (False, None)


async def test_hash_is_salted_argon2id_with_the_parameters_of_owasp(passwords: Passwords) -> None:
    one, two = await passwords.hash("same"), await passwords.hash("same")
    assert one != two
    assert one.startswith("$argon2id$v=19$m=47104,t=1,p=1$")


async def test_verify_of_a_weak_hash_returns_a_stronger_one(passwords: Passwords) -> None:
    old = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    assert await passwords.verify("wrong", old) == (False, None)
    right, better = await passwords.verify("secret", old)
    assert right
    assert better is not None
    assert await passwords.verify("secret", better) == (True, None)


async def test_verify_without_an_account_costs_the_same_hash(passwords: Passwords, watched: Watched) -> None:
    assert await passwords.verify("secret", None) == (False, None)
    assert watched.checks == 1
    assert passwords._argon2.current_hasher.check_needs_rehash(passwords._decoy) is False


async def test_concurrent_verifications_are_limited(passwords: Passwords, watched: Watched) -> None:
    await asyncio.gather(*(passwords.verify("secret", None) for _ in range(8)))
    assert watched.checks == 8
    assert watched.most_running <= CONCURRENCY
