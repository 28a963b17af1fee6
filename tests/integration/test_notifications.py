"""What the store says of itself makes us look there, is never believed, and costs little.

The store that tells is a SeaweedFS of its own, whose webhook calls a server on a port that was chosen before.
"""

import asyncio
import json
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
from tests.support.database import fresh_database
from tests.support.ports import reserve_port
from tests.support.server import (
    NO_LIMITS,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    make_settings,
    problem,
    register_account,
    running_server,
    send,
    separate_server,
    start,
)
from tests.support.stack import BUCKET

TOKEN = "a token that only the store has"
ADDRESS = "/v1/notifications/store"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DATA = bytes(2 * SMALLEST_CHUNK) + b"and a third chunk"
PLAN = {"strategy": "multipart", "chunk_size_bytes": SMALLEST_CHUNK}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - any condition on what others do
            await asyncio.sleep(0.02)


async def look_at(account: Account, upload_id: str) -> dict[str, Any]:
    """Return a session as Postgres has it: asking this way makes nobody look into the store."""
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


# A store that tells


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with reserve_port() as port:
        yield port


@pytest.fixture(scope="module")
def telling_store(port: int) -> Iterator[S3Config]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    webhook = StoreWebhook(f"http://127.0.0.1:{port}{ADDRESS}", TOKEN)
    try:
        with EmbeddedS3(directory / "s3", access_key_id="a", secret_access_key="b", webhook=webhook) as s3:
            yield S3Config(bucket=BUCKET, endpoint_url=s3.endpoint_url, access_key_id="a", secret_access_key="b")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
async def told(postgres_url: str, telling_store: S3Config, port: int) -> AsyncIterator[RunningServer]:
    async with S3Store.open(telling_store) as store:
        await store.ensure_bucket([])  # before anybody is there to be told
    async with fresh_database(postgres_url) as url:
        settings = make_settings(url, telling_store, notifications={"token": TOKEN})
        async with running_server(settings, port=port) as server:
            yield server


async def test_each_part_shows_without_a_word_of_its_client(told: RunningServer) -> None:
    account = await register_account(told.url)
    upload = await start(account, DATA, "told.bin", **PLAN)
    waits_s = []
    for number, left in ((2, "1,3"), (1, "3"), (3, "")):
        await send(account, upload, DATA, [number])
        began_at = time.monotonic()

        async def shows(left: str = left) -> bool:
            return bool((await look_at(account, upload["id"]))["missing"] == left)

        await until(shows)
        waits_s.append(round(time.monotonic() - began_at, 3))
    print("seconds from PUT to status:", waits_s)
    assert (await look_at(account, upload["id"]))["state"] == "active"
    await account.client.aclose()


async def test_a_single_object_shows_and_its_file_comes_though_its_client_is_gone(told: RunningServer) -> None:
    account = await register_account(told.url)
    upload = await start(account, b"left alone", "left.txt")
    await send(account, upload, b"left alone")

    async def shows() -> bool:
        return bool((await look_at(account, upload["id"]))["missing"] == "")

    await until(shows)

    async def expedited() -> bool:  # instead of in a quarter of an hour
        async with told.db.read() as tx:
            soon = "SELECT next_check_at < now() + interval '61 seconds' FROM uploads WHERE id = :id"
            return bool((await tx.execute(text(soon), {"id": upload["id"]})).scalar_one())

    await until(expedited)
    async with told.db.begin() as tx:
        await tx.execute(text("UPDATE uploads SET next_check_at = now() WHERE id = :id"), {"id": upload["id"]})
    await finish_idle_uploads(told.services)
    assert (await look_at(account, upload["id"]))["state"] == "completed"
    await account.client.aclose()


async def test_a_store_whose_calls_are_not_taken_goes_on_storing(port: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:  # takes connections, and answers none
        webhook = StoreWebhook(f"http://127.0.0.1:{deaf.getsockname()[1]}{ADDRESS}", TOKEN)
        with EmbeddedS3(directory / "s3", access_key_id="a", secret_access_key="b", webhook=webhook) as s3:
            assert (directory / "s3" / "notification.toml").stat().st_mode & 0o777 == 0o600, "it holds the token"
            config = S3Config(bucket=BUCKET, endpoint_url=s3.endpoint_url, access_key_id="a", secret_access_key="b")
            async with S3Store.open(config) as store:
                await store.ensure_bucket([])
                await asyncio.gather(*(store.put(f"many/{number}", b"x") for number in range(300)))
                assert len([found async for found in store.list_objects("many/")]) == 300
    shutil.rmtree(directory, ignore_errors=True)


# What a notification can say, and what comes of it. The session's store tells nobody: here the tests do.


@pytest.fixture(scope="module")
async def listening(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    groups: dict[str, Any] = {"notifications": {"token": TOKEN}, "http": {"max_body_bytes": 100_000}}
    async with separate_server(postgres_url, s3_config, **groups) as server:
        yield server


@pytest.fixture
async def session(listening: RunningServer) -> AsyncIterator["Session"]:
    async with AsyncExitStack() as stack:
        account = await register_account(listening.url)
        stack.push_async_callback(account.client.aclose)
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=listening.url, headers=BEARER, timeout=60))
        upload = await start(account, DATA, "session.bin", **PLAN)
        found = await row(listening.db, upload["id"])
        yield Session(account, client, upload, found.storage_key, found.s3_upload_id)


class Session:
    """An upload being sent, and the store's own client to speak of it."""

    def __init__(
        self, account: Account, store: httpx2.AsyncClient, upload: dict[str, Any], key: str, s3_upload_id: str
    ) -> None:
        self.account = account
        self.store = store
        self.upload = upload
        self.key = key
        self.s3_upload_id = s3_upload_id

    async def say(self, said: Any) -> int:
        return (await self.store.post(ADDRESS, content=json.dumps(said))).status_code

    async def missing(self) -> str:
        return str((await look_at(self.account, self.upload["id"]))["missing"])


