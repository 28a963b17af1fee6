"""The API as a real server on a real socket in the event loop of the tests, accounts, and a raw client of uploads."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import text

from dropbox_api import serving
from dropbox_api.app import create_app
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.migrations import migrate
from dropbox_api.problems import all_problems
from dropbox_api.settings import MIB, DatabaseSettings, LimitSettings, Settings
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers import invariants, reports
from tests.support.database import create_database, fresh_database
from tests.support.stack import prepare_bucket

PASSWORD = "correct horse battery"
UNKNOWN_ID = "5eb63bbb-e01e-4ed0-93cb-22bb8f5acdc3"
"""The id of no row; constant, so that all processes of a parallel run give parametrised tests the same names."""
NO_TLS = ssl.create_default_context()
"""Shared by all clients: loading the certificate authorities for each client would be slow and is not needed."""


NO_LIMITS = dict.fromkeys(set(LimitSettings.model_fields) - {"storage_url"}, "")
"""No limits: all tests use one address."""
PATIENT = {"pool_timeout_s": 60, "connect_timeout_s": 60}
"""Long timeouts of the database, so that a busy machine causes no 503."""
CHEAP_HASH = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
"""Hashes of production cost would take a tenth of the suite's time; tests/unit/test_passwords.py checks the cost."""

_TEMPLATES: dict[str, str] = {}
_TEMPLATE_LOCK = asyncio.Lock()


def make_settings(postgres_url: str, s3: S3Config, **groups: Any) -> Settings:
    """Return dev settings on the session's servers; `groups` are further groups of settings."""
    return Settings.model_validate(
        {
            "mode": "dev",
            "database": {"url": postgres_url} | PATIENT,
            "s3": {
                "endpoint_url": s3.endpoint_url,
                "bucket": s3.bucket,
                "access_key_id": s3.access_key_id,
                "secret_access_key": s3.secret_access_key,
            },
            "limits": NO_LIMITS,
            **groups,
        }
    )


@dataclass
class RunningServer:
    url: str
    app: FastAPI
    settings: Settings

    @property
    def db(self) -> Db:
        db: Db = self.app.state.db
        return db

    @property
    def store(self) -> S3Store:
        store: S3Store = self.app.state.store
        return store

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services


@contextlib.asynccontextmanager
async def running_server(settings: Settings, *, port: int = 0) -> AsyncIterator[RunningServer]:
    """Migrate, serve on `port` (0: a free one), and stop at the end."""
    await migrate(settings.database)
    app = create_app(settings)
    # asyncio disables Nagle's algorithm only on sockets with an explicit protocol: else each answer waits 40 ms.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", **serving.options(settings)))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0.01)
    app.state.passwords._argon2, app.state.passwords._decoy = CHEAP_HASH, CHEAP_HASH.hash("decoy")
    try:
        yield RunningServer(f"http://127.0.0.1:{listener.getsockname()[1]}", app, settings)
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def migrated_database(postgres_url: str) -> AsyncIterator[str]:
    """Yield the URL of a new database with all tables; it is dropped at the end."""
    async with fresh_database(postgres_url, template=await _make_template(postgres_url)) as url:
        yield url


async def _make_template(postgres_url: str) -> str:
    """Return the name of a migrated database, made once in each Postgres: a copy is ten times as fast."""
    async with _TEMPLATE_LOCK:
        if postgres_url not in _TEMPLATES:
            url = await create_database(postgres_url)
            await migrate(DatabaseSettings.model_validate({"url": url} | PATIENT))
            _TEMPLATES[postgres_url] = url.rpartition("/")[2]
    return _TEMPLATES[postgres_url]


@contextlib.asynccontextmanager
async def separate_server(
    postgres_url: str, s3: S3Config, *, bucket: str | None = None, **groups: Any
) -> AsyncIterator[RunningServer]:
    """Serve from a new database, and from this bucket if one is named; `groups` are those of `make_settings`.

    For tests that must find only their own rows and objects: jobs, metrics, invariants.
    """
    if bucket is not None:
        s3 = await prepare_bucket(replace(s3, bucket=bucket))
    async with (
        migrated_database(postgres_url) as url,
        running_server(make_settings(url, s3, **groups)) as running,
    ):
        yield running


@dataclass
class Account:
    """An account, its tokens, and a signed-in client."""

    email: str
    password: str
    tokens: dict[str, Any]
    client: httpx2.AsyncClient

    async def me(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get("/v1/me")).raise_for_status().json()
        return answer


def new_address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


async def sign_in(api: httpx2.AsyncClient, email: str, password: str = PASSWORD) -> httpx2.Response:
    form = {"grant_type": "password", "username": email, "password": password}
    return await api.post("/v1/auth/token", data=form)


async def register_account(url: str, email: str | None = None, password: str | None = None) -> Account:
    """Register an account and sign in; the caller closes `client`."""
    email, password = email or new_address(), password or PASSWORD
    async with httpx2.AsyncClient(base_url=url, timeout=60, verify=NO_TLS) as api:
        (await api.post("/v1/auth/register", json={"email": email, "password": password})).raise_for_status()
        tokens = (await sign_in(api, email, password)).raise_for_status().json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    return Account(email, password, tokens, httpx2.AsyncClient(base_url=url, headers=bearer, timeout=60, verify=NO_TLS))


