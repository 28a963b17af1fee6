"""The rules of talking to the server, once for both clients: retries, token renewal, the event feed. No I/O.

Each rule is a generator of steps. A driver performs a step and sends the result into the generator, or throws the
failure into it: `Client` blocks, `AsyncClient` awaits.
"""

import json
import math
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from dropbox_client.call import IDLE_TIMEOUT_S, Call, Response
from dropbox_client.calls import account as account_calls
from dropbox_client.calls import events as event_calls
from dropbox_client.calls import uploads as upload_calls
from dropbox_client.errors import ApiError, ClientError, NotSignedIn, Unreachable
from dropbox_client.models import Event, EventList
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.tokens import Tokens, TokenStore

LONG_WAIT_S = 60
"""Length of one long poll; many proxies close idle connections after a little more."""
EVENTS_PER_PAGE = 500
_MIN_POLL_S = 1.0
"""The reader pauses this long after an empty page that arrives sooner although it asked the server to wait."""
_TRANSIENT = frozenset({429, 502, 503, 504})
_MAX_TRIES_AT_500 = 3
"""500 is more often a bug than a transient failure."""

T = TypeVar("T")


# Steps


@dataclass(frozen=True)
class Request:
    """Step: send this request once. The result is a Response of any status; Unreachable is thrown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)  # may hold a token, as the body may hold a password
    body: bytes = field(repr=False)
    timeout_s: float


@dataclass(frozen=True)
class Pause:
    """Step: wait, unless the client is closed."""

    duration_s: float


@dataclass(frozen=True)
class Locked:
    """Step: perform `steps` with the lock of the token store. The result is that of `steps`."""

    steps: "Steps[Any]"


Step: TypeAlias = Request | Pause | Locked
Steps: TypeAlias = Generator[Step, Any, T]


class Exchange:
    """The exchange with one server as one user."""

    def __init__(self, base_url: str, store: TokenStore, retry_for_s: float) -> None:
        self.base_url = base_url
        self.retry_for_s = retry_for_s
        self.store = store
        self._tokens = self._load_tokens()

    # Requests

    def send(self, call: Call[T]) -> Steps[T]:
        """Send a call, retry it, and return its result.

        Raises: ApiError if the server refuses it, Unreachable if no response arrives in time, NotSignedIn without a
        valid sign-in.
        """
        request = self._make_request(call)
        if not call.signed_in:
            return call.read((yield from self._attempt(request)))
        tokens = self._tokens or self._load_tokens()
        if tokens is None:
            raise NotSignedIn("you are not signed in")
        try:
            response = yield from self._attempt(_with_bearer(request, tokens))
        except ApiError as error:
            if error.code != "unauthenticated":  # for instance invalid-credentials: a wrong password
                raise
            if not tokens.refresh_token:
                raise NotSignedIn("the server rejects this access token") from error
            renewed: Tokens = yield Locked(self._renew(tokens))
            response = yield from self._attempt(_with_bearer(request, renewed))
        return call.read(response)

    def _make_request(self, call: Call[T]) -> Request:
        url = self.base_url + quote(call.path) + (f"?{urlencode(call.query)}" if call.query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        body = b""
        if call.form is not None:
            headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(call.form).encode()
        elif call.body is not None:
            headers["Content-Type"], body = "application/json", json.dumps(call.body).encode()
        if call.creates:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if call.if_match is not None:
            headers["If-Match"] = call.if_match
        return Request(call.method, url, headers, body, IDLE_TIMEOUT_S + call.wait_s)

    def _attempt(self, request: Request) -> Steps[Response]:
        """Send a request until it succeeds, fails permanently, or the retries take too long."""
        backoff = Backoff(RetryWindow(self.retry_for_s))
        tries = 0
        while True:
            tries += 1
            failure: ApiError | Unreachable
            wait_s = 0.0
            try:
                response: Response = yield request
            except Unreachable as error:
                failure = error
            else:
                response = _decode(response)
                if response.status < 300:
                    return response
                failure = ApiError.from_json(_json_or_none(response), response.status)
                failure.retry_after_s = response.retry_after_s()
                if response.status not in _TRANSIENT and not (response.status == 500 and tries < _MAX_TRIES_AT_500):
                    raise failure
                wait_s = failure.retry_after_s or 0
            pause_s = backoff.next_pause_s(wait_s)
            if pause_s is None:
                raise failure
            yield Pause(pause_s)

    # Sign-in

    def sign_in(self, call: Call[dict[str, Any]], email: str) -> Steps[None]:
        """Send a call that returns tokens, and store them."""
        document = yield from self.send(call)
        yield Locked(self._store_tokens(email, document))

    def sign_in_with_token(self, token: str) -> Steps[None]:
        """Check a personal access token with the server, and store it."""
        self._tokens = tokens = Tokens.from_access_token(self.base_url, token)
        try:
            yield from self.send(upload_calls.get_capabilities())
        except ApiError as error:
            if error.code != "forbidden":  # the token is valid but lacks files:read
                raise
        yield Locked(self._save(tokens))

    def sign_out(self) -> Steps[None]:
        """Delete the tokens here, and end the sign-in on the server."""
        tokens: Tokens | None = yield Locked(self._forget())
        if tokens and tokens.refresh_token:
            yield from self.send(account_calls.sign_out(tokens.refresh_token))

    def _load_tokens(self) -> Tokens | None:
        tokens = self.store.load()
        return tokens if tokens and tokens.server == self.base_url else None

    def _renew(self, refused: Tokens) -> Steps[Tokens]:
        """Return newer tokens than `refused`; another thread or process may have renewed them already."""
        tokens = self._load_tokens()
        if tokens is None:
            raise NotSignedIn("you are signed out")
        if tokens.access_token != refused.access_token:
            self._tokens = tokens
            return tokens
        try:
            document = yield from self.send(account_calls.refresh(tokens.refresh_token))
        except ApiError as error:
            if error.status != 401:
                raise
            raise NotSignedIn("your sign-in has ended") from error
        return (yield from self._store_tokens(tokens.email, document))

    def _store_tokens(self, email: str, document: Mapping[str, Any]) -> Steps[Tokens]:
        return (
            yield from self._save(Tokens(self.base_url, email, document["access_token"], document["refresh_token"]))
        )

    def _save(self, tokens: Tokens) -> Steps[Tokens]:
        self.store.save(tokens)
        self._tokens = tokens
        return tokens
        yield  # a generator, as Locked requires

    def _forget(self) -> Steps[Tokens | None]:
        tokens, self._tokens = self._load_tokens(), None
        self.store.save(None)
        return tokens
        yield


# The event feed


class Reconnection:
    """Repeats steps without a time limit while they fail transiently.

    Failures before the first success are raised: the address may be wrong.
    """

    def __init__(self, on_change: Callable[[ClientError | None], None] = lambda _: None) -> None:
        """`on_change` gets the first failure of a series, after the retries of the exchange, and None at its end."""
        self._on_change = on_change
        self._was_connected = False

    def repeat(self, start: Callable[[], Steps[T]]) -> Steps[T]:
        """Perform the steps that `start` returns until they succeed. Raises their permanent failures."""
        backoff = Backoff(RetryWindow(math.inf), base_s=1)
        is_failing = False
        while True:
            try:
                result = yield from start()
            except (Unreachable, ApiError) as error:
                if not self._was_connected or not _is_transient(error):
                    raise
                if not is_failing:
                    self._on_change(error)
                is_failing = True
                yield Pause(backoff.next_pause_s() or 0)
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
        self._reconnector = reconnector or Reconnection()
        self._pause_s = 0.0

    def read(self, wait_s: float) -> Steps[list[Event]]:
        """Return the next events; if there are none, wait up to `wait_s` for one."""
        if self._pause_s:
            yield Pause(self._pause_s)
        began = time.monotonic()
        since = self._since if self.cursor is None else None
        call = event_calls.get_page(self.cursor, since=since, limit=EVENTS_PER_PAGE, wait_s=wait_s)
        page: EventList = yield from self._reconnector.repeat(lambda: self._exchange.send(call))
        is_quick = not (page.events or page.has_more) and time.monotonic() - began < min(wait_s, _MIN_POLL_S)
        self._pause_s = max(page.backoff_s or 0, _MIN_POLL_S if is_quick else 0)
        start, self.cursor, self.has_more = self.cursor, page.cursor, page.has_more
        return [
            replace(event, cursor=page.cursor if place == len(page.events) else start)
            for place, event in enumerate(page.events, 1)
        ]


def _with_bearer(request: Request, tokens: Tokens) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {tokens.access_token}"})


def _decode(response: Response) -> Response:
    if response.headers.get("content-encoding") != "gzip":
        return response
    import gzip  # noqa: PLC0415 - the server compresses large responses only

    return replace(response, body=gzip.decompress(response.body))


def _json_or_none(response: Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
