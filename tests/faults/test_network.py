"""The store and the database fail under a running API: it answers 503, loses nothing, and works when they are back."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.s3 import S3Config
from tests.support.database import execute
from tests.support.fault_proxy import (
    Fault,
    FaultProxy,
    Kind,
    is_complete,
    is_list_parts,
    running_proxy,
    s3_error,
)
from tests.support.journeys import CHUNK, Upload, check_all, settle
from tests.support.server import (
    Account,
    RunningServer,
    make_settings,
    migrated_database,
    running_server,
    send,
    start_body,
)
from tests.support.stack import prepare_bucket

UPLOADS = {"lease_s": 1.2, "single_max_bytes": CHUNK, "complete_wait_s": 5}
WORKER = {"verify_lease_s": 1.2, "sweep_grace_s": 0}


@dataclass
class ProxiedServer:
    """An API that reaches its store through a proxy; clients reach the store directly."""

    server: RunningServer
    proxy: FaultProxy

    async def check(self, journey: Upload) -> None:
        self.proxy.faults.clear()
        await settle(self.server.db, self.server.store, self.server.settings)
        await journey.check(self.server.url, self.server.db)
        await check_all(self.server.db, self.server.store)


@pytest.fixture(scope="module")
async def between(postgres_url: str, s3_config: S3Config) -> AsyncIterator[ProxiedServer]:
    s3 = await prepare_bucket(replace(s3_config, bucket="network-faults"))
    address = urlsplit(s3.endpoint_url or "")
    async with (
        migrated_database(postgres_url) as url,
        running_proxy(address.hostname or "", address.port or 0) as proxy,
    ):
        settings = make_settings(url, replace(s3, endpoint_url=proxy.url), uploads=UPLOADS, worker=WORKER)
        direct = settings.s3.model_copy(update={"public_endpoint_url": s3.endpoint_url})
        async with running_server(settings.model_copy(update={"s3": direct})) as server:
            yield ProxiedServer(server, proxy)


@asynccontextmanager
async def sent_upload(between: ProxiedServer, seed: str) -> AsyncIterator[tuple[Upload, Account, str]]:
    """Yield a journey whose chunks are all sent, its account, and the path of the upload."""
    journey = Upload(seed)
    await journey.prepare(between.server.url)
    account = journey.account_at(between.server.url)
    async with account.client as client:
        body = start_body(journey.data, journey.name, chunk_size_bytes=CHUNK)
        upload = (await client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
        await send(account, upload, journey.data)
        journey.upload_id = upload["id"]
        yield journey, account, f"/v1/uploads/{upload['id']}"


def is_unavailable(answer: httpx2.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "unavailable", answer.text
    assert answer.json()["retryable"] is True
    assert int(answer.headers["retry-after"]) > 0
    return True


async def test_requests_with_the_store_down_are_503_until_it_is_back(between: ProxiedServer) -> None:
    async with sent_upload(between, "store-down") as (journey, account, address):
        client = account.client
        await between.proxy.refuse()
        other = start_body(b"x" * (CHUNK + 1), "other", chunk_size_bytes=CHUNK)
        assert is_unavailable(await client.post("/v1/uploads", json=other))
        assert is_unavailable(await client.post(f"{address}/reconcile"))
        assert is_unavailable(await client.post(f"{address}/complete"))
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["store"]) == (503, "does not answer, or refuses the request")
        assert (await client.get(address)).json()["uploaded"] == "", "the server does not guess what it could not list"
        await between.proxy.accept()
        started = (await client.post("/v1/uploads", json=other)).raise_for_status().json()
        assert started["upload"]["state"] == "active", "the server reuses the session that it could not open before"
        (await client.delete(f"/v1/uploads/{started['upload']['id']}")).raise_for_status()
    await journey.persist(between.server.url)
    await between.check(journey)


COMPLETE_FAILS: dict[str, Fault] = {
    "reply dropped": Fault("drop-reply", is_complete),
    "cut": Fault("cut", is_complete),
    "reset": Fault("reset", is_complete),
    "reply truncated": Fault("truncate", is_complete),
    "200 with an error": Fault("answer", is_complete, answer=s3_error(200, "InternalError")),
    "503 SlowDown": Fault("answer", is_complete, answer=s3_error(503, "SlowDown")),
    "500 InternalError": Fault("answer", is_complete, answer=s3_error(500, "InternalError")),
    "InvalidPart once": Fault("answer", is_complete, answer=s3_error(400, "InvalidPart")),
    "InvalidPart in a 200": Fault("answer", is_complete, answer=s3_error(200, "InvalidPart")),
    "asked twice": Fault("duplicate", is_complete),
    "slow": Fault("latency", is_complete, delay_s=1.5),
}


@pytest.mark.parametrize("name", COMPLETE_FAILS)
async def test_complete_with_one_store_fault_makes_one_file(between: ProxiedServer, name: str) -> None:
    async with sent_upload(between, f"complete-{name}") as (journey, account, address):
        client = account.client
        fault = between.proxy.inject(replace(COMPLETE_FAILS[name]))
        answer = await client.post(f"{address}/complete")
        assert answer.status_code in {200, 202} or is_unavailable(answer), answer.text
    assert fault.hits == 1
    await journey.persist(between.server.url)
    await between.check(journey)


async def test_complete_refused_twice_fails_the_upload_and_frees_its_quota(between: ProxiedServer) -> None:
    async with sent_upload(between, "refused-twice") as (journey, account, address):
        client = account.client
        between.proxy.inject(Fault("answer", is_complete, times=2, answer=s3_error(400, "InvalidPart")))
        assert is_unavailable(await client.post(f"{address}/complete"))
        refused = await client.post(f"{address}/complete")
        assert (refused.status_code, refused.json()["code"]) == (409, "upload-failed")
        assert (await client.post(f"{address}/complete")).json()["code"] == "upload-failed", "the failure is final"
        assert (await account.me())["reserved_bytes"] == 0
    journey.forget()
    await journey.persist(between.server.url)
    await between.check(journey)


LISTINGS: tuple[Kind, ...] = ("cut", "truncate")


@pytest.mark.parametrize("kind", LISTINGS)
async def test_reconcile_with_a_broken_listing_keeps_the_known_chunks(between: ProxiedServer, kind: Kind) -> None:
    """Chunks that a broken answer omits must not count as missing."""
    async with sent_upload(between, f"listing-{kind}") as (journey, account, address):
        client = account.client
        assert (await client.post(f"{address}/reconcile")).json()["uploaded"] == "1-2"
        once = between.proxy.inject(Fault(kind, is_list_parts))
        assert (await client.post(f"{address}/reconcile")).json()["uploaded"] == "1-2", (
            "the server repeats one failed call"
        )
        assert once.hits == 1
        between.proxy.inject(Fault(kind, is_list_parts, times=100))
        assert is_unavailable(await client.post(f"{address}/reconcile"))
        assert (await client.get(address)).json()["uploaded"] == "1-2"
        between.proxy.faults.clear()
    await journey.persist(between.server.url)
    await between.check(journey)


async def test_complete_of_an_upload_aborted_at_the_store_is_upload_expired(between: ProxiedServer) -> None:
    """An operator or a lifecycle rule aborted it: the client starts again without help."""
    async with sent_upload(between, "discarded") as (journey, account, address):
        client = account.client
        async with between.server.db.read() as tx:
            query = text("SELECT storage_key, s3_upload_id FROM uploads WHERE id = CAST(:id AS uuid)")
            row = (await tx.execute(query, {"id": journey.upload_id})).one()
        await between.server.store.abort_multipart(*row)
        answer = await client.post(f"{address}/complete")
        assert (answer.status_code, answer.json()["code"]) == (409, "upload-expired")
        assert (await account.me())["reserved_bytes"] == 0
    journey.forget()
    await journey.persist(between.server.url)
    await between.check(journey)


# Postgres


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    directory.chmod(0o711)
    with EmbeddedPostgres(directory / "postgres", fsync=False) as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def on_postgres(postgres: EmbeddedPostgres, s3: S3Config) -> AsyncIterator[RunningServer]:
    bucket = await prepare_bucket(replace(s3, bucket="postgres-faults"))
    settings: dict[str, Any] = {"uploads": UPLOADS, "worker": WORKER}
    async with running_server(make_settings(postgres.url, bucket, **settings)) as server:
        yield server


async def test_uploads_with_terminated_connections_succeed_by_repeating(
    own_postgres: EmbeddedPostgres, s3_config: S3Config
) -> None:
    """All connections are terminated 25 times while uploads run; `persist` accepts no failure except 503."""
    journeys = [Upload(f"terminated-{number}") for number in range(3)]
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dropbox-api'"
    async with on_postgres(own_postgres, s3_config) as server:
        for journey in journeys:
            await journey.prepare(server.url)

        async def terminate() -> None:
            for _ in range(25):
                await execute(own_postgres.url, kill)
                await asyncio.sleep(0.04)

        async with asyncio.TaskGroup() as group:
            group.create_task(terminate())
            for journey in journeys:
                group.create_task(journey.persist(server.url))
        await settle(server.db, server.store, server.settings)
        for journey in journeys:
            await journey.check(server.url, server.db)
        await check_all(server.db, server.store)


async def test_requests_with_postgres_down_are_503_until_it_is_back(
    own_postgres: EmbeddedPostgres, s3_config: S3Config
) -> None:
    journey = Upload("restarted")
    async with on_postgres(own_postgres, s3_config) as server:
        await journey.prepare(server.url)
        account = journey.account_at(server.url)
        async with account.client as client:
            await account.me()
            await asyncio.to_thread(own_postgres.stop)
            assert is_unavailable(await client.get("/v1/me"))
            assert is_unavailable(await client.post("/v1/uploads", json=start_body(b"small", "small")))
            assert (await client.get("/healthz")).status_code == 200
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["database"] != "ok"
            await asyncio.to_thread(own_postgres.start)
        await journey.persist(server.url)
        await settle(server.db, server.store, server.settings)
        await journey.check(server.url, server.db)
        await check_all(server.db, server.store)
