"""Requests and answers of the webhook routes."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dropbox_api.events.journal import EventKind
from dropbox_api.schemas import Answer, Request

MessageKind = EventKind | Literal["file.stored"]
"""The kinds of events in journals, and `file.stored` for new content."""

DisabledReason = Literal["user", "gone", "failing", "secret"]

State = Literal["pending", "delivered", "failed"]

Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=r"^[!-~]+$"),
    Field(
        description="`https` to a public address, without credentials and fragment.",
        examples=["https://example.org/dropbox"],
    ),
]
Kinds = Annotated[
    list[MessageKind],
    Field(
        max_length=100,
        description="The kinds of messages to send; an empty list means all kinds.",
        examples=[["file.stored"]],
    ),
]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class CreateWebhook(Request):
    url: Url
    kinds: Kinds = Field(default_factory=list)
    description: Description = ""


class UpdateWebhook(Request):
    """Members that are left out keep their values."""

    url: Url | None = None
    kinds: Kinds | None = None
    description: Description | None = None
    enabled: bool | None = Field(None, description="`true` enables a disabled webhook, `false` disables it.")


class Webhook(Answer):
    id: uuid.UUID
    url: str
    kinds: list[MessageKind]
    description: str
    created_at: datetime
    failing_since: datetime | None = Field(description="Time of the first failure after the last success.")
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(
        description="`user`: you disabled it. `gone`: the receiver answered 410. `failing`: all attempts failed for "
        "days. `secret`: the server's own secret has changed; rotate the webhook's secret and enable the webhook."
    )


class CreatedWebhook(Webhook):
    secret: str = Field(description="Signs all messages. The server shows it only once.", examples=["whsec_..."])


class WebhookSecret(Answer):
    secret: str = Field(description="Signs all messages from now on. The server shows it only once.")


class WebhookList(Answer):
    items: list[Webhook]
    next_cursor: str | None


class Delivery(Answer):
    """One message to one webhook, and its state."""

    id: uuid.UUID
    webhook_id: uuid.UUID
    event_id: uuid.UUID = Field(description="The `id` of the message, also its `webhook-id` header.")
    kind: MessageKind | Literal["ping"]
    file_id: uuid.UUID | None
    state: State
    attempts: int
    next_attempt_at: datetime | None = Field(description="Earliest time of the next attempt; null when there is none.")
    last_status: int | None = Field(description="Status of the last attempt; null without an answer.")
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


class DeliveryList(Answer):
    items: list[Delivery]
    next_cursor: str | None
