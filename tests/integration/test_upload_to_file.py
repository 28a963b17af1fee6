"""Uploads to a file by its id: the content reaches the file wherever it is, over the revision that it is based on."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.server import (
    MULTI,
    UNKNOWN_ID,
    Account,
    complete,
    create_folder,
    download,
    journal,
    problem,
    send,
    sha256,
    start_body,
    upload_file,
)
from tests.support.sharing import grant, make_folder, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")

File = dict[str, Any]


def into(file: File, base_revision_id: str | None = None) -> dict[str, str]:
    """Return the destination that replaces the content of a file; the base is by default its revision."""
    return {"file_id": file["id"], "base_revision_id": base_revision_id or file["revision_id"]}


def body_into(data: bytes, destination: dict[str, str], **more: Any) -> dict[str, Any]:
    return start_body(data, "") | {"destination": destination} | more


async def start_into(account: Account, data: bytes, destination: dict[str, str], **more: Any) -> dict[str, Any]:
    """Start an upload to a file; return the session."""
    answer = await account.client.post("/v1/uploads", json=body_into(data, destination, **more))
    upload: dict[str, Any] = answer.raise_for_status().json()["upload"]
    return upload


async def upload_into(account: Account, data: bytes, destination: dict[str, str], **more: Any) -> File:
    upload = await start_into(account, data, destination, **more)
    await send(account, upload, data)
    file: File = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    return file


async def get(account: Account, file: File) -> File:
    found: File = (await account.client.get(f"/v1/files/{file['id']}")).raise_for_status().json()
    return found


async def put_away(account: Account, file: File) -> None:
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()


async def purge(account: Account, file: File) -> None:
    await put_away(account, file)
    (await account.client.delete(f"/v1/trash/{file['id']}")).raise_for_status()


async def change(account: Account, file: File, **members: Any) -> None:
    (await account.client.patch(f"/v1/files/{file['id']}", json=members)).raise_for_status()


async def revisions(account: Account, file: File) -> list[str]:
    """Return the fingerprints of a file's revisions, newest first."""
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).raise_for_status().json()
    return [one["fingerprint"] for one in listed["items"]]


# Each way of uploading: (account, data, destination) -> answer with the outcome.

Send = Callable[[Account, bytes, dict[str, str]], Awaitable[Any]]


async def by_session(account: Account, data: bytes, destination: dict[str, str], **more: Any) -> Any:
    started = await account.client.post("/v1/uploads", json=body_into(data, destination, **more))
    if started.is_error or started.json()["file"]:
        return started
    upload = started.json()["upload"]
    await send(account, upload, data)
    return await complete(account, upload["id"])


async def by_multipart(account: Account, data: bytes, destination: dict[str, str]) -> Any:
    return await by_session(account, data, destination, **MULTI)


async def by_batch(account: Account, data: bytes, destination: dict[str, str]) -> Any:
    batch = {"items": [body_into(data, destination)]}
    item = (await account.client.post("/v1/uploads/batch", json=batch)).raise_for_status().json()["items"][0]
    if item["upload"]:
        await send(account, item["upload"], data)
        ids = {"upload_ids": [item["upload"]["id"]]}
        answer = await account.client.post("/v1/uploads/batch/complete", json=ids)
        item = answer.raise_for_status().json()["items"][0]
    return item


async def by_new_destination(account: Account, data: bytes, destination: dict[str, str]) -> Any:
    """Send the content to a name, which is taken, and give the completed session the destination."""
    taken = f"taken {uuid.uuid4()}"
    started = (await account.client.post("/v1/uploads", json=start_body(data, taken))).raise_for_status().json()
    if started["file"]:  # stored already: there is no session
        return await by_session(account, data, destination)
    upload = started["upload"]
    await send(account, upload, data)
    await upload_file(account, uuid.uuid4().bytes, taken)
    assert problem(await complete(account, upload["id"])) == (409, "destination-refused")
    where = f"/v1/uploads/{upload['id']}/destinations"
    added = await account.client.post(where, json={"destination": destination})
    return added if added.is_error else await complete(account, upload["id"])


async def by_body(account: Account, data: bytes, destination: dict[str, str]) -> Any:
    address = f"/v1/files/{destination['file_id']}/content"
    return await account.client.put(address, content=data, params={"base_revision_id": destination["base_revision_id"]})


async def by_form(account: Account, data: bytes, destination: dict[str, str]) -> Any:
    return await account.client.post("/v1/files", data=destination, files={"file": ("x", data)})


WAYS = [by_session, by_multipart, by_batch, by_new_destination, by_body, by_form]


