"""Folders, names, copies, trash, revisions, processing and activity, through HTTP."""

import asyncio
import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import FileSettings
from tests.conftest import Register
from tests.support.server import (
    UNKNOWN_ID,
    Account,
    RunningServer,
    download,
    journal,
    problem,
    sha256,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


def good(answer: httpx2.Response) -> dict[str, Any]:
    """Return the file of an answer, and require that its ETag equals that of the header."""
    file: dict[str, Any] = answer.raise_for_status().json()
    assert answer.headers["etag"] == file["etag"]
    return file


async def folder(account: Account, path: str) -> dict[str, Any]:
    return good(await account.client.post("/v1/folders", json={"path": path, "on_conflict": "reuse"}))


async def change(account: Account, file: dict[str, Any], **body: Any) -> dict[str, Any]:
    return good(await account.client.patch(f"/v1/files/{file['id']}", json=body))


async def refused(account: Account, file: dict[str, Any], **body: Any) -> tuple[int, str]:
    return problem(await account.client.patch(f"/v1/files/{file['id']}", json=body))


async def put_away(account: Account, file: dict[str, Any], **query: Any) -> None:
    answer = await account.client.delete(f"/v1/files/{file['id']}", params=query)
    assert answer.status_code == 204, answer.text


async def at(account: Account, path: str) -> dict[str, Any] | None:
    answer = await account.client.get("/v1/files/by-path", params={"path": path})
    if answer.status_code == 404:
        return None
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def names(account: Account, path: str = "/") -> list[str]:
    answer = await account.client.get("/v1/files", params={"path": path})
    return [item["name"] for item in answer.raise_for_status().json()["items"]]


async def trash(account: Account) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await account.client.get("/v1/trash")).raise_for_status().json()["items"]
    return listed


async def set_quota_nodes(server: RunningServer, account: Account, nodes: int) -> None:
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_nodes = :n WHERE email = :e"), {"n": nodes, "e": account.email})


# Folders


async def test_create_folder_by_name_or_path_makes_missing_folders(account: Account) -> None:
    answer = await account.client.post("/v1/folders", json={"name": "Photos"})
    assert answer.status_code == 201
    photos = good(answer)
    assert (photos["kind"], photos["path"], photos["size_bytes"]) == ("folder", "/Photos", None)
    rome = await folder(account, "/photos/2026/Rome")
    assert rome["path"] == "/Photos/2026/Rome", "existing folders keep their spelling"
    by_id = {"name": "x", "parent_id": rome["id"]}
    assert good(await account.client.post("/v1/folders", json=by_id))["path"] == "/Photos/2026/Rome/x"
    by_path = {"name": "y", "parent_path": "/photos/2026"}
    assert good(await account.client.post("/v1/folders", json=by_path))["parent_id"] == rome["parent_id"]
    assert (await account.me())["used_nodes"] == 5


