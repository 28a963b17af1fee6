"""Webhooks."""

from collections.abc import Iterator, Sequence

from dropbox_client.calls import webhooks
from dropbox_client.models.files import FileRef
from dropbox_client.models.webhooks import CreatedWebhook, Delivery, DeliveryState, Webhook
from dropbox_client.resources.resource import Resource


class Webhooks(Resource):
    """Webhooks: the server sends events to a URL."""

    def list(self) -> Iterator[Webhook]:
        """Iterate over the caller's webhooks."""
        return self._pages(webhooks.list_all())

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook. Raises NotFound."""
        return self._run(webhooks.get(webhook_id))

    def create(self, url: str, *, kinds: Sequence[str] = (), description: str = "") -> CreatedWebhook:
        """Create a webhook for `kinds` of events (default: all); only this result has `secret`.

        Raises: AddressRefused, TooManyWebhooks.
        """
        return self._run(webhooks.create(url, kinds, description))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
    ) -> Webhook:
        """Change a webhook; None leaves a member alone. Raises NotFound, AddressRefused."""
        return self._run(
            webhooks.change(webhook_id, url=url, kinds=kinds, description=description, is_enabled=is_enabled)
        )

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its pending deliveries. Raises NotFound."""
        return self._run(webhooks.delete(webhook_id))

    def rotate_secret(self, webhook_id: str) -> str:
        """Replace the secret of a webhook, and return the new one. Raises NotFound."""
        return self._run(webhooks.rotate_secret(webhook_id))

    def send_test(self, webhook_id: str) -> Delivery:
        """Send a test event. Raises NotFound."""
        return self._run(webhooks.send_test(webhook_id))

    def list_deliveries(self, webhook_id: str, *, state: DeliveryState | None = None) -> Iterator[Delivery]:
        """Iterate over the deliveries of a webhook, newest first. Raises NotFound."""
        return self._pages(webhooks.list_deliveries(webhook_id, state))

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again. Raises NotFound."""
        return self._run(webhooks.redeliver(webhook_id, delivery_id))

    def list_file_deliveries(self, file: FileRef) -> Iterator[Delivery]:
        """Iterate over the deliveries of the events of a file. Raises NotFound."""
        return self._pages_of(file, webhooks.list_file_deliveries)