# A raw client of the upload journey in docs/protocol.md


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def start_body(data: bytes, name: str, **more: Any) -> dict[str, Any]:
    """Return the body of POST /v1/uploads for these bytes; `more` adds members, `destination` is merged."""
    destination = {"name": name} | more.pop("destination", {})
    return {"fingerprint": sha256(data), "size_bytes": len(data), "destination": destination} | more


def chunks_of(data: bytes, chunk_size_bytes: int) -> list[bytes]:
    return [data[at : at + chunk_size_bytes] for at in range(0, len(data), chunk_size_bytes)] or [b""]


async def sign(account: Account, upload: dict[str, Any], data: bytes, numbers: list[int]) -> list[dict[str, Any]]:
    chunks = chunks_of(data, upload["chunk_size_bytes"] or 1)
    parts = [{"number": number, "sha256": sha256(chunks[number - 1])} for number in numbers]
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/parts", json={"parts": parts})
    signed: list[dict[str, Any]] = answer.raise_for_status().json()["parts"]
    return signed


async def put(part: dict[str, Any], body: bytes) -> httpx2.Response:
    """Send one part to the store with its signed URL and headers."""
    async with httpx2.AsyncClient(timeout=60, verify=NO_TLS) as store:
        return await store.put(part["url"], headers=part["headers"], content=body)


async def send(account: Account, upload: dict[str, Any], data: bytes, numbers: list[int] | None = None) -> None:
    """Sign and send these chunks (default: all)."""
    numbers = numbers or list(range(1, upload["chunk_count"] + 1))
    chunks = chunks_of(data, upload["chunk_size_bytes"] or 1)
    for part in await sign(account, upload, data, numbers):
        (await put(part, chunks[part["number"] - 1])).raise_for_status()


async def upload_file(account: Account, data: bytes, name: str, **more: Any) -> dict[str, Any]:
    """Upload these bytes and complete; return the file."""
    started = (await account.client.post("/v1/uploads", json=start_body(data, name, **more))).raise_for_status().json()
    if started["file"]:
        file: dict[str, Any] = started["file"]
        return file
    await send(account, started["upload"], data)
    answer = await account.client.post(f"/v1/uploads/{started['upload']['id']}/complete")
    completed: dict[str, dict[str, Any]] = answer.raise_for_status().json()
    return completed["file"]


async def download(account: Account, file_id: str) -> bytes:
    answer = await account.client.get(f"/v1/files/{file_id}/content", follow_redirects=True)
    return answer.raise_for_status().content


async def create_folder(account: Account, path: str) -> dict[str, Any]:
    """Make the missing folders of a path; return the last one."""
    answer = await account.client.post("/v1/folders", json={"path": path, "on_conflict": "reuse"})
    folder: dict[str, Any] = answer.raise_for_status().json()
    return folder


SMALLEST_CHUNK = 5 * MIB
MULTI: dict[str, Any] = {"strategy": "multipart", "chunk_size_bytes": SMALLEST_CHUNK}
"""Members of a start that make a small file a multipart upload."""


async def start(account: Account, data: bytes, name: str, **more: Any) -> dict[str, Any]:
    """Start an upload of new content; return the session."""
    answer = await account.client.post("/v1/uploads", json=start_body(data, name, **more))
    upload: dict[str, Any] = answer.raise_for_status().json()["upload"]
    return upload


async def complete(account: Account, upload_id: str) -> httpx2.Response:
    return await account.client.post(f"/v1/uploads/{upload_id}/complete")


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a 4xx answer, and require that it is a well-formed problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    known = all_problems()[body["code"]]
    assert (body["status"], body["retryable"]) == (known.status, known.retryable)
    assert answer.status_code == body["status"] < 500, answer.text
    return answer.status_code, body["code"]


async def journal(db: Db, account: Account) -> list[tuple[str, str]]:
    """Return (kind, node id) of every event of the account, and require that the numbers have no gap."""
    rows = text("SELECT seq, kind, node_id FROM events WHERE recipient_id = :id ORDER BY seq")
    async with db.read() as tx:
        events = (await tx.execute(rows, {"id": (await account.me())["id"]})).all()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [(event.kind, str(event.node_id)) for event in events]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds; the machine may be busy."""
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110 - the conditions have no event
            await asyncio.sleep(0.02)


async def is_stored(store: ObjectStore, key: str) -> bool:
    try:
        await store.head(key)
    except ObjectNotFound:
        return False
    return True


async def run_until_idle(job: reports.Job, services: Services) -> None:
    """Run a job of the worker until it finds no more work."""
    while (await job(services)).found:
        pass


@contextlib.asynccontextmanager
async def running_job(job: reports.Job, services: Services) -> AsyncIterator[None]:
    """Run a job of the worker again and again meanwhile."""

    async def work() -> None:
        while True:
            await job(services)
            await asyncio.sleep(0.02)

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def assert_invariants(db: Db, store: ObjectStore) -> None:
    """Require every invariant, except for objects of other databases in the shared bucket."""
    async with db.read() as tx:
        ours = {str(user_id) for user_id in (await tx.execute(text("SELECT id FROM users"))).scalars()}
    found = await invariants.find_violations(db, store)
    broken = [one for one in found if one.invariant != "I3" or any(owner in one.detail for owner in ours)]
    assert not broken, broken
