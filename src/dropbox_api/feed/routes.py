"""`/v1/events`: read the journal, wait for what comes, or have it sent as it happens.

A waiting request holds no database connection and no lock. It waits while the response is sent, after FastAPI has
released the request's resources, so thousands can wait. It registers its waiter before the first read: no event between
the read and the wait is missed.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, NoReturn

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from dropbox_api import problems
from dropbox_api.accounts.auth import ReaderActor, authenticate_again
from dropbox_api.deps import DbDep, SettingsDep
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.journal import JournalPosition
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.feed import service
from dropbox_api.feed.schemas import Cursor, EventList, ReadEvents, StreamEvents
from dropbox_api.responses import problem_responses

HEARTBEAT_S = 15.0
"""Proxies drop connections on which nothing is said."""
ASK_AGAIN_S = 60.0
"""A stream outlives its session by so much at most."""
_STREAM_LIMIT = 500
_BACKOFF_S = (5.0, 15.0)
"""Those who are sent away come back spread over this time."""

router = APIRouter(prefix="/v1/events", tags=["events"])

_PROBLEMS = (
    problems.Unauthenticated,
    problems.Forbidden,
    problems.InvalidRequest,
    problems.InvalidCursor,
    problems.CursorExpired,
)


# ASGI's
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The client is."""


class _Reading(Response):
    """An answer that is found out while it is sent."""

    def __init__(self, request: Request, actor_id: uuid.UUID, position: JournalPosition, limit: int) -> None:
        self.background = None
        self._request = request
        self._actor_id = actor_id
        self._position = position
        self._limit = limit

    @property
    def _wakeup(self) -> Wakeup:
        wakeup: Wakeup = self._request.app.state.wakeup
        return wakeup

    def _cursor(self, position: JournalPosition) -> str:
        cursors: Cursors = self._request.app.state.cursors
        return cursors.encode(self._actor_id, position)

    async def _look(self, *, again: bool = True) -> service.Page:
        """Read on. `again`: who asks was last asked about before they waited."""
        request, queries = self._request, self._wakeup.queries
        if again:
            await queries.run(request.headers.get("authorization"), lambda: authenticate_again(request))
        wanted = (self._actor_id, self._position, self._limit)
        page = await queries.run(wanted, lambda: service.read(request.app.state.db, *wanted))
        self._position = page.position
        return page


