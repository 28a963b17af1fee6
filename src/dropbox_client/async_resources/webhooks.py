"""Generated from `resources/webhooks.py` by `make sdk`: edit that module."""

from collections.abc import AsyncIterator, Sequence

from dropbox_client.async_resources.resource import Resource
from dropbox_client.calls import webhooks
from dropbox_client.models.files import FileRef
from dropbox_client.models.webhooks import CreatedWebhook, Delivery, DeliveryState, Webhook


class Webhooks(Resource):
    """Webhooks: the server sends events to a URL."""

    def list(self) -> AsyncIterator[Webhook]:
        """Iterate over the caller's webhooks."""
        return self._pages(webhooks.list_all())

    async def get(self, webhook_id: str) -> Webhook:
        """Return a webhook. Raises NotFound."""
        return await self._run(webhooks.get(webhook_id))

    async def create(self, url: str, *, kinds: Sequence[str] = (), description: str = "") -> CreatedWebhook:
        """Create a webhook for `kinds` of events (default: all); only this result has `secret`.

        Raises: AddressRefused, TooManyWebhooks.
        """
        return await self._run(webhooks.create(url, kinds, description))

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
    ) -> Webhook:
        """Change a webhook; None leaves a member alone. Raises NotFound, AddressRefused."""
        return await self._run(
            webhooks.change(webhook_id, url=url, kinds=kinds, description=description, is_enabled=is_enabled)
        )

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its pending deliveries. Raises NotFound."""
        return await self._run(webhooks.delete(webhook_id))

    async def rotate_secret(self, webhook_id: str) -> str:
        """Replace the secret of a webhook, and return the new one. Raises NotFound."""
        return await self._run(webhooks.rotate_secret(webhook_id))

    async def send_test(self, webhook_id: str) -> Delivery:
        """Send a test event. Raises NotFound."""
        return await self._run(webhooks.send_test(webhook_id))

    def list_deliveries(self, webhook_id: str, *, state: DeliveryState | None = None) -> AsyncIterator[Delivery]:
        """Iterate over the deliveries of a webhook, newest first. Raises NotFound."""
        return self._pages(webhooks.list_deliveries(webhook_id, state))

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again. Raises NotFound."""
        return await self._run(webhooks.redeliver(webhook_id, delivery_id))

    def list_file_deliveries(self, file: FileRef) -> AsyncIterator[Delivery]:
        """Iterate over the deliveries of the events of a file. Raises NotFound."""
        return self._pages_of(file, webhooks.list_file_deliveries)