@pytest.mark.parametrize("way", ["s3", "sns", "part", "object"])
async def test_every_way_of_telling_makes_us_look(session: Session, way: str) -> None:
    await send(session.account, session.upload, DATA, [1])
    event = s3_event(session.key, event="s3:ObjectCreated:CompleteMultipartUpload")
    part = f"/buckets/{BUCKET}/.uploads/{session.s3_upload_id}/0001_1c5e.part"
    said: dict[str, Any] = {
        "s3": event,
        "sns": {"Type": "Notification", "MessageId": "1", "Message": json.dumps(event)},
        "part": filer_event(part),
        "object": filer_event(f"/buckets/{BUCKET}/{session.key}", "update"),
    }[way]
    assert await session.missing() == "1-3"
    assert await session.say(said) == 204

    async def looked() -> bool:
        return await session.missing() == "2-3"

    await until(looked)


async def test_what_is_claimed_but_not_there_changes_nothing(session: Session, listening: RunningServer) -> None:
    before = await row(listening.db, session.upload["id"])
    for number in (1, 2, 3):
        part = f"/buckets/{BUCKET}/.uploads/{session.s3_upload_id}/{number:04}_x.part"
        assert await session.say(filer_event(part)) == 204

    async def looked() -> bool:
        return (await row(listening.db, session.upload["id"])).listed_at is not None

    await until(looked)
    after = await row(listening.db, session.upload["id"])
    assert after._asdict() == before._asdict() | {"listed_at": after.listed_at}, "its life is not prolonged either"
    assert await session.missing() == "1-3"


@dataclass
class Counted:
    """The store itself, which counts."""

    store: S3Store
    lists: int = 0

    async def list_parts(self, key: str, s3_upload_id: str) -> list[Part]:
        self.lists += 1
        return await self.store.list_parts(key, s3_upload_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_a_storm_costs_a_look_a_round(session: Session, listening: RunningServer) -> None:
    store = Counted(listening.store)
    reconciler = NotificationReconciler(Services(listening.db, cast("ObjectStore", store), listening.settings))
    began_at = time.monotonic()
    for number in range(1000):
        reconciler.submit({session.key} if number % 2 else {session.s3_upload_id})
        await asyncio.sleep(0)
    await send(session.account, session.upload, DATA, [1])
    reconciler.submit({session.key})  # the last one is not forgotten over the first

    async def followed() -> bool:
        return await session.missing() == "2-3"

    await until(followed)
    assert 1 <= store.lists <= (time.monotonic() - began_at) / 0.5 + 1
    await reconciler.close()


@pytest.mark.parametrize(
    "said",
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
async def test_nonsense_is_taken_and_forgotten(session: Session, said: Any) -> None:
    assert await session.say(said) == 204
    await session.say(s3_event(session.key))
    await send(session.account, session.upload, DATA, [3])
    await session.say(s3_event(session.key))

    async def looked() -> bool:  # nobody stumbled over it
        return await session.missing() == "1-2"

    await until(looked)


def test_only_new_content_of_our_bucket_is_looked_for() -> None:
    def names(said: Any) -> set[str]:
        return parse_notification(json.dumps(said), BUCKET)

    assert names(s3_event("blobs/a+b/%2B")) == {"blobs/a b/+"}, "S3 encodes keys as forms do"
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


async def test_what_waits_is_bounded(listening: RunningServer) -> None:
    reconciler = NotificationReconciler(listening.services)
    for batch in range(30):
        reconciler.submit({f"unknown/{batch}/{number}" for number in range(MAX_NAMES)})
    assert len(reconciler._pending) == 10 * MAX_NAMES
    await reconciler.close()


# Who may tell


async def test_without_the_setting_there_is_no_such_address(api: httpx2.AsyncClient) -> None:
    assert problem(await api.post(ADDRESS, headers=BEARER, json={})) == (404, "not-found")
    assert problem(await api.post(ADDRESS, json={})) == (404, "not-found")


@pytest.mark.parametrize("header", ["", "Bearer", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer \xfc"])
async def test_nobody_else_may_tell(listening: RunningServer, header: str) -> None:
    async with httpx2.AsyncClient(base_url=listening.url, timeout=60) as client:
        answer = await client.post(ADDRESS, headers={b"Authorization": header.encode("latin1")}, content=b"no JSON")
        assert problem(answer) == (401, "unauthenticated")


async def test_a_persons_token_is_not_the_stores(session: Session) -> None:
    assert problem(await session.account.client.post(ADDRESS, json={})) == (401, "unauthenticated")


async def test_bodies_are_bounded_and_json(session: Session) -> None:
    assert problem(await session.store.post(ADDRESS, content=b"<xml/>")) == (400, "malformed-json")
    assert problem(await session.store.post(ADDRESS, content=b"[" * 90_000)) == (400, "malformed-json")
    assert problem(await session.store.post(ADDRESS, content=b" " * 100_001)) == (413, "body-too-large")


async def test_the_store_calls_as_often_as_it_likes_and_guessers_do_not(postgres_url: str, s3_config: S3Config) -> None:
    limits = NO_LIMITS | {"address": "5/minute"}
    settings: Settings = make_settings(postgres_url, s3_config, notifications={"token": TOKEN}, limits=limits)
    async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        for _ in range(20):
            assert (await client.post(ADDRESS, headers=BEARER, json={})).status_code == 204
        guesses = [(await client.post(ADDRESS, json={})).status_code for _ in range(10)]
        assert guesses == [401] * 5 + [429] * 5
        assert (await client.post(ADDRESS, headers=BEARER, json={})).status_code == 204
