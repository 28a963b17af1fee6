"""Which of many names a folder has, through HTTP and the SDK."""

import asyncio
from typing import Any

import httpx2
import pytest

from dropbox_api.db import Db
from dropbox_client import NotAFolder
from tests.conftest import Register
from tests.support.plans import record_statements
from tests.support.sdk import blocking_client
from tests.support.server import UNKNOWN_ID, Account, RunningServer, create_folder, problem, sha256, upload_file
from tests.support.sharing import grant, make_folder, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def ask(account: Account, folder_id: str, *names: Any) -> httpx2.Response:
    return await account.client.post(f"/v1/files/{folder_id}/names", json={"names": names})


async def find(account: Account, folder_id: str, *names: str) -> list[str | None]:
    """Return the stored name of what has each name, the reason why it is invalid in <>, or None for a free one."""
    items = (await ask(account, folder_id, *names)).raise_for_status().json()["items"]
    return [
        f"<{item['problem']['reason']}>" if item["problem"] else item["existing"] and item["existing"]["name"]
        for item in items
    ]


async def test_names_in_a_folder_are_found_in_the_order_of_the_request(account: Account) -> None:
    folder = await make_folder(account, "/in")
    file = await upload_file(account, b"one", "Café.txt", destination={"parent_id": folder})
    inner = await create_folder(account, "/in/Inner")
    await create_folder(account, "/in/Inner/deep")
    await upload_file(account, b"two", "outside")
    answer = await ask(account, folder, "inner", "CAFE\u0301.TXT", "free", "INNER", "outside", "deep")
    items = answer.raise_for_status().json()["items"]
    named_folder = {
        "id": inner["id"],
        "kind": "folder",
        "name": "Inner",
        "size_bytes": None,
        "fingerprint": None,
        "content_status": None,
        "revision_id": None,
        "etag": inner["etag"],
    }
    named_file = {member: file[member] for member in named_folder}
    assert named_file["fingerprint"] == sha256(b"one")
    assert [item["existing"] for item in items] == [named_folder, named_file, None, named_folder, None, None]
    assert [item["problem"] for item in items] == [None] * 6


async def test_invalid_names_are_answered_one_by_one(account: Account) -> None:
    folder = await make_folder(account, "/in")
    await create_folder(account, "/in/x")
    wanted = ["", "x", "..", "a/b", "a\0b", "é" * 128, "a" * 5000, "y"]
    assert await find(account, folder, *wanted) == [
        "<empty>",
        "x",
        "<dot-name>",
        "<slash>",
        "<control-character>",
        "<too-long>",
        "<too-long>",
        None,
    ]


async def test_name_with_half_a_surrogate_pair_is_answered_as_invalid(account: Account) -> None:
    folder = await make_folder(account, "/in")
    address, json_type = f"/v1/files/{folder}/names", {"Content-Type": "application/json"}
    answer = await account.client.post(address, content=b'{"names": ["\\ud800"]}', headers=json_type)
    (item,) = answer.raise_for_status().json()["items"]
    assert item["problem"]["reason"] == "surrogate"


async def test_names_in_the_trash_are_free(account: Account) -> None:
    folder = await make_folder(account, "/in")
    file = await upload_file(account, b"one", "gone", destination={"parent_id": folder})
    assert await find(account, folder, "gone") == ["gone"]
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    assert await find(account, folder, "gone") == [None]
    (await account.client.delete(f"/v1/files/{folder}")).raise_for_status()
    assert problem(await ask(account, folder, "gone")) == (404, "not-found")


async def test_names_of_a_folder_are_told_to_its_viewers_only(
    account: Account, register: Register, server: RunningServer
) -> None:
    folder = await make_folder(account, "/in")
    await create_folder(account, "/in/x")
    file = await upload_file(account, b"one", "file")
    viewer, stranger = await register(), await register()
    await verify(server.db, account, viewer, stranger)
    await grant(account, folder, viewer, "viewer")
    assert await find(viewer, folder, "x", "y") == ["x", None]
    assert problem(await ask(stranger, folder, "x")) == (404, "not-found")
    assert problem(await ask(account, UNKNOWN_ID, "x")) == (404, "not-found")
    assert problem(await ask(account, file["id"], "x")) == (409, "not-a-folder")


@pytest.mark.parametrize("names", [[], ["x"] * 1001, [1], "x", [None]], ids=lambda names: str(names)[:20])
async def test_names_in_another_shape_are_refused(account: Account, names: Any) -> None:
    folder = await make_folder(account, "/in")
    answer = await account.client.post(f"/v1/files/{folder}/names", json={"names": names})
    assert problem(answer) == (422, "invalid-request")


async def test_thousand_names_cost_as_many_statements_as_one(account: Account, db: Db) -> None:
    folder = await make_folder(account, "/in")
    await create_folder(account, "/in/7")
    counts = []
    for wanted in (["7"], [str(n) for n in range(1000)]):
        with record_statements(db) as seen:
            found = await find(account, folder, *wanted)
        assert [name for name in found if name] == ["7"]
        counts.append(len(seen))
    assert counts[0] == counts[1]


async def test_sdk_asks_for_names_in_requests_of_a_thousand(account: Account, server: RunningServer) -> None:
    folder = await make_folder(account, "/in")
    await create_folder(account, "/in/n2000")
    file = await upload_file(account, b"one", "file")

    def find_names() -> None:
        with blocking_client(server, account) as client:
            found = list(client.files.find_names(folder, (f"N{n}" for n in range(2500))))
            assert [n for n, result in enumerate(found) if result.existing] == [2000]
            (bad,) = client.files.find_names("/in", ["a/b"])
            assert bad.problem is not None
            assert bad.problem.code == "invalid-name"
            with pytest.raises(NotAFolder):
                list(client.files.find_names(file["id"], ["x"]))

    await asyncio.to_thread(find_names)
