"""The changes of all files that the caller sees."""

from collections.abc import Iterator
from datetime import datetime

from dropbox_client.calls import events
from dropbox_client.feed import EVENTS_PER_PAGE, LONG_WAIT_S, Feed
from dropbox_client.models.events import Event, EventList
from dropbox_client.resources.resource import Resource


class Events(Resource):
    """The changes of all files that the caller sees."""

    def follow(self, cursor: str | None = None, *, since: datetime | None = None) -> Iterator[Event]:
        """Iterate over the events after a cursor, or since a time, and wait for new ones without end.

        With neither, begin with the first `next`. Yields each event once across restarts of the server, network
        failures and token renewals; `retry_for_s` limits only the first request. Store `Event.cursor` to resume later;
        it is valid as long as the server keeps the events after it.

        Raises: CursorExpired if the server no longer keeps these events, InvalidCursor.
        """
        if cursor is None and since is None:
            cursor = self.get_cursor()
        feed = Feed(self._client.exchange, cursor, since)
        while True:
            for event in self._client.drive(feed.read(LONG_WAIT_S)):  # noqa: UP028
                yield event

    def list(self, cursor: str | None = None, *, since: datetime | None = None) -> Iterator[Event]:
        """Iterate over the events after a cursor, or since a time, up to now.

        Raises: CursorExpired, InvalidCursor; ValueError with neither.
        """
        if cursor is None and since is None:
            raise ValueError("give a cursor, or the time to begin with")
        feed = Feed(self._client.exchange, cursor, since)
        while feed.has_more:
            for event in self._client.drive(feed.read(0)):  # noqa: UP028
                yield event

    def list_activity(self, kind: str | None = None, *, page_items: int = EVENTS_PER_PAGE) -> Iterator[Event]:
        """Iterate over the events that the server still keeps, newest first; `kind` is such as "file.trashed".

        An event shows its file as it is now, own files also in the trash. `page_items` is the number per request.
        """
        return self._pages(events.list_activity(kind, page_items))

    def get_cursor(self) -> str:
        """Return the current cursor. To mirror a tree, take the cursor before listing it."""
        return self._run(events.get_cursor())

    def get_page(
        self,
        cursor: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = EVENTS_PER_PAGE,
        wait_s: float = 0,
    ) -> EventList:
        """Return the next events; if there are none, wait up to `wait_s` (at most 90). Raises as `list` does."""
        return self._run(events.get_page(cursor, since=since, limit=limit, wait_s=wait_s))
