"""The rules of talking to the server, once for both clients: retries and token renewal. No I/O.

Each rule is a generator of steps. A driver performs a step and sends the result into the generator, or throws the
failure into it: `Client` blocks, `AsyncClient` awaits.
"""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from dropbox_client.address import read_address
from dropbox_client.call import IDLE_TIMEOUT_S, MAX_BODY_BYTES, Body, Call, Receiver, Response
from dropbox_client.calls import auth
from dropbox_client.errors import ApiError, InvalidResponse, NotSignedIn, TransferFailed, Unreachable
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.tokens import TokenMemory, Tokens, TokenStore
from dropbox_client.waits import Waits

_TRANSIENT = frozenset({429, 502, 503, 504, 507})
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
    body: bytes | Body = field(repr=False)
    timeout_s: float
    receiver: Receiver | None = None
    """Receives the body of a successful response; that of the result is then empty."""


@dataclass(frozen=True)
class Pause:
    """Step: wait, unless the client is closed."""

    duration_s: float


@dataclass(frozen=True)
class Blocking:
    """Step: call `function`, which may wait for files or pipes. The result is what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Locked:
    """Step: perform `steps` with the lock of the token store. The result is that of `steps`."""

    steps: "Steps[Any]"


Step: TypeAlias = Request | Pause | Blocking | Locked
Steps: TypeAlias = Generator[Step, Any, T]


def block(function: Callable[[], T]) -> Steps[T]:
    """Call a function that may wait for files or pipes."""
    result: T = yield Blocking(function)
    return result


class Exchange:
    """The exchange with one server as one user."""

    def __init__(self, base_url: str, tokens: TokenStore | None, token: str | None, retry_for_s: float) -> None:
        """Take the tokens from the store `tokens`, or the personal access token `token`, or wait for a sign-in.

        Raises: ValueError for an address or a token that cannot be one.
        """
        self.base_url = read_address(base_url)
        self.retry_for_s = retry_for_s
        self.waits = Waits()
        self.store = _make_store(self.base_url, tokens, token)
        self._tokens = self._load_tokens()

    # Requests

    def send(self, call: Call[T]) -> Steps[T]:
        """Send a call, retry it, and return its result.

        Raises: ApiError if the server refuses it, Unreachable if no response arrives in time, NotSignedIn without a
        valid sign-in.
        """
        request = self._make_request(call)
        if not call.signed_in:
            response = yield from self._attempt(request)
            with self._reading(response):
                return call.read(response)
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
        with self._reading(response):
            return call.read(response)

    @contextlib.contextmanager
    def _reading(self, response: Response) -> Iterator[None]:
        """Turn every failure to read a document into InvalidResponse, without values of the document."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            kind = response.headers.get("content-type", "no content type")
            raise InvalidResponse(
                f"{self.base_url} does not answer as dropbox-api ({response.status}, {kind}): check the address"
            ) from error

    def _make_request(self, call: Call[T]) -> Request:
        if {"", ".", ".."} & set(call.path[1:].split("/")):  # it would name another resource, such as all sign-ins
            raise ApiError.from_json({"code": "not-found", "detail": "An id is empty or not an id"}, 404)
        url = self.base_url + quote(call.path) + (f"?{urlencode(call.query)}" if call.query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", **call.headers}
        body: bytes | Body = b""
        if call.receiver is not None:
            headers |= {"Accept": "*/*", "Accept-Encoding": "identity"}
        if call.upload is not None:
            headers |= {"Content-Type": call.upload.content_type, "Content-Length": str(call.upload.size_bytes)}
            body = call.upload
        elif call.form is not None:
            headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(call.form).encode()
        elif call.body is not None:
            headers["Content-Type"], body = "application/json", json.dumps(call.body).encode()
        if call.creates:
            headers["Idempotency-Key"] = os.urandom(16).hex()
        if call.if_match is not None:
            headers["If-Match"] = call.if_match
        return Request(call.method, url, headers, body, IDLE_TIMEOUT_S + call.wait_s, call.receiver)

    def _attempt(self, request: Request) -> Steps[Response]:
        """Send a request until it succeeds, fails permanently, or the retries take too long."""
        tries = 0
        with Backoff(RetryWindow(self.retry_for_s, waits=self.waits)) as backoff:
            while True:
                tries += 1
                failure: ApiError | Unreachable
                wait_s = 0.0
                try:
                    response: Response = yield request
                except Unreachable as error:
                    if not isinstance(request.body, bytes):
                        raise  # it may have taken effect
                    failure = error
                else:
                    with self._reading(response):
                        response = _decode(response)
                    if response.status < 300:
                        return response
                    failure = _read_failure(response)
                    if response.status not in _TRANSIENT and not (response.status == 500 and tries < _MAX_TRIES_AT_500):
                        raise failure
                    wait_s = failure.retry_after_s or 0
                pause_s = backoff.next_pause_s(wait_s, failure=failure)
                if pause_s is None:
                    raise failure
                yield Pause(pause_s)

    def fetch(self, url: str, receiver: Receiver) -> Steps[None]:
        """Fetch the content of a signed URL, with retries. Raises TransferFailed, Unreachable."""
        try:
            yield from self._attempt(Request("GET", url, {}, b"", IDLE_TIMEOUT_S, receiver))
        except ApiError as error:
            raise TransferFailed(f"the store answered {error.status}") from error

    # Sign-in

    def sign_in(self, call: Call[dict[str, Any]], email: str) -> Steps[None]:
        """Send a call that returns tokens, and store them."""
        document = yield from self.send(call)
        yield Locked(self._save(self._read_tokens(email, document)))

    def sign_in_with_token(self, token: str) -> Steps[None]:
        """Check a personal access token with the server, and store it."""
        previous = self._tokens
        self._tokens = tokens = Tokens.from_access_token(self.base_url, token)
        try:
            yield from self.send(auth.check_token())
        except BaseException as error:
            if not isinstance(error, ApiError) or error.code != "forbidden":  # it is valid but lacks files:read
                self._tokens = previous
                raise
        yield Locked(self._save(tokens))

    def sign_out(self) -> Steps[None]:
        """Delete the tokens here, and end the sign-in on the server."""
        tokens: Tokens | None = yield Locked(self._forget())
        if tokens and tokens.refresh_token:
            yield from self.send(auth.sign_out(tokens.refresh_token))

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
            document = yield from self.send(auth.refresh(tokens.refresh_token))
        except ApiError as error:
            if error.status != 401:
                raise
            raise NotSignedIn("your sign-in has ended") from error
        return (yield from self._save(self._read_tokens(tokens.email, document)))

    def _read_tokens(self, email: str, document: Mapping[str, Any]) -> Tokens:
        try:
            return Tokens(self.base_url, email, document["access_token"], document["refresh_token"])
        except (LookupError, TypeError, ValueError):  # their texts could show a token
            raise InvalidResponse(f"{self.base_url} sent no usable tokens") from None

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


def _make_store(base_url: str, tokens: TokenStore | None, token: str | None) -> TokenStore:
    if token is None:
        return TokenMemory() if tokens is None else tokens
    if tokens is not None:
        raise TypeError("give either tokens or token")
    return TokenMemory(Tokens.from_access_token(base_url, token))


def _with_bearer(request: Request, tokens: Tokens) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {tokens.access_token}"})


def _decode(response: Response) -> Response:
    if response.headers.get("content-encoding") != "gzip":
        return response
    import zlib  # noqa: PLC0415 - the server compresses large responses only

    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = stream.decompress(response.body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise ValueError("the body is not gzip") from error
    if not stream.eof:
        raise ValueError("the body is truncated, or too large")
    return replace(response, body=body)


def _read_failure(response: Response) -> ApiError:
    try:
        document = response.json()
    except (ValueError, RecursionError):  # the page of a proxy
        document = None
    failure = ApiError.from_json(document, response.status)
    failure.retry_after_s = response.retry_after_s()
    return failure
