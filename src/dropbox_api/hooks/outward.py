"""What the world outside is told, and how it can tell that it was us.

A message says what happened to which file, and nothing of the file: whoever is told asks the API, which knows what is
theirs to see. Its kinds are the journal's, and one more: `file.stored`, beside the `file.created` or `file.updated` of
a new revision, is what processors of content wait for.

Source: Standard Webhooks (https://www.standardwebhooks.com), symmetric signatures.
"""

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from dropbox_api.events import journal

PREFIX = "whsec_"
SECRETS = "webhook secrets"
"""What they are sealed as."""
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Happened:
    """One change as the outbox has it."""

    id: uuid.UUID
    kind: str
    at: datetime
    owner_id: uuid.UUID
    file_id: uuid.UUID
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    id: uuid.UUID
    kind: str
    body: bytes


def messages(event: Happened, recipient_id: uuid.UUID | None = None, *, sees: bool = True) -> Iterator[Message]:
    """Yield what is sent of a change, in order: to a recipient's webhook, or to the topic, which has none.

    `sees`: whether the file is the recipient's to see now. Of others they learn removals alone, without details.
    """
    if not sees and event.kind not in journal.REMOVALS:
        return
    detail = event.detail if sees else {}
    said: dict[str, Any] = {"at": event.at, "owner_id": event.owner_id}
    if recipient_id is not None:
        said["recipient_id"] = recipient_id
    said |= {"file_id": event.file_id, "detail": detail}
    yield _message(event.id, event.kind, said)
    if event.kind in {"file.created", "file.updated"} and "revision_id" in detail:
        yield _message(uuid.uuid5(event.id, "file.stored"), "file.stored", said)


def ping(message_id: uuid.UUID, user_id: uuid.UUID) -> Message:
    """Return what a user tries a webhook of theirs out with."""
    said = {"at": datetime.now(UTC), "owner_id": user_id, "recipient_id": user_id, "file_id": None, "detail": {}}
    return _message(message_id, "ping", said)


def _message(message_id: uuid.UUID, kind: str, said: Mapping[str, Any]) -> Message:
    # `str`: the driver's UUIDs are a class of its own.
    body = orjson.dumps({"id": message_id, "kind": kind, **said}, default=str, option=orjson.OPT_UTC_Z)
    return Message(message_id, kind, body)


# Signatures


def new_secret() -> str:
    """Return a webhook's secret, 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, message_id: uuid.UUID, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove that a body is ours and of now. `at_s`: Unix time."""
    signed = f"{message_id}.{at_s}.".encode() + body
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {"webhook-id": str(message_id), "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}
