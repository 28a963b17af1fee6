"""The application: its services, routes and middleware, and the rendering of problems. The only importer of routes."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from dropbox_api import __version__, openapi, problems
from dropbox_api.accounts import routes as accounts
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.accounts.shares import Shares
from dropbox_api.compression import Compression
from dropbox_api.context import Services
from dropbox_api.core.body_digests import HEADERS as DIGEST_HEADERS
from dropbox_api.db import Db
from dropbox_api.deletion import routes as deletion
from dropbox_api.docs_page import add_docs
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.example_page import add_example
from dropbox_api.feed import routes as feed
from dropbox_api.files import routes as files
from dropbox_api.hooks import routes as hooks
from dropbox_api.hooks.notifications import NotificationReconciler
from dropbox_api.middleware import (
    AddressLimit,
    BodyLimit,
    CombinedHeaders,
    HeadRequests,
    KnownHosts,
    LocalhostPages,
    RequestLog,
    StandardHeaders,
    StartErrors,
    UnhandledErrors,
    render_problem,
)
from dropbox_api.plumbing import failpoints, metrics
from dropbox_api.plumbing.health import Health, find_cors_fault
from dropbox_api.plumbing.idempotency import Replayed
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.plumbing.store_config import find_shared_host, read_s3_config
from dropbox_api.plumbing.store_disk import read_store_disk
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.schemas import Liveness, Readiness
from dropbox_api.serving import STOP_WAITING
from dropbox_api.settings import Settings
from dropbox_api.sharing import grants
from dropbox_api.sharing import routes as sharing
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.storage.object_store import NoSpace, ObjectStore, StoreError
from dropbox_api.storage.probe import BucketCapabilities, probe_bucket
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.uploads import routes as uploads
from dropbox_api.web import LINK_SCRIPT, add_web

log = logging.getLogger(__name__)

_PROBE_PAUSE_S = 5.0

DESCRIPTION = """
Upload sessions send all bytes to the store: start one by fingerprint, request signed URLs, PUT the chunks, complete.
An upload is complete only when the store's part list or HEAD confirms it. Every error is an RFC 9457 problem.
"""


READ_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Link-Pass",
    "X-Link-Password",
    "X-Request-Id",
    "X-Upload-Secret",
    *DIGEST_HEADERS,
)
"""Every header that the API reads: pages of other origins may send them."""
ANSWERED_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""Every header that the API answers for its clients: pages of other origins may read them."""


class UnsuitableStoreError(Exception):
    """The bucket lacks a behaviour that uploads need; the text names it."""


