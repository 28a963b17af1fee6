"""Routes of the journal."""

import random
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader
from dropbox_api.deps import COMPRESSED
from dropbox_api.feed.read import get_newest_cursor, get_start_position
from dropbox_api.feed.routes.poll import Poll
from dropbox_api.feed.routes.stream import Stream
from dropbox_api.feed.schemas import EventCursor, EventList, ReadEvents, StreamEvents
from dropbox_api.responses import problem_responses

_STREAM_LIMIT = 500
"""Events per read."""

router = APIRouter(prefix="/v1/events")

_PROBLEMS = (
    problems.Unauthenticated,
    problems.Forbidden,
    problems.InvalidRequest,
    problems.InvalidCursor,
    problems.CursorExpired,
)


@router.get(
    "",
    operation_id="events_list",
    dependencies=[COMPRESSED],
    response_model=EventList,
    responses=problem_responses(*_PROBLEMS),
)
async def list_events(context: Reader, request: Request, wanted: Annotated[ReadEvents, Query()]) -> Response:
    """Read your journal: the changes of your files and of the files shared with you, in order, each change once.

    Without `cursor` and `since` it begins now. With `wait_s` the answer comes with the next event, and is empty when
    that time ends first. Continue with the cursor of the answer, of an empty one too.
    On `cursor-expired`, get `GET /v1/events/cursor`, then list all files again.
    """
    position = await get_start_position(context, request.app.state.cursors, wanted)
    return Poll(request, context.actor_id, position, wanted.limit, wanted.wait_s)


@router.get(
    "/cursor",
    operation_id="events_get_cursor",
    responses=problem_responses(problems.Unauthenticated, problems.Forbidden),
)
async def get_cursor(context: Reader, request: Request) -> EventCursor:
    """Get the cursor after the newest event. First sync: get it, list your files, then read the events after it."""
    return EventCursor(cursor=await get_newest_cursor(context, request.app.state.cursors))


_STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the cursor after the event, `event` its kind, `data` the Event. "
        "Comments are heartbeats. A last `event: end` carries the problem that ended the stream.",
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
    context: Reader,
    request: Request,
    wanted: Annotated[StreamEvents, Query()],
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="A cursor; takes precedence over the query.")
    ] = None,
) -> Response:
    """Receive your events as server-sent events, beginning where `GET /v1/events` would begin.

    The stream ends with your session or token, and when the server stops. Then connect again with the last id.
    """
    if last_event_id:
        wanted = StreamEvents(cursor=last_event_id)
    position = await get_start_position(context, request.app.state.cursors, wanted)
    if request.app.state.wakeup.is_full:
        raise problems.Unavailable("Too many requests wait for events", retry_after_s=random.randint(5, 15))  # noqa: S311
    return Stream(request, context.actor_id, position, _STREAM_LIMIT)