async def test_create_folder_with_a_taken_name_follows_the_conflict_policy(account: Account) -> None:
    first = await folder(account, "/a")
    await upload_file(account, b"", "file")
    again = {"name": "A"}
    taken = await account.client.post("/v1/folders", json=again)
    assert problem(taken) == (409, "name-taken")
    assert taken.json()["file_id"] == first["id"]
    assert good(await account.client.post("/v1/folders", json=again | {"on_conflict": "reuse"})) == first
    beside = good(await account.client.post("/v1/folders", json=again | {"on_conflict": "rename"}))
    assert beside["name"] == "A (1)"
    reuse = {"name": "file", "on_conflict": "reuse"}
    assert problem(await account.client.post("/v1/folders", json=reuse)) == (409, "name-taken")
    through = {"path": "/file/below"}
    assert problem(await account.client.post("/v1/folders", json=through)) == (409, "not-a-folder")
    assert problem(await account.client.post("/v1/folders", json={"path": "/"})) == (409, "name-taken")
    assert good(await account.client.post("/v1/folders", json={"path": "/", "on_conflict": "reuse"}))["path"] == "/"
    assert sorted(await names(account)) == ["A (1)", "a", "file"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({}, (422, "invalid-request")),
        ({"name": "a", "path": "/a"}, (422, "invalid-request")),
        ({"path": "/a", "parent_path": "/"}, (422, "invalid-request")),
        ({"name": "a", "parent_path": "/", "parent_id": UNKNOWN_ID}, (422, "invalid-request")),
        ({"name": "a", "owner_id": UNKNOWN_ID}, (422, "invalid-request")),
        ({"name": "a", "on_conflict": "replace"}, (422, "invalid-request")),
        ({"name": "a", "parent_id": UNKNOWN_ID}, (404, "not-found")),
        ({"name": "a", "parent_path": "/nowhere"}, (404, "not-found")),
        ({"name": ""}, (422, "invalid-name")),
        ({"name": ".."}, (422, "invalid-name")),
        ({"name": "a/b"}, (422, "invalid-name")),
        ({"name": "a\nb"}, (422, "invalid-name")),
        ({"name": "é" * 128}, (422, "invalid-name")),
        ({"path": "/a/../b"}, (422, "invalid-name")),
        ({"path": "/x" * 100}, (422, "invalid-name")),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_create_folder_with_an_invalid_body_is_refused(
    account: Account, body: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert problem(await account.client.post("/v1/folders", json=body)) == answer
    assert await names(account) == []
    assert (await account.me())["used_nodes"] == 0


async def test_create_folder_with_a_lone_surrogate_is_refused(account: Account) -> None:
    body = b'{"name": "\\ud800"}'
    answer = await account.client.post("/v1/folders", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (422, "invalid-request")


@pytest.mark.parametrize(
    "name", ["x" * 255, "👩‍👩‍👧‍👦", "e\u0301", "שלום", "a. ", "CON", "C:\\x", "..."], ids=["255 bytes", *"1234567"]
)
async def test_folder_name_is_kept_as_typed_in_nfc(account: Account, name: str) -> None:
    made = good(await account.client.post("/v1/folders", json={"name": name}))
    expected = "\u00e9" if name == "e\u0301" else name  # composed to one character
    assert made["name"] == expected
    assert (await at(account, f"/{name}") or {})["id"] == made["id"]
    again = good(await account.client.post("/v1/folders", json={"name": name, "on_conflict": "rename"}))
    assert again["name"] != expected
    assert len(again["name"].encode()) <= 255


async def test_folder_below_99_levels_is_refused(account: Account) -> None:
    deepest = await folder(account, "/x" * 99)
    below = {"name": "y", "parent_id": deepest["id"]}
    assert problem(await account.client.post("/v1/folders", json=below)) == (422, "invalid-name")
    await upload_file(account, b"", "file", destination={"parent_id": deepest["id"]})
    assert await at(account, "/x" * 99 + "/file")
    pair = await folder(account, "/pair/inner")
    top = await at(account, "/pair")
    assert top
    assert await refused(account, top, parent_path="/x" * 98) == (422, "invalid-name")
    assert (await change(account, top, parent_path="/x" * 97))["path"] == "/x" * 97 + "/pair"
    assert (await at(account, "/x" * 97 + "/pair/inner") or {})["id"] == pair["id"]
    x = await at(account, "/x")
    copied = await account.client.post(f"/v1/files/{(x or {})['id']}/copy", json={"parent_path": "/x", "name": "c"})
    assert problem(copied) == (422, "invalid-name")


# Changes


async def test_change_file_renames_and_moves_it(account: Account) -> None:
    file = await upload_file(account, b"one", "Report.PDF", destination={"folder_path": "/a"})
    renamed = await change(account, file, name="report.pdf")
    assert renamed["path"] == "/a/report.pdf", "the same name in another case"
    assert renamed["etag"] != file["etag"]
    moved = await change(account, file, parent_path="/")
    assert moved["path"] == "/report.pdf"
    await folder(account, "/b")
    both = await change(account, file, parent_path="/b", name="final.pdf")
    assert both["path"] == "/b/final.pdf"
    assert both["revision_id"] == file["revision_id"]
    assert await download(account, file["id"]) == b"one"
    same = await change(account, file, parent_path="/b", name="final.pdf")
    assert same == both, "equal values change nothing"


async def test_change_content_type_leaves_the_revision_unchanged(account: Account) -> None:
    file = await upload_file(account, b"<p>", "page")
    changed = await change(account, file, content_type="text/html")
    assert (changed["content_type"], changed["revision_id"]) == ("text/html", file["revision_id"])
    assert changed["etag"] != file["etag"]
    assert await change(account, file, content_type="text/html") == changed
    parent = await folder(account, "/a")
    assert await refused(account, parent, content_type="text/html") == (409, "not-a-file")
    assert await refused(account, file, content_type="text/html\r\nX: y") == (422, "invalid-request")


async def test_change_to_a_taken_name_follows_the_conflict_policy(account: Account) -> None:
    a = await upload_file(account, b"a", "a.txt")
    b = await upload_file(account, b"b", "b.txt")
    taken = await account.client.patch(f"/v1/files/{b['id']}", json={"name": "A.TXT"})
    assert problem(taken) == (409, "name-taken")
    assert taken.json()["file_id"] == a["id"]
    beside = await change(account, b, name="a.txt", on_conflict="rename")
    assert beside["name"] == "a (1).txt"
    instead = await change(account, b, name="a.txt", on_conflict="replace")
    assert (instead["id"], instead["name"]) == (b["id"], "a.txt")
    assert await names(account) == ["a.txt"]
    assert [item["id"] for item in await trash(account)] == [a["id"]], "the replaced file is in the trash"
    docs = await folder(account, "/docs")
    assert await refused(account, b, name="docs", on_conflict="replace") == (409, "name-taken")
    assert await refused(account, docs, name="a.txt", on_conflict="replace") == (409, "name-taken")


async def test_repeated_rename_with_a_conflict_is_unchanged(account: Account) -> None:
    await upload_file(account, b"a", "a.txt")
    b = await upload_file(account, b"b", "b.txt")
    beside = await change(account, b, name="a.txt", on_conflict="rename")
    assert beside["name"] == "a (1).txt"
    assert await change(account, b, name="a.txt", on_conflict="rename") == beside, (
        "a client repeats after a lost answer"
    )


async def test_move_folder_moves_its_descendants_with_one_event(account: Account, db: Db) -> None:
    inner = await folder(account, "/a/b/c")
    await upload_file(account, b"1", "1", destination={"parent_id": inner["id"]})
    top = await at(account, "/a")
    assert top
    before = await journal(db, account)
    await folder(account, "/z")
    await change(account, top, parent_path="/z", name="A")
    assert (await at(account, "/z/A/b/c/1") or {})["parent_id"] == inner["id"]
    assert await at(account, "/a") is None
    events = await journal(db, account)
    assert [kind for kind, _ in events[len(before) :]] == ["file.created", "file.moved"], (
        "one event for any number of descendants"
    )


async def test_move_folder_into_itself_is_refused(account: Account) -> None:
    inner = await folder(account, "/a/b/c")
    top = await at(account, "/a")
    assert top
    assert await refused(account, top, parent_id=inner["id"]) == (409, "into-itself")
    assert await refused(account, top, parent_id=top["id"]) == (409, "into-itself")
    assert await at(account, "/a/b/c")


async def test_change_with_an_invalid_body_is_refused(account: Account) -> None:
    file = await upload_file(account, b"a", "a")
    root = await at(account, "/")
    assert root
    wrong: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({}, (422, "invalid-request")),
        ({"on_conflict": "rename"}, (422, "invalid-request")),
        ({"name": None, "parent_id": None}, (422, "invalid-request")),
        ({"name": "x", "size_bytes": 1}, (422, "invalid-request")),
        ({"name": "a/b"}, (422, "invalid-name")),
        ({"parent_id": str(uuid.uuid4())}, (404, "not-found")),
        ({"parent_id": file["id"]}, (409, "not-a-folder")),
        ({"parent_path": "/a"}, (409, "not-a-folder")),
        ({"parent_path": "/nowhere"}, (404, "not-found")),
    ]
    for body, answer in wrong:
        assert await refused(account, file, **body) == answer, body
    assert await refused(account, root, name="x") == (409, "root-folder")
    assert await refused(account, {"id": uuid.uuid4()}, name="x") == (404, "not-found")
    assert problem(await account.client.delete(f"/v1/files/{root['id']}")) == (409, "root-folder")
    copied = await account.client.post(f"/v1/files/{root['id']}/copy", json={"name": "x"})
    assert problem(copied) == (409, "root-folder")
    assert await at(account, "/a") == file


async def test_concurrent_renames_to_one_name_admit_one(account: Account) -> None:
    files = [await upload_file(account, b"", f"{n}") for n in range(6)]
    answers = await asyncio.gather(
        *(account.client.patch(f"/v1/files/{file['id']}", json={"name": "one"}) for file in files)
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    assert len(await names(account)) == 6


async def test_concurrent_crossing_moves_admit_one(account: Account) -> None:
    for turn in range(5):
        a, b = await folder(account, f"/{turn}/a"), await folder(account, f"/{turn}/b")
        answers = await asyncio.gather(
            account.client.patch(f"/v1/files/{a['id']}", json={"parent_id": b["id"]}),
            account.client.patch(f"/v1/files/{b['id']}", json={"parent_id": a["id"]}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_change_of_a_node_deleted_before_the_lock_is_not_found(account: Account, db: Db) -> None:
    """The folder is deleted while both requests wait for the lock of the owner."""
    file = await upload_file(account, b"", "a", destination={"folder_path": "/x"})
    user = {"email": account.email}
    async with db.begin() as tx:
        await tx.execute(text("SELECT 1 FROM users WHERE email = :email FOR NO KEY UPDATE"), user)
        waiting = [
            asyncio.create_task(account.client.patch(f"/v1/files/{file['id']}", json={"name": "b"})),
            asyncio.create_task(account.client.post("/v1/folders", json={"name": "n", "parent_path": "/x"})),
        ]
        blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(30):
            while (await tx.execute(blocked)).scalar_one() < len(waiting):  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        await tx.execute(
            text("UPDATE nodes SET trashed_at = now() WHERE id = :id"), {"id": uuid.UUID(file["parent_id"])}
        )
    for answer in await asyncio.gather(*waiting):
        assert problem(answer) == (404, "not-found")
    async with db.begin() as tx:  # undo: the deletion has no event
        await tx.execute(
            text("UPDATE nodes SET trashed_at = NULL WHERE id = :id"), {"id": uuid.UUID(file["parent_id"])}
        )


# If-Match


async def test_change_with_a_stale_etag_is_precondition_failed(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    stale = {"If-Match": file["etag"]}
    await upload_file(account, b"two", "a", destination={"on_conflict": "replace"})
    address = f"/v1/files/{file['id']}"
    now = (await account.client.get(address)).json()
    requests: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PATCH", address, {"name": "b"}),
        ("DELETE", address, None),
        ("POST", f"{address}/copy", {"name": "b"}),
        ("POST", f"{address}/revisions/{file['revision_id']}/restore", None),
        ("PUT", f"{address}/processing", {"state": "queued"}),
    ]
    for method, where, body in requests:
        answer = await account.client.request(method, where, json=body, headers=stale)
        assert problem(answer) == (412, "precondition-failed"), where
        assert answer.json()["etag"] == now["etag"]
    assert (await account.client.get(address)).json() == now
    for etag in (now["etag"], f'"x", {now["etag"]}', f"W/{now['etag']}", "*"):
        answer = await account.client.patch(address, json={"name": "a"}, headers={"If-Match": etag})
        assert answer.status_code == 200, etag
    for etag in ("", "1", 'x"1"', '"1" "2"'):
        answer = await account.client.patch(address, json={"name": "b"}, headers={"If-Match": etag})
        assert problem(answer) == (422, "invalid-request"), etag
    await put_away(account, file)
    for method, where in (("POST", f"{address}/restore"), ("DELETE", f"/v1/trash/{file['id']}")):
        answer = await account.client.request(method, where, headers={"If-Match": now["etag"]})
        assert problem(answer) == (412, "precondition-failed"), "deletion changes the ETag"


async def test_concurrent_changes_with_one_etag_admit_one(account: Account) -> None:
    file = await upload_file(account, b"", "a")
    answers = await asyncio.gather(
        *(
            account.client.patch(f"/v1/files/{file['id']}", json={"name": f"b{n}"}, headers={"If-Match": file["etag"]})
            for n in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 4]


# Copies


async def test_copy_file_shares_the_content(account: Account) -> None:
    file = await upload_file(account, b"content", "a.txt", content_type="text/plain")
    used = (await account.me())["used_bytes"]
    answer = await account.client.post(f"/v1/files/{file['id']}/copy", json={"name": "b.txt"})
    assert answer.status_code == 201
    copied = good(answer)
    assert copied["id"] != file["id"]
    assert {key: copied[key] for key in ("fingerprint", "content_type", "size_bytes")} == {
        key: file[key] for key in ("fingerprint", "content_type", "size_bytes")
    }
    assert (await account.me())["used_bytes"] == used
    assert await download(account, copied["id"]) == b"content"
    again = f"/v1/files/{file['id']}/copy"
    assert problem(await account.client.post(again, json={})) == (409, "name-taken")
    assert good(await account.client.post(again, json={"on_conflict": "rename"}))["name"] == "a (1).txt"
    onto_itself = await account.client.post(again, json={"on_conflict": "replace"})
    assert problem(onto_itself) == (409, "name-taken")
    other = await upload_file(account, b"other", "c.txt")
    replaced = good(await account.client.post(again, json={"name": "c.txt", "on_conflict": "replace"}))
    assert (replaced["id"], replaced["fingerprint"]) == (other["id"], file["fingerprint"])
    await upload_file(account, b"changed", "a.txt", destination={"on_conflict": "replace"})
    assert await download(account, copied["id"]) == b"content", "a copy is independent of its source"


async def test_copy_folder_copies_its_live_descendants(account: Account, db: Db) -> None:
    for path, data in (("/a/x", b"1"), ("/a/b/y", b"2"), ("/a/b/c/z", b"3"), ("/a/gone", b"4")):
        parent, _, name = path.rpartition("/")
        file = await upload_file(account, data, name, destination={"folder_path": parent})
    await put_away(account, file)
    await upload_file(account, b"11", "x", destination={"folder_path": "/a", "on_conflict": "replace"})
    top = await at(account, "/a")
    assert top
    before = await account.me()
    copied = good(await account.client.post(f"/v1/files/{top['id']}/copy", json={"name": "copy"}))
    for path, data in (("/copy/x", b"11"), ("/copy/b/y", b"2"), ("/copy/b/c/z", b"3")):
        found = await at(account, path)
        assert found
        assert await download(account, found["id"]) == data
    assert await names(account, "/copy") == ["b", "x"]
    after = await account.me()
    assert (after["used_nodes"] - before["used_nodes"], after["used_bytes"]) == (6, before["used_bytes"])
    x = await at(account, "/copy/x")
    listed = await account.client.get(f"/v1/files/{(x or {})['id']}/revisions")
    assert [revision["number"] for revision in listed.json()["items"]] == [1], "the copy has the newest revision only"
    into = good(await account.client.post(f"/v1/files/{copied['id']}/copy", json={"parent_path": "/copy/b"}))
    assert into["path"] == "/copy/b/copy"
    assert await names(account, "/copy/b/copy/b") == ["c", "y"], "a copy into itself holds the earlier content"
    kinds = [kind for kind, _ in await journal(db, account)]
    assert kinds.count("file.created") == (await account.me())["used_nodes"]


async def test_copy_beyond_the_node_quota_is_refused_as_a_whole(register: Register, server: RunningServer) -> None:
    account = await register()
    for name in "abc":
        await upload_file(account, b"", name, destination={"folder_path": "/x"})
    await set_quota_nodes(server, account, 7)
    top = await at(account, "/x")
    assert top
    full = await account.client.post(f"/v1/files/{top['id']}/copy", json={"name": "y"})
    assert problem(full) == (413, "too-many-files")
    assert await names(account) == ["x"]
    one = await account.client.post("/v1/folders", json={"path": "/1/2/3/4"})
    assert problem(one) == (413, "too-many-files")
    assert await names(account) == ["x"], "the server makes a whole path or nothing"
    await set_quota_nodes(server, account, 8)
    good(await account.client.post(f"/v1/files/{top['id']}/copy", json={"name": "y"}))
    assert problem(await account.client.post("/v1/folders", json={"name": "z"})) == (413, "too-many-files")


# The trash


async def test_restore_of_a_deleted_folder_brings_back_its_content(account: Account, db: Db) -> None:
    file = await upload_file(account, b"one", "a", destination={"folder_path": "/x/y"})
    top = await at(account, "/x")
    assert top
    await put_away(account, top)
    assert await names(account) == []
    for address in (f"/v1/files/{top['id']}", f"/v1/files/{file['id']}", f"/v1/files/{file['id']}/content"):
        assert problem(await account.client.get(address)) == (404, "not-found")
    assert problem(await account.client.delete(f"/v1/files/{top['id']}")) == (404, "not-found")
    (listed,) = await trash(account)
    assert (listed["id"], listed["path"]) == (top["id"], "/x")
    kept = datetime.fromisoformat(listed["purge_at"]) - datetime.fromisoformat(listed["trashed_at"])
    assert kept == timedelta(seconds=FileSettings().trash_retention_s)
    assert problem(await account.client.post(f"/v1/files/{file['id']}/restore")) == (404, "not-found"), "not itself"
    restored = good(await account.client.post(f"/v1/files/{top['id']}/restore"))
    assert (restored["path"], restored["trashed_at"], restored["purge_at"]) == ("/x", None, None)
    assert await download(account, file["id"]) == b"one"
    assert await trash(account) == []
    kinds = [kind for kind, _ in await journal(db, account)]
    assert kinds[-2:] == ["file.trashed", "file.restored"]


async def test_restore_with_a_taken_name_gets_a_free_name(account: Account) -> None:
    old = await upload_file(account, b"old", "a.txt")
    await put_away(account, old)
    new = await upload_file(account, b"new", "a.txt")
    assert new["id"] != old["id"]
    address = f"/v1/files/{old['id']}/restore"
    assert problem(await account.client.post(address, json={"on_conflict": "fail"})) == (409, "name-taken")
    assert good(await account.client.post(address))["path"] == "/a (1).txt"
    await put_away(account, new)
    elsewhere = {"name": "b.txt", "parent_id": (await folder(account, "/f"))["id"]}
    assert good(await account.client.post(f"/v1/files/{new['id']}/restore", json=elsewhere))["path"] == "/f/b.txt"


async def test_restore_without_its_folder_needs_another_one(account: Account) -> None:
    file = await upload_file(account, b"", "a", destination={"folder_path": "/x"})
    top = await at(account, "/x")
    assert top
    await put_away(account, file)
    await put_away(account, top)
    address = f"/v1/files/{file['id']}/restore"
    assert problem(await account.client.post(address)) == (409, "parent-gone")
    assert problem(await account.client.post(address, json={"parent_id": top["id"]})) == (404, "not-found")
    assert len(await trash(account)) == 2
    assert good(await account.client.post(address, json={"parent_path": "/"}))["path"] == "/a"
    good(await account.client.post(f"/v1/files/{top['id']}/restore"))
    assert await names(account, "/x") == []


async def test_trash_is_listed_purged_and_emptied(account: Account, db: Db) -> None:
    for name in "abc":
        await put_away(account, await upload_file(account, name.encode(), name))
    first, *others = await trash(account)
    assert [item["name"] for item in (first, *others)] == ["c", "b", "a"], "latest deletion first"
    page = (await account.client.get("/v1/trash", params={"limit": 2})).json()
    rest = (await account.client.get("/v1/trash", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["name"] for item in page["items"] + rest["items"]] == ["c", "b", "a"]
    assert rest["next_cursor"] is None
    assert (await account.client.delete(f"/v1/trash/{first['id']}")).status_code == 204
    assert problem(await account.client.delete(f"/v1/trash/{first['id']}")) == (404, "not-found")
    assert problem(await account.client.post(f"/v1/files/{first['id']}/restore")) == (404, "not-found")
    assert await trash(account) == others
    live = await upload_file(account, b"live", "live")
    assert problem(await account.client.delete(f"/v1/trash/{live['id']}")) == (404, "not-found")
    assert (await account.client.delete("/v1/trash")).status_code == 204
    assert await trash(account) == []
    assert await names(account) == ["live"]
    kinds = [kind for kind, _ in await journal(db, account)]
    assert kinds.count("file.deleted") == 3


async def test_purge_of_a_folder_includes_earlier_deletions(account: Account) -> None:
    file = await upload_file(account, b"", "n", destination={"folder_path": "/f"})
    top = await at(account, "/f")
    assert top
    await put_away(account, file)
    await put_away(account, top)
    assert (await account.client.delete(f"/v1/trash/{top['id']}")).status_code == 204
    assert await trash(account) == []
    assert problem(await account.client.post(f"/v1/files/{file['id']}/restore")) == (404, "not-found")


async def test_restore_repeated_under_one_key_is_the_same(account: Account) -> None:
    file = await upload_file(account, b"", "a")
    await put_away(account, file)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = await account.client.post(f"/v1/files/{file['id']}/restore", headers=key)
    again = await account.client.post(f"/v1/files/{file['id']}/restore", headers=key)
    assert good(again) == good(first)


async def test_upload_based_on_a_trashed_revision_restores_its_file(account: Account) -> None:
    """An editor of a file that another client deleted names the edited revision as the base."""
    file = await upload_file(account, b"one", "a")
    await put_away(account, file)
    based = {"on_conflict": "replace", "base_revision_id": file["revision_id"]}
    edited = await upload_file(account, b"two", "a", destination=based)
    assert edited["id"] == file["id"]
    assert await trash(account) == []
    listed = await account.client.get(f"/v1/files/{file['id']}/revisions")
    assert [revision["fingerprint"] for revision in listed.json()["items"]] == [sha256(b"two"), sha256(b"one")]
    await put_away(account, edited)
    fresh = await upload_file(account, b"three", "a", destination={"on_conflict": "replace"})
    assert fresh["id"] != file["id"], "without a base it is a new file"


# Revisions


async def test_replacements_keep_every_revision_restorable(account: Account) -> None:
    for data in (b"one", b"two", b"three"):
        file = await upload_file(account, data, "a", destination={"on_conflict": "replace"}, content_type="x/y")
    address = f"/v1/files/{file['id']}"
    listed = (await account.client.get(f"{address}/revisions")).json()
    revisions = listed["items"]
    assert [(one["number"], one["is_head"]) for one in revisions] == [(3, True), (2, False), (1, False)]
    assert {one["author"] for one in revisions} == {account.email}
    page = (await account.client.get(f"{address}/revisions", params={"limit": 2})).json()
    rest = await account.client.get(f"{address}/revisions", params={"limit": 2, "cursor": page["next_cursor"]})
    assert page["items"] + rest.json()["items"] == revisions
    first = revisions[-1]
    restored = good(await account.client.post(f"{address}/revisions/{first['id']}/restore"))
    assert restored["fingerprint"] == sha256(b"one")
    assert await download(account, file["id"]) == b"one"
    again = good(await account.client.post(f"{address}/revisions/{restored['revision_id']}/restore"))
    assert again == restored, "the head is unchanged"
    now = (await account.client.get(f"{address}/revisions")).json()["items"]
    assert [one["fingerprint"] for one in now] == [sha256(data) for data in (b"one", b"three", b"two", b"one")]
    other = await upload_file(account, b"other", "b")
    for revision in (other["revision_id"], uuid.uuid4()):
        answer = await account.client.post(f"{address}/revisions/{revision}/restore")
        assert problem(answer) == (404, "not-found")
    parent = await folder(account, "/f")
    assert problem(await account.client.get(f"/v1/files/{parent['id']}/revisions")) == (409, "not-a-file")


# Processing and activity


async def test_processing_report_sets_the_state_of_a_revision(account: Account) -> None:
    first = await upload_file(account, b"one", "a")
    assert first["processing"] is None
    address = f"/v1/files/{first['id']}"
    running = good(await account.client.put(f"{address}/processing", json={"state": "running", "detail": "page 3"}))
    assert (running["processing"]["state"], running["processing"]["detail"]) == ("running", "page 3")
    assert running["etag"] == first["etag"], "reports leave the ETag unchanged"
    second = await upload_file(account, b"two", "a", destination={"on_conflict": "replace"})
    assert second["processing"] is None, "each revision has its own state"
    late = {"state": "failed", "revision_id": first["revision_id"]}
    assert good(await account.client.put(f"{address}/processing", json=late))["processing"] is None
    listed = (await account.client.get(f"{address}/revisions")).json()["items"]
    assert [one["processing"] and one["processing"]["state"] for one in listed] == [None, "failed"]
    parent = await folder(account, "/f")
    wrong: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
        (address, {"state": "done"}, (422, "invalid-request")),
        (address, {"state": "failed", "detail": "x" * 2001}, (422, "invalid-request")),
        (address, {"state": "failed", "detail": "a\0b"}, (422, "invalid-request")),
        (address, {"state": "failed", "revision_id": str(uuid.uuid4())}, (404, "not-found")),
        (f"/v1/files/{parent['id']}", {"state": "failed"}, (409, "not-a-file")),
    ]
    for where, body, answer in wrong:
        assert problem(await account.client.put(f"{where}/processing", json=body)) == answer, body


async def test_delete_during_processing_requires_force(account: Account) -> None:
    file = await upload_file(account, b"one", "a", destination={"folder_path": "/x/y"})
    top = await at(account, "/x")
    assert top
    report = f"/v1/files/{file['id']}/processing"
    await account.client.put(report, json={"state": "running"})
    for node in (file, top):
        answer = await account.client.delete(f"/v1/files/{node['id']}")
        assert problem(answer) == (409, "processing-running")
        assert answer.json()["file_ids"] == [file["id"]]
    other = await upload_file(account, b"two", "b", destination={"folder_path": "/x/y"})
    assert await refused(account, other, name="a", on_conflict="replace") == (409, "processing-running")
    await put_away(account, top, force=True)
    restored = good(await account.client.post(f"/v1/files/{top['id']}/restore"))
    inner = await at(account, "/x/y")
    assert inner
    await put_away(account, inner, force=True)
    await put_away(account, restored)  # nodes in the trash do not require force
    good(await account.client.post(f"/v1/files/{top['id']}/restore"))
    good(await account.client.post(f"/v1/files/{inner['id']}/restore"))
    await account.client.put(report, json={"state": "succeeded"})
    await put_away(account, top)


async def test_activity_lists_action_actor_and_address(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    address = f"/v1/files/{file['id']}"
    headers = {"User-Agent": "curl/8", "X-Request-Id": "mine-1"}
    await account.client.patch(address, json={"name": "b"}, headers=headers)
    await upload_file(account, b"two", "b", destination={"on_conflict": "replace"})
    await account.client.post(f"{address}/revisions/{file['revision_id']}/restore")
    await account.client.put(f"{address}/processing", json={"state": "queued"})
    await account.client.get(f"{address}/content", follow_redirects=False)
    await put_away(account, file)
    good(await account.client.post(f"{address}/restore"))
    listed = (await account.client.get(f"{address}/activity")).json()["items"]
    actions = [one["action"] for one in reversed(listed)]
    assert [action for action in actions if action != "downloaded"] == [
        "created",
        "renamed",
        "replaced",
        "replaced",
        "revision-restored",
        "processing-reported",
        "trashed",
        "restored",
    ]
    assert {one["actor"] for one in listed} == {account.email}
    renamed = next(one for one in listed if one["action"] == "renamed")
    assert (renamed["detail"], renamed["user_agent"], renamed["request_id"]) == (
        {"from": "a", "to": "b"},
        "curl/8",
        "mine-1",
    )
    assert renamed["address"] == "127.0.0.1"
    page = (await account.client.get(f"{address}/activity", params={"limit": 3})).json()
    rest = await account.client.get(f"{address}/activity", params={"cursor": page["next_cursor"]})
    assert page["items"] + rest.json()["items"] == listed
