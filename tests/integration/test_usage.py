"""What uses the storage of an account, through HTTP."""

import asyncio
from typing import Any

from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.workers.purge import purge_trash
from tests.conftest import Register
from tests.support.server import Account, RunningServer, create_folder, run_until_idle, upload_file

EMPTY = dict.fromkeys(("image", "video", "audio", "document", "archive", "other", "revision", "trash", "unplaced"), 0)


async def read(account: Account) -> dict[str, Any]:
    answer: dict[str, Any] = (await account.client.get("/v1/me/storage")).raise_for_status().json()
    return answer


async def count(account: Account, db: Db) -> dict[str, int]:
    """Return the bytes by use of a report that is computed now, and require that they add up."""
    async with db.begin() as tx:
        await tx.execute(text("DELETE FROM storage_reports"))
    answer = await read(account)
    uses = {use: answer[f"{use}_bytes"] for use in EMPTY}
    assert sum(uses.values()) == answer["used_bytes"] == (await account.me())["used_bytes"]
    return uses


async def test_storage_counts_each_content_once_for_its_first_holder(account: Account, server: RunningServer) -> None:
    db = server.db
    assert await count(account, db) == EMPTY
    files = {
        "image/png": b"1",
        "VIDEO/mp4; codecs=vp9": b"22",
        "audio/ogg": b"333",
        "application/vnd.oasis.opendocument.text": b"4444",
        "text/plain": b"55555",
        "application/zip": b"666666",
        "application/octet-stream": b"7777777",
    }
    folder = await create_folder(account, "/all")
    for number, (content_type, data) in enumerate(files.items()):
        await upload_file(
            account, data, f"{number}", destination={"parent_id": folder["id"]}, content_type=content_type
        )
    expected = EMPTY | {"image": 1, "video": 2, "audio": 3, "document": 9, "archive": 6, "other": 7}
    assert await count(account, db) == expected

    await upload_file(account, b"1", "again", content_type="text/plain")
    assert await count(account, db) == expected, "of several types the first one counts"
    await upload_file(account, b"88888888", "again", destination={"on_conflict": "replace"}, content_type="text/plain")
    expected |= {"document": 17}
    assert await count(account, db) == expected, "the old revision is held by a live file as well"
    await upload_file(account, b"999999999", "again", destination={"on_conflict": "replace"}, content_type="text/plain")
    expected |= {"document": 18, "revision": 8}
    assert await count(account, db) == expected

    (await account.client.delete(f"/v1/files/{folder['id']}")).raise_for_status()
    assert await count(account, db) == EMPTY | {"document": 9, "revision": 9, "trash": 27}
    (await account.client.delete("/v1/trash")).raise_for_status()
    await run_until_idle(purge_trash, server.services)
    assert await count(account, db) == EMPTY | {"document": 9, "revision": 9}


async def test_storage_report_is_repeated_while_it_is_fresh(account: Account, server: RunningServer) -> None:
    first = await read(account)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE storage_reports SET fresh_until = now() + interval '1 hour'"))
    await upload_file(account, b"new", "new")
    again = await read(account)
    assert (again["computed_at"], again["other_bytes"], again["used_bytes"]) == (first["computed_at"], 0, 3)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE storage_reports SET fresh_until = now()"))
    assert (await read(account))["other_bytes"] == 3


async def test_concurrent_reports_are_computed_once_for_each_account(
    account: Account, register: Register, server: RunningServer
) -> None:
    """While one request computes, others get the last report, or without one the time to come back."""
    user_id = (await account.me())["id"]
    claim = text("SELECT pg_advisory_xact_lock(hashtextextended('storage ' || CAST(:id AS uuid), 0))")
    async with server.db.begin() as tx:
        await tx.execute(claim, {"id": user_id})
        answer = await account.client.get("/v1/me/storage")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "5"
        assert (await read(await register()))["used_bytes"] == 0
    last = await read(account)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE storage_reports SET fresh_until = now()"))
    async with server.db.begin() as tx:
        await tx.execute(claim, {"id": user_id})
        assert await read(account) == last
    reports = await asyncio.gather(*(account.client.get("/v1/me/storage") for _ in range(10)))
    assert {report.status_code for report in reports} == {200}
