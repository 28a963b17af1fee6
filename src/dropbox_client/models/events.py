"""The event feed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from dropbox_client.models.base import Model, read_time
from dropbox_client.models.files import File


@dataclass(frozen=True, slots=True)
class EventActor(Model):
    """Who made a change: an account, the bearer of a link, or the server."""

    kind: Literal["account", "link", "server"]
    id: str | None
    """The account, or for the owner the link; None for an account that the caller may not know."""
    email: str | None
    display_name: str | None
    token: str | None
    """The name of the personal access token, if the caller used one."""


@dataclass(frozen=True, slots=True)
class Event(Model):
    """A change of a file or folder that the caller sees, or saw until this change."""

    _readers: ClassVar = {"at": read_time, "file": File.from_json, "actor": EventActor.from_json}

    id: str
    """The same for all receivers, including webhooks."""
    kind: str
    """Such as "file.created"; a newer server may send kinds that this version does not know."""
    file_id: str
    at: datetime
    file: File | None
    """The file as of the request, not of the event; None if it is deleted or no longer visible to the caller."""
    detail: dict[str, Any]
    actor: EventActor | None = None
    """None without access, and for events older than this member."""
    cursor: str | None = None
    """The cursor to resume from once this event and all before it are processed. Events arrive in pages: the last event
    has the cursor after the page, all others the cursor before it (None: where reading began)."""


@dataclass(frozen=True)
class EventList(Model):
    """Events in the order of their occurrence; `cursor` resumes after the last one."""

    _readers: ClassVar = {"events": lambda items: [Event.from_json(item) for item in items]}

    events: list[Event]
    cursor: str
    has_more: bool
    backoff_s: float | None = None
    """The pause that the server requests before the next poll."""
