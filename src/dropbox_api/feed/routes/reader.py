"""What poll and stream share: a response that reads the journal while it is sent."""

import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from fastapi import Request
from fastapi.responses import Response

from dropbox_api.accounts.auth import authenticate_request
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.journal import JournalPosition
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.feed.read import FeedPage, read_page

# ASGI's types
AsgiScope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]


class ClientGoneError(Exception):
    """The client has closed the connection."""


async def wait_for_disconnect(receive: Receive) -> NoReturn:
    """Discard what the client sends until it disconnects. Raises ClientGoneError."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientGoneError


class JournalResponse(Response):
    """Reads one user's journal, page by page, from a position."""

    def __init__(self, request: Request, user_id: uuid.UUID, position: JournalPosition, limit: int) -> None:
        self.background = None
        self._request = request
        self._user_id = user_id
        self._position = position
        self._limit = limit

    @property
    def _wakeup(self) -> Wakeup:
        wakeup: Wakeup = self._request.app.state.wakeup
        return wakeup

    def _encode_cursor(self, position: JournalPosition) -> str:
        cursors: Cursors = self._request.app.state.cursors
        return cursors.encode(self._user_id, position)

    async def _read_next(self) -> FeedPage:
        """Read the next page. Raises CursorExpired."""
        wanted = (self._user_id, self._position, self._limit)
        db = self._request.app.state.db
        page = await self._wakeup.queries.run(wanted, lambda: read_page(db, *wanted))
        self._position = page.position
        return page

    async def _authenticate_and_read_next(self) -> FeedPage:
        """Read the next page after a wait, which the session may not survive. Raises Unauthenticated, CursorExpired."""
        request = self._request
        await self._wakeup.queries.run(request.headers.get("authorization"), lambda: authenticate_request(request))
        return await self._read_next()
