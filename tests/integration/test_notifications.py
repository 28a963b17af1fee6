"""Notifications of the store make the server reconcile the named sessions, change nothing else, and cost little.

The notifying store is a separate SeaweedFS, whose webhook calls a server on a reserved port.
"""

import asyncio
import json
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.hooks.notifications import MAX_NAMES, NotificationReconciler, parse_notification
from dropbox_api.settings import Settings
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3, StoreWebhook
from dropbox_api.storage.object_store import ObjectStore, Part
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers.finish import finish_idle_uploads
from tests.support.ports import reserve_port
from tests.support.server import (
    NO_LIMITS,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    make_settings,
    migrated_database,
    problem,
    register_account,
    running_server,
    send,
    separate_server,
    start,
    until,
)
from tests.support.stack import BUCKET

TOKEN = "a token that only the store has"
ADDRESS = "/v1/notifications/store"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DATA = bytes(2 * SMALLEST_CHUNK) + b"and a third chunk"
PLAN = {"strategy": "multipart", "chunk_size_bytes": SMALLEST_CHUNK}


async def get_session(account: Account, upload_id: str) -> dict[str, Any]:
    """Return a session as Postgres has it, with a request that does not read the store."""
    answer: dict[str, Any] = (await account.client.get(f"/v1/uploads/{upload_id}")).raise_for_status().json()
    return answer


async def row(db: Db, upload_id: str) -> Any:
    async with db.read() as tx:
        found = await tx.execute(text("SELECT * FROM uploads WHERE id = :id"), {"id": upload_id})
        return found.one()