def create_app(settings: Settings) -> FastAPI:
    """Build the application; its lifespan connects it to database and store.

    The lifespan raises UnsuitableStoreError for a store that neither enforces nor lists hashes.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        failpoints.arm(settings.failpoints)
        async with AsyncExitStack() as stack:
            await _open_services(app, settings, stack)
            yield {STOP_WAITING: app.state.wakeup.close}

    app = FastAPI(
        title="dropbox-api",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.openapi = openapi.override(app.openapi)  # type: ignore[method-assign]
    _add_state(app, settings)
    _add_routes(app)
    _add_problem_handlers(app)
    _add_middleware(app, settings)
    return app


def _add_state(app: FastAPI, settings: Settings) -> None:
    """Put into `app.state` what needs no connection. `deps.from_state` gives routes typed access to it."""
    app.state.has_link_script = LINK_SCRIPT.is_file()
    streams_at_once = settings.uploads.streams_at_once
    state = app.state
    state.settings = settings
    state.metrics = metrics.Metrics()
    state.limits = Limits(settings.limits)
    state.direct_uploads = TransferSlots(streams_at_once)
    state.archives = TransferSlots(streams_at_once)
    state.link_transfers = TransferSlots(max(1, streams_at_once // 2))  # of links: slow visitors leave users the rest


async def _open_services(app: FastAPI, settings: Settings, stack: AsyncExitStack) -> None:
    """Put into `app.state` what has connections, threads or tasks; `stack` closes it in reverse order."""
    state = app.state
    state.store = await _open_store(app, settings, stack)
    state.db = Db.connect(settings.database)
    stack.push_async_callback(state.db.close)
    stack.push_async_callback(state.limits.close)
    state.mailer = Mailer(settings.mail)
    stack.push_async_callback(state.mailer.close)
    state.services = Services(state.db, state.store, settings)
    stack.push_async_callback(state.services.tasks.close)
    state.notification_reconciler = NotificationReconciler(state.services)
    stack.push_async_callback(state.notification_reconciler.close)
    state.wakeup = await Wakeup.start(state.db, settings)
    stack.push_async_callback(state.wakeup.stop)
    state.passwords = Passwords(settings.auth.hash_concurrency)
    stack.callback(state.passwords.close)
    state.health = Health(state.db, state.store, settings)
    state.access_tokens = AccessTokens(settings.auth)
    state.link_tokens = LinkTokens(settings.auth)
    state.shares = Shares(grants.accept_grants, grants.revoke_all)
    state.cursors = Cursors(settings.auth)


async def _open_store(app: FastAPI, settings: Settings, stack: AsyncExitStack) -> ObjectStore:
    """Open the store and probe its bucket; a full one is probed later, and takes no new content until then.

    Raises UnsuitableStoreError when the bucket lacks a required behaviour.
    """
    if host := find_shared_host(settings):
        log.warning("browsers send the session cookie to the store: give it another host than the API's, %s", host)
    config = read_s3_config(settings)
    store = await stack.enter_async_context(S3Store.open(config))
    if settings.s3.create_bucket:
        await store.ensure_bucket(settings.web_origins)
    app.state.capabilities = None
    try:
        app.state.capabilities = await _probe(config, settings.web_origins)
    except NoSpace as error:
        log.warning("new content is refused until the bucket can be probed: %s", error.detail)
        store.held = error
        probing = asyncio.create_task(_probe_later(app, store, settings.web_origins))
        stack.callback(probing.cancel)
    return store


async def _probe(config: S3Config, web_origins: Sequence[str]) -> BucketCapabilities:
    capabilities = await probe_bucket(config, origins=web_origins)
    if capabilities.level is None:
        raise UnsuitableStoreError(f"the store cannot be trusted with uploads: {', '.join(capabilities.missing)}")
    if fault := find_cors_fault(capabilities.blocked_origins):
        log.warning("browsers cannot upload: %s; `dropbox-api doctor` prints the rule to install", fault)
    log.info("store probed", extra={"proof_level": capabilities.level})
    return capabilities


async def _probe_later(app: FastAPI, store: S3Store, web_origins: Sequence[str]) -> None:
    """Probe the bucket once the store has room. Ends the process as a failed probe at its start would."""
    while app.state.capabilities is None:
        await asyncio.sleep(_PROBE_PAUSE_S)
        try:
            app.state.capabilities = await _probe(store.config, web_origins)
            store.held = None
        except StoreError:
            continue
        except UnsuitableStoreError:
            log.exception("the process ends")
            signal.raise_signal(signal.SIGTERM)
            return


def _add_routes(app: FastAPI) -> None:
    for feature in (accounts, uploads, files, sharing, feed, hooks, deletion):
        app.include_router(feature.router)
    app.include_router(accounts.pages)
    add_docs(app)
    add_web(app)
    if app.state.settings.mode == "dev":
        add_example(app)
    app.add_api_route("/healthz", healthz, operation_id="healthz")
    app.add_api_route("/metrics", get_metrics, include_in_schema=False)
    not_ready = {"model": Readiness, "description": "A check failed: the process cannot do its work."}
    app.add_api_route("/readyz", readyz, operation_id="readyz", response_model=Readiness, responses={503: not_ready})


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """Add the middleware from the innermost to the outermost."""
    http = settings.http
    app.add_middleware(Compression)
    app.add_middleware(HeadRequests)
    app.add_middleware(BodyLimit, max_bytes=http.max_body_bytes, max_streamed_bytes=settings.uploads.stream_max_bytes)
    app.add_middleware(AddressLimit, counters=app.state.limits)
    app.add_middleware(CombinedHeaders)
    if settings.mode == "dev" and http.public_url:
        app.add_middleware(LocalhostPages, public_url=http.public_url)
    app.add_middleware(KnownHosts, hosts=http.allowed_hosts)
    app.add_middleware(UnhandledErrors)
    if http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=http.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=READ_HEADERS,
            expose_headers=ANSWERED_HEADERS,
        )
    app.add_middleware(StandardHeaders, hsts_s=http.hsts_s)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    app.add_middleware(StartErrors, reasons=(StoreError, UnsuitableStoreError))


async def healthz() -> Liveness:
    """Answer while the process runs; checks neither database nor store."""
    return Liveness(status="ok")


async def readyz(request: Request) -> JSONResponse:
    """Check database, schema, store and clock; each is "ok" or what is wrong with it.

    `space` and `browsers` do not count: a process whose store is full still serves what is stored, and one whose bucket
    blocks browsers serves all other clients.
    """
    health: Health = request.app.state.health
    checks = await health.check()
    ready = all(said == "ok" for name, said in checks.items() if name not in {"space", "browsers"})
    return JSONResponse({"status": "ready" if ready else "not ready", **checks}, status_code=200 if ready else 503)


async def get_metrics(request: Request) -> Response:
    """Return the metrics in the text format of Prometheus; needs the metrics token."""
    state = request.app.state
    if not metrics.is_scrape_allowed(state.settings, request.headers.get("authorization", "")):
        raise problems.NotFound
    gauges = metrics.ProcessGauges(
        events_waiting=state.wakeup.waiting,
        streams_waiting=state.direct_uploads.waiting + state.archives.waiting + state.link_transfers.waiting,
        connections_in_use=state.db.in_use,
        store_disk=read_store_disk(state.settings),
    )
    return Response(await state.metrics.scrape(state.db, gauges), media_type=metrics.CONTENT_TYPE)


def _add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(Replayed, _replay)
    app.add_exception_handler(problems.Problem, _on_problem)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


# Starlette types the error of a handler as Exception, wider than what it passes: hence the assertions.


async def _replay(_: Request, error: Exception) -> Response:
    assert isinstance(error, Replayed)  # noqa: S101
    headers = {"Idempotency-Replayed": "true"}
    etag = orjson.loads(error.answer).get("etag")
    if etag:
        headers["ETag"] = etag
    return Response(error.answer, error.status, headers, media_type="application/json")


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, problems.Problem)  # noqa: S101
    return render_problem(request.scope, error)


async def _on_store_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)  # noqa: S101
    log.warning("store error: %s", error.detail)
    return render_problem(request.scope, to_problem(error))


_MAX_FIELD_ERRORS = 100
"""Bounds the response: each unknown member of a request is one error."""


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = error.errors()[:_MAX_FIELD_ERRORS]
    if any(entry["type"] == "json_invalid" for entry in errors):
        return render_problem(request.scope, problems.MalformedJson())
    return render_problem(request.scope, problems.InvalidRequest(errors=[_field_error(entry) for entry in errors]))


_PROBLEM_OF_STATUS: Mapping[int, type[problems.Problem]] = {
    400: problems.MalformedJson,
    404: problems.NotFound,
    405: problems.MethodNotAllowed,
    408: problems.MalformedJson,  # the body did not arrive in time
    413: problems.BodyTooLarge,
}


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    response = render_problem(request.scope, _PROBLEM_OF_STATUS.get(error.status_code, problems.InternalError)())
    response.headers.update(error.headers or {})
    return response


def _field_error(entry: dict[str, Any]) -> dict[str, str]:
    """Turn one of pydantic's errors into a JSON pointer and a sentence; leave out the value itself."""
    where = (
        entry["loc"][1:] if entry["loc"] and entry["loc"][0] in {"body", "query", "path", "header"} else entry["loc"]
    )
    pointer = "".join(f"/{part}" for part in where)
    return {
        "pointer": _replace_surrogates(pointer),
        "detail": _replace_surrogates(entry["msg"].removeprefix("Value error, ")),
    }


def _replace_surrogates(message: str) -> str:
    """Return a text that UTF-8 can carry: the name of an unknown member may be any text of JSON."""
    return message.encode(errors="replace").decode()
