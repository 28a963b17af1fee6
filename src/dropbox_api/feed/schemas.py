"""What readers of the journal get."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dropbox_api.events.journal import EventKind
from dropbox_api.files.schemas import File
from dropbox_api.schemas import Answer, ClientTime, Request

_Cursor = Annotated[
    str | None,
    Field(max_length=100, description="Go on after what the answer with this cursor held. Not with `since`."),
]


class StreamEvents(Request):
    """Where to begin; from now on, when nothing says."""

    cursor: _Cursor = None
    since: Annotated[
        ClientTime | None,
        Field(
            description="Begin with what has happened since, for a first look: go on with the cursor of the answer.",
            examples=["2026-03-01T00:00:00Z"],
        ),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.cursor is not None and self.since is not None:
            raise ValueError("cursor or since, not both")
        return self


class ReadEvents(StreamEvents):
    limit: Annotated[int, Field(ge=1, le=1000)] = 500
    wait_s: Annotated[
        float, Field(ge=0, le=90, description="While there is nothing, wait so long for something to happen.")
    ] = 0


class Event(Answer):
    """Something that happened to a file or folder that you see, or saw until then."""

    id: uuid.UUID = Field(description="The same for everybody who is told, in webhooks and messages, too.")
    kind: EventKind
    file_id: uuid.UUID
    at: datetime
    file: File | None = Field(
        description="As it is now, not as it was then; null when it is gone, or not yours to see."
    )
    detail: dict[str, Any] = Field(
        description="What the kind adds, such as `revision_id`, or `role` of a share; empty when `file` is null."
    )


class EventList(Answer):
    events: list[Event] = Field(description="In the order in which they happened; each change once.")
    cursor: str = Field(description="Goes on after the last of them. Keep it: it is good for as long as the journal.")
    has_more: bool = Field(description="Whether there is more to be had at once.")
    backoff_s: float | None = Field(None, description="The server is busy: ask again after so many seconds.")


class Cursor(Answer):
    cursor: str
