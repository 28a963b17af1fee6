"""Copies into the tree of another owner: the worker copies the content, then makes all items at once."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.workers import copy as job
from dropbox_api.workers.copy import make_next_copy
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.server import Account, RunningServer, complete, download, problem, send, start_body, upload_file
from tests.support.sharing import grant, make_folder, names_in, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")

People = tuple[Account, Account]
"""Ada, who owns the shared folder, and Vi, who views it."""


@pytest.fixture
async def people(register: Register, db: Db) -> People:
    ada, vi = await register(), await register()
    await verify(db, ada, vi)
    return ada, vi


@pytest.fixture
async def shared(people: People) -> dict[str, str]:
    """Ada's folder /shared with the file a and the folder inner, which has the file b and a copy of a."""
    ada, vi = people
    top, inner = await make_folder(ada, "/shared"), await make_folder(ada, "/shared/inner")
    a = await upload_file(ada, b"aa", "a.txt", destination={"parent_id": top}, content_type="text/css")
    await upload_file(ada, b"bbb", "b.txt", destination={"parent_id": inner})
    await upload_file(ada, b"aa", "again.txt", destination={"parent_id": inner})
    given = await grant(ada, top, vi, "viewer")
    return {"top": top, "inner": inner, "a": a["id"], "grant": given["id"]}


async def start(account: Account, file_id: str, **more: Any) -> dict[str, Any]:
    answer = await account.client.post("/v1/copies", json={"file_id": file_id, **more})
    assert answer.status_code == 202, answer.text
    copy: dict[str, Any] = answer.json()
    return copy


async def get(account: Account, copy_id: str) -> dict[str, Any]:
    copy: dict[str, Any] = (await account.client.get(f"/v1/copies/{copy_id}")).raise_for_status().json()
    return copy


async def finish(server: RunningServer, account: Account, copy_id: str) -> dict[str, Any]:
    """Run the job until the copy has ended."""
    for _ in range(20):
        await make_next_copy(server.services)
        copy = await get(account, copy_id)
        if copy["state"] != "running":
            return copy
    raise AssertionError("the copy does not end")


async def usage(account: Account) -> tuple[int, int, int]:
    me = await account.me()
    return me["used_bytes"], me["reserved_bytes"], me["used_nodes"]


