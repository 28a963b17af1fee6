"""Completing while the store is slow: bounded work, answers in time, and tasks that belong to one application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.uploads.complete import MULTIPARTS_AT_ONCE
from dropbox_api.workers.finish import finish_idle_uploads, finish_stale_uploads
from dropbox_api.workers.runner import open_services
from dropbox_client import Client
from dropbox_client.models import CompletedUploadItem
from dropbox_client.transfer.progress import UploadItem, UploadResult
from dropbox_client.transfer.upload import Uploader
from tests.support.fault_proxy import Fault, FaultProxy, is_complete, running_proxy
from tests.support.sdk import blocking_client
from tests.support.senders import Sender
from tests.support.server import (
    MULTI,
    PATIENT,
    UNKNOWN_ID,
    Account,
    RunningServer,
    assert_invariants,
    complete,
    make_settings,
    migrated_database,
    register_account,
    run_until_idle,
    running_server,
    send,
    start,
)
from tests.support.sharing import make_folder, make_link, public

ALL = 1_000_000
FEW_CONNECTIONS = {"pool_size": 2, "pool_overflow": 0}


@pytest.fixture(scope="module")
async def proxy(s3_config: S3Config) -> AsyncIterator[FaultProxy]:
    address = urlsplit(s3_config.endpoint_url or "")
    async with running_proxy(address.hostname or "", address.port or 0) as running:
        yield running


@pytest.fixture(scope="module")
async def slow_settings(postgres_url: str, s3_config: S3Config, proxy: FaultProxy) -> AsyncIterator[Settings]:
    """Settings of a server with two database connections, whose calls to the store pass through the proxy."""
    async with migrated_database(postgres_url) as url:
        settings = make_settings(
            url,
            replace(s3_config, endpoint_url=proxy.url),
            database={"url": url} | PATIENT | FEW_CONNECTIONS,
            uploads={"complete_wait_s": 60},
        )
        direct = settings.s3.model_copy(update={"public_endpoint_url": s3_config.endpoint_url})
        yield settings.model_copy(update={"s3": direct})


@pytest.fixture
async def hold(proxy: FaultProxy) -> AsyncIterator[Fault]:
    """A fault that holds every Complete, except those of the probe, until the test releases it."""
    fault = proxy.inject(Fault("hold", lambda one: is_complete(one) and "/probe/" not in one.target, times=ALL))
    yield fault
    fault.released.set()
    proxy.faults.clear()


@contextmanager
def stalled_heads(proxy: FaultProxy, *upload_ids: str) -> Iterator[None]:
    """Answer no HEAD of the objects of some uploads."""
    fault = Fault("stall", lambda one: one.method == "HEAD" and any(key in one.target for key in upload_ids), times=ALL)
    proxy.inject(fault)
    yield
    proxy.faults.remove(fault)


def impatient(settings: Settings, wait_s: int = 1) -> Settings:
    uploads = settings.uploads.model_copy(update={"complete_wait_s": wait_s})
    return settings.model_copy(update={"uploads": uploads})


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - the conditions have no event
            await asyncio.sleep(0.02)


async def wait_for_hits(fault: Fault, hits: int) -> None:
    async def has_hits() -> bool:
        return fault.hits >= hits

    await until(has_hits)


async def send_files(account: Account, count: int) -> list[dict[str, Any]]:
    """Send the parts of this many multipart uploads."""
    uploads = []
    for number in range(count):
        data = f"file {number} of {account.email}".encode()
        uploads.append(await start(account, data, f"{number:02}.txt", **MULTI))
        await send(account, uploads[-1], data)
    return uploads


async def complete_batch(account: Account, uploads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = {"upload_ids": [upload["id"] for upload in uploads]}
    answer = (await account.client.post("/v1/uploads/batch/complete", json=body)).raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    assert [item["upload_id"] for item in items] == body["upload_ids"]
    return items


async def states(db: Db, uploads: list[dict[str, Any]]) -> set[str]:
    async with db.read() as tx:
        found = await tx.execute(
            text("SELECT state FROM uploads WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [upload["id"] for upload in uploads]},
        )
        return set(found.scalars())


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[RunningServer, Account]]:
    async with running_server(settings) as server:
        account = await register_account(server.url)
        async with account.client:
            yield server, account
        await assert_invariants(server.db, server.store)


async def test_batch_assembles_a_few_at_a_time_and_answers_in_order(slow_settings: Settings, hold: Fault) -> None:
    async with serving(slow_settings) as (_, account):
        uploads = await send_files(account, MULTIPARTS_AT_ONCE + 2)
        completing = asyncio.create_task(complete_batch(account, uploads))
        await wait_for_hits(hold, MULTIPARTS_AT_ONCE)

        listed = (await account.client.get("/v1/files")).raise_for_status().json()["items"]

        assert listed == [], "requests find a database connection while the store holds the Completes"
        assert hold.hits == MULTIPARTS_AT_ONCE
        waiting = [await account.client.get(f"/v1/uploads/{upload['id']}") for upload in uploads[MULTIPARTS_AT_ONCE:]]
        assert [answer.json()["uploaded"] for answer in waiting] == ["", ""], "they have not begun"
        hold.released.set()
        names = [item["file"]["name"] for item in await completing]
        assert names == [f"{number:02}.txt" for number in range(len(uploads))]


async def test_batch_beyond_its_time_is_completing_and_ends_in_the_worker(slow_settings: Settings, hold: Fault) -> None:
    async with serving(impatient(slow_settings)) as (server, account):
        uploads = await send_files(account, MULTIPARTS_AT_ONCE + 2)
        single = await start(account, b"single", "single.txt")
        await send(account, single, b"single")
        unknown = {"id": UNKNOWN_ID}

        items = await complete_batch(account, [single, *uploads, unknown])

        assert items[0]["file"]["name"] == "single.txt"
        assert {item["problem"]["code"] for item in items[1:-1]} == {"upload-completing"}
        assert items[-1]["problem"]["code"] == "not-found"
        assert hold.hits <= MULTIPARTS_AT_ONCE
        hold.released.set()

        async def all_ended() -> bool:
            for job in (finish_idle_uploads, finish_stale_uploads):
                await run_until_idle(job, server.services)
            return await states(server.db, uploads) == {"completed"}

        await until(all_ended)


async def test_single_file_whose_store_is_silent_is_completing_and_is_not_lost(
    slow_settings: Settings, proxy: FaultProxy
) -> None:
    async with serving(impatient(slow_settings, wait_s=3)) as (server, account):
        uploads = [await start(account, f"file {number}".encode(), f"{number}.txt") for number in range(4)]
        for number, upload in enumerate(uploads):
            await send(account, upload, f"file {number}".encode())
        _, *slow = uploads

        with stalled_heads(proxy, *(upload["id"] for upload in slow)):
            quick_item, *slow_items = await complete_batch(account, uploads)
            alone = await complete(account, slow[0]["id"])

        assert quick_item["file"]["name"] == "0.txt"
        assert [item["problem"]["code"] for item in slow_items] == ["upload-completing"] * 3
        assert (alone.status_code, alone.json()["state"]) == (202, "active")
        await run_until_idle(finish_idle_uploads, server.services)
        assert await states(server.db, slow) == {"completed"}, "the batch left them to the worker"
        names = [item["file"]["name"] for item in await complete_batch(account, uploads)]
        listed = (await account.client.get("/v1/files")).raise_for_status().json()["items"]
        assert names == [item["name"] for item in listed] == [f"{number}.txt" for number in range(4)]


async def test_batch_whose_parts_the_store_does_not_list_in_time_is_completing_and_is_not_lost(
    slow_settings: Settings, proxy: FaultProxy
) -> None:
    async with serving(impatient(slow_settings, wait_s=3)) as (server, account):
        uploads = await send_files(account, MULTIPARTS_AT_ONCE + 2)
        silence = Fault("stall", lambda one: one.method == "GET" and "uploadId" in one.target, times=ALL)
        proxy.inject(silence)
        async with asyncio.timeout(20):
            items = await complete_batch(account, uploads)
            alone = await complete(account, uploads[0]["id"])
        proxy.faults.remove(silence)
        assert {item["problem"]["code"] for item in items} == {"upload-completing"}
        assert (alone.status_code, alone.json()["state"]) == (202, "active")
        await run_until_idle(finish_idle_uploads, server.services)
        assert await states(server.db, uploads) == {"completed"}, "the batch left them to the worker"


async def test_batch_under_a_link_beyond_its_time_shows_what_is_not_completed(
    slow_settings: Settings, proxy: FaultProxy
) -> None:
    async with (
        serving(impatient(slow_settings, wait_s=3)) as (server, account),
        httpx2.AsyncClient(base_url=server.url) as api,
    ):
        sender = Sender(api, await make_link(account, await make_folder(account, "/inbox"), "upload"))
        contents = [f"file {number}".encode() for number in range(3)]
        uploads = [await sender.start(data) for data in contents]
        for upload, data in zip(uploads, contents, strict=True):
            await sender.send(upload, data)

        async def complete_all() -> list[str]:
            body = {"items": [{"upload_id": upload["id"]} for upload in uploads]}
            headers = {"X-Upload-Secret": sender.secret}
            answer = await api.post(public(sender.link, "/uploads/batch/complete"), json=body, headers=headers)
            return [item["upload"]["state"] for item in answer.raise_for_status().json()["items"]]

        with stalled_heads(proxy, uploads[1]["id"], uploads[2]["id"]):
            assert await complete_all() == ["completed", "active", "active"]
        assert await complete_all() == ["completed"] * 3


async def test_sdk_repeats_the_completion_of_a_batch_only_for_the_files_that_need_longer(
    slow_settings: Settings, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = []
    for number in range(4):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"file {number}")
        items.append(UploadItem(path, "/", path.name, path.stat().st_size))

    def upload(client: Client) -> tuple[list[UploadResult], list[int]]:
        sizes: list[int] = []
        complete_batch = client.uploads.complete_batch

        def complete(upload_ids: Sequence[str]) -> list[CompletedUploadItem]:
            slow = () if sizes else upload_ids[:2]
            sizes.append(len(upload_ids))
            with stalled_heads(proxy, *slow):
                return complete_batch(upload_ids)

        monkeypatch.setattr(client.uploads, "complete_batch", complete)
        with Uploader(client) as uploader:
            return list(uploader.upload(items)), sizes

    async with serving(impatient(slow_settings, wait_s=3)) as (server, account):
        with blocking_client(server, account) as client:
            results, sizes = await asyncio.to_thread(upload, client)
        assert [(result.error, result.sent_bytes) for result in results] == [(None, 6)] * 4
        assert sizes == [4, 2]
        listed = (await account.client.get("/v1/files")).raise_for_status().json()["items"]
        assert [item["name"] for item in listed] == [f"{number}.txt" for number in range(4)]


async def test_repeated_batch_of_uploads_that_are_completing_succeeds(slow_settings: Settings, hold: Fault) -> None:
    async with serving(impatient(slow_settings)) as (_, account):
        uploads = await send_files(account, 2)
        await complete_batch(account, uploads)
        hold.released.set()

        async def all_have_files() -> bool:
            return all(item["file"] for item in await complete_batch(account, uploads))

        await until(all_have_files)
        listed = (await account.client.get("/v1/files")).raise_for_status().json()["items"]
        assert [item["name"] for item in listed] == ["00.txt", "01.txt"]


async def test_finish_stale_completes_sessions_concurrently(slow_settings: Settings, hold: Fault) -> None:
    async with serving(slow_settings) as (server, account):
        uploads = await send_files(account, 3)
        for upload in uploads:
            (await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")).raise_for_status()
        abandoned = text("UPDATE uploads SET state = 'completing', next_check_at = now() WHERE state = 'active'")
        async with server.db.begin() as tx:
            await tx.execute(abandoned)
        async with open_services(slow_settings) as services:
            run = asyncio.create_task(finish_stale_uploads(services))
            await wait_for_hits(hold, len(uploads))
            hold.released.set()
            report = await run
        assert (report.found, report.done, report.failed) == (3, 3, 0)
        assert await states(server.db, uploads) == {"completed"}


async def test_closing_one_application_leaves_the_completions_of_another(slow_settings: Settings, hold: Fault) -> None:
    async with serving(slow_settings) as (_, account):
        (upload,) = await send_files(account, 1)
        async with running_server(slow_settings):
            completing = asyncio.create_task(complete(account, upload["id"]))
            await wait_for_hits(hold, 1)
        hold.released.set()
        assert (await completing).raise_for_status().json()["file"]["name"] == "00.txt"
