"""The client's time of a file: a later upload of equal content and PATCH change it, without a new revision."""

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.dbx import signed_in
from tests.support.server import Account, RunningServer, problem, start_body, upload_file
from tests.support.sharing import grant, make_folder, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")

OLD, NEW = "2020-01-02T03:04:05Z", "2024-05-06T07:08:09.123456Z"


async def get(account: Account, file: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get(f"/v1/files/{file['id']}")).raise_for_status().json()
    return found


async def events(account: Account, cursor: str) -> list[tuple[str, str, dict[str, Any]]]:
    page = (await account.client.get("/v1/events", params={"cursor": cursor})).raise_for_status().json()
    return [(event["kind"], event["file_id"], event["detail"]) for event in page["events"]]


async def cursor(account: Account) -> str:
    return str((await account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"])


def same_but_time(file: dict[str, Any], at: str) -> dict[str, Any]:
    return {**file, "client_modified_at": at, "etag": None}


# Uploads of equal content


@pytest.mark.parametrize("first", [OLD, None])
@pytest.mark.parametrize("on_conflict", ["fail", "replace", "rename"])
async def test_upload_of_equal_content_takes_the_newer_time_without_a_revision(
    account: Account, first: str | None, on_conflict: str
) -> None:
    file = await upload_file(account, b"same", "a.txt", client_modified_at=first)
    before = await cursor(account)
    again = await upload_file(
        account, b"same", "a.txt", client_modified_at=NEW, destination={"on_conflict": on_conflict}
    )
    assert {**again, "etag": None} == same_but_time(file, NEW)
    assert again["etag"] != file["etag"]
    revisions = (await account.client.get(f"/v1/files/{file['id']}/revisions")).json()["items"]
    assert [(one["number"], one["client_modified_at"]) for one in revisions] == [(1, NEW)]
    assert await events(account, before) == [("file.updated", file["id"], {})]
    newest = (await account.client.get(f"/v1/files/{file['id']}/activity")).json()["items"][0]
    assert (newest["action"], newest["detail"]["to"][:10]) == ("time-changed", "2024-05-06")


@pytest.mark.parametrize("later", [OLD, NEW, None])
async def test_upload_of_equal_content_with_no_newer_time_changes_nothing(account: Account, later: str | None) -> None:
    file = await upload_file(account, b"same", "a.txt", client_modified_at=NEW)
    before = await cursor(account)
    assert await upload_file(account, b"same", "a.txt", client_modified_at=later) == file
    assert await events(account, before) == []


async def test_form_with_equal_content_takes_the_newer_time(account: Account) -> None:
    first, *later = [
        (
            await account.client.post("/v1/files", files={"file": ("b.txt", b"form")}, data={"client_modified_at": at})
        ).raise_for_status()
        for at in (OLD, NEW, OLD)
    ]
    for again in later:
        assert {**again.json(), "etag": None} == same_but_time(first.json(), NEW)


async def test_editor_who_sends_equal_content_changes_the_time_of_the_owners_file(
    account: Account, register: Register, db: Db
) -> None:
    editor = await register()
    await verify(db, account, editor)
    top = await make_folder(account, "/shared")
    file = await upload_file(account, b"same", "a", destination={"parent_id": top}, client_modified_at=OLD)
    await grant(account, top, editor, "editor")
    place = {"parent_id": top, "on_conflict": "replace"}
    again = await upload_file(editor, b"same", "a", destination=place, client_modified_at=NEW)
    assert (again["revision_id"], again["client_modified_at"]) == (file["revision_id"], NEW)
    assert (await get(account, file))["client_modified_at"] == NEW


async def test_batch_with_one_name_twice_ends_with_the_newest_time(account: Account) -> None:
    file = await upload_file(account, b"same", "a.txt")
    bodies = [start_body(b"same", "a.txt", client_modified_at=at) for at in (OLD, NEW, OLD)]
    bodies += [start_body(b"same", "new.txt", client_modified_at=at) for at in (OLD, NEW)]
    before = await cursor(account)
    answer = await account.client.post("/v1/uploads/batch", json={"items": bodies})
    items = answer.raise_for_status().json()["items"]
    assert {item["file"]["client_modified_at"] for item in items} == {NEW}
    told = await events(account, before)
    assert [kind for kind, file_id, _ in told if file_id == file["id"]] == ["file.updated"] * 2
    assert len(told) == 4


# PATCH


async def test_patch_sets_any_time_once(account: Account) -> None:
    file = await upload_file(account, b"x", "a.txt", client_modified_at=NEW)
    at, before = f"/v1/files/{file['id']}", await cursor(account)
    changed = await account.client.patch(at, json={"client_modified_at": OLD}, headers={"If-Match": file["etag"]})
    assert {**changed.raise_for_status().json(), "etag": None} == same_but_time(file, OLD)
    assert changed.headers["etag"] != file["etag"]
    again = await account.client.patch(at, json={"client_modified_at": OLD})
    assert again.headers["etag"] == changed.headers["etag"]
    assert await events(account, before) == [("file.updated", file["id"], {})]
    stale = await account.client.patch(at, json={"client_modified_at": NEW}, headers={"If-Match": file["etag"]})
    assert problem(stale) == (412, "precondition-failed")
    renamed = await account.client.patch(at, json={"name": "b.txt", "client_modified_at": None})
    assert (renamed.json()["name"], renamed.json()["client_modified_at"]) == ("b.txt", OLD)


async def test_patch_of_a_time_is_refused_for_folders_and_nonsense(account: Account) -> None:
    folder = (await account.client.post("/v1/folders", json={"name": "f"})).json()
    file = await upload_file(account, b"x", "a.txt")

    async def patch(node: dict[str, Any], **body: Any) -> httpx2.Response:
        return await account.client.patch(f"/v1/files/{node['id']}", json=body)

    assert problem(await patch(folder, client_modified_at=OLD)) == (409, "not-a-file")
    for at in ("yesterday", "2024-01-01T00:00:00", "9999-12-31T00:00:00Z", 5e18):
        assert problem(await patch(file, client_modified_at=at)) == (422, "invalid-request")
    assert problem(await patch(file, client_modified_at=None)) == (422, "invalid-request")


# dbx


def times(file: Path, at_s: int) -> None:
    os.utime(file, (at_s, at_s))


async def test_dbx_carries_a_newer_time_of_equal_content_up_and_down(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "work" / "a.txt"
    file.write_bytes(b"content")
    times(file, 1_500_000_000)
    async with signed_in(server, tmp_path) as dbx:

        async def transfer() -> Path:
            await dbx("upload", tmp_path / "work", "--to", "/")
            await dbx("download", "/work", tmp_path / "there")
            (there,) = (tmp_path / "there").rglob("a.txt")
            return there

        there = await transfer()
        assert there.stat().st_mtime == 1_500_000_000
        times(file, 1_600_000_000)
        assert await transfer() == there
        assert (there.read_bytes(), there.stat().st_mtime) == (b"content", 1_600_000_000)
        times(there, 1_700_000_000)
        await transfer()
        assert there.stat().st_mtime == 1_700_000_000