async def test_copy_of_a_shared_folder_is_whole_and_charged_to_its_new_owner(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    ada, vi = people
    before = await usage(ada)
    copy = await start(vi, shared["top"])
    assert (copy["state"], copy["items"], copy["total_bytes"], copy["copied_bytes"]) == ("running", 5, 5, 0)
    assert (await usage(vi))[:2] == (0, 5)
    assert await names_in(vi.client, "/v1/files") == []
    done = await finish(server, vi, copy["id"])
    assert (done["state"], done["copied_bytes"], done["problem"]) == ("done", 5, None)
    listed = (await vi.client.get("/v1/files", params={"recursive": True})).json()["items"]
    assert sorted(item["path"] for item in listed) == [
        "/shared",
        "/shared/a.txt",
        "/shared/inner",
        "/shared/inner/again.txt",
        "/shared/inner/b.txt",
    ]
    copied = {item["name"]: item for item in listed}
    assert copied["shared"]["id"] == done["copied_id"]
    assert {item["owner"] for item in listed} == {vi.email}
    assert copied["a.txt"]["content_type"] == "text/css"
    for name, content in (("a.txt", b"aa"), ("b.txt", b"bbb"), ("again.txt", b"aa")):
        assert await download(vi, copied[name]["id"]) == content
    assert (await usage(vi), await usage(ada)) == ((5, 0, 5), before)
    activity = (await ada.client.get(f"/v1/files/{shared['top']}/activity")).json()["items"]
    assert (activity[0]["action"], activity[0]["actor"]) == ("downloaded", vi.email)
    (await ada.client.delete(f"/v1/files/{shared['top']}")).raise_for_status()
    assert await download(vi, copied["b.txt"]["id"]) == b"bbb", "the copy does not depend on the original"


async def test_copy_repeated_with_an_idempotency_key_is_made_once(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    _, vi = people
    key = {"Idempotency-Key": "once"}
    answers = [await vi.client.post("/v1/copies", json={"file_id": shared["a"]}, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    await finish(server, vi, answers[0].json()["id"])
    assert await names_in(vi.client, "/v1/files") == ["a.txt"]


async def test_copy_by_two_workers_at_once_is_made_once(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    _, vi = people
    copy = await start(vi, shared["top"])
    await asyncio.gather(*(make_next_copy(server.services) for _ in range(3)))
    assert (await finish(server, vi, copy["id"]))["state"] == "done"
    assert await names_in(vi.client, "/v1/files") == ["shared"]


@pytest.mark.parametrize(
    ("on_conflict", "names", "state"),
    [("rename", ["a (1).txt", "a.txt"], "done"), ("fail", ["a.txt"], "failed"), ("replace", ["a.txt"], "done")],
)
async def test_copy_to_a_taken_name_follows_the_policy(
    people: People, shared: dict[str, str], server: RunningServer, on_conflict: str, names: list[str], state: str
) -> None:
    _, vi = people
    own = await upload_file(vi, b"own", "a.txt")
    copy = await start(vi, shared["a"], on_conflict=on_conflict)
    ended = await finish(server, vi, copy["id"])
    assert ended["state"] == state
    assert (ended["problem"] or {}).get("code") == ("name-taken" if state == "failed" else None)
    assert sorted(await names_in(vi.client, "/v1/files")) == names
    assert await download(vi, own["id"]) == (b"aa" if on_conflict == "replace" else b"own")
    assert (await usage(vi))[1] == 0


async def revoke(ada: Account, shared: dict[str, str]) -> None:
    (await ada.client.delete(f"/v1/files/{shared['top']}/grants/{shared['grant']}")).raise_for_status()


async def trash(ada: Account, shared: dict[str, str]) -> None:
    (await ada.client.delete(f"/v1/files/{shared['top']}")).raise_for_status()


@pytest.mark.parametrize("loss", [revoke, trash])
async def test_copy_after_the_access_has_ended_fails_and_releases_the_quota(
    people: People, shared: dict[str, str], server: RunningServer, loss: Callable[..., Any]
) -> None:
    ada, vi = people
    copy = await start(vi, shared["top"])
    await loss(ada, shared)
    failed = await finish(server, vi, copy["id"])
    assert (failed["state"], failed["problem"]["code"]) == ("failed", "not-found")
    assert await usage(vi) == (0, 0, 0)
    assert await names_in(vi.client, "/v1/files") == []


async def test_copy_that_loses_access_after_its_content_was_copied_makes_nothing(
    people: People, shared: dict[str, str], server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, vi = people
    place = job._place

    async def place_later(*args: Any) -> bool:
        await revoke(ada, shared)
        return await place(*args)

    monkeypatch.setattr(job, "_place", place_later)
    copy = await start(vi, shared["top"])
    failed = await finish(server, vi, copy["id"])
    assert (failed["state"], failed["problem"]["code"]) == ("failed", "not-found")
    assert await names_in(vi.client, "/v1/files") == []


async def test_copy_of_a_source_that_grows_meanwhile_has_the_new_file(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    ada, vi = people
    copy = await start(vi, shared["inner"])
    await upload_file(ada, b"later", "later.txt", destination={"parent_id": shared["inner"]})
    done = await finish(server, vi, copy["id"])
    assert (done["items"], done["copied_bytes"]) == (4, 10)
    assert await names_in(vi.client, "/v1/files", path="/inner") == ["again.txt", "b.txt", "later.txt"]


async def test_copy_beyond_the_quota_is_refused(people: People, shared: dict[str, str], db: Db) -> None:
    _, vi = people
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 4 WHERE email = :email"), {"email": vi.email})
    refused = await vi.client.post("/v1/copies", json={"file_id": shared["top"]})
    assert problem(refused) == (413, "quota-exceeded")
    await start(vi, shared["a"])
    assert problem(await vi.client.post("/v1/copies", json={"file_id": shared["inner"]})) == (413, "quota-exceeded")


async def test_copies_into_trees_of_different_owners_at_once_stay_below_the_limit(
    people: People, shared: dict[str, str], register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vi = people
    monkeypatch.setattr("dropbox_api.files.copies.MAX_RUNNING", 1)
    targets = []
    for owner in [await register() for _ in range(4)]:
        folder_id = await make_folder(owner, "/target")
        await grant(owner, folder_id, vi, "editor")
        targets.append(folder_id)
    bodies = [{"file_id": shared["a"], "parent_id": folder_id} for folder_id in targets]
    answers = await asyncio.gather(*(vi.client.post("/v1/copies", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202, 429, 429, 429]
    (started,) = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    (await vi.client.delete(f"/v1/copies/{started}")).raise_for_status()


async def test_copy_with_an_unexpected_error_is_tried_a_few_times_and_fails(
    people: People, shared: dict[str, str], server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vi = people
    monkeypatch.setattr(job, "MAX_FAILURES", 2)

    async def break_down(*_: Any) -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(job, "_place", break_down)
    copy = await start(vi, shared["a"])
    for _ in range(20):  # copies that other tests left take turns with it
        with contextlib.suppress(RuntimeError):
            await make_next_copy(server.services)
        async with db.begin() as tx:
            await tx.execute(text("UPDATE copies SET lease_until = NULL WHERE id = :id"), {"id": copy["id"]})
        ended = await get(vi, copy["id"])
        if ended["state"] != "running":
            break
    assert (ended["state"], (ended["problem"] or {}).get("code")) == ("failed", "internal-error")
    assert await usage(vi) == (2, 0, 0), "the content was copied; its collection is due"


async def test_cancelled_copy_makes_nothing_and_releases_the_quota(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    ada, vi = people
    copy = await start(vi, shared["top"])
    at = f"/v1/copies/{copy['id']}"
    for method in ("GET", "DELETE"):
        assert problem(await ada.client.request(method, at)) == (404, "not-found")
    for _ in range(2):
        assert (await vi.client.delete(at)).status_code == 204
    assert (await finish(server, vi, copy["id"]))["state"] == "cancelled"
    assert await usage(vi) == (0, 0, 0)
    assert await names_in(vi.client, "/v1/files") == []


async def test_copy_within_one_tree_or_without_a_role_is_refused(people: People, shared: dict[str, str]) -> None:
    ada, vi = people
    own = await ada.client.post("/v1/copies", json={"file_id": shared["a"]})
    assert problem(own) == (422, "invalid-request")
    target = await make_folder(ada, "/target")
    other = await make_folder(vi, "/mine")
    at = {"file_id": other, "parent_id": target}
    assert problem(await vi.client.post("/v1/copies", json=at)) == (404, "not-found")
    into_viewed = {"file_id": other, "parent_id": shared["top"]}
    assert problem(await vi.client.post("/v1/copies", json=into_viewed)) == (403, "forbidden")


async def test_copy_by_an_editor_into_the_tree_of_another_owner_hides_what_that_owner_has(
    people: People, shared: dict[str, str], server: RunningServer, db: Db
) -> None:
    ada, vi = people
    box = await make_folder(ada, "/box")
    await grant(ada, box, vi, "editor")
    mine = await upload_file(vi, b"aa", "mine.txt")
    before = (await usage(ada))[0]
    copy = await start(vi, mine["id"], parent_id=box)
    done = await finish(server, vi, copy["id"])
    assert (await usage(ada))[:2] == (before + 2, 0)
    while (await verify_next_blob(server.services)).found:
        pass
    copied = text("SELECT blob_id FROM copied_blobs WHERE copy_id = :id")
    head = text("SELECT blob_id FROM revisions WHERE node_id = :id")
    async with db.read() as tx:
        blob_id = (await tx.execute(copied, {"id": copy["id"]})).scalar_one()
        assert (await tx.execute(head, {"id": done["copied_id"]})).scalar_one() == blob_id, "its key stays"
    assert (await usage(ada))[0] == before


async def test_copy_of_content_that_its_owner_stores_already_copies_no_bytes(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    _, vi = people
    await upload_file(vi, b"aa", "same.txt")
    copy = await start(vi, shared["a"])
    assert (await finish(server, vi, copy["id"]))["copied_bytes"] == 2
    assert (await usage(vi))[0] == 2


async def test_quarantined_content_is_not_copied(
    people: People, shared: dict[str, str], server: RunningServer, db: Db
) -> None:
    _, vi = people
    bad = text("""
        UPDATE blobs SET content_status = 'quarantined' FROM revisions
        WHERE revisions.blob_id = blobs.id AND node_id = :id
    """)
    async with db.begin() as tx:
        await tx.execute(bad, {"id": shared["a"]})
    assert problem(await vi.client.post("/v1/copies", json={"file_id": shared["a"]})) == (409, "content-quarantined")
    copy = await start(vi, shared["top"])
    assert (copy["items"], copy["left_out"]) == (3, 2)
    done = await finish(server, vi, copy["id"])
    assert (done["state"], done["left_out"]) == ("done", 2)
    assert await names_in(vi.client, "/v1/files", path="/shared", recursive=True) == ["inner", "b.txt"]


async def test_copy_of_a_multipart_object_is_copied_by_the_store(
    people: People, shared: dict[str, str], server: RunningServer
) -> None:
    ada, vi = people
    data = bytes(range(256)) * (24 * 4096)
    big = await upload_file(ada, data, "big.bin", strategy="multipart", destination={"parent_id": shared["top"]})
    copy = await start(vi, big["id"])
    done = await finish(server, vi, copy["id"])
    assert done["copied_bytes"] == len(data)
    while (await verify_next_blob(server.services)).found:
        pass
    file = (await vi.client.get(f"/v1/files/{done['copied_id']}")).json()
    assert file["content_status"] == "verified"
    assert await download(vi, done["copied_id"]) == data


@pytest.mark.parametrize("source", ["a", "top"])
async def test_copy_of_a_file_that_is_replaced_at_its_last_step_has_the_content_that_was_copied(
    people: People, shared: dict[str, str], server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    ada, vi = people
    make_nodes = job._make_nodes

    async def replace_before(*args: Any) -> Any:
        await upload_file(ada, b"newer", "a.txt", destination={"parent_id": shared["top"], "on_conflict": "replace"})
        return await make_nodes(*args)

    monkeypatch.setattr(job, "_make_nodes", replace_before)
    copy = await start(vi, shared[source])
    assert (await finish(server, vi, copy["id"]))["state"] == "done"
    path = "/a.txt" if source == "a" else "/shared/a.txt"
    file = (await vi.client.get("/v1/files/by-path", params={"path": path})).raise_for_status().json()
    assert (file["size_bytes"], await download(vi, file["id"])) == (2, b"aa")
    foreign = text(
        "SELECT count(*) FROM revisions JOIN blobs ON blobs.id = blob_id AND blobs.owner_id <> revisions.owner_id"
    )
    async with db.read() as tx:
        assert (await tx.execute(foreign)).scalar_one() == 0


async def test_copy_that_loses_access_between_two_contents_copies_no_further_content(
    people: People, shared: dict[str, str], server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, vi = people
    copy_content, calls = job._copy_content, []

    async def revoke_after_the_first(*args: Any) -> None:
        calls.append(args)
        await copy_content(*args)
        if len(calls) == 1:
            await revoke(ada, shared)

    monkeypatch.setattr(job, "_copy_content", revoke_after_the_first)
    copy = await start(vi, shared["top"])
    failed = await finish(server, vi, copy["id"])
    assert (failed["state"], failed["problem"]["code"]) == ("failed", "not-found")
    async with db.read() as tx:
        copied = text("SELECT count(*) FROM copied_blobs WHERE copy_id = :id")
        assert (await tx.execute(copied, {"id": copy["id"]})).scalar_one() == 1


async def test_cancelled_copy_is_in_the_activity_of_its_source(people: People, shared: dict[str, str]) -> None:
    ada, vi = people
    copy = await start(vi, shared["top"])
    (await vi.client.delete(f"/v1/copies/{copy['id']}")).raise_for_status()
    activity = (await ada.client.get(f"/v1/files/{shared['top']}/activity")).json()["items"]
    assert (activity[0]["action"], activity[0]["actor"]) == ("downloaded", vi.email)


async def test_cancelled_copy_leaves_content_that_an_upload_has_yet_to_place(
    people: People, shared: dict[str, str], server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vi = people
    upload = (await vi.client.post("/v1/uploads", json=start_body(b"aa", "taken"))).raise_for_status().json()["upload"]
    await send(vi, upload, b"aa")
    await make_folder(vi, "/taken")
    assert problem(await complete(vi, upload["id"])) == (409, "destination-refused")
    unplaced = text("SELECT unreferenced_at FROM uploads JOIN blobs ON blobs.id = blob_id WHERE uploads.id = :id")
    async with db.read() as tx:
        before = (await tx.execute(unplaced, {"id": upload["id"]})).scalar_one()
    place = job._place

    async def place_after_cancel(services: Any, copy: Any) -> bool:
        (await vi.client.delete(f"/v1/copies/{copy.id}")).raise_for_status()
        return await place(services, copy)

    monkeypatch.setattr(job, "_place", place_after_cancel)
    copy = await start(vi, shared["a"])
    assert (await finish(server, vi, copy["id"]))["copied_bytes"] == 2
    async with db.read() as tx:
        assert (await tx.execute(unplaced, {"id": upload["id"]})).scalar_one() == before
