"""What the routes of webhooks take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dropbox_api.events.journal import EventKind
from dropbox_api.schemas import Answer, Request

MessageKind = EventKind | Literal["file.stored"]
"""What a webhook can be told of: what journals tell, and that there is new content to be had."""

DisabledReason = Literal["user", "gone", "failing", "secret"]

State = Literal["pending", "delivered", "failed"]

Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=r"^[!-~]+$"),
    Field(
        description="`https`, a public address, neither credentials nor a fragment in it.",
        examples=["https://example.org/dropbox"],
    ),
]
Kinds = Annotated[
    list[MessageKind],
    Field(max_length=100, description="What to be told of; none named: everything.", examples=[["file.stored"]]),
]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewWebhook(Request):
    url: Url
    kinds: Kinds = Field(default_factory=list)
    description: Description = ""


class ChangeWebhook(Request):
    """What is left out stays as it is."""

    url: Url | None = None
    kinds: Kinds | None = None
    description: Description | None = None
    enabled: bool | None = Field(None, description="`true` switches a disabled webhook on again.")


class Webhook(Answer):
    id: uuid.UUID
    url: str
    kinds: list[MessageKind]
    description: str
    created_at: datetime
    failing_since: datetime | None = Field(description="The first failure after the last success.")
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(
        description="`user`: you did it. `gone`: the receiver answered 410. `failing`: it failed for days. `secret`: "
        "the server's own secret is another one now; rotate this one's and switch it on."
    )


class CreatedWebhook(Webhook):
    secret: str = Field(description="Signs what is sent. It is shown now and never again.", examples=["whsec_..."])


class Secret(Answer):
    secret: str = Field(description="Signs from now on what is sent. It is shown now and never again.")


class WebhookList(Answer):
    items: list[Webhook]
    next_cursor: str | None


class Delivery(Answer):
    """One message on its way to one webhook, and what became of it."""

    id: uuid.UUID
    webhook_id: uuid.UUID
    event_id: uuid.UUID = Field(description="The message's `id`, its `webhook-id` header, too.")
    kind: MessageKind | Literal["ping"]
    file_id: uuid.UUID | None
    state: State
    attempts: int
    next_attempt_at: datetime | None = Field(description="Not before this; null when it is done with.")
    last_status: int | None = Field(description="What the receiver answered last; null when it did not.")
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


class DeliveryList(Answer):
    items: list[Delivery]
    next_cursor: str | None
