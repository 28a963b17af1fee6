"""Rate limits: fixed windows, counted in this process or in Redis.

A fixed window costs one counter. Across its edge it lets through at most twice the limit, which is accurate enough.
Keys are hashed, so the counters' store holds no address. Requests pass while that store does not answer: an outage of
the counters must not become an outage of the server.

Headers follow draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "name";q=30;w=60` and
`RateLimit: "name";r=29;t=12`.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal, get_args

from limits import RateLimitItem, parse_many
from limits.aio.storage import RedisStorage, Storage
from limits.storage import storage_from_string

from dropbox_api.problems import RateLimited
from dropbox_api.settings import LimitSettings

log = logging.getLogger(__name__)

LimitName = Literal[
    "address",
    "user",
    "sign_in_address",
    "register_address",
    "reset_address",
    "oidc_address",
    "sign_in_account",
    "mail",
    "share_mail",
    "public",
    "link_password",
    "sign",
]

_TIMEOUT_S = 0.5
_PAUSE_S = 5.0
"""How long limits go uncounted after their store failed to answer, so that requests do not wait for it one by one."""
_WARNING_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class WindowState:
    """The state of one window; a negative `remaining` is how far the caller exceeds it."""

    name: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int


class Limits:
    """Every rate limit of the settings. Raises ValueError for a store or a limit that cannot be parsed."""

    def __init__(self, settings: LimitSettings) -> None:
        self._storage = _open_storage(settings.storage_url)
        self._items: dict[LimitName, list[RateLimitItem]] = {
            name: parse_many(text) if (text := getattr(settings, name)) else [] for name in get_args(LimitName)
        }
        self._paused_until = self._next_warning = 0.0

    async def close(self) -> None:
        """Close the connections to Redis; counting afterwards opens new ones."""
        if isinstance(self._storage, RedisStorage):
            bridge: Any = self._storage.bridge
            await bridge.storage.aclose()  # the library itself never does

    async def hit(self, name: LimitName, key: str, count: int = 1) -> Sequence[WindowState]:
        """Count requests of `key` (any text); return the state of its windows, empty when there is no such limit.

        Raises RateLimited.
        """
        return await self._check(name, key, amount=count)

    async def test(self, name: LimitName, key: str) -> Sequence[WindowState]:
        """Check the limit as `hit` does without counting: for requests that count only when they fail."""
        return await self._check(name, key, amount=0)

    async def _check(self, name: LimitName, key: str, amount: int) -> Sequence[WindowState]:
        items = self._items[name]
        if not items or time.monotonic() < self._paused_until:
            return ()
        hashed = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                windows = [await self._count(name, item, hashed, amount) for item in items]
        except Exception as error:  # noqa: BLE001 - each kind of store has its own errors
            self._pause(error)
            return ()
        if any(window.remaining < 0 for window in windows):
            raise _make_refusal(windows)
        return windows

    async def _count(self, name: LimitName, item: RateLimitItem, key: str, amount: int) -> WindowState:
        counter, window_s = item.key_for(name, key), item.get_expiry()
        # A test fails as soon as nothing is left for the next request.
        count = await self._storage.incr(counter, window_s, amount) if amount else await self._storage.get(counter) + 1
        reset_s = math.ceil(await self._storage.get_expiry(counter) - time.time())
        label = f"{name.replace('_', '-')}-{item.GRANULARITY.name}"
        return WindowState(label, item.amount, window_s, item.amount - count, min(max(0, reset_s), window_s))

    def _pause(self, error: Exception) -> None:
        now = time.monotonic()
        self._paused_until = now + _PAUSE_S
        if now >= self._next_warning:
            self._next_warning = now + _WARNING_PAUSE_S
            log.warning("limits are not counted, their store does not answer: %s", type(error).__name__)


def _make_refusal(windows: Sequence[WindowState]) -> RateLimited:
    problem = RateLimited(retry_after_s=max(1, *(window.reset_s for window in windows if window.remaining < 0)))
    problem.windows = windows
    return problem


def format_headers(windows: Sequence[WindowState]) -> list[tuple[bytes, bytes]]:
    """Return the response headers for these windows."""
    if not windows:
        return []
    policy = ", ".join(f'"{one.name}";q={one.quota};w={one.window_s}' for one in windows)
    limit = ", ".join(f'"{one.name}";r={max(0, one.remaining)};t={one.reset_s}' for one in windows)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", limit.encode())]


@lru_cache(4096)
def address_key(address: str | None) -> str:
    """Return the key of an address; of IPv6 its /64 network, the size that one customer gets."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))


def _open_storage(url: str) -> Storage:
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return _MemoryStorage()
    # Valkey speaks Redis's protocol, so one client library serves both.
    storage = storage_from_string(f"async+{scheme.replace('valkey', 'redis')}://{rest}", implementation="redispy")
    if not isinstance(storage, Storage):
        raise TypeError(url)
    return storage


class _MemoryStorage(Storage):
    """Counters of this process; the library's own storage scans all counters at every hit."""

    STORAGE_SCHEME = None
    base_exceptions = ValueError

    def __init__(self) -> None:
        super().__init__()
        self._counters: dict[str, tuple[int, float]] = {}
        self._sweep_at = 1024

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        count, ends = self._counters.get(key, (0, 0.0))
        if ends <= now:
            count, ends = 0, now + expiry
        self._counters[key] = count + amount, ends
        if len(self._counters) > self._sweep_at:
            self._counters = {key: one for key, one in self._counters.items() if one[1] > now}
            self._sweep_at = max(1024, 2 * len(self._counters))
        return count + amount

    async def get(self, key: str) -> int:
        count, ends = self._counters.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        return self._counters.get(key, (0, time.time()))[1]

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._counters)
        self._counters.clear()
        return count

    async def clear(self, key: str) -> None:
        self._counters.pop(key, None)
