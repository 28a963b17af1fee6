"""The application: what lives as long as the process, the routers, and how problems are rendered.

The only importer of routes. What stands before them is in `middleware`.
"""

import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from dropbox_api import __version__, problems
from dropbox_api.accounts import routes as accounts
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.accounts.shares import Shares
from dropbox_api.db import Db
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.feed import routes as feed
from dropbox_api.files import routes as files
from dropbox_api.hooks import routes as hooks
from dropbox_api.hooks.notifications import Lookout
from dropbox_api.middleware import BodyLimit, Exchange, Gate, LastResort, render
from dropbox_api.plumbing import failpoints, metrics, transfer_slots
from dropbox_api.plumbing.health import Health
from dropbox_api.plumbing.idempotency import Replayed
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.plumbing.store_config import read_s3_config
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.schemas import ProblemDocument
from dropbox_api.serving import LET_GO
from dropbox_api.settings import Settings
from dropbox_api.sharing import grants
from dropbox_api.sharing import routes as sharing
from dropbox_api.storage.object_store import StoreError
from dropbox_api.storage.probe import probe_bucket
from dropbox_api.storage.s3 import S3Store
from dropbox_api.uploads import finishing
from dropbox_api.uploads import routes as uploads

log = logging.getLogger(__name__)

DESCRIPTION = """
Uploads go straight to S3: start a session by fingerprint, ask for signed URLs, PUT the chunks, complete.
A file counts as stored when S3's own ListParts confirms every part. Every error is an RFC 9457 problem.
"""


def create_app(settings: Settings) -> FastAPI:
    """Build the application; nothing is connected before its lifespan starts.

    At start the bucket is probed; a store that neither enforces nor lists hashes is refused.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        failpoints.arm(settings.failpoints)
        config = read_s3_config(settings)
        async with S3Store.open(config) as store:
            if settings.s3.create_bucket:
                await store.ensure_bucket(settings.http.cors_origins)
            capabilities = await probe_bucket(config)
            if capabilities.level is None:
                raise RuntimeError(f"the store cannot be trusted with uploads: {', '.join(capabilities.missing)}")
            log.info("store probed", extra={"proof_level": capabilities.level})
            app.state.settings = settings
            app.state.store = store
            app.state.capabilities = capabilities
            app.state.db = Db.connect(settings.database)
            app.state.health = Health(app.state.db, store, settings)
            app.state.passwords = Passwords(settings.auth.hash_concurrency)
            app.state.access_tokens = AccessTokens(settings.auth)
            app.state.mailer = Mailer(settings.mail)
            app.state.shares = Shares(grants.accept, grants.end_all)
            app.state.lookout = Lookout(app.state.db, store, settings)
            app.state.cursors = Cursors(settings.auth)
            app.state.wakeup = await Wakeup.start(app.state.db, settings)
            try:
                yield {LET_GO: app.state.wakeup.close}
            finally:
                state = app.state
                state.passwords.close()
                for close in (
                    state.wakeup.stop,
                    state.lookout.close,
                    finishing.stop,
                    state.mailer.close,
                    state.limits.close,
                    state.db.close,
                ):
                    await close()

    app = FastAPI(
        title="dropbox-api",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
    )
    for feature in (accounts, uploads, files, sharing, feed, hooks):
        app.include_router(feature.router)
    app.include_router(accounts.pages)
    app.mount("/docs/static", StaticFiles(packages=[("fastapi_offline", "static")]))
    app.add_api_route("/docs", docs, include_in_schema=False)
    _watch(app)
    _render_problems(app)
    _describe_problems(app)
    app.state.limits = Limits(settings.limits)
    app.state.streams = transfer_slots.TransferSlots(settings.uploads.streams_at_once)
    app.state.archives = transfer_slots.TransferSlots(settings.uploads.streams_at_once)
    # Of links: strangers who are slow leave room for people with an account.
    app.state.public_streams = transfer_slots.TransferSlots(max(1, settings.uploads.streams_at_once // 2))
    app.add_middleware(
        BodyLimit, max_bytes=settings.http.max_body_bytes, max_streamed_bytes=settings.uploads.stream_max_bytes
    )
    app.add_middleware(Gate, hosts=settings.http.allowed_hosts, counting=app.state.limits)
    app.add_middleware(LastResort)
    if settings.http.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=[
                "ETag",
                "Idempotency-Replayed",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "X-Request-Id",
            ],
        )
    app.add_middleware(Exchange, hsts_s=settings.http.hsts_s, metrics=app.state.metrics)
    return app


async def docs() -> HTMLResponse:
    """Show the operations in Swagger UI, which needs no other origin; relative addresses suit a proxy with a prefix.

    The page's one script of its own is allowed by its hash.
    """
    page = get_swagger_ui_html(
        title="dropbox-api",
        openapi_url="openapi.json",
        swagger_js_url="docs/static/swagger-ui-bundle.js",
        swagger_css_url="docs/static/swagger-ui.css",
        swagger_favicon_url="docs/static/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # a service of others
    )
    scripts = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page


def _watch(app: FastAPI) -> None:
    app.state.metrics = metrics.Metrics()
    app.add_api_route("/healthz", healthz, operation_id="healthz", tags=["health"])
    app.add_api_route("/metrics", get_metrics, include_in_schema=False)
    app.add_api_route("/readyz", readyz, operation_id="readyz", tags=["health"], responses={503: {}})


async def healthz() -> dict[str, str]:
    """Tell that the process answers; asks neither database nor store."""
    return {"status": "ok"}


async def readyz(request: Request) -> JSONResponse:
    """Tell whether database, schema, store and its clock are as they must be, and why not."""
    health: Health = request.app.state.health
    checks = await health.look()
    ready = set(checks.values()) == {"ok"}
    return JSONResponse({"status": "ready" if ready else "not ready", **checks}, status_code=200 if ready else 503)


_MAX_FIELD_ERRORS = 100
"""An answer is not to be many times as long as the request: every unknown member is an error."""


async def get_metrics(request: Request) -> Response:
    """Give the metrics in Prometheus' text format, to whoever has their token."""
    state = request.app.state
    if not metrics.is_allowed(state.settings, request.headers.get("authorization", "")):
        raise problems.NotFound
    live = {
        "waiting": state.wakeup.waiting,
        "pool": state.db.in_use,
        "streams_waiting": state.streams.waiting + state.archives.waiting + state.public_streams.waiting,
    }
    return Response(await state.metrics.scrape(state.db, live), media_type=metrics.CONTENT_TYPE)


