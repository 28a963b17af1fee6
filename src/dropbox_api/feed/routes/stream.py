"""The stream: every event as it happens, as server-sent events."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import orjson

from dropbox_api import problems
from dropbox_api.events.wakeup import Waiter
from dropbox_api.feed.routes.reader import (
    AsgiScope,
    ClientGoneError,
    JournalResponse,
    Receive,
    Send,
    wait_for_disconnect,
)
from dropbox_api.feed.schemas import Event

HEARTBEAT_S = 15.0
"""Proxies close connections without traffic."""
AUTHENTICATE_AGAIN_S = 60.0
"""A stream outlives its session by at most this time, also where no wake-up arrives."""

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx: do not buffer
]


class Stream(JournalResponse):
    """Sends events until the client disconnects, the session ends, or the server stops."""

    async def __call__(self, _: AsgiScope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientGoneError), self._wakeup.waiter(self._user_id) as waiter:
            page = await self._read_next()
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})

            async def write(text: str) -> None:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

            await write(f"retry: {random.randint(1000, 5000)}\n\n")  # noqa: S311 - spreads reconnections
            last = ""
            try:
                while True:
                    if page.events:
                        await write("".join(_format(self._encode_cursor(after), event) for after, event in page.events))
                    if not page.has_more:
                        waiter.seq = page.position.seq
                        await _wait(waiter, receive, write)
                        if self._wakeup.is_closing:
                            break
                    page = await self._authenticate_and_read_next()
            except problems.Problem as problem:
                last = f"event: end\ndata: {orjson.dumps(problem.body()).decode()}\n\n"
            await send({"type": "http.response.body", "body": last.encode(), "more_body": False})


async def _wait(waiter: Waiter, receive: Receive, write: Callable[[str], Awaitable[None]]) -> None:
    """Wait for a wake-up or the next authentication, with heartbeats. Raises ClientGoneError."""
    clock = asyncio.get_running_loop().time
    until = clock() + AUTHENTICATE_AGAIN_S
    while not await waiter.wait(min(clock() + HEARTBEAT_S, until), lambda: wait_for_disconnect(receive)):
        if clock() >= until:
            return
        await write(":\n\n")


def _format(cursor: str, event: Event) -> str:
    return f"id: {cursor}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
