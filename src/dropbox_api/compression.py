"""Compress the answers of routes that allow it (`deps.COMPRESSED`), with the coding that the client prefers.

A route opts in, because the size of a compressed answer that holds a secret beside text of another person tells parts
of the secret (BREACH). Only whole bodies are compressed; streams pass unchanged.
"""

import asyncio
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIN_BYTES = 1024
"""Smaller answers fit into one packet."""
_THREAD_BYTES = 64 * 1024
"""Larger bodies are compressed in a thread: they take the event loop more than half a millisecond."""


def _gzip(body: bytes) -> bytes:
    # Level 3: 8 ms for 1 MB of JSON. Level 4 takes 12 ms for 5 % less.
    return zlib.compress(body, level=3, wbits=16 + zlib.MAX_WBITS)


def _zstd(body: bytes) -> bytes:
    return zstd.compress(body, level=1)  # 1.5 ms for 1 MB; on lists level 3 saves nothing


CODINGS: Mapping[str, Callable[[bytes], bytes]] = {"zstd": _zstd, "gzip": _gzip}
"""The supported content codings; the server prefers the first."""


def choose_coding(accept_encoding: str, offered: Iterable[str] = CODINGS) -> str | None:
    """Return the coding for an Accept-Encoding header (RFC 9110 section 12.5.3), None for an unchanged body.

    `offered` are the possible codings, the preferred one first. A coding must be named: a client that sends only `*`
    may know none of them.
    """
    weights = dict(map(_read_weight, accept_encoding.lower().split(",")))
    best = max(offered, key=lambda coding: weights.get(coding, 0.0), default="")
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _read_weight(item: str) -> tuple[str, float]:
    coding, _, parameter = item.partition(";")
    name, _, value = parameter.partition("=")
    if not parameter.strip():
        return coding.strip(), 1.0
    try:
        return coding.strip(), float(value) if name.strip() == "q" else 0.0
    except ValueError:
        return coding.strip(), 0.0


class Compression:
    """Compresses the answers of marked routes, and names Accept-Encoding in their Vary."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and scope.get("compresses"):
                MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
                start = message
                return
            if start is not None:
                if not message.get("more_body", False):
                    await _compress(scope, start, message)
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_compressed)


async def _compress(scope: Scope, start: Message, message: Message) -> None:
    """Replace the body of an answer by its compressed form, if it is large and the client accepts that."""
    body: bytes = message.get("body", b"")
    coding = choose_coding(Headers(scope=scope).get("accept-encoding", ""))
    if coding is None or len(body) < MIN_BYTES:
        return
    compress = CODINGS[coding]
    message["body"] = await asyncio.to_thread(compress, body) if len(body) > _THREAD_BYTES else compress(body)
    headers = MutableHeaders(scope=start)
    headers["Content-Encoding"] = coding
    headers["Content-Length"] = str(len(message["body"]))