def _render_problems(app: FastAPI) -> None:
    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, problems.Problem)  # noqa: S101 - Starlette's handler type is wider than what it sends
        return render(request.scope, error)

    async def on_store_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StoreError)  # noqa: S101
        log.warning("store error: %s", error.detail)
        return render(request.scope, to_problem(error))

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        found = error.errors()[:_MAX_FIELD_ERRORS]
        if any(entry["type"] == "json_invalid" for entry in found):
            return render(request.scope, problems.MalformedJson())
        return render(request.scope, problems.InvalidRequest(errors=[_field_error(entry) for entry in found]))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        by_status: dict[int, type[problems.Problem]] = {
            400: problems.MalformedJson,
            404: problems.NotFound,
            405: problems.MethodNotAllowed,
            408: problems.MalformedJson,  # as far as it came
            413: problems.BodyTooLarge,
        }
        response = render(request.scope, by_status.get(error.status_code, problems.InternalError)())
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(Replayed, _replay)
    app.add_exception_handler(problems.Problem, on_problem)
    app.add_exception_handler(StoreError, on_store_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


async def _replay(_: Request, error: Exception) -> Response:
    assert isinstance(error, Replayed)  # noqa: S101
    headers = {"Idempotency-Replayed": "true"}
    etag = orjson.loads(error.answer).get("etag")
    if etag:
        headers["ETag"] = etag
    return Response(error.answer, error.status, headers, media_type="application/json")


def _field_error(entry: dict[str, Any]) -> dict[str, str]:
    """Turn one of pydantic's errors into a JSON pointer and a sentence; the value itself is not echoed."""
    where = (
        entry["loc"][1:] if entry["loc"] and entry["loc"][0] in {"body", "query", "path", "header"} else entry["loc"]
    )
    return {"pointer": "".join(f"/{part}" for part in where), "detail": entry["msg"]}


def _describe_problems(app: FastAPI) -> None:
    """Put the problem document into OpenAPI, and FastAPI's own validation shape, which is never sent, out of it."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = build()
            schemas = document["components"]["schemas"]
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {}) | {"ProblemDocument": schema}
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
