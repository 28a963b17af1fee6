"""Requests to one server: repeated until they are answered for good, with a token that is renewed when it runs out.

Every request raises `ApiProblem` when the server refuses, `Unreachable` when it does not answer in time, `NotSignedIn`
when there is no valid sign-in, `Stopped` after `close`.
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
from dropbox_client.retry import Backoff, Patience
from dropbox_client.tokens import Tokens, TokenStore
from dropbox_client.transport import IDLE_TIMEOUT_S, Reply, Wire

_PASSING = frozenset({429, 502, 503, 504})
_BUG_TRIES = 3
"""500 is more often a bug than a moment's weakness."""
_PAGE = 1000

T = TypeVar("T")


class Connection:
    """A connection to one server, as one user. A context manager: leaving it closes it. Thread-safe."""

    def __init__(self, base_url: str, tokens: TokenStore, *, wire: Wire | None = None, patience_s: float = 60) -> None:
        """Talk to `base_url` (such as https://files.example.org) with the tokens that `tokens` holds for it.

        `patience_s` is how long a request is repeated before its last failure is raised.
        """
        self.base_url = base_url.rstrip("/")
        self.patience_s = patience_s
        self.wire = wire or Wire()
        self.stopping = threading.Event()
        self._store = tokens
        self._tokens = self._load_tokens()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every request under way; each raises Stopped. Any thread may call it."""
        self.stopping.set()
        self.wire.close()

    # Requests

    def _pages(self, path: str, query: Mapping[str, str], read: Callable[[Any], T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = {"limit": str(_PAGE), **query, **({"cursor": cursor} if cursor else {})}
            document = self._json("GET", path, query=page)
            yield from map(read, document["items"])
            cursor = document["next_cursor"]
            if cursor is None:
                return

    def _json(self, method: str, path: str, **how: Any) -> Any:
        reply = self._call(method, path, **how)
        return json.loads(reply.body) if reply.body else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        signed_in: bool = True,
        creates: bool = False,
        if_match: str | None = None,
        wait_s: float = 0,
    ) -> Reply:
        """Send a request until it is answered for good; return the answer if it is a success.

        What `creates` carries one Idempotency-Key through all its repetitions: a lost answer makes nothing twice.
        `wait_s` is how much longer than usual the server may take, because it was asked to wait.
        """
        url = self.base_url + quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        payload = b""
        if form is not None:
            headers["Content-Type"], payload = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif body is not None:
            headers["Content-Type"], payload = "application/json", json.dumps(body).encode()
        if creates:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if if_match is not None:
            headers["If-Match"] = if_match
        timeout_s = IDLE_TIMEOUT_S + wait_s
        if not signed_in:
            return self._until_answered(method, url, headers, payload, timeout_s)

        tokens = self._tokens or self._load_tokens()
        if tokens is None:
            raise NotSignedIn("you are not signed in")
        try:
            return self._until_answered(method, url, _with_bearer(headers, tokens), payload, timeout_s)
        except ApiProblem as problem:
            if problem.code != "unauthenticated":  # such as invalid-credentials, when it is a password that is wrong
                raise
            if not tokens.refresh_token:
                raise NotSignedIn("the server does not take this access token") from problem
        return self._until_answered(method, url, _with_bearer(headers, self._renewed(tokens)), payload, timeout_s)

    def _until_answered(
        self, method: str, url: str, headers: Mapping[str, str], payload: bytes, timeout_s: float
    ) -> Reply:
        backoff = Backoff(Patience(self.patience_s))
        tries = 0
        while True:
            tries += 1
            failure: ApiProblem | Unreachable
            wait_s = 0.0
            try:
                reply = self.wire.send(method, url, headers, payload, idle_timeout_s=timeout_s)
            except Unreachable as error:
                failure = error
            else:
                reply = _decoded(reply)
                if reply.status < 300:
                    return reply
                failure = ApiProblem.of(_json_or_none(reply), reply.status)
                if reply.status not in _PASSING and not (reply.status == 500 and tries < _BUG_TRIES):
                    raise failure
                wait_s = reply.retry_after_s() or 0
            pause_s = backoff.next_pause_s(wait_s)
            if pause_s is None:
                raise failure
            if self.stopping.wait(pause_s):
                raise Stopped("stopped")

    # Tokens

    def _load_tokens(self) -> Tokens | None:
        tokens = self._store.load()
        return tokens if tokens and tokens.server == self.base_url else None

    def _keep(self, email: str, document: Mapping[str, Any]) -> Tokens:
        return self._save(Tokens(self.base_url, email, document["access_token"], document["refresh_token"]))

    def _save(self, tokens: Tokens) -> Tokens:
        self._store.save(tokens)
        self._tokens = tokens
        return tokens

    def _renewed(self, refused: Tokens) -> Tokens:
        """Return tokens newer than `refused`, which another thread or process may have got already."""
        with self._store.locked():
            tokens = self._load_tokens()
            if tokens is None:
                raise NotSignedIn("you are signed out")
            if tokens.access_token != refused.access_token:
                self._tokens = tokens
                return tokens
            body = {"refresh_token": tokens.refresh_token}
            try:
                document = self._json("POST", "/v1/auth/refresh", body=body, signed_in=False)
            except ApiProblem as problem:
                if problem.status != 401:
                    raise
                raise NotSignedIn("the sign-in has ended: sign in again") from problem
            return self._keep(tokens.email, document)


def _with_bearer(headers: Mapping[str, str], tokens: Tokens) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {tokens.access_token}"}


def _decoded(reply: Reply) -> Reply:
    if reply.headers.get("content-encoding") != "gzip":
        return reply
    import gzip  # noqa: PLC0415 - only large answers are compressed

    return replace(reply, body=gzip.decompress(reply.body))


def _json_or_none(reply: Reply) -> object:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None
