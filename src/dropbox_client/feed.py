"""Continuous reading of the event feed for `dbx`, which shares one outage among events and lookups."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from dropbox_client.client import Client
from dropbox_client.errors import ClientError
from dropbox_client.exchange import LONG_WAIT_S, Feed, Reconnection, Steps
from dropbox_client.models import Event

__all__ = ["LONG_WAIT_S", "EventReader", "Reconnector"]

T = TypeVar("T")


class Reconnector:
    """Retries requests of one client without a time limit while they fail transiently.

    Failures before the first success are raised: the address may be wrong.
    """

    def __init__(self, client: Client, on_change: Callable[[ClientError | None], None] = lambda _: None) -> None:
        """`on_change` gets the first failure of a series, after the client's own retries, and None at its end."""
        self.reconnection = Reconnection(on_change)
        self._client = client

    def call(self, request: Callable[[], T]) -> T:
        """Return the result of `request`. Raises its permanent failures, and Stopped."""

        def steps() -> Steps[T]:
            return request()
            yield  # a generator, as `repeat` requires

        return self._client.drive(self.reconnection.repeat(steps))


class EventReader:
    """A reader of the caller's event feed. Not thread-safe."""

    def __init__(
        self, client: Client, cursor: str | None = None, *, since: datetime | None = None, reconnector: Reconnector
    ) -> None:
        """Start after `cursor`, or at `since`."""
        self._client = client
        self._feed = Feed(client.exchange, cursor, since, reconnector.reconnection)

    @property
    def cursor(self) -> str | None:
        """The position after the last event read; None before the first page of `since`."""
        return self._feed.cursor

    @property
    def has_more(self) -> bool:
        """True if the next `read` may return events immediately."""
        return self._feed.has_more

    def read(self, wait_s: float = 0) -> list[Event]:
        """Return the next events; if there are none, wait up to `wait_s` for one."""
        return self._client.drive(self._feed.read(wait_s))