async def _until_gone(receive: Receive) -> NoReturn:
    """Read what the client sends until it goes. Raises _Gone then."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _Gone


class _Poll(_Reading):
    """The next events, as soon as there are any; none when the time is over."""

    def __init__(
        self, request: Request, actor_id: uuid.UUID, position: JournalPosition, limit: int, wait_s: float
    ) -> None:
        super().__init__(request, actor_id, position, limit)
        self._until = asyncio.get_running_loop().time() + wait_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wakeup = self._wakeup
        if wakeup.is_full:
            page, backoff_s = await self._look(again=False), random.uniform(*_BACKOFF_S)  # noqa: S311 - no secret
            await self._say(page, backoff_s)(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        with wakeup.waiter(self._actor_id) as waiter:
            page = await self._look(again=False)
            while not (page.events or page.has_more or wakeup.is_closing) and clock() < self._until:
                waiter.seq = page.position.seq
                try:
                    await waiter.wait(self._until, lambda: _until_gone(receive))
                except _Gone:
                    return
                page = await self._look()
        await self._say(page, None)(scope, receive, send)

    def _say(self, page: service.Page, backoff_s: float | None) -> Response:
        is_news = bool(page.events) or page.has_more
        body = page.body if is_news else b""
        if not body:
            answer = EventList(
                events=[event for _, event in page.events],
                cursor=self._cursor(page.position),
                has_more=page.has_more,
                backoff_s=None if is_news else backoff_s,
            )
            body = page.body = answer.model_dump_json().encode()
        return Response(body, media_type="application/json")


class _Stream(_Reading):
    """Every event as it happens, until the client goes, the session ends or the server does."""

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(_Gone), self._wakeup.waiter(self._actor_id) as waiter:
            page = await self._look(again=False)
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})

            async def say(text: str, *, more: bool = True) -> None:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

            await say(f"retry: {random.randint(1000, 5000)}\n\n")  # noqa: S311 - so that not all come back at once
            last = ""
            try:
                while True:
                    if page.events:
                        await say("".join(_message(self._cursor(position), event) for position, event in page.events))
                    if not page.has_more:
                        waiter.seq = page.position.seq
                        await self._pause(waiter, receive, say)
                        if self._wakeup.is_closing:
                            break
                    page = await self._look()
            except problems.Problem as problem:
                last = f"event: end\ndata: {orjson.dumps(problem.body()).decode()}\n\n"
            await say(last, more=False)

    async def _pause(self, waiter: Any, receive: Receive, say: Any) -> None:
        """Wait until it is time to look, with a sign of life now and then."""
        clock = asyncio.get_running_loop().time
        look_at = clock() + ASK_AGAIN_S
        while not await waiter.wait(min(clock() + HEARTBEAT_S, look_at), lambda: _until_gone(receive)):
            if clock() >= look_at:
                return
            await say(":\n\n")


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx: pass it on as it comes
]


def _message(cursor: str, event: Any) -> str:
    return f"id: {cursor}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"


@router.get("", operation_id="events_list", response_model=EventList, responses=problem_responses(*_PROBLEMS))
async def list_events(
    actor: ReaderActor, db: DbDep, settings: SettingsDep, request: Request, wanted: Annotated[ReadEvents, Query()]
) -> Response:
    """Read your journal: what happened to your files and to what is shared with you, in order, each change once.

    With neither `cursor` nor `since` it begins now. With `wait_s` the answer comes as soon as there is something, and
    is empty when there was nothing in that time. Go on with the cursor of the answer, also of an empty one.
    `cursor-expired`: list everything again, having taken `GET /v1/events/cursor` before.
    """
    position = await service.begin(db, settings.events, request.app.state.cursors, actor.user_id, wanted)
    return _Poll(request, actor.user_id, position, wanted.limit, wanted.wait_s)


@router.get(
    "/cursor",
    operation_id="events_get_cursor",
    responses=problem_responses(problems.Unauthenticated, problems.Forbidden),
)
async def get_cursor(actor: ReaderActor, db: DbDep, request: Request) -> Cursor:
    """Return the cursor of now. First sync: take it, list your files, then read events from it."""
    async with db.read() as tx:
        newest = await journal.get_newest_position(tx, actor.user_id)
    return Cursor(cursor=request.app.state.cursors.encode(actor.user_id, newest))


_STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the cursor after the event, `event` its kind, `data` the Event. "
        "Comments are signs of life. A last `event: end` carries the problem that ended the stream.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/stream",
    operation_id="events_stream",
    response_class=Response,
    responses=_STREAM_RESPONSE | problem_responses(*_PROBLEMS),
)
async def stream_events(
    actor: ReaderActor,
    db: DbDep,
    settings: SettingsDep,
    request: Request,
    wanted: Annotated[StreamEvents, Query()],
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="A cursor; goes before the one in the address.")
    ] = None,
) -> Response:
    """Have your events sent as they happen (server-sent events), from where `GET /v1/events` would begin.

    The stream ends when your session or token does, and when the server does: come back with the last id.
    """
    if last_event_id:
        wanted = StreamEvents(cursor=last_event_id)
    position = await service.begin(db, settings.events, request.app.state.cursors, actor.user_id, wanted)
    if request.app.state.wakeup.is_full:
        raise problems.Unavailable("Too many wait here already", retry_after_s=random.randint(5, 15))  # noqa: S311
    return _Stream(request, actor.user_id, position, _STREAM_LIMIT)
