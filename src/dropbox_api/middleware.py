"""The ASGI middleware between socket and routes, outermost first.

RequestLog, StandardHeaders, (CORS,) UnhandledErrors, KnownHosts, (LocalhostPages,) AddressLimit, BodyLimit,
HeadRequests, and Compression of `compression`.

Pure ASGI, because Starlette's BaseHTTPMiddleware costs most of the throughput. Paths contain the tokens of links:
logs and metrics get the route's template, never the path.
"""

import asyncio
import logging
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from yarl import URL

from dropbox_api import problems
from dropbox_api.accounts.auth import get_actor
from dropbox_api.head_request import begin_head
from dropbox_api.plumbing import limits, logs, request_source
from dropbox_api.plumbing.metrics import Metrics
from dropbox_api.sharing import pages

log = logging.getLogger(__name__)

_MAX_USER_AGENT_CHARS = 300
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_DATA_POLICY = (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
_PAGE_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'self'; img-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
)
_NO_STORE = (b"cache-control", b"no-store")


def render_problem(scope: Scope, problem: problems.Problem) -> Response:
    """Return the response for a problem: RFC 9457, or a page where a person opened the address in a browser."""
    headers = {"Vary": "Accept"}
    if problem.retry_after_s is not None or problem.status == 503:
        headers["Retry-After"] = str(problem.retry_after_s or 2)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 429:
        scope["limits"] = problem.windows if isinstance(problem, problems.RateLimited) else ()
    if _is_for_person(scope):
        return _render_page(scope, problem.title, problem.detail, problem.status, headers)
    body = problem.body() | {"instance": scope["path"], "request_id": scope.get("request_id")}
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


def _is_for_person(scope: Scope) -> bool:
    """Tell whether a browser shows the answer: it is a page of a link, or the browser says that it navigates.

    Only browsers accept XHTML. Some HTTP libraries accept HTML, but read problems.
    """
    return scope["path"].startswith("/s/") or _is_navigation(scope)


def _is_navigation(scope: Scope) -> bool:
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return b"application/xhtml+xml" in accept


def _render_page(scope: Scope, title: str, detail: str, status: int, headers: Mapping[str, str]) -> HTMLResponse:
    # The raw path, because for a browser an encoded slash separates nothing.
    depth = scope["raw_path"].count(b"/") - scope.get("root_path", "").count("/")
    page = pages.render("problem.html", up="../" * (depth - 1) + "s/", title=title, detail=detail, sent=(), token=None)
    return HTMLResponse(page, status, {"Cache-Control": "no-store", **headers})


