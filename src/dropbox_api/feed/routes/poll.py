"""The long poll: the next events as soon as there are any, or none when the time is over."""

import asyncio
import random
import uuid

from fastapi import Request
from fastapi.responses import Response

from dropbox_api.events.journal import JournalPosition
from dropbox_api.feed.read import FeedPage
from dropbox_api.feed.routes.reader import (
    AsgiScope,
    ClientGoneError,
    JournalResponse,
    Receive,
    Send,
    wait_for_disconnect,
)
from dropbox_api.feed.schemas import EventList

_BACKOFF_S = (5.0, 15.0)
"""A full server spreads the next polls of its clients over this time."""


class Poll(JournalResponse):
    """One page as JSON, after waiting for at most `wait_s`."""

    def __init__(
        self, request: Request, user_id: uuid.UUID, position: JournalPosition, limit: int, wait_s: float
    ) -> None:
        super().__init__(request, user_id, position, limit)
        self._until = asyncio.get_running_loop().time() + wait_s

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        wakeup = self._wakeup
        if wakeup.is_full:
            page, backoff_s = await self._read_next(), random.uniform(*_BACKOFF_S)  # noqa: S311 - no secret
            await self._respond(page, backoff_s)(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        with wakeup.waiter(self._user_id) as waiter:
            page = await self._read_next()
            while not (_has_events(page) or wakeup.is_closing) and clock() < self._until:
                waiter.seq = page.position.seq
                try:
                    await waiter.wait(self._until, lambda: wait_for_disconnect(receive))
                except ClientGoneError:
                    return
                page = await self._authenticate_and_read_next()
        await self._respond(page, None)(scope, receive, send)

    def _respond(self, page: FeedPage, backoff_s: float | None) -> Response:
        """Encode a page; requests that share a page with events encode it once."""
        if not _has_events(page):
            return Response(self._encode(page, backoff_s), media_type="application/json")
        if page.body is None:
            page.body = self._encode(page, None)
        return Response(page.body, media_type="application/json")

    def _encode(self, page: FeedPage, backoff_s: float | None) -> bytes:
        answer = EventList(
            events=[event for _, event in page.events],
            cursor=self._encode_cursor(page.position),
            has_more=page.has_more,
            backoff_s=backoff_s,
        )
        return answer.model_dump_json().encode()


def _has_events(page: FeedPage) -> bool:
    """Return whether there are events now, in this page or behind it."""
    return bool(page.events) or page.has_more
