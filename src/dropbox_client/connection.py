"""Authenticated requests to one server, with retries and renewal of the access token.

Every request raises `ApiProblem` if the server refuses it, `Unreachable` if no response arrives in time, `NotSignedIn`
without a valid sign-in, `Stopped` after `close`.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from dropbox_client.errors import ApiProblem, NotSignedIn, Stopped, Unreachable
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.tokens import Tokens, TokenStore
from dropbox_client.transport import IDLE_TIMEOUT_S, Response, Transport

_TRANSIENT = frozenset({429, 502, 503, 504})
_MAX_TRIES_AT_500 = 3
"""500 is more often a bug than a transient failure."""
_PAGE_ITEMS = 1000

T = TypeVar("T")


class Connection:
    """A connection to one server as one user. Thread-safe; a context manager that closes itself."""

    def __init__(
        self, base_url: str, tokens: TokenStore, *, transport: Transport | None = None, retry_for_s: float = 60
    ) -> None:
        """Connect to `base_url` (such as https://files.example.org) with the tokens that `tokens` stores for it.

        A failing request is retried for `retry_for_s` before its last failure is raised.
        """
        self.base_url = base_url.rstrip("/")
        self.retry_for_s = retry_for_s
        self.transport = transport or Transport()
        self.stopping = threading.Event()
        self._store = tokens
        self._tokens = self._load_tokens()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Abort every request in progress; each raises Stopped. Any thread may call it."""
        self.stopping.set()
        self.transport.close()

    # Requests

    def _iterate(self, path: str, query: Mapping[str, str], read: Callable[[Any], T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = {"limit": str(_PAGE_ITEMS), **query, **({"cursor": cursor} if cursor else {})}
            document = self._json("GET", path, query=page)
            yield from map(read, document["items"])
            cursor = document["next_cursor"]
            if cursor is None:
                return

    def _json(self, method: str, path: str, **how: Any) -> Any:
        response = self._call(method, path, **how)
        return json.loads(response.body) if response.body else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        is_authenticated: bool = True,
        is_creation: bool = False,
        if_match: str | None = None,
        wait_s: float = 0,
    ) -> Response:
        """Send a request, retry it, and return the successful response.

        `is_creation` sends one Idempotency-Key with all attempts: a lost response creates nothing twice. `wait_s` adds
        to the timeout, for requests that ask the server to wait.
        """
        url = self.base_url + quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        payload = b""
        if form is not None:
            headers["Content-Type"], payload = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif body is not None:
            headers["Content-Type"], payload = "application/json", json.dumps(body).encode()
        if is_creation:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if if_match is not None:
            headers["If-Match"] = if_match
        timeout_s = IDLE_TIMEOUT_S + wait_s
        if not is_authenticated:
            return self._send_with_retries(method, url, headers, payload, timeout_s)

        tokens = self._tokens or self._load_tokens()
        if tokens is None:
            raise NotSignedIn("you are not signed in")
        try:
            return self._send_with_retries(method, url, _with_bearer(headers, tokens), payload, timeout_s)
        except ApiProblem as problem:
            if problem.code != "unauthenticated":  # for instance invalid-credentials: a wrong password
                raise
            if not tokens.refresh_token:
                raise NotSignedIn("the server rejects this access token") from problem
        return self._send_with_retries(method, url, _with_bearer(headers, self._renew(tokens)), payload, timeout_s)

    def _send_with_retries(
        self, method: str, url: str, headers: Mapping[str, str], payload: bytes, timeout_s: float
    ) -> Response:
        backoff = Backoff(RetryWindow(self.retry_for_s))
        tries = 0
        while True:
            tries += 1
            failure: ApiProblem | Unreachable
            wait_s = 0.0
            try:
                response = self.transport.send(method, url, headers, payload, idle_timeout_s=timeout_s)
            except Unreachable as error:
                failure = error
            else:
                response = _decode(response)
                if response.status < 300:
                    return response
                failure = ApiProblem.from_json(_json_or_none(response), response.status)
                if response.status not in _TRANSIENT and not (response.status == 500 and tries < _MAX_TRIES_AT_500):
                    raise failure
                wait_s = response.retry_after_s() or 0
            pause_s = backoff.next_pause_s(wait_s)
            if pause_s is None:
                raise failure
            if self.stopping.wait(pause_s):
                raise Stopped("stopped")

    # Tokens

    def _load_tokens(self) -> Tokens | None:
        tokens = self._store.load()
        return tokens if tokens and tokens.server == self.base_url else None

    def _store_tokens(self, email: str, document: Mapping[str, Any]) -> Tokens:
        return self._save(Tokens(self.base_url, email, document["access_token"], document["refresh_token"]))

    def _save(self, tokens: Tokens) -> Tokens:
        self._store.save(tokens)
        self._tokens = tokens
        return tokens

    def _renew(self, refused: Tokens) -> Tokens:
        """Return newer tokens than `refused`; another thread or process may have renewed them already."""
        with self._store.locked():
            tokens = self._load_tokens()
            if tokens is None:
                raise NotSignedIn("you are signed out")
            if tokens.access_token != refused.access_token:
                self._tokens = tokens
                return tokens
            body = {"refresh_token": tokens.refresh_token}
            try:
                document = self._json("POST", "/v1/auth/refresh", body=body, is_authenticated=False)
            except ApiProblem as problem:
                if problem.status != 401:
                    raise
                raise NotSignedIn("your sign-in has ended") from problem
            return self._store_tokens(tokens.email, document)


def _with_bearer(headers: Mapping[str, str], tokens: Tokens) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {tokens.access_token}"}


def _decode(response: Response) -> Response:
    if response.headers.get("content-encoding") != "gzip":
        return response
    import gzip  # noqa: PLC0415 - the server compresses large responses only

    return replace(response, body=gzip.decompress(response.body))


def _json_or_none(response: Response) -> object:
    try:
        return json.loads(response.body)
    except ValueError:
        return None
