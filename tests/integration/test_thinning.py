"""Job `thin` and pinned revisions."""

import uuid
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.workers.prune import prune_revisions
from dropbox_api.workers.thin import thin_revisions
from tests.conftest import Register
from tests.support.server import UNKNOWN_ID, Account, RunningServer, problem, upload_file
from tests.support.sharing import grant, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def save(account: Account, name: str, count: int) -> dict[str, Any]:
    """Upload a file with this number of revisions of 3 bytes."""
    for n in range(1, count + 1):
        file = await upload_file(account, f"{n:03}".encode(), name, destination={"on_conflict": "replace"})
    return file


async def age(db: Db, file: dict[str, Any], minutes: int) -> None:
    """Let the revisions of a file lie that many minutes apart, from a day long ago on."""
    moved = text("""
        UPDATE revisions
        SET created_at = make_timestamptz(2020, 1, 6, 10, 0, 0, 'UTC') + number * make_interval(mins => :minutes)
        WHERE node_id = :id
    """)
    async with db.begin() as tx:
        await tx.execute(moved, {"id": uuid.UUID(file["id"]), "minutes": minutes})


async def numbers(account: Account, file: dict[str, Any]) -> list[int]:
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).raise_for_status().json()
    return [one["number"] for one in listed["items"]]


async def ids(account: Account, file: dict[str, Any]) -> dict[int, str]:
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).raise_for_status().json()
    return {one["number"]: one["id"] for one in listed["items"]}


async def run(server: RunningServer, **files: Any) -> None:
    """Run the job; `files` are other settings of that group."""
    settings = server.settings.model_copy(update={"files": server.settings.files.model_copy(update=files)})
    report = await thin_revisions(Services(server.db, server.store, settings))
    assert report.found == report.done


async def pin(account: Account, file: dict[str, Any], revision_id: str, *, pinned: bool) -> Any:
    return await account.client.patch(f"/v1/files/{file['id']}/revisions/{revision_id}", json={"pinned": pinned})


async def test_old_revisions_are_thinned_to_one_a_week_and_free_the_quota(
    account: Account, server: RunningServer
) -> None:
    often = await save(account, "often", 6)
    weekly = await save(account, "weekly", 3)
    await age(server.db, often, minutes=1)
    await age(server.db, weekly, minutes=7 * 24 * 60)
    before = (await account.me())["used_bytes"]
    await run(server)
    assert await numbers(account, often) == [6, 5], "the head, and the newest of the others"
    assert await numbers(account, weekly) == [3, 2, 1]
    await run(server)
    assert await numbers(account, often) == [6, 5]
    # "001" to "003" are still the content of the other file.
    assert (await account.me())["used_bytes"] == before - 3


async def test_new_revisions_are_not_thinned(account: Account, server: RunningServer) -> None:
    file = await save(account, "new", 5)
    await run(server)
    assert await numbers(account, file) == [5, 4, 3, 2, 1]


async def test_thinning_that_is_switched_off_removes_nothing(account: Account, server: RunningServer) -> None:
    file = await save(account, "off", 4)
    await age(server.db, file, minutes=1)
    await run(server, thin_revisions=False)
    assert await numbers(account, file) == [4, 3, 2, 1]
    await run(server)
    assert await numbers(account, file) == [4, 3]


async def test_settings_of_thinning_choose_hours_days_and_weeks(account: Account, server: RunningServer) -> None:
    file = await save(account, "hours", 9)
    await age(server.db, file, minutes=30)
    forever = 100 * 365 * 86400
    await run(server, thin_all_s=forever, thin_hourly_s=forever, thin_daily_s=forever)
    assert await numbers(account, file) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    await run(server, thin_hourly_s=forever, thin_daily_s=forever)
    assert await numbers(account, file) == [9, 8, 7, 5, 3, 1], "the last one of each hour"
    await run(server, thin_daily_s=forever)
    assert await numbers(account, file) == [9, 8], "the last one of the day"


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_revisions_in_processing_and_pinned_ones_stay(
    account: Account, server: RunningServer, state: str
) -> None:
    file = await save(account, "kept", 6)
    by_number = await ids(account, file)
    path = f"/v1/files/{file['id']}/processing"
    (await account.client.put(path, json={"state": state, "revision_id": by_number[2]})).raise_for_status()
    (await pin(account, file, by_number[3], pinned=True)).raise_for_status()
    await age(server.db, file, minutes=1)
    await run(server)
    assert await numbers(account, file) == [6, 5, 3, 2]
    few = server.settings.model_copy(update={"files": server.settings.files.model_copy(update={"revisions_keep": 1})})
    await prune_revisions(Services(server.db, server.store, few))
    assert await numbers(account, file) == [6, 3, 2], "prune keeps them, too"
    (await account.client.put(path, json={"state": "succeeded", "revision_id": by_number[2]})).raise_for_status()
    (await pin(account, file, by_number[3], pinned=False)).raise_for_status()
    await prune_revisions(Services(server.db, server.store, few))
    assert await numbers(account, file) == [6]


async def test_pinned_revision_is_shown_and_stays_pinned(account: Account) -> None:
    file = await save(account, "pinned", 2)
    by_number = await ids(account, file)
    first = (await pin(account, file, by_number[1], pinned=True)).raise_for_status().json()
    assert (first["id"], first["pinned"], first["is_head"]) == (by_number[1], True, False)
    assert (await pin(account, file, by_number[1], pinned=True)).json() == first
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).json()["items"]
    assert [one["pinned"] for one in listed] == [False, True]
    activity = (await account.client.get(f"/v1/files/{file['id']}/activity")).json()["items"]
    assert [entry["action"] for entry in activity][:2] == ["revision-pinned", "replaced"]
    assert (await pin(account, file, by_number[1], pinned=False)).json()["pinned"] is False


async def test_pin_needs_an_editor_and_a_revision_of_the_file(account: Account, register: Register, db: Db) -> None:
    reader = await register()
    await verify(db, reader)
    file, other = await save(account, "a", 2), await save(account, "b", 1)
    assert problem(await pin(account, file, UNKNOWN_ID, pinned=True)) == (404, "not-found")
    assert problem(await pin(account, file, other["revision_id"], pinned=True)) == (404, "not-found")
    assert problem(await pin(reader, file, file["revision_id"], pinned=True)) == (404, "not-found")
    await grant(account, file["id"], reader, "viewer")
    assert problem(await pin(reader, file, file["revision_id"], pinned=True)) == (403, "forbidden")
