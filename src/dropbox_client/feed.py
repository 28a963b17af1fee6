"""Continuous reading of the event feed: `Feed` for both clients, `EventReader` for `dbx`.

`dbx` shares one outage among events and lookups.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from dropbox_client.calls import events
from dropbox_client.errors import ApiError, ClientError, Unreachable
from dropbox_client.exchange import Exchange, Pause, Steps
from dropbox_client.models import Event, EventList
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.waits import Waits

if TYPE_CHECKING:
    from dropbox_client.client import Client

LONG_WAIT_S = 60
"""Length of one long poll; many proxies close idle connections after a little more."""
EVENTS_PER_PAGE = 500
_MIN_POLL_S = 1.0
"""The reader pauses this long after an empty page that arrives sooner although it asked the server to wait."""
_MAX_BACKOFF_S = 3600.0

T = TypeVar("T")


class Reconnection:
    """Repeats steps without a time limit while they fail transiently.

    Failures before the first success are raised: the address may be wrong.
    """

    def __init__(self, waits: Waits, on_change: Callable[[ClientError | None], None] = lambda _: None) -> None:
        """`on_change` gets the first failure of a series, after the retries of the exchange, and None at its end."""
        self._waits = waits
        self._on_change = on_change
        self._was_connected = False

    def repeat(self, start: Callable[[], Steps[T]]) -> Steps[T]:
        """Perform the steps that `start` returns until they succeed. Raises their permanent failures."""
        is_failing = False
        with Backoff(RetryWindow(math.inf, waits=self._waits), base_s=1) as backoff:
            while True:
                try:
                    result = yield from start()
                except (Unreachable, ApiError) as error:
                    if not self._was_connected or not _is_transient(error):
                        raise
                    if not is_failing:
                        self._on_change(error)
                    is_failing = True
                    yield Pause(backoff.next_pause_s(failure=error) or 0)
                else:
                    self._was_connected = True
                    if is_failing:
                        self._on_change(None)
                    return result


def _is_transient(error: Unreachable | ApiError) -> bool:
    """Return whether a retry may help. A status without a problem document comes from a proxy, not from the server."""
    return (
        isinstance(error, Unreachable) or error.retryable or error.status >= 500 or error.code == f"http-{error.status}"
    )


class Feed:
    """A reader of the caller's event feed by long poll.

    The cursor advances only with a complete page. A lost response is requested again, so each event is delivered
    exactly once across restarts of the server, network failures and token renewals. The server throttles with
    `backoff_s` and Retry-After.
    """

    def __init__(
        self, exchange: Exchange, cursor: str | None, since: datetime | None, reconnector: Reconnection | None = None
    ) -> None:
        """Start after `cursor`, or at `since`."""
        self.cursor = cursor
        """The position after the last event read; None before the first page of `since`."""
        self.has_more = True
        """True if the next `read` may return events immediately."""
        self._exchange = exchange
        self._since = since
        self._reconnector = reconnector or Reconnection(exchange.waits)
        self._pause_s = 0.0

    def read(self, wait_s: float) -> Steps[list[Event]]:
        """Return the next events; if there are none, wait up to `wait_s` for one."""
        if self._pause_s:
            yield Pause(self._pause_s)
        began = time.monotonic()
        since = self._since if self.cursor is None else None
        call = events.get_page(self.cursor, since=since, limit=EVENTS_PER_PAGE, wait_s=wait_s)
        page: EventList = yield from self._reconnector.repeat(lambda: self._exchange.send(call))
        is_quick = not (page.events or page.has_more) and time.monotonic() - began < min(wait_s, _MIN_POLL_S)
        self._pause_s = max(min(page.backoff_s or 0, _MAX_BACKOFF_S), _MIN_POLL_S if is_quick else 0)
        start, self.cursor, self.has_more = self.cursor, page.cursor, page.has_more
        return [
            replace(event, cursor=page.cursor if place == len(page.events) else start)
            for place, event in enumerate(page.events, 1)
        ]


class Reconnector:
    """Retries requests of one client without a time limit while they fail transiently.

    Failures before the first success are raised: the address may be wrong.
    """

    def __init__(self, client: "Client", on_change: Callable[[ClientError | None], None] = lambda _: None) -> None:
        """`on_change` gets the first failure of a series, after the client's own retries, and None at its end."""
        self.reconnection = Reconnection(client.exchange.waits, on_change)
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
        self, client: "Client", cursor: str | None = None, *, since: datetime | None = None, reconnector: Reconnector
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
