"""Devices through HTTP: reports, the limit of an account, and their removal."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import diagnosis
from dropbox_api.workers.retain import apply_retention
from tests.conftest import Register
from tests.support.server import UNKNOWN_ID, Account, RunningServer, problem, register_account, separate_server
from tests.support.sharing import make_folder

LIMIT = 3


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config, events={"max_devices": LIMIT}) as running:
        yield running


@pytest.fixture
async def account(server: RunningServer) -> AsyncIterator[Account]:
    made = await register_account(server.url)
    async with made.client:
        yield made


async def cursor_of(account: Account) -> str:
    cursor: str = (await account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"]
    return cursor


async def report(account: Account, device_id: str, **body: Any) -> httpx2.Response:
    report = {"name": "laptop", "cursor": None, "pending": 0} | body
    return await account.client.put(f"/v1/me/devices/{device_id}", json=report)


async def devices(account: Account) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await account.client.get("/v1/me/devices")).raise_for_status().json()["items"]
    return items


async def test_report_shows_how_far_the_device_is_behind(account: Account) -> None:
    laptop, phone = str(uuid.uuid4()), str(uuid.uuid4())
    cursor = await cursor_of(account)
    new = (await report(account, phone, name="phone")).raise_for_status().json()
    assert (new["behind"], new["pending"]) == (None, 0)
    first = (await report(account, laptop, cursor=cursor, pending=7)).raise_for_status().json()
    assert (first["behind"], first["pending"]) == (0, 7)
    for name in ("a", "b"):
        await make_folder(account, f"/{name}")
    assert {one["id"]: one["behind"] for one in await devices(account)} == {laptop: 2, phone: None}
    later = (await report(account, laptop, name="  Ada's  laptop ", cursor=await cursor_of(account))).json()
    assert (later["id"], later["name"], later["behind"], later["pending"]) == (laptop, "Ada's  laptop", 0, 0)
    assert later["created_at"] == first["created_at"]
    assert [one["id"] for one in await devices(account)] == [laptop, phone], "last seen first"


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "a\u202eb"},
        {"name": "a\u0000b"},
        {"pending": -1},
        {"pending": 2**70},
        {"cursor": 1},
        {"more": 1},
    ],
    ids=str,
)
async def test_report_with_an_invalid_member_is_refused(account: Account, body: dict[str, Any]) -> None:
    assert problem(await report(account, UNKNOWN_ID, **body)) == (422, "invalid-request")
    assert await devices(account) == []


async def test_report_with_a_name_that_is_not_unicode_is_refused(account: Account) -> None:
    body = b'{"name": "\\ud800", "cursor": null, "pending": 0}'
    json = {"content-type": "application/json"}
    answer = await account.client.put(f"/v1/me/devices/{UNKNOWN_ID}", content=body, headers=json)
    assert problem(answer) == (422, "invalid-request")


async def test_report_with_a_cursor_of_another_account_is_refused(account: Account, register: Register) -> None:
    foreign = await cursor_of(await register())
    for cursor in (foreign, "x", foreign[:-1] + "A"):
        assert problem(await report(account, UNKNOWN_ID, cursor=cursor)) == (422, "invalid-cursor")
    assert await devices(account) == []


async def test_concurrent_reports_of_new_devices_keep_the_limit(account: Account) -> None:
    ids = [str(uuid.uuid4()) for _ in range(LIMIT + 5)]
    answers = await asyncio.gather(*(report(account, device_id) for device_id in ids))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {problem(answer) for answer in refused} == {(409, "too-many-devices")}
    known = await devices(account)
    assert len(known) == LIMIT
    oldest = known[-1]["id"]
    last = (await report(account, str(uuid.uuid4()))).json()
    assert (last["max"], last["oldest_id"]) == (LIMIT, oldest)
    (await report(account, known[0]["id"])).raise_for_status()
    (await account.client.delete(f"/v1/me/devices/{oldest}")).raise_for_status()
    (await report(account, str(uuid.uuid4()))).raise_for_status()
    assert problem(await account.client.delete(f"/v1/me/devices/{oldest}")) == (404, "not-found")


async def test_devices_of_another_account_are_invisible(account: Account, register: Register) -> None:
    other = await register()
    device_id = str(uuid.uuid4())
    (await report(account, device_id)).raise_for_status()
    assert await devices(other) == []
    assert problem(await other.client.delete(f"/v1/me/devices/{device_id}")) == (404, "not-found")
    (await report(other, device_id, name="other")).raise_for_status()
    assert [one["name"] for one in await devices(account)] == ["laptop"]


async def test_device_without_a_report_for_the_retention_is_removed(account: Account, server: RunningServer) -> None:
    silent, recent = str(uuid.uuid4()), str(uuid.uuid4())
    for device_id, days in ((silent, 91), (recent, 89)):
        (await report(account, device_id)).raise_for_status()
        async with server.db.begin() as tx:
            age = text("UPDATE devices SET last_seen_at = now() - make_interval(days => :days) WHERE id = :id")
            await tx.execute(age, {"days": days, "id": uuid.UUID(device_id)})
    await apply_retention(server.services)
    assert [one["id"] for one in await devices(account)] == [recent]


async def test_doctor_and_metrics_count_devices_far_behind(account: Account, server: RunningServer) -> None:
    async def count() -> tuple[bool, str]:
        scraped = (await account.client.get("/metrics")).text.splitlines()
        (far_behind,) = [line.split()[1] for line in scraped if line.startswith("dropbox_devices_far_behind ")]
        findings = await diagnosis.diagnose(server.db, server.settings)
        (found,) = [one for one in findings if one.message.startswith("devices")]
        return found.is_good, far_behind

    (await report(account, str(uuid.uuid4()), cursor=await cursor_of(account))).raise_for_status()
    assert await count() == (True, "0.0")
    async with server.db.begin() as tx:
        grow = text("UPDATE users SET journal_seq = journal_seq + 10001 WHERE email = :email")
        await tx.execute(grow, {"email": account.email})
    assert await count() == (False, "1.0")