class RequestLog:
    """Gives each request an id and a source, counts it in `metrics`, and logs one line for it.

    The id is the caller's X-Request-Id if it is short and plain, else a new one.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_at = time.perf_counter()
        address = _identify(scope)
        status = sent_bytes = received_bytes = 0

        async def count_sent(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        async def count_received() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            return message

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, count_received, count_sent)
        finally:
            self.metrics.in_flight.dec()
            method, template = scope["method"], _template(scope)
            duration_s = time.perf_counter() - began_at
            self.metrics.count(
                method, template, status, duration_s, received_bytes=received_bytes, sent_bytes=sent_bytes
            )
            if logs.access.isEnabledFor(logging.INFO):
                fields = {
                    "method": method,
                    "path": template,
                    "status": status,
                    "duration_ms": round(duration_s * 1000, 1),
                    "size_bytes": sent_bytes,
                    "address": address,
                }
                logs.access.info("request", extra=fields)


def _identify(scope: Scope) -> str | None:
    """Set the request's id and source; return the client's address."""
    headers = dict(scope["headers"])
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if _REQUEST_ID.match(given) else uuid.uuid4().hex
    address: str | None = scope["client"][0] if scope["client"] else None
    user_agent = headers.get(b"user-agent", b"").decode("ascii", errors="replace")[:_MAX_USER_AGENT_CHARS]
    scope["request_id"] = request_id
    request_source.set_source(
        request_source.RequestSource(address=address, user_agent=user_agent or None, request_id=request_id)
    )
    return address


def _template(scope: Scope) -> str:
    """Return the template of the matched route; an unmatched path may contain anything, so it becomes `-`."""
    # A route in a nested router knows only its own part of the path; FastAPI keeps the whole beside it.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template: str | None = getattr(route, "path", None)
    return template or ("/docs/static" if scope["path"].startswith("/docs/static/") else "-")


class StandardHeaders:
    """Adds security headers, X-Request-Id and rate limit headers to each response; a header that the route set stays.

    `hsts_s` is the max-age of Strict-Transport-Security on https responses; 0 leaves the header out.
    """

    def __init__(self, app: ASGIApp, hsts_s: int) -> None:
        self.app = app
        self.hsts = (b"strict-transport-security", f"max-age={hsts_s}; includeSubDomains".encode()) if hsts_s else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._complete(scope, list(message["headers"]))
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _complete(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = dict(headers)
        is_page = present.get(b"content-type", b"").startswith(b"text/html")
        standard = [*_ALWAYS, _PAGE_POLICY if is_page else _DATA_POLICY]
        if any(name in {b"authorization", b"cookie"} for name, _ in scope["headers"]):
            standard.append(_NO_STORE)
        if self.hsts is not None and scope["scheme"] == "https":
            standard.append(self.hsts)
        headers += [header for header in standard if header[0] not in present]
        headers.append((b"x-request-id", scope["request_id"].encode()))
        headers += limits.format_headers(scope.get("limits", ()))
        return headers


class UnhandledErrors:
    """Answers an unexpected exception with `internal-error`, which reveals nothing; the log has the traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_watched)
        except Exception:
            if scope["type"] != "http" or has_begun:
                raise
            log.exception("unhandled error on %s %s", scope["method"], _template(scope))
            await render_problem(scope, problems.InternalError())(scope, receive, send)


_HEALTH = ("/healthz", "/readyz")


class StartErrors:
    """Logs one line when the server cannot start for a reason that the operator can remove, instead of a traceback."""

    def __init__(self, app: ASGIApp, reasons: tuple[type[Exception], ...]) -> None:
        self.app = app
        self.reasons = reasons

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_line(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exception(), self.reasons):
                message = {**message, "message": f"the server cannot start: {error}"}
            await send(message)

        await self.app(scope, receive, send_line if scope["type"] == "lifespan" else send)


class KnownHosts:
    """Refuses requests for other hosts. `hosts`: allowed values of the Host header, `*` for any."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = None if "*" in hosts else {host.casefold() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.hosts is None or scope["type"] != "http" or scope["path"] in _HEALTH or self._is_known(scope):
            await self.app(scope, receive, send)
        else:
            await _refuse_host(scope)(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        named = [value.decode("latin1").casefold() for name, value in scope["headers"] if name == b"host"]
        hosts = self.hosts or ()
        return len(named) == 1 and (named[0] in hosts or re.sub(r":\d+$", "", named[0]) in hosts)


class LocalhostPages:
    """In `dev`, redirects pages that a browser opens at 127.0.0.1 to `public_url`, if that is at localhost.

    Cookies and passkeys belong to one host, and passkeys to no IP address.
    """

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self.public_url = public_url if URL(public_url).host == "localhost" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.public_url is None or scope["type"] != "http" or not _is_page_at_address(scope):
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin1")
        target = self.public_url + scope["raw_path"].decode("latin1") + (f"?{query}" if query else "")
        await RedirectResponse(target, 307)(scope, receive, send)


def _is_page_at_address(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    is_at_address = any(host.partition(b":")[0] == b"127.0.0.1" for host in hosts)
    return is_at_address and scope["method"] in {"GET", "HEAD"} and _is_navigation(scope)


def _refuse_host(scope: Scope) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The Host header names none of this server's names",
    }
    headers = {"Vary": "Accept"}
    if _is_for_person(scope):
        return _render_page(scope, body["title"], body["detail"], 400, headers)
    return JSONResponse(body, 400, headers, media_type="application/problem+json")


_UNLIMITED = re.compile(
    r"/healthz|/readyz|/metrics|/docs/static/.*|/assets/.*|/sw\.js|/[a-z]+\.(webmanifest|svg|html)|/v1/notifications/store"
)
"""Paths outside the address limit. The route of the store's notifications counts the requests that it refuses."""


