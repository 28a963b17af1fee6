"""Reading a journal on and on: one place in it, which only a whole answer moves.

So an answer that is lost on the way is asked for again, and nothing is skipped or told twice, whatever happens to the
server, the network or the token in between. The server says when it wants to be left alone (`backoff_s`, Retry-After).
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from dropbox_client.errors import ApiProblem, ClientError, Stopped, Unreachable
from dropbox_client.models import Event
from dropbox_client.retry import Backoff, Patience

if TYPE_CHECKING:
    from dropbox_client.api import Client

LONG_WAIT_S = 60
"""Of one question, where nothing happens; many a proxy hangs up after a little more."""
_QUICK_S = 1.0
"""An empty answer that comes sooner, though we said that we wait, is not asked for again at once."""

T = TypeVar("T")


class Insistence:
    """Repeats calls for ever while nothing but the way to the server, or a moment's weakness of it, is in between.

    Until the first call succeeds it raises what it gets: then the address is as likely to be wrong.
    """

    def __init__(self, client: "Client", tell: Callable[[ClientError | None], None] = lambda _: None) -> None:
        """`tell` hears the first failure of a row, after the client's own patience, and None when it is over."""
        self._client = client
        self._tell = tell
        self._is_answered = False

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what the call returns in the end. Raises what will not pass, and Stopped."""
        backoff = Backoff(Patience(math.inf), base_s=1)
        is_lost = False
        while True:
            try:
                answer = call()
            except (Unreachable, ApiProblem) as error:
                if not self._is_answered or not _passes(error):
                    raise
                if not is_lost:
                    self._tell(error)
                is_lost = True
                self.pause(backoff.next_pause_s() or 0)
            else:
                self._is_answered = True
                if is_lost:
                    self._tell(None)
                return answer

    def pause(self, pause_s: float) -> None:
        """Wait. Raises Stopped."""
        if self._client.stopping.wait(pause_s):
            raise Stopped("stopped")


def _passes(error: Unreachable | ApiProblem) -> bool:
    """Tell what is not the server's own last word: a proxy without a server behind it says 404, for instance."""
    return (
        isinstance(error, Unreachable) or error.retryable or error.status >= 500 or error.code == f"http-{error.status}"
    )


class Reader:
    """A reader of the caller's journal. Used by one thread."""

    def __init__(
        self,
        client: "Client",
        cursor: str | None = None,
        *,
        since: datetime | None = None,
        insist: Insistence | None = None,
    ) -> None:
        """Begin after `cursor`, or at `since`."""
        self.cursor = cursor
        """Goes on after all that was read; None before the first answer to `since`."""
        self.has_more = True
        """Whether another `read` may have something at once."""
        self._client = client
        self._since = since
        self._insist = insist or Insistence(client)
        self._pause_s = 0.0

    def read(self, wait_s: float = 0) -> list[Event]:
        """Return the next events; when there are none yet, wait up to `wait_s` for one, and return none after that."""
        if self._pause_s:
            self._insist.pause(self._pause_s)
        began = time.monotonic()
        since = self._since if self.cursor is None else None
        page = self._insist(lambda: self._client.event_page(self.cursor, since=since, wait_s=wait_s))
        is_quick = not (page.events or page.has_more) and time.monotonic() - began < min(wait_s, _QUICK_S)
        self._pause_s = max(page.backoff_s or 0, _QUICK_S if is_quick else 0)
        start, self.cursor, self.has_more = self.cursor, page.cursor, page.has_more
        return [
            replace(event, cursor=page.cursor if place == len(page.events) else start)
            for place, event in enumerate(page.events, 1)
        ]
