"""The wait for changes on the server, in a thread of its own: the control thread must not block on it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dropbox_client.client import Client
from dropbox_client.feed import LONG_WAIT_S
from dropbox_client.models import EventList


@dataclass(frozen=True, slots=True)
class Polled:
    """The page of events after a cursor, or why there is none."""

    cursor: str
    result: EventList | Exception


class Poller:
    """A thread that gets one page of events for each `ask`. A context manager: close the client before its end."""

    def __init__(self, client: Client, on_page: Callable[[Polled], None]) -> None:
        """`on_page` is called in the thread."""
        self._client = client
        self._on_page = on_page
        self._asked = threading.Condition()
        self._cursor: str | None = None
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._asked:
            self._is_ending = True
            self._asked.notify()
        self._thread.join()

    def ask(self, cursor: str) -> None:
        """Wait for the events after a cursor; `on_page` gets them, or an empty page after a minute."""
        with self._asked:
            self._cursor = cursor
            self._asked.notify()

    def _run(self) -> None:
        while True:
            with self._asked:
                self._asked.wait_for(lambda: self._cursor is not None or self._is_ending)
                cursor, self._cursor = self._cursor, None
                if self._is_ending or cursor is None:
                    return
            result: EventList | Exception
            try:
                result = self._client.events.get_page(cursor, wait_s=LONG_WAIT_S)
            except Exception as error:  # noqa: BLE001 - the control thread tells them apart
                result = error
            self._on_page(Polled(cursor, result))
