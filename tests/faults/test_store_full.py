"""A store that fills up: clear answers, nothing lost, and uploads that go on once there is room.

The store is a SeaweedFS with a few small volumes; it takes no more content when they are full.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import httpx2
import pytest

from dropbox_api.context import Services
from dropbox_api.storage.embedded.guard import fetch
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3
from dropbox_api.storage.object_store import NoSpace
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers.jobs import JOBS
from dropbox_api.workers.space import check_space
from dropbox_client.client import Client
from tests.support.server import (
    Account,
    RunningServer,
    assert_invariants,
    complete,
    download,
    put,
    register_account,
    running_server,
    separate_server,
    sha256,
    sign,
    start,
    start_body,
    until,
)
from tests.support.stack import prepare_bucket

MIB = 1024**2
CHUNK = 5 * MIB
DATA = Random(24).randbytes(3 * CHUNK)
REFUSED = (507, "store-full")


class SmallS3(EmbeddedS3):
    """SeaweedFS with five volumes of 16 MiB, one of which holds its own files."""

    def _arguments(self, identities: Path) -> list[str]:
        # Of two equal options the last one counts.
        return [*super()._arguments(identities), "-volume.max=5", "-master.volumeSizeLimitMB=16"]

    async def free(self, store: S3Store) -> None:
        """Delete what `fill` stored, and vacuum until its space is free: SeaweedFS deletes in the background."""
        full_bytes = self._count_bytes()
        entries = [entry async for entry in store.list_objects("fill/")]
        for entry in entries:
            await store.delete(entry.key)
        vacuum = f"http://127.0.0.1:{self._master_port}/vol/vacuum?garbageThreshold=0.0001"

        async def is_free() -> bool:
            await asyncio.to_thread(fetch, vacuum)
            return self._count_bytes() <= full_bytes - sum(entry.size_bytes for entry in entries)

        await until(is_free)

    def _count_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._storage.glob("*.dat"))


@pytest.fixture(scope="module")
def small() -> Iterator[SmallS3]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    try:
        with SmallS3(directory / "s3", access_key_id="a", secret_access_key="b") as running:
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
async def config(small: SmallS3) -> S3Config:
    wanted = S3Config(bucket="small", endpoint_url=small.endpoint_url, access_key_id="a", secret_access_key="b")
    return await prepare_bucket(wanted)


@pytest.fixture(scope="module")
async def server(postgres_url: str, config: S3Config) -> AsyncIterator[RunningServer]:
    uploads = {"chunk_size_bytes": CHUNK, "single_max_bytes": MIB}
    async with separate_server(postgres_url, config, uploads=uploads) as running:
        yield running


async def fill(store: S3Store) -> None:
    """Store objects until the store refuses one."""
    number = 0
    while True:
        try:
            await store.put(f"fill/{number}", Random(number).randbytes(MIB))
        except NoSpace:
            return
        number += 1


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.json()["retryable"]
    assert int(answer.headers["retry-after"]) > 0
    return answer.status_code, answer.json()["code"]


async def readiness(server: RunningServer) -> tuple[int, str]:
    server.app.state.health.clear_cache()
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as api:
        answer = await api.get("/readyz")
    return answer.status_code, answer.json()["space"]


async def count_refusals(server: RunningServer) -> int:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as api:
        lines = (await api.get("/metrics")).text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if 'status="507"' in line and "_total" in line)


def send_file(url: str, account: Account, path: Path) -> str:
    """Upload a file with the SDK; return its id."""
    with Client(url) as client:
        client.sign_in(account.email, account.password)
        return client.upload(path, to="/").id


async def test_store_that_fills_up_in_mid_upload_loses_nothing_and_goes_on(
    server: RunningServer, small: SmallS3, tmp_path: Path
) -> None:
    account = await register_account(server.url)
    store = server.store
    kept = Random(1).randbytes(MIB // 2)
    file = (await account.client.post("/v1/files", files={"file": ("kept.bin", kept)})).raise_for_status().json()
    upload = await start(account, DATA, "big.bin")
    parts = await sign(account, upload, DATA, [1, 2, 3])
    assert (await put(parts[0], DATA[:CHUNK])).status_code == 200

    await fill(store)
    assert (await put(parts[1], DATA[CHUNK : 2 * CHUNK])).status_code >= 500
    body = {"parts": [{"number": 2, "sha256": sha256(DATA[CHUNK : 2 * CHUNK])}]}
    assert refusal(await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=body)) == REFUSED
    assert refusal(await account.client.post("/v1/uploads", json=start_body(b"other", "other"))) == REFUSED
    batch = {"items": [start_body(b"other", "other")]}
    assert refusal(await account.client.post("/v1/uploads/batch", json=batch)) == REFUSED
    assert refusal(await account.client.post("/v1/files", files={"file": ("new.bin", b"new")})) == REFUSED
    content = await account.client.put(f"/v1/files/{file['id']}/content", content=b"new")
    assert refusal(content) == REFUSED
    assert (await complete(account, upload["id"])).json()["code"] == "parts-missing"
    assert await download(account, file["id"]) == kept
    assert await readiness(server) == (200, "the store is full: new content is refused")

    for job in JOBS.values():
        await job.run(Services(server.db, store, server.settings))
    state = (await account.client.get(f"/v1/uploads/{upload['id']}")).json()
    assert (state["state"], state["missing"]) == ("active", "2-3")

    path = tmp_path / "big.bin"
    path.write_bytes(DATA)
    refusals = await count_refusals(server)
    uploading = asyncio.create_task(asyncio.to_thread(send_file, server.url, account, path))

    async def is_refused() -> bool:
        return await count_refusals(server) > refusals

    await until(is_refused)
    await small.free(store)
    assert await download(account, await uploading) == DATA
    assert await readiness(server) == (200, "ok")
    await assert_invariants(server.db, store)
    await account.client.aclose()


async def test_server_started_with_a_full_store_serves_and_takes_content_once_there_is_room(
    server: RunningServer, small: SmallS3
) -> None:
    account = await register_account(server.url)
    file = (await account.client.post("/v1/files", files={"file": ("a.bin", b"stored")})).raise_for_status().json()
    await fill(server.store)
    s3 = server.settings.s3.model_copy(update={"data_dir": str(small.data_dir)})
    async with running_server(server.settings.model_copy(update={"s3": s3})) as second:
        api = Account(account.email, account.password, account.tokens, account.client)
        async with httpx2.AsyncClient(base_url=second.url, headers=account.client.headers, timeout=60) as client:
            api.client = client
            assert await download(api, file["id"]) == b"stored"
            assert refusal(await client.get("/v1/capabilities")) == REFUSED
            assert 'dropbox_store_disk_bytes{kind="free"}' in (await client.get("/metrics")).text
            report = await check_space(second.services)
            assert "fails to store a small object" in report.notes[0]
            assert refusal(await client.post("/v1/uploads", json=start_body(b"other", "other"))) == REFUSED
            await small.free(second.store)

            async def takes_content() -> bool:
                return (await client.get("/v1/capabilities")).status_code == 200

            await until(takes_content)
            await start(api, b"other", "other")
    await account.client.aclose()