def outcome(answer: Any) -> File:
    """Return the file, or the problem, of any answer: of a refused upload the problem of its destination."""
    body: dict[str, Any] = answer if isinstance(answer, dict) else answer.json()
    body = body.get("problem") or body.get("file") or body
    if body.get("code") == "destination-refused":
        (body,) = body["problems"]
    return body


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_to_a_file_renamed_and_moved_meanwhile_reaches_it(account: Account, send_into: Send) -> None:
    file = await upload_file(account, b"one", "a.txt")
    folder = await create_folder(account, "/elsewhere")
    await change(account, file, name="b.txt", parent_id=folder["id"])
    other = await upload_file(account, b"other", "a.txt")
    done = outcome(await send_into(account, b"two", into(file)))
    assert (done["id"], done["path"]) == (file["id"], "/elsewhere/b.txt")
    assert await download(account, file["id"]) == b"two"
    assert await download(account, other["id"]) == b"other"
    assert await revisions(account, file) == [sha256(b"two"), sha256(b"one")]
    assert (await account.me())["reserved_bytes"] == 0


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_on_an_old_base_is_refused_with_head_and_path(account: Account, send_into: Send) -> None:
    first = await upload_file(account, b"one", "a.txt")
    second = await upload_into(account, b"two", into(first))
    await change(account, first, name="b.txt")
    refused = outcome(await send_into(account, b"three", into(first)))
    assert (refused["code"], refused["status"]) == ("revision-conflict", 409)
    assert (refused["file_id"], refused["revision_id"], refused["path"]) == (
        first["id"],
        second["revision_id"],
        "/b.txt",
    )
    assert await download(account, first["id"]) == b"two"
    done = outcome(await send_into(account, b"three", into(second)))
    assert done["id"] == first["id"]
    assert await revisions(account, first) == [sha256(b"three"), sha256(b"two"), sha256(b"one")]


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_of_the_heads_content_succeeds_whatever_the_base(account: Account, send_into: Send) -> None:
    first = await upload_file(account, b"one", "a.txt")
    second = await upload_into(account, b"two", into(first))
    done = outcome(await send_into(account, b"two", into(first)))
    assert (done["id"], done["revision_id"], done["etag"]) == (first["id"], second["revision_id"], second["etag"])
    assert len(await revisions(account, first)) == 2


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_to_a_trashed_file_on_its_head_restores_it(account: Account, db: Db, send_into: Send) -> None:
    file = await upload_file(account, b"one", "a.txt")
    await put_away(account, file)
    other = await upload_file(account, b"other", "a.txt")
    done = outcome(await send_into(account, b"two", into(file)))
    assert (done["id"], done["name"], done["trashed_at"]) == (file["id"], "a (1).txt", None)
    assert await download(account, other["id"]) == b"other"
    assert await revisions(account, file) == [sha256(b"two"), sha256(b"one")]
    own = [kind for kind, node_id in await journal(db, account) if node_id == file["id"]]
    assert own == ["file.created", "file.trashed", "file.restored", "file.updated"]


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_to_a_trashed_file_on_another_base_is_refused(account: Account, send_into: Send) -> None:
    first = await upload_file(account, b"one", "a.txt")
    second = await upload_into(account, b"two", into(first))
    await put_away(account, first)
    for data in (b"three", b"two"):
        refused = outcome(await send_into(account, data, into(first)))
        assert (refused["code"], refused["revision_id"]) == ("revision-conflict", second["revision_id"])
    assert [one["id"] for one in (await account.client.get("/v1/trash")).json()["items"]] == [first["id"]]


@pytest.mark.parametrize("send_into", WAYS)
@pytest.mark.parametrize("remove", [put_away, purge])
async def test_upload_below_a_removed_folder_is_refused(
    account: Account, send_into: Send, remove: Callable[[Account, File], Awaitable[None]]
) -> None:
    folder = await create_folder(account, "/top/below")
    file = await upload_file(account, b"one", "a", destination={"parent_id": folder["id"]})
    top = (await account.client.get("/v1/files/by-path", params={"path": "/top"})).json()
    await remove(account, top)
    refused = outcome(await send_into(account, b"two", into(file)))
    assert (refused["code"], refused["status"]) == ("parent-gone", 409)


