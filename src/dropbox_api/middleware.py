"""What stands between the socket and the routes, outermost first: Exchange, (CORS,) LastResort, Gate, BodyLimit.

Pure ASGI: Starlette's BaseHTTPMiddleware costs most of the throughput. Paths hold the tokens of links, so what is
written down is the template of a route, never the path.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dropbox_api import problems
from dropbox_api.plumbing import limits, logs, request_source
from dropbox_api.plumbing.metrics import Metrics

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


def render(scope: Scope, problem: problems.Problem) -> JSONResponse:
    """Return the answer for a problem, as RFC 9457 has it."""
    headers = {}
    if problem.retry_after_s is not None or problem.status == 503:
        headers["Retry-After"] = str(problem.retry_after_s or 2)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 429:
        scope["limits"] = limits.get_windows(problem)
    body = problem.body() | {"instance": scope["path"], "request_id": scope.get("request_id")}
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


class Exchange:
    """Gives every request an id (the caller's, where it sent a plain one), every answer its headers, the log a line.

    What passes is counted in `metrics`.
    `hsts_s` is the life of Strict-Transport-Security on answers to https, 0 for none.
    """

    def __init__(self, app: ASGIApp, hsts_s: int, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self.hsts = (b"strict-transport-security", f"max-age={hsts_s}; includeSubDomains".encode()) if hsts_s else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_at = time.perf_counter()
        sent = dict(scope["headers"])
        given = sent.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex.encode()
        scope["request_id"] = request_id.decode()
        address = scope["client"][0] if scope["client"] else None
        user_agent = sent.get(b"user-agent", b"").decode("ascii", errors="replace")[:_MAX_USER_AGENT_CHARS]
        request_source.set_source(request_source.RequestSource(None, address, user_agent or None, request_id.decode()))
        is_signed_in = b"authorization" in sent or b"cookie" in sent
        status = size_bytes = received_bytes = 0

        async def send_completed(message: Message) -> None:
            nonlocal status, size_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._completed(scope, list(message["headers"]), request_id, is_signed_in)
            else:
                size_bytes += len(message.get("body", b""))
            await send(message)

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            return message

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive_counted, send_completed)
        finally:
            self.metrics.in_flight.dec()
            duration_s = time.perf_counter() - began_at
            self.metrics.count(
                scope["method"],
                _template(scope),
                status,
                duration_s,
                received_bytes=received_bytes,
                sent_bytes=size_bytes,
            )
            if logs.access.isEnabledFor(logging.INFO):
                what = {
                    "method": scope["method"],
                    "path": _template(scope),
                    "status": status,
                    "duration_ms": round(duration_s * 1000, 1),
                    "size_bytes": size_bytes,
                    "address": address,
                }
                logs.access.info("request", extra=what)

    def _completed(
        self, scope: Scope, headers: list[tuple[bytes, bytes]], request_id: bytes, is_signed_in: bool
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers with ours added; what a route set itself stays."""
        there = dict(headers)
        is_page = there.get(b"content-type", b"").startswith(b"text/html")
        ours = [*_ALWAYS, _PAGE_POLICY if is_page else _DATA_POLICY]
        if is_signed_in:
            ours.append(_NO_STORE)
        if self.hsts is not None and scope["scheme"] == "https":
            ours.append(self.hsts)
        headers += [header for header in ours if header[0] not in there]
        headers.append((b"x-request-id", request_id))
        headers += limits.headers(scope.get("limits", ()))
        return headers


def _template(scope: Scope) -> str:
    """Return the path as the route has it: what matched none may hold anything."""
    # A route in a router in a router knows its own part only; FastAPI notes the whole beside it.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template: str | None = getattr(route, "path", None)
    return template or ("/docs/static" if scope["path"].startswith("/docs/static/") else "-")


class LastResort:
    """Answers what nobody expected as `internal-error`, which leaks nothing; the log has the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            if scope["type"] != "http" or has_begun:
                raise
            log.exception("unhandled error on %s %s", scope["method"], _template(scope))
            await render(scope, problems.InternalError())(scope, receive, send)


_UNLIMITED = re.compile(r"/healthz|/readyz|/metrics|/docs/static/.*|/v1/notifications/store")
"""By the gate: the last of them counts those whom it turns away."""
_HEALTH = ("/healthz", "/readyz")


class Gate:
    """Turns away requests for other hosts, and addresses that ask too often. `hosts`: values of Host, `*` for any."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], counting: limits.Limits) -> None:
        self.app = app
        self.hosts = None if "*" in hosts else {host.casefold() for host in hosts}
        self.counting = counting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.hosts is not None and scope["path"] not in _HEALTH and not self._is_ours(scope):
            await _unknown_host()(scope, receive, send)
            return
        if not _UNLIMITED.fullmatch(scope["path"]):
            address = limits.address_key(scope["client"][0] if scope["client"] else None)
            try:
                await self.counting.hit("address", address)
            except problems.RateLimited as problem:
                await render(scope, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        named = [value.decode("latin1").casefold() for name, value in scope["headers"] if name == b"host"]
        hosts = self.hosts or ()
        return len(named) == 1 and (named[0] in hosts or re.sub(r":\d+$", "", named[0]) in hosts)


def _unknown_host() -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The Host header names none of this server's names",
    }
    return JSONResponse(body, 400, media_type="application/problem+json")


_STREAMED = re.compile(r"POST /v1/files|PUT /v1/files/[^/]+/content|POST (/v1/public/links|/s)/[^/]+/upload")
_SMALL = re.compile(r"/v1/(auth|me|admin)/.*|/verify-email|/reset-password|/s/[^/]+/password")
_SMALL_BYTES = 64 * 1024
"""Where strangers send a few words, nobody has to parse megabytes before they are refused."""
_FENCE_BYTES = 1024**2
BODY_S = 60.0
"""A JSON body must be there in this time; of one that is streamed, each piece."""


class BodyLimit:
    """Refuses bodies beyond the limit, by their declared length at once, else as soon as they pass it; and slow ones.

    Content that is streamed has a limit of its own, which its routes see to, exactly; here it only has a fence.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_streamed_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_streamed_bytes = max_streamed_bytes + _FENCE_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_streamed = _STREAMED.fullmatch(f"{scope['method']} {scope['path']}") is not None
        max_bytes = self.max_streamed_bytes if is_streamed else self.max_bytes
        if _SMALL.fullmatch(scope["path"]):
            max_bytes = min(max_bytes, _SMALL_BYTES)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        too_large = declared.isdigit() and int(declared) > max_bytes
        limited = self._limited(receive, max_bytes, refuse=too_large, is_streamed=is_streamed)
        await self.app(scope, limited, send)

    def _limited(
        self, receive: Receive, max_bytes: int, *, refuse: bool, is_streamed: bool
    ) -> Callable[[], Awaitable[Message]]:
        received = 0
        is_here = False
        clock = asyncio.get_running_loop().time
        deadline_s = clock() + BODY_S

        async def limited() -> Message:
            nonlocal received, is_here
            if is_here:  # what comes now is the end of the connection, whenever that may be
                return await receive()
            if refuse:
                raise HTTPException(413)
            try:
                async with asyncio.timeout_at(clock() + BODY_S if is_streamed else deadline_s):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            is_here = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(413)
            return message

        return limited
