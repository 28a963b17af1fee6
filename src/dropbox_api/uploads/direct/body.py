"""The body of a request while it is still coming in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dropbox_api import problems
from dropbox_api.core.body_digests import BodyDigests

STALL_S = 60
"""A body of which no byte arrives for so long is given up: it holds one of few transfer slots."""
BODY_S = 3600
"""A body that has not ended by then is given up, too."""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A body that can be read once."""

    blocks: AsyncIterator[bytes]
    """Raises InvalidRequest when the client leaves before the end, or stalls; DigestMismatch."""
    size_bytes: int | None
    """Content-Length; None with chunked transfer encoding."""
    content_type: str | None

    def require_size(self, most_bytes: int, max_bytes: int) -> None:
        """Raise BodyTooLarge for a Content-Length above `most_bytes`; the problem names `max_bytes`."""
        if self.size_bytes is not None and self.size_bytes > most_bytes:
            raise problems.BodyTooLarge(max_bytes=max_bytes)

    def bound_content(self, max_bytes: int) -> int:
        """Return how many bytes of content the body holds at most."""
        return max_bytes if self.size_bytes is None else min(self.size_bytes, max_bytes)


def receive_body(
    receive: Callable[[], Awaitable[Any]], content_length: str, content_type: str | None, digests: BodyDigests
) -> RequestBody:
    """Return the body that comes by ASGI messages; `content_length` is the header as it was sent, or ""."""
    size_bytes = int(content_length) if content_length.isdigit() else None
    return RequestBody(_read_blocks(receive, digests), size_bytes, content_type)


async def _read_blocks(receive: Callable[[], Awaitable[Any]], digests: BodyDigests) -> AsyncIterator[bytes]:
    """Yield the body that comes by ASGI messages.

    Raises InvalidRequest when it ends, or stalls, before its end; DigestMismatch at the end.
    """
    more = True
    ends_at = asyncio.get_running_loop().time() + BODY_S
    while more:
        try:
            async with asyncio.timeout(STALL_S), asyncio.timeout_at(ends_at):
                message = await receive()
        except TimeoutError:
            raise problems.InvalidRequest("The body comes too slowly", errors=[]) from None
        if message["type"] == "http.disconnect":
            raise problems.InvalidRequest("The body ended early", errors=[])
        block = message.get("body", b"")
        digests.update(block)
        yield block
        more = message.get("more_body", False)
    if header := digests.find_mismatch():
        raise problems.DigestMismatch(header=header)