def s3_event(key: str, *, event: str = "ObjectCreated:Put", bucket: str = BUCKET) -> dict[str, Any]:
    return {"Records": [{"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}


def filer_event(path: str, event: str = "create") -> dict[str, Any]:
    return {"event_type": event, "key": path, "message": {"new_entry": {"name": path.rpartition("/")[2]}}}


# A store that notifies


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with reserve_port() as port:
        yield port


@pytest.fixture(scope="module")
def notifying_store(port: int) -> Iterator[S3Config]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    webhook = StoreWebhook(f"http://127.0.0.1:{port}{ADDRESS}", TOKEN)
    try:
        with EmbeddedS3(directory / "s3", access_key_id="a", secret_access_key="b", webhook=webhook) as s3:
            yield S3Config(bucket=BUCKET, endpoint_url=s3.endpoint_url, access_key_id="a", secret_access_key="b")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
async def notified(postgres_url: str, notifying_store: S3Config, port: int) -> AsyncIterator[RunningServer]:
    async with S3Store.open(notifying_store) as store:
        await store.ensure_bucket([])  # before the server runs
    async with migrated_database(postgres_url) as url:
        settings = make_settings(url, notifying_store, notifications={"token": TOKEN})
        async with running_server(settings, port=port) as server:
            yield server


async def test_sent_part_shows_without_a_request_of_the_client(notified: RunningServer) -> None:
    account = await register_account(notified.url)
    upload = await start(account, DATA, "parts.bin", **PLAN)
    waits_s = []
    for number, left in ((2, "1,3"), (1, "3"), (3, "")):
        await send(account, upload, DATA, [number])
        began_at = time.monotonic()

        async def shows(left: str = left) -> bool:
            return bool((await get_session(account, upload["id"]))["missing"] == left)

        await until(shows)
        waits_s.append(round(time.monotonic() - began_at, 3))
    print("seconds from PUT to status:", waits_s)
    assert (await get_session(account, upload["id"]))["state"] == "active"
    await account.client.aclose()


async def test_single_upload_of_a_silent_client_is_completed(notified: RunningServer) -> None:
    account = await register_account(notified.url)
    upload = await start(account, b"left alone", "left.txt")
    await send(account, upload, b"left alone")

    async def shows() -> bool:
        return bool((await get_session(account, upload["id"]))["missing"] == "")

    await until(shows)

    async def expedited() -> bool:  # instead of in 15 minutes
        async with notified.db.read() as tx:
            soon = "SELECT next_check_at < now() + interval '61 seconds' FROM uploads WHERE id = :id"
            return bool((await tx.execute(text(soon), {"id": upload["id"]})).scalar_one())

    await until(expedited)
    async with notified.db.begin() as tx:
        await tx.execute(text("UPDATE uploads SET next_check_at = now() WHERE id = :id"), {"id": upload["id"]})
    await finish_idle_uploads(notified.services)
    assert (await get_session(account, upload["id"]))["state"] == "completed"
    await account.client.aclose()


async def test_store_with_an_unresponsive_receiver_continues_to_store(port: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:  # accepts connections and never answers
        webhook = StoreWebhook(f"http://127.0.0.1:{deaf.getsockname()[1]}{ADDRESS}", TOKEN)
        with EmbeddedS3(directory / "s3", access_key_id="a", secret_access_key="b", webhook=webhook) as s3:
            assert (directory / "s3" / "notification.toml").stat().st_mode & 0o777 == 0o600, "it holds the token"
            config = S3Config(bucket=BUCKET, endpoint_url=s3.endpoint_url, access_key_id="a", secret_access_key="b")
            async with S3Store.open(config) as store:
                await store.ensure_bucket([])
                await asyncio.gather(*(store.put(f"many/{number}", b"x") for number in range(300)))
                assert len([found async for found in store.list_objects("many/")]) == 300
    shutil.rmtree(directory, ignore_errors=True)


# The content of notifications. The tests send them, because the session's store does not notify.


@pytest.fixture(scope="module")
async def notifiable(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    groups: dict[str, Any] = {"notifications": {"token": TOKEN}, "http": {"max_body_bytes": 100_000}}
    async with separate_server(postgres_url, s3_config, **groups) as server:
        yield server


@pytest.fixture
async def session(notifiable: RunningServer) -> AsyncIterator["Session"]:
    async with AsyncExitStack() as stack:
        account = await register_account(notifiable.url)
        stack.push_async_callback(account.client.aclose)
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=notifiable.url, headers=BEARER, timeout=60)
        )
        upload = await start(account, DATA, "session.bin", **PLAN)
        found = await row(notifiable.db, upload["id"])
        yield Session(account, client, upload, found.storage_key, found.s3_upload_id)


class Session:
    """An upload session, and a client that sends notifications as the store does."""

    def __init__(
        self, account: Account, store: httpx2.AsyncClient, upload: dict[str, Any], key: str, s3_upload_id: str
    ) -> None:
        self.account = account
        self.store = store
        self.upload = upload
        self.key = key
        self.s3_upload_id = s3_upload_id

    async def notify(self, notification: Any) -> int:
        return (await self.store.post(ADDRESS, content=json.dumps(notification))).status_code

    async def missing(self) -> str:
        return str((await get_session(self.account, self.upload["id"]))["missing"])


@pytest.mark.parametrize("way", ["s3", "sns", "part", "object"])
async def test_notification_in_each_format_reconciles_the_session(session: Session, way: str) -> None:
    await send(session.account, session.upload, DATA, [1])
    event = s3_event(session.key, event="s3:ObjectCreated:CompleteMultipartUpload")
    part = f"/buckets/{BUCKET}/.uploads/{session.s3_upload_id}/0001_1c5e.part"
    notification: dict[str, Any] = {
        "s3": event,
        "sns": {"Type": "Notification", "MessageId": "1", "Message": json.dumps(event)},
        "part": filer_event(part),
        "object": filer_event(f"/buckets/{BUCKET}/{session.key}", "update"),
    }[way]
    assert await session.missing() == "1-3"
    assert await session.notify(notification) == 204

    async def is_reconciled() -> bool:
        return await session.missing() == "2-3"

    await until(is_reconciled)


async def test_notification_of_missing_parts_changes_nothing(session: Session, notifiable: RunningServer) -> None:
    before = await row(notifiable.db, session.upload["id"])
    for number in (1, 2, 3):
        part = f"/buckets/{BUCKET}/.uploads/{session.s3_upload_id}/{number:04}_x.part"
        assert await session.notify(filer_event(part)) == 204

    async def is_reconciled() -> bool:
        return (await row(notifiable.db, session.upload["id"])).listed_at is not None

    await until(is_reconciled)
    after = await row(notifiable.db, session.upload["id"])
    assert after._asdict() == before._asdict() | {"listed_at": after.listed_at}, "the session's expiry stays"
    assert await session.missing() == "1-3"


@dataclass
class Counted:
    """The store, with a count of its listings."""

    store: S3Store
    lists: int = 0

    async def list_parts(self, key: str, s3_upload_id: str) -> list[Part]:
        self.lists += 1
        return await self.store.list_parts(key, s3_upload_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_many_notifications_cost_one_listing_per_round(session: Session, notifiable: RunningServer) -> None:
    store = Counted(notifiable.store)
    reconciler = NotificationReconciler(Services(notifiable.db, cast("ObjectStore", store), notifiable.settings))
    began_at = time.monotonic()
    for number in range(1000):
        reconciler.submit({session.key} if number % 2 else {session.s3_upload_id})
        await asyncio.sleep(0)
    await send(session.account, session.upload, DATA, [1])
    reconciler.submit({session.key})  # a repeated name counts again

    async def followed() -> bool:
        return await session.missing() == "2-3"

    await until(followed)
    assert 1 <= store.lists <= (time.monotonic() - began_at) / 0.5 + 1
    await reconciler.close()


@pytest.mark.parametrize(
    "notification",
    [
        {},
        [],
        None,
        "text",
        7,
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET},
        {"Records": "none"},
        {"Records": [None, {"s3": 1}, {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}}}]},
        {"Type": "Notification", "Message": "no JSON"},
        {"Type": "Notification", "Message": json.dumps({"Type": "Notification", "Message": "{}"})},
        {"event_type": "create", "key": 5},
        filer_event(f"/buckets/{BUCKET}/"),
        filer_event(f"/buckets/{BUCKET}/.uploads/x"),
        filer_event(f"/buckets/{BUCKET}/a\x00b"),
        filer_event(f"/buckets/{BUCKET}/" + "k" * 2000),
        s3_event("a%00b"),
        s3_event("\u00fc" * 500),
    ],
)
async def test_notification_in_an_unknown_format_is_ignored(session: Session, notification: Any) -> None:
    assert await session.notify(notification) == 204
    await session.notify(s3_event(session.key))
    await send(session.account, session.upload, DATA, [3])
    await session.notify(s3_event(session.key))

    async def is_reconciled() -> bool:  # the server still works
        return await session.missing() == "1-2"

    await until(is_reconciled)


def test_parse_notification_names_only_new_content_of_the_bucket() -> None:
    def names(notification: Any) -> set[str]:
        return parse_notification(json.dumps(notification), BUCKET)

    assert names(s3_event("blobs/a+b/%2B")) == {"blobs/a b/+"}, "S3 encodes keys like form fields"
    assert names(s3_event("key", bucket="another")) == set()
    assert names(s3_event("key", event="ObjectRemoved:Delete")) == set()
    assert names(filer_event(f"/buckets/{BUCKET}2/key")) == set()
    assert names(filer_event(f"/buckets/{BUCKET}/key", "delete")) == set()
    assert names(filer_event(f"/buckets/{BUCKET}/key")) == {"key"}
    assert names(filer_event(f"/buckets/{BUCKET}/.uploads/id/0001.part")) == {"id"}
    many = {"Records": [s3_event(f"key{number}")["Records"][0] for number in range(MAX_NAMES + 5)]}
    assert len(names(many)) == MAX_NAMES
    with pytest.raises(ValueError, match="JSON"):
        parse_notification(b"<xml/>", BUCKET)


async def test_number_of_pending_names_is_limited(notifiable: RunningServer) -> None:
    reconciler = NotificationReconciler(notifiable.services)
    for batch in range(30):
        reconciler.submit({f"unknown/{batch}/{number}" for number in range(MAX_NAMES)})
    assert len(reconciler._pending) == 10 * MAX_NAMES
    await reconciler.close()


# Authentication


async def test_notification_without_a_token_in_the_settings_is_404(api: httpx2.AsyncClient) -> None:
    assert problem(await api.post(ADDRESS, headers=BEARER, json={})) == (404, "not-found")
    assert problem(await api.post(ADDRESS, json={})) == (404, "not-found")


@pytest.mark.parametrize("header", ["", "Bearer", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer \xfc"])
async def test_notification_with_a_wrong_token_is_401(notifiable: RunningServer, header: str) -> None:
    async with httpx2.AsyncClient(base_url=notifiable.url, timeout=60) as client:
        answer = await client.post(ADDRESS, headers={b"Authorization": header.encode("latin1")}, content=b"no JSON")
        assert problem(answer) == (401, "unauthenticated")


async def test_notification_with_an_account_token_is_401(session: Session) -> None:
    assert problem(await session.account.client.post(ADDRESS, json={})) == (401, "unauthenticated")


async def test_notification_must_be_json_of_limited_size(session: Session) -> None:
    assert problem(await session.store.post(ADDRESS, content=b"<xml/>")) == (400, "malformed-json")
    assert problem(await session.store.post(ADDRESS, content=b"[" * 90_000)) == (400, "malformed-json")
    assert problem(await session.store.post(ADDRESS, content=b" " * 100_001)) == (413, "body-too-large")


async def test_notifications_are_unlimited_and_guesses_are_limited(postgres_url: str, s3_config: S3Config) -> None:
    limits = NO_LIMITS | {"address": "5/minute"}
    settings: Settings = make_settings(postgres_url, s3_config, notifications={"token": TOKEN}, limits=limits)
    async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        for _ in range(20):
            assert (await client.post(ADDRESS, headers=BEARER, json={})).status_code == 204
        guesses = [(await client.post(ADDRESS, json={})).status_code for _ in range(10)]
        assert guesses == [401] * 5 + [429] * 5
        assert (await client.post(ADDRESS, headers=BEARER, json={})).status_code == 204
