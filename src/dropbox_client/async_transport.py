"""HTTP for the asynchronous client, over the bounded connection pool of httpx2 (the extra `async`).

Each request is attempted once; the caller retries.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping

from dropbox_client.call import IDLE_TIMEOUT_S, MAX_BODY_BYTES, Response
from dropbox_client.errors import InvalidResponse, Stopped, Unreachable
from dropbox_client.transport import CONNECT_TIMEOUT_S, show_host, split_url

try:
    import httpx2
except ImportError as error:
    raise ImportError("AsyncClient needs httpx2: pip install 'dropbox-api[async]'") from error

MAX_CONNECTIONS = 32
_NO_REUSE_AFTER_S = 4.0
"""Shorter than servers keep idle connections: a request never meets one that the server just closed."""


class AsyncTransport:
    """A bounded pool of connections. Used by one event loop."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        self._client = httpx2.AsyncClient(
            verify=ssl.create_default_context(),
            limits=httpx2.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_NO_REUSE_AFTER_S,
            ),
            trust_env=False,
        )
        self._closed = False

    async def close(self) -> None:
        """Close every connection; requests in progress raise Stopped."""
        self._closed = True
        await self._client.aclose()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> Response:
        """Send one request and return its complete response, of any status.

        `headers` must include Content-Length if `body` is an iterator. Raises: Unreachable, Stopped after `close`.
        """
        async with self.open(method, url, headers, body, idle_timeout_s=idle_timeout_s) as response:
            try:
                content = await _read_bounded(response)
            except (httpx2.HTTPError, RuntimeError) as error:
                raise self._explain(error, url) from error
            return Response(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> AsyncIterator[httpx2.Response]:
        """Like `send`, but yield the response before its body is read."""
        if self._closed:
            raise Stopped("stopped")
        split_url(url)
        timeout = httpx2.Timeout(idle_timeout_s, connect=CONNECT_TIMEOUT_S, pool=None)
        try:
            request = self._client.build_request(
                method,
                url,
                headers={
                    name.encode(): value.encode("latin-1") for name, value in headers.items() if name.lower() != "host"
                },
                content=body or None,
                timeout=timeout,
            )
        except (httpx2.InvalidURL, ValueError):  # their texts show the address or the value, which may be secrets
            raise InvalidResponse("the server sent an address or a header that is not valid") from None
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.HTTPError, RuntimeError) as error:
            raise self._explain(error, url) from error
        try:
            yield response
        finally:
            await response.aclose()

    async def read_pieces(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Iterate over the body of an open response. Raises Unreachable, Stopped."""
        try:
            async for piece in response.aiter_raw():
                yield piece
        except (httpx2.HTTPError, RuntimeError) as error:
            raise self._explain(error, str(response.url)) from error

    def _explain(self, error: Exception, url: str) -> Stopped | Unreachable:
        if self._closed:
            return Stopped("stopped")
        return Unreachable(f"no response from {show_host(split_url(url))}: {str(error) or type(error).__name__}")


async def _read_bounded(response: httpx2.Response) -> bytes:
    """Return the body as sent. Raises InvalidResponse if it is too large."""
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in response.aiter_raw():
        size_bytes += len(piece)
        if size_bytes > MAX_BODY_BYTES:
            raise InvalidResponse(f"a response has more than {MAX_BODY_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)
