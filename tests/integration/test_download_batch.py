"""Signed URLs of many contents in one request: each item is answered as a single download is."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.plans import record_statements
from tests.support.server import NO_TLS, Account, RunningServer, problem, upload_file
from tests.support.sharing import grant, make_folder, verify

Items = list[dict[str, Any]]


async def ask(account: Account, items: Items) -> Items:
    answer = (await account.client.post("/v1/files/download-batch", json={"items": items})).raise_for_status()
    assert answer.headers["cache-control"] == "no-store"
    answers: Items = answer.json()["items"]
    assert [item["file_id"] for item in answers] == [str(item["file_id"]) for item in items]
    return answers


async def set_status(db: Db, file: dict[str, Any], status: str) -> None:
    change = "UPDATE blobs SET content_status = :status FROM revisions WHERE blob_id = blobs.id AND revisions.id = :id"
    async with db.begin() as tx:
        await tx.execute(text(change), {"status": status, "id": uuid.UUID(file["revision_id"])})


async def test_batch_of_downloads_gives_the_content_of_heads_and_revisions(account: Account) -> None:
    first = await upload_file(account, b"old", "a")
    head = await upload_file(account, b"new", "a", destination={"on_conflict": "replace"})
    other = await upload_file(account, b"other", "b")
    items = [
        {"file_id": first["id"], "revision_id": first["revision_id"]},
        {"file_id": other["id"]},
        {"file_id": head["id"]},
        {"file_id": other["id"]},
    ]
    answers = await ask(account, items)
    assert [item["problem"] for item in answers] == [None] * 4
    assert [item["download"]["revision_id"] for item in answers] == [
        first["revision_id"],
        other["revision_id"],
        head["revision_id"],
        other["revision_id"],
    ]
    single = (await account.client.get(f"/v1/files/{head['id']}/download")).json()
    assert answers[2]["download"].keys() == single.keys()
    assert answers[2]["download"]["fingerprint"] == head["fingerprint"]
    left = datetime.fromisoformat(answers[0]["download"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=2) < left <= timedelta(minutes=5)
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as client:
        bodies = [(await client.get(item["download"]["url"])).content for item in answers]
    assert bodies == [b"old", b"other", b"new", b"other"]


async def test_items_of_a_batch_of_downloads_have_the_problems_of_single_downloads(register: Register, db: Db) -> None:
    owner, grantee = await register(), await register()
    folder_id = await make_folder(owner, "/shared")
    place = {"destination": {"parent_id": folder_id}}
    shared, quarantined, damaged, trashed = [
        await upload_file(owner, uuid.uuid4().bytes, name, **place) for name in ("ok", "quarantined", "damaged", "gone")
    ]
    private = await upload_file(owner, b"private", "private")
    await verify(db, grantee)
    await grant(owner, folder_id, grantee, "viewer")
    await set_status(db, quarantined, "quarantined")
    await set_status(db, damaged, "damaged")
    (await owner.client.delete(f"/v1/files/{trashed['id']}")).raise_for_status()
    subjects = [quarantined["id"], shared["id"], damaged["id"], trashed["id"], private["id"], folder_id]
    items: Items = [{"file_id": node_id} for node_id in (*subjects, str(uuid.uuid4()))]
    items.append({"file_id": shared["id"], "revision_id": private["revision_id"]})
    for account in (owner, grantee):
        answers = await ask(account, items)
        assert (await ask(account, items[1:2]))[0]["problem"] is None
        for item, answer in zip(items, answers, strict=True):
            query = {"revision": item["revision_id"]} if "revision_id" in item else {}
            single = await account.client.get(f"/v1/files/{item['file_id']}/download", params=query)
            assert (answer["download"] is None) == (single.status_code != 200)
            if answer["problem"]:
                told = {name: value for name, value in answer["problem"].items() if value is not None}
                assert told.items() <= single.json().items()
    assert [item["problem"] and item["problem"]["code"] for item in answers] == [
        "content-quarantined",
        None,
        "content-damaged",
        "not-found",
        "not-found",
        "not-a-file",
        "not-found",
        "not-found",
    ]
    assert answers[4]["problem"] == answers[6]["problem"], "a foreign id and an unknown one look alike"


@pytest.mark.parametrize("count", [0, 501])
async def test_batch_of_downloads_of_a_wrong_length_is_invalid(visitor: Account, count: int) -> None:
    items = [{"file_id": str(uuid.uuid4())}] * count
    answer = await visitor.client.post("/v1/files/download-batch", json={"items": items})
    assert problem(answer) == (422, "invalid-request")


async def test_batch_of_more_downloads_runs_no_more_statements(server: RunningServer, account: Account) -> None:
    files = [await upload_file(account, uuid.uuid4().bytes, f"{n}") for n in range(9)]
    counts = []
    for count in (2, 9):
        with record_statements(server.db) as seen:
            await ask(account, [{"file_id": file["id"]} for file in files[:count]])
        counts.append(len(seen))
    assert counts[0] == counts[1]


async def test_urls_of_a_batch_are_in_the_audit_trail_of_each_file(account: Account) -> None:
    files = [await upload_file(account, uuid.uuid4().bytes, f"{n}") for n in range(2)]
    await ask(account, [{"file_id": file["id"]} for file in files] + [{"file_id": str(uuid.uuid4())}])
    for file in files:
        newest = (await account.client.get(f"/v1/files/{file['id']}/activity")).json()["items"][0]
        assert (newest["action"], newest["detail"]) == ("downloaded", {"revision_id": file["revision_id"]})
