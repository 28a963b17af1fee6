"""Webhooks and their deliveries."""

from collections.abc import Sequence

from dropbox_client.call import Call, Listing, read_member, read_nothing, read_with, without_none
from dropbox_client.models import CreatedWebhook, Delivery, DeliveryState, Webhook

_read_webhook = read_with(Webhook.from_json)
_read_delivery = read_with(Delivery.from_json)


def list_all() -> Listing[Webhook]:
    return Listing("/v1/webhooks", Webhook.from_json)


def get(webhook_id: str) -> Call[Webhook]:
    return Call("GET", f"/v1/webhooks/{webhook_id}", _read_webhook)


def create(url: str, kinds: Sequence[str], description: str) -> Call[CreatedWebhook]:
    body = {"url": url, "kinds": list(kinds), "description": description}
    return Call("POST", "/v1/webhooks", read_with(CreatedWebhook.from_json), body=body)


def change(
    webhook_id: str,
    *,
    url: str | None,
    kinds: Sequence[str] | None,
    description: str | None,
    is_enabled: bool | None,
) -> Call[Webhook]:
    named = None if kinds is None else list(kinds)
    body = without_none(url=url, kinds=named, description=description, enabled=is_enabled)
    return Call("PATCH", f"/v1/webhooks/{webhook_id}", _read_webhook, body=body)


def delete(webhook_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/webhooks/{webhook_id}", read_nothing)


def rotate_secret(webhook_id: str) -> Call[str]:
    return Call("POST", f"/v1/webhooks/{webhook_id}/rotate-secret", read_member("secret", str))


def send_test(webhook_id: str) -> Call[Delivery]:
    return Call("POST", f"/v1/webhooks/{webhook_id}/test", _read_delivery)


def list_deliveries(webhook_id: str, state: DeliveryState | None) -> Listing[Delivery]:
    return Listing(f"/v1/webhooks/{webhook_id}/deliveries", Delivery.from_json, without_none(state=state))


def redeliver(webhook_id: str, delivery_id: str) -> Call[Delivery]:
    return Call("POST", f"/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", _read_delivery)


def list_file_deliveries(file_id: str) -> Listing[Delivery]:
    return Listing(f"/v1/files/{file_id}/deliveries", Delivery.from_json)
