"""`executable` of a file: set by uploads and by PATCH, kept over revisions, without a new revision of its own."""

from typing import Any

import pytest

from dropbox_api.workers.relay import relay_changes
from tests.conftest import Register
from tests.support.server import Account, RunningServer, create_folder, problem, run_until_idle, upload_file
from tests.support.sharing import grant, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def get(account: Account, file: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get(f"/v1/files/{file['id']}")).raise_for_status().json()
    return found


async def events(account: Account, cursor: str) -> list[tuple[str, str, dict[str, Any], bool | None]]:
    page = (await account.client.get("/v1/events", params={"cursor": cursor, "wait_s": 5})).raise_for_status().json()
    return [(event["kind"], event["file_id"], event["detail"], event["file"]["executable"]) for event in page["events"]]


async def cursor(account: Account) -> str:
    return str((await account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"])


async def revision_count(account: Account, file: dict[str, Any]) -> int:
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).raise_for_status().json()
    return len(listed["items"])


async def test_executable_is_false_for_files_null_for_folders_and_settable_at_upload(account: Account) -> None:
    plain, script = await upload_file(account, b"1", "plain"), await upload_file(account, b"2", "run", executable=True)
    form = await account.client.post("/v1/files", files={"file": ("form", b"3")}, data={"executable": "true"})
    folder = await create_folder(account, "/folder")
    assert [file["executable"] for file in (plain, script, form.json(), folder)] == [False, True, True, None]
    tree = (await account.client.get("/v1/tree")).raise_for_status().json()
    rows = [dict(zip(tree["columns"], row, strict=True)) for row in tree["items"]]
    expected = {"plain": False, "run": True, "form": True, "folder": False}
    assert {row["name"]: row["executable"] for row in rows} == expected


async def test_new_revisions_keep_executable_unless_the_upload_says_otherwise(account: Account) -> None:
    replace = {"destination": {"on_conflict": "replace"}}
    file = await upload_file(account, b"1", "run", executable=True)
    assert (await upload_file(account, b"2", "run", **replace))["executable"] is True
    address = f"/v1/files/{file['id']}/content"
    assert (await account.client.put(address, content=b"3")).json()["executable"] is True
    assert (await account.client.put(address, content=b"4", params={"executable": False})).json()["executable"] is False
    assert (await upload_file(account, b"5", "run", executable=True, **replace))["executable"] is True
    listed = (await account.client.get(f"/v1/files/{file['id']}/revisions")).json()["items"]
    restored = await account.client.post(f"/v1/files/{file['id']}/revisions/{listed[-1]['id']}/restore")
    assert restored.raise_for_status().json()["executable"] is True


async def test_copies_and_restored_nodes_keep_executable(account: Account) -> None:
    folder = await create_folder(account, "/folder")
    file = await upload_file(account, b"1", "run", executable=True, destination={"parent_id": folder["id"]})
    copy = await account.client.post(f"/v1/files/{file['id']}/copy", json={"name": "copy"})
    assert copy.raise_for_status().json()["executable"] is True
    (await account.client.post(f"/v1/files/{folder['id']}/copy", json={"name": "copy"})).raise_for_status()
    below = await account.client.get("/v1/files/by-path", params={"path": "/copy/run"})
    assert below.raise_for_status().json()["executable"] is True
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    back = await account.client.post(f"/v1/files/{file['id']}/restore")
    assert back.raise_for_status().json()["executable"] is True


async def test_patch_of_executable_makes_an_event_and_an_etag_but_no_revision(account: Account) -> None:
    file = await upload_file(account, b"1", "run")
    before, address = await cursor(account), f"/v1/files/{file['id']}"
    stale = await account.client.patch(address, json={"executable": True}, headers={"If-Match": '"0.0"'})
    assert problem(stale) == (412, "precondition-failed")
    changed = (await account.client.patch(address, json={"executable": True})).raise_for_status().json()
    assert changed == file | {"executable": True, "etag": changed["etag"]}
    assert changed["etag"] != file["etag"]
    assert (await account.client.patch(address, json={"executable": True})).json() == changed, "nothing is left to do"
    assert await events(account, before) == [("file.updated", file["id"], {}, True)]
    assert await revision_count(account, file) == 1
    newest = (await account.client.get(f"{address}/activity")).json()["items"][0]
    assert (newest["action"], newest["detail"]) == ("executable-changed", {"to": True})


async def test_executable_of_a_folder_is_refused(account: Account) -> None:
    folder = await create_folder(account, "/folder")
    for wanted in (True, False):
        answer = await account.client.patch(f"/v1/files/{folder['id']}", json={"executable": wanted})
        assert problem(answer) == (409, "not-a-file")


@pytest.mark.parametrize("by_id", [False, True])
async def test_upload_of_equal_content_changes_executable_and_time_in_one_event(account: Account, by_id: bool) -> None:
    file = await upload_file(account, b"same", "run", client_modified_at="2020-01-01T00:00:00Z")
    before = await cursor(account)
    destination = {"file_id": file["id"], "base_revision_id": file["revision_id"]} if by_id else {"name": "run"}
    body = {"fingerprint": file["fingerprint"], "size_bytes": 4, "destination": destination}
    times = {"client_modified_at": "2024-01-01T00:00:00Z"}
    again = (await account.client.post("/v1/uploads", json=body | times | {"executable": True})).json()["file"]
    assert again == file | times | {"executable": True, "etag": again["etag"]}
    assert again["etag"] != file["etag"]
    unchanged = (await account.client.post("/v1/uploads", json=body)).json()["file"]
    assert unchanged == again, "what is left out stays"
    assert await events(account, before) == [("file.updated", file["id"], {}, True)]
    assert await revision_count(account, file) == 1


async def test_grantees_get_the_change_of_executable(
    account: Account, register: Register, server: RunningServer
) -> None:
    reader = await register()
    await verify(server.db, reader)
    file = await upload_file(account, b"1", "run")
    await grant(account, file["id"], reader, "viewer")
    before = await cursor(reader)
    (await account.client.patch(f"/v1/files/{file['id']}", json={"executable": True})).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    assert ("file.updated", file["id"], {}, True) in await events(reader, before)
    refused = await reader.client.patch(f"/v1/files/{file['id']}", json={"executable": False})
    assert problem(refused) == (403, "forbidden")
