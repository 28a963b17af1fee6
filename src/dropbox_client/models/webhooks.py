"""Webhooks and their deliveries."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from dropbox_client.models.base import Model, read_time

DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True)
class Webhook(Model):
    """A webhook, without its secret."""

    _readers: ClassVar = {"created_at": read_time, "failing_since": read_time, "disabled_at": read_time}

    id: str
    url: str
    kinds: list[str]
    """Empty for all kinds of events."""
    description: str
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: Literal["user", "gone", "failing", "secret"] | None


@dataclass(frozen=True)
class CreatedWebhook(Webhook):
    """A new webhook: `secret` is shown only here."""

    secret: str = field(repr=False)


@dataclass(frozen=True)
class Delivery(Model):
    """The delivery of one event to one webhook."""

    _readers: ClassVar = {"next_attempt_at": read_time, "created_at": read_time, "delivered_at": read_time}

    id: str
    webhook_id: str
    event_id: str
    kind: str
    file_id: str | None
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None
