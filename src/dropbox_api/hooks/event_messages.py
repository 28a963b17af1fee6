"""The messages about a change: for webhooks, and for the topic of the message bus.

A message names the change and the file, and holds nothing of the file. The receiver reads the file from the API, which
checks its access. The kinds are those of the journal and `file.stored`, which follows the `file.created` or
`file.updated` of a new revision: processors of content wait for it.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from dropbox_api.events.journal import REMOVALS


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change as the outbox records it."""

    id: uuid.UUID
    kind: str
    at: datetime
    owner_id: uuid.UUID
    file_id: uuid.UUID
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventMessage:
    id: uuid.UUID
    kind: str
    body: bytes
    """JSON."""


def build_webhook_messages(event: ChangeEvent, recipient_id: uuid.UUID, *, has_access: bool) -> Iterator[EventMessage]:
    """Yield, in order, the messages about a change for a recipient's webhooks.

    A recipient without access to the file gets removals only, without details.
    """
    if has_access:
        yield from _build_messages(event, {"recipient_id": recipient_id}, event.detail)
    elif event.kind in REMOVALS:
        yield from _build_messages(event, {"recipient_id": recipient_id}, {})


def build_topic_messages(event: ChangeEvent) -> Iterator[EventMessage]:
    """Yield, in order, the messages about a change for the topic."""
    return _build_messages(event, {}, event.detail)


def build_ping(message_id: uuid.UUID, user_id: uuid.UUID) -> EventMessage:
    """Return the message that tests a webhook."""
    members = {"at": datetime.now(UTC), "owner_id": user_id, "recipient_id": user_id, "file_id": None, "detail": {}}
    return _encode(message_id, "ping", members)


def _build_messages(
    event: ChangeEvent, recipient: Mapping[str, uuid.UUID], detail: Mapping[str, Any]
) -> Iterator[EventMessage]:
    members = {"at": event.at, "owner_id": event.owner_id, **recipient, "file_id": event.file_id, "detail": detail}
    yield _encode(event.id, event.kind, members)
    if event.kind in {"file.created", "file.updated"} and "revision_id" in detail:
        yield _encode(uuid.uuid5(event.id, "file.stored"), "file.stored", members)


def _encode(message_id: uuid.UUID, kind: str, members: Mapping[str, Any]) -> EventMessage:
    # `default=str`: asyncpg's UUIDs are a class of its own.
    body = orjson.dumps({"id": message_id, "kind": kind, **members}, default=str, option=orjson.OPT_UTC_Z)
    return EventMessage(message_id, kind, body)
