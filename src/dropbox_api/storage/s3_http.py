"""S3 requests as plain signed HTTP, where boto's serializer and parser cost too much processor time."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from io import BytesIO
from typing import NamedTuple, TypeVar

import aiohttp
from yarl import URL

from dropbox_api.core.presign import Presigner
from dropbox_api.storage.object_store import StoreThrottled, StoreUnavailable
from dropbox_api.storage.s3_responses import make_store_error, parse_error

_T = TypeVar("_T")

ATTEMPTS = 3
_URL_TTL_S = 900  # tolerates the clock skew that S3 tolerates with signed headers


class S3Response(NamedTuple):
    headers: Mapping[str, str]
    body: bytes


class SignedHttp:
    """Sends presigned requests to the server's own endpoint."""

    presigner: Presigner
    """Signs for the server's own endpoint. Set with the first credentials, and again when they change."""

    def __init__(self, session: aiohttp.ClientSession, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock

    async def send(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> S3Response:
        """Send one request, once. Raises StoreError, also for an error body inside a 200."""
        url = self.presigner.sign(
            method, key, query=query, headers=headers or {}, now=self._clock(), expires_s=_URL_TTL_S
        )
        timeout = self._session.timeout
        if read_timeout_s is not None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout.sock_connect, sock_read=read_timeout_s)
        content = None if body is None else BytesIO(body)  # aiohttp warns of more than a MiB of plain bytes
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, data=content, timeout=timeout, allow_redirects=False
            ) as response:
                received = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
        error_body = parse_error(received)
        if error_body is not None or response.status >= 300:
            code, message = error_body or ("", response.reason or "")
            raise make_store_error(response.status, code, message, is_head=method == "HEAD")
        return S3Response(response.headers, received)


async def retry(request: Callable[[], Awaitable[_T]]) -> _T:
    """Send an idempotent request up to three times while the store is throttled or unavailable."""
    for attempt in range(1, ATTEMPTS):
        with contextlib.suppress(StoreThrottled, StoreUnavailable):
            return await request()
        await asyncio.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - full jitter
    return await request()
