"""Requests and answers of the journal's routes."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dropbox_api.events.journal import ActorKind, EventKind
from dropbox_api.files.schemas import File
from dropbox_api.schemas import Answer, EventTime, Label, Request

_Cursor = Annotated[
    str | None,
    Field(max_length=100, description="Continue after the answer that had this cursor. Excludes `since`."),
]


class StreamEvents(Request):
    """Where to begin; without a member, at the newest event."""

    cursor: _Cursor = None
    since: Annotated[
        EventTime | None,
        Field(
            description="Begin with the events since this time. Continue with the cursor of the answer.",
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
    wait_s: Annotated[float, Field(ge=0, le=90, description="Without an event, wait this long for the next one.")] = 0


class EventActor(Answer):
    """Who made a change, as far as you see each other by files that one of you owns or by their revisions."""

    kind: Annotated[ActorKind, Field(description="`link`: the bearer of a link; `server`: a job of the server.")]
    id: Annotated[uuid.UUID | None, Field(description="The account, or for the owner the link.")]
    email: str | None
    display_name: str | None
    token: Annotated[str | None, Field(description="Name of the personal token, if you used one yourself.")]


class Event(Answer):
    """A change of a file or folder to which you have access, or had until this change."""

    id: uuid.UUID = Field(description="The same for all recipients, and in webhooks and messages.")
    kind: EventKind
    file_id: uuid.UUID
    at: datetime
    file: File | None = Field(
        description="The file as it is now; null when it is in the trash or deleted, or when you have no access."
    )
    actor: EventActor | None = Field(
        description="Null when `file` is null for want of access, and for events older than this member."
    )
    detail: dict[str, Any] = Field(
        description="Members of the kind, such as `revision_id`, or `role` of a share; empty when `file` is null."
    )


class EventList(Answer):
    events: list[Event] = Field(description="In journal order; each change once.")
    cursor: str = Field(description="Continues after the last event. It is valid for the retention time.")
    has_more: bool = Field(description="More events are available now.")
    backoff_s: float | None = Field(None, description="Seconds to wait before the next request: the server is busy.")


class EventHistory(Answer):
    items: list[Event] = Field(description="Newest first; a page may be short or empty although more follow.")
    next_cursor: str | None = Field(description="Pass it back for the next page; null at the end.")


class EventCursor(Answer):
    cursor: str


# Devices


class ReportDevice(Request):
    name: Annotated[Label, Field(description="Name of the device, for people.", examples=["Ada's laptop"])]
    cursor: Annotated[
        str | None, Field(max_length=100, description="Cursor of the events; null before the device has read any.")
    ]
    pending: Annotated[int, Field(ge=0, le=2**53, description="Changes on the device that are not uploaded yet.")]


class Device(Answer):
    id: uuid.UUID
    name: str
    behind: Annotated[
        int | None, Field(description="Events after the cursor of its last report; null if it has read none.")
    ]
    pending: Annotated[int, Field(description="Changes on the device that were not uploaded at its last report.")]
    created_at: datetime
    last_seen_at: Annotated[datetime, Field(description="Time of its last report.")]


class DeviceList(Answer):
    items: list[Device]