@pytest.mark.parametrize("send_into", WAYS)
async def test_upload_to_an_unknown_purged_or_foreign_file_is_not_found(
    account: Account, register: Callable[[], Awaitable[Account]], send_into: Send
) -> None:
    purged = await upload_file(account, b"one", "a")
    await purge(account, purged)
    foreign = await upload_file(await register(), b"secret", "a")
    unknown = {"id": UNKNOWN_ID, "revision_id": UNKNOWN_ID}
    refusals = [outcome(await send_into(account, b"two", into(file))) for file in (purged, foreign, unknown)]
    assert [(one["code"], one["detail"]) for one in refusals] == [("not-found", refusals[0]["detail"])] * 3


@pytest.mark.parametrize("send_into", WAYS)
async def test_base_of_another_file_is_refused(
    account: Account, register: Callable[[], Awaitable[Account]], send_into: Send
) -> None:
    file, other = await upload_file(account, b"one", "a"), await upload_file(account, b"two", "b")
    refused = outcome(await send_into(account, b"three", into(file, other["revision_id"])))
    assert (refused["code"], refused["status"]) == ("invalid-request", 422)
    assert refused["errors"][0]["pointer"].endswith("/base_revision_id")
    foreign = await upload_file(await register(), b"secret", "a")
    for base in (foreign["revision_id"], UNKNOWN_ID):  # nothing tells which of them exists
        assert outcome(await send_into(account, b"three", into(file, base)))["code"] == "revision-conflict"


@pytest.mark.parametrize("send_into", WAYS)
async def test_folder_as_the_file_of_an_upload_is_refused(account: Account, send_into: Send) -> None:
    folder = await create_folder(account, "/folder")
    refused = outcome(await send_into(account, b"two", into(folder, UNKNOWN_ID)))
    assert (refused["code"], refused["status"]) == ("not-a-file", 409)


@pytest.mark.parametrize(
    "more",
    [
        {"base_revision_id": None},
        {"name": "a"},
        {"parent_id": UNKNOWN_ID},
        {"folder_path": "/a"},
        {"on_conflict": "replace"},
    ],
)
async def test_file_with_another_destination_member_is_refused(account: Account, more: dict[str, Any]) -> None:
    destination = {"file_id": UNKNOWN_ID, "base_revision_id": UNKNOWN_ID} | more
    destination = {name: value for name, value in destination.items() if value is not None}
    answer = await account.client.post("/v1/uploads", json=body_into(b"x", destination))
    assert problem(answer) == (422, "invalid-request")


# While the bytes are on their way


async def test_file_moved_trashed_or_purged_while_sending_loses_no_bytes(account: Account) -> None:
    folder = await create_folder(account, "/elsewhere")

    async def move(account: Account, file: File) -> None:
        await change(account, file, parent_id=folder["id"], name="moved")

    for act, code in ((move, ""), (put_away, ""), (purge, "not-found")):
        data = uuid.uuid4().bytes
        file = await upload_file(account, uuid.uuid4().bytes, "a")
        upload = await start_into(account, data, into(file))
        await send(account, upload, data)
        await act(account, file)
        done = outcome(await complete(account, upload["id"]))
        assert done.get("code", "") == code
        if code:
            place = {"destination": {"name": "kept"}}
            kept = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
            file = {"id": kept.raise_for_status().json()["destinations"][-1]["file_id"]}
        assert await download(account, file["id"]) == data
        await put_away(account, file)


async def test_two_devices_on_one_base_one_wins_and_the_other_loses_nothing(account: Account, db: Db) -> None:
    file = await upload_file(account, b"base", "a")
    contents = [uuid.uuid4().bytes for _ in range(4)]
    uploads = [await start_into(account, data, into(file)) for data in contents]
    for upload, data in zip(uploads, contents, strict=True):
        await send(account, upload, data)
    answers = await asyncio.gather(*(complete(account, upload["id"]) for upload in uploads))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    head = await get(account, file)
    for upload, data, answer in zip(uploads, contents, answers, strict=True):
        if answer.status_code == 200:
            assert sha256(data) == head["fingerprint"]
            continue
        refused = outcome(answer)
        assert (refused["code"], refused["revision_id"]) == ("revision-conflict", head["revision_id"])
        again = {"destination": into(file, refused["revision_id"])}
        placed = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=again)
        head["revision_id"] = placed.raise_for_status().json()["destinations"][-1]["revision_id"]
        break
    assert (await get(account, file))["revision_id"] == head["revision_id"]
    kinds = [kind for kind, _ in await journal(db, account)]
    assert kinds == ["file.created", "file.updated", "file.updated"]