class AddressLimit:
    """Refuses requests without a valid token from an address that exceeds its rate limit.

    A request with a token counts for its account alone, so that many devices work behind one address.
    """

    def __init__(self, app: ASGIApp, counters: limits.Limits) -> None:
        self.app = app
        self.counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _UNLIMITED.fullmatch(scope["path"]):
            address = limits.address_key(scope["client"][0] if scope["client"] else None)
            try:
                if not await _is_authenticated(Request(scope)):
                    await self.counters.hit("address", address)
            except problems.Problem as problem:
                await render_problem(scope, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _is_authenticated(request: Request) -> bool:
    """Tell whether a request has a valid token, and count it for its account. Raises RateLimited, Unavailable."""
    if "authorization" not in request.headers:
        return False
    try:
        await get_actor(request)
    except problems.Unauthenticated:
        return False
    return True


class CombinedHeaders:
    """Combines the lines of a repeated request header into one value (RFC 9110 section 5.2): routes read one value."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            lines: dict[bytes, list[bytes]] = {}
            for name, value in scope["headers"]:
                lines.setdefault(name, []).append(value)
            scope["headers"] = [
                (name, (b"; " if name == b"cookie" else b", ").join(values)) for name, values in lines.items()
            ]
        await self.app(scope, receive, send)


_WITHOUT_HEAD = re.compile(r"/v1/auth/oidc/(start|callback)")
"""These GETs continue a sign-in, at the provider and in the browser's cookies: a HEAD of them would have effects."""


class _HeadAnswered(Exception):
    """The head of the answer is sent: the rest of the GET is not needed."""


class HeadRequests:
    """Answers HEAD as GET, without a body and without effects (see `head_request`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or _WITHOUT_HEAD.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"  # the server sends neither body nor transfer encoding for this method
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            raise _HeadAnswered

        begin_head()
        scope["method"] = "GET"
        try:
            await self.app(scope, receive, send_head)
        except _HeadAnswered:
            pass
        finally:
            scope["method"] = "HEAD"


_STREAMED = re.compile(r"POST /v1/files|PUT /v1/files/[^/]+/content|POST (/v1/public/links|/s)/[^/]+/upload")
_SMALL = re.compile(
    r"/v1/(auth|me|admin)/.*|/(verify|change|undo)-email|/reset-password|(/v1/public/links|/s)/[^/]+/pass(word)?"
)
_SMALL_BYTES = 64 * 1024
"""Limit where callers without a token send a few words: a larger body is refused before it is parsed."""
_STREAMED_MARGIN_BYTES = 1024**2
BODY_S = 60.0
"""Time limit of a JSON body, and of each piece of a streamed body."""


class BodyLimit:
    """Refuses bodies that are too large, at once by their declared length or as soon as they exceed it, and slow ones.

    The routes of streamed content enforce its exact limit; here that limit has a margin.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_streamed_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_streamed_bytes = max_streamed_bytes + _STREAMED_MARGIN_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_streamed = _STREAMED.fullmatch(f"{scope['method']} {scope['path']}") is not None
        max_bytes = self.max_streamed_bytes if is_streamed else self.max_bytes
        if _SMALL.fullmatch(scope["path"]):
            max_bytes = min(max_bytes, _SMALL_BYTES)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        is_too_large = declared.isdigit() and int(declared) > max_bytes
        limited = _limit_body(receive, max_bytes, is_streamed=is_streamed)
        await self.app(scope, _refuse_body if is_too_large else limited, send)


async def _refuse_body() -> Message:
    raise HTTPException(413)


def _limit_body(receive: Receive, max_bytes: int, *, is_streamed: bool) -> Callable[[], Awaitable[Message]]:
    received_bytes = 0
    is_complete = False
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + BODY_S

    async def receive_limited() -> Message:
        nonlocal received_bytes, is_complete
        if is_complete:  # the next message is the disconnect, which may take any time
            return await receive()
        try:
            async with asyncio.timeout_at(clock() + BODY_S if is_streamed else deadline_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, headers={"Connection": "close"}) from None
        is_complete = not message.get("more_body", False)
        received_bytes += len(message.get("body", b""))
        if received_bytes > max_bytes:
            raise HTTPException(413)
        return message

    return receive_limited