async def test_start_again_with_a_new_base_renews_the_destination(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    upload = await start_into(account, b"three", into(file))
    second = await upload_into(account, b"two", into(file))
    stale = await account.client.post("/v1/uploads", json=body_into(b"three", into(file)))
    assert problem(stale) == (409, "revision-conflict")
    assert (await start_into(account, b"three", into(second)))["id"] == upload["id"]
    await send(account, upload, b"three")
    done = (await complete(account, upload["id"])).raise_for_status().json()
    assert [place["file_id"] for place in done["destinations"]] == [file["id"]]
    assert await download(account, file["id"]) == b"three"


async def test_old_base_for_a_live_session_is_refused_at_once(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    await upload_into(account, b"two", into(file))
    upload = (await account.client.post("/v1/uploads", json=start_body(b"three", "b"))).json()["upload"]
    added = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": into(file)})
    assert problem(added) == (409, "revision-conflict")
    assert [
        place["name"] for place in (await account.client.get(f"/v1/uploads/{upload['id']}")).json()["destinations"]
    ] == ["b"]


async def test_names_and_files_in_one_batch_see_each_other(account: Account) -> None:
    """The items are decided in order: a name and a file can be the same node."""
    old = {letter: await upload_file(account, letter.encode(), letter) for letter in "abc"}
    await put_away(account, old["c"])
    new = {data: await upload_file(account, data, f"source {data!r}") for data in (b"1", b"2", b"3", b"4")}
    by_name = {"name": "a", "on_conflict": "replace", "base_revision_id": old["a"]["revision_id"]}
    items = [
        body_into(b"1", into(old["a"])),
        body_into(b"2", by_name),
        body_into(b"3", {"name": "c"}),
        body_into(b"4", into(old["c"])),
        body_into(b"2", into(old["c"])),
    ]
    answer = await account.client.post("/v1/uploads/batch", json={"items": items})
    done = [outcome(item) for item in answer.raise_for_status().json()["items"]]
    assert [item.get("code") for item in done] == [None, "revision-conflict", None, None, "revision-conflict"]
    assert [item["name"] for item in (done[0], done[2], done[3])] == ["a", "c", "c (1)"]
    assert done[0]["id"] == old["a"]["id"]
    assert done[3]["id"] == old["c"]["id"] != done[2]["id"]
    assert await download(account, old["c"]["id"]) == b"4"
    assert len(new) == 4


async def test_sessions_of_one_content_for_one_file_are_merged(account: Account) -> None:
    """The fingerprint that comes late finds a live session of the same content and destination."""
    late = 9 * 2**20
    data = uuid.uuid4().bytes * (late // 16)
    file = await upload_file(account, b"one", "a")
    unbound = body_into(data, into(file)) | {"fingerprint": None}
    upload = (await account.client.post("/v1/uploads", json=unbound)).raise_for_status().json()["upload"]
    twin = await start_into(account, data, into(file), **MULTI)
    bound = await account.client.put(f"/v1/uploads/{upload['id']}/fingerprint", json={"fingerprint": sha256(data)})
    kept = bound.raise_for_status().json()["upload"]
    assert [place["file_id"] for place in kept["destinations"]] == [file["id"]]
    assert kept["id"] in {upload["id"], twin["id"]}
    await send(account, kept, data)
    assert outcome(await complete(account, kept["id"]))["id"] == file["id"]


# Other accounts


@pytest.fixture
async def editor(register: Callable[[], Awaitable[Account]], db: Db) -> Account:
    other = await register()
    await verify(db, other)
    return other


@pytest.mark.parametrize("send_into", [by_session, by_multipart, by_batch, by_body, by_form])
async def test_editor_of_one_shared_file_uploads_to_it(account: Account, editor: Account, send_into: Send) -> None:
    folder = await make_folder(account, "/private")
    file = await upload_file(account, b"one", "a.txt", destination={"parent_id": folder})
    await grant(account, file["id"], editor, "editor")
    await change(account, file, name="b.txt")
    done = outcome(await send_into(editor, b"two", into(file)))
    assert (done["id"], done["parent_id"], done["path"]) == (file["id"], None, "/b.txt")
    assert await download(account, file["id"]) == b"two"
    refused = outcome(await send_into(editor, b"three", into(file)))
    assert (refused["code"], refused["path"]) == ("revision-conflict", "/b.txt")
    sessions = (await editor.client.get("/v1/uploads")).json()["items"]
    places = [place for session in sessions for place in session["destinations"]]
    assert {(place["parent_id"], place["name"]) for place in places} <= {(None, None)}, "the folder stays hidden"
    if done["content_status"] == "verified":
        same = outcome(await send_into(editor, b"two", into(file)))
        assert (same["id"], same["revision_id"]) == (file["id"], done["revision_id"])


@pytest.mark.parametrize("send_into", [by_session, by_body, by_form])
async def test_viewer_may_not_upload_to_a_file(account: Account, editor: Account, send_into: Send) -> None:
    file = await upload_file(account, b"one", "a.txt")
    await grant(account, file["id"], editor, "viewer")
    assert outcome(await send_into(editor, b"two", into(file)))["code"] == "forbidden"


@pytest.mark.parametrize("send_into", [by_session, by_body, by_form])
async def test_only_editors_of_the_folder_bring_a_trashed_file_back(
    account: Account, editor: Account, send_into: Send
) -> None:
    folder = await make_folder(account, "/team")
    file = await upload_file(account, b"one", "a.txt", destination={"parent_id": folder})
    await grant(account, file["id"], editor, "editor")
    await put_away(account, file)
    assert outcome(await send_into(editor, b"two", into(file)))["code"] == "not-found"
    await grant(account, folder, editor, "editor")
    done = outcome(await send_into(editor, b"two", into(file)))
    assert (done["id"], done["trashed_at"]) == (file["id"], None)


async def test_revoked_editor_completes_no_upload_to_the_file(account: Account, editor: Account) -> None:
    file = await upload_file(account, b"one", "a.txt")
    given = await grant(account, file["id"], editor, "editor")
    upload = await start_into(editor, b"two", into(file))
    await send(editor, upload, b"two")
    (await account.client.delete(f"/v1/files/{file['id']}/grants/{given['id']}")).raise_for_status()
    assert problem(await complete(editor, upload["id"]))[0] == 409
    assert await download(account, file["id"]) == b"one"
    assert (await account.me())["reserved_bytes"] == 0


async def test_destination_in_the_tree_of_another_owner_is_refused(account: Account, editor: Account) -> None:
    file = await upload_file(account, b"one", "a.txt")
    await grant(account, file["id"], editor, "editor")
    upload = (await editor.client.post("/v1/uploads", json=start_body(b"two", "mine"))).json()["upload"]
    added = await editor.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": into(file)})
    assert problem(added) == (409, "cross-owner")


@pytest.mark.parametrize("named", ["file", "folder"])
async def test_access_that_begins_while_the_start_waits_puts_nothing_into_the_wrong_account(
    register: Register, db: Db, named: str
) -> None:
    ada, ed = await register(), await register()
    await verify(db, ed)
    folder_id = await make_folder(ada, "/private")
    file = await upload_file(ada, b"of ada", "a", destination={"parent_id": folder_id})
    content = (await upload_file(ed, b"of ed", "b"))["size_bytes"]
    destination = into(file) if named == "file" else {"parent_id": folder_id, "name": "c"}
    async with db.begin() as tx:
        locked = text("SELECT id FROM users WHERE email = :email FOR NO KEY UPDATE")
        await tx.execute(locked, {"email": ed.email})
        started = asyncio.create_task(ed.client.post("/v1/uploads", json=body_into(b"of ed", destination)))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(30):
            while not (await tx.execute(waits)).scalar_one():  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        await grant(ada, folder_id, ed, "editor")
    assert problem(await started) == (404, "not-found")
    assert (await get(ada, file))["revision_id"] == file["revision_id"]
    assert (await ed.me())["used_bytes"] == content
    upload = await ed.client.post("/v1/uploads", json=body_into(b"of ed", destination))
    assert upload.raise_for_status().json()["upload"], "a repetition goes into the other account"


async def test_upload_to_a_file_needs_no_room_for_another_file(register: Register, db: Db) -> None:
    ada = await register()
    file, other = await upload_file(ada, b"first", "a"), await upload_file(ada, b"other", "b")
    full = text("UPDATE users SET quota_nodes = 1 WHERE email = :email")
    async with db.begin() as tx:
        await tx.execute(full, {"email": ada.email})
    new = await ada.client.post("/v1/uploads", json=start_body(b"new", "c"))
    assert problem(new) == (413, "too-many-files")
    upload = await start_into(ada, b"second", into(file))
    more = {"destination": into(other)}
    (await ada.client.post(f"/v1/uploads/{upload['id']}/destinations", json=more)).raise_for_status()
    await send(ada, upload, b"second")
    (await complete(ada, upload["id"])).raise_for_status()
    assert [await download(ada, one["id"]) for one in (file, other)] == [b"second", b"second"]
    changed = await ada.client.put(f"/v1/files/{file['id']}/content", content=b"third")
    assert changed.raise_for_status().json()["size_bytes"] == 5
