"""Grants through HTTP: roles, inheritance and revocation. Three accounts: Ada owns, Ed edits, Vi views."""

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.sharing import grants
from dropbox_api.workers.relay import relay_changes
from tests.conftest import Register
from tests.support.plans import explain, record_statements
from tests.support.server import (
    Account,
    RunningServer,
    download,
    journal,
    new_address,
    problem,
    start_body,
    upload_file,
)
from tests.support.sharing import grant, make_folder, make_link, names_in, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


People = tuple[Account, Account, Account]
"""The owner, an editor and a viewer."""

HIDDEN = "above all"
"""Name of the folder above the shared one; answers to grantees never contain it."""


@pytest.fixture
async def people(register: Register, db: Db) -> People:
    ada, ed, vi = await register(), await register(), await register()
    await verify(db, ed, vi)
    return ada, ed, vi


@pytest.fixture
async def shared(people: People) -> dict[str, Any]:
    """Ada's folder /above all/shared, which Ed edits and Vi views, with a file and a folder in it."""
    ada, ed, vi = people
    above = await make_folder(ada, f"/{HIDDEN}")
    top = await make_folder(ada, f"/{HIDDEN}/shared")
    inner = await make_folder(ada, f"/{HIDDEN}/shared/inner")
    file = await upload_file(ada, b"one", "file.txt", destination={"parent_id": top}, content_type="text/plain")
    deep = await upload_file(ada, b"deep", "deep.txt", destination={"parent_id": inner})
    beside = await upload_file(ada, b"no", "beside.txt", destination={"parent_id": above})
    given = {"ed": await grant(ada, top, ed, "editor"), "vi": await grant(ada, top, vi, "viewer")}
    return {"above": above, "top": top, "inner": inner, "file": file, "deep": deep, "beside": beside, "grants": given}


# Grants


async def test_file_shows_its_own_grants_and_links_to_its_owner_only(
    people: People, shared: dict[str, Any], db: Db
) -> None:
    ada, ed, vi = people
    private = await make_folder(ada, "/private")
    invited = await make_folder(ada, "/invited")
    (
        await ada.client.post(f"/v1/files/{invited}/grants", json={"email": new_address(), "role": "viewer"})
    ).raise_for_status()
    inner, top = shared["inner"], shared["top"]

    async def marks(account: Account, node_id: str) -> tuple[bool | None, bool | None]:
        file = (await account.client.get(f"/v1/files/{node_id}")).raise_for_status().json()
        return file["shared"], file["has_link"]

    assert [await marks(ada, node_id) for node_id in (private, invited, top, inner)] == [
        (False, False),
        (True, False),
        (True, False),
        (False, False),
    ]
    link = await make_link(ada, inner, max_downloads=1)
    assert await marks(ada, inner) == (False, True)
    for ended, again in (
        ("expires_at = now()", "expires_at = NULL"),
        ("downloads = 1", "downloads = 0"),
        ("revoked_at = now()", "revoked_at = NULL"),
    ):
        for assignment, has_link in ((ended, False), (again, True)):
            async with db.begin() as tx:
                await tx.execute(text(f"UPDATE links SET {assignment} WHERE id = :id"), {"id": uuid.UUID(link["id"])})
            assert await marks(ada, inner) == (False, has_link), assignment
    for account in (ed, vi):
        assert [await marks(account, node_id) for node_id in (top, inner)] == [(None, None)] * 2
    listed = (await ada.client.get("/v1/files", params={"parent_id": top})).raise_for_status().json()["items"]
    assert {file["name"]: file["has_link"] for file in listed} == {"inner": True, "file.txt": False}


async def test_grant_is_created_changed_listed_and_revoked(people: People, db: Db) -> None:
    ada, ed, _ = people
    folder = await make_folder(ada, "/a")
    inner = await make_folder(ada, "/a/b")
    at = f"/v1/files/{folder}/grants"
    made = await ada.client.post(at, json={"email": ed.email.upper(), "role": "viewer"})
    given = made.json()
    assert made.status_code == 201
    assert given == {
        "id": given["id"],
        "node_id": folder,
        "inherited": False,
        "email": ed.email,
        "user_id": (await ed.me())["id"],
        "display_name": None,
        "role": "viewer",
        "pending": False,
        "created_at": given["created_at"],
    }
    again = await ada.client.post(at, json={"user_id": given["user_id"], "role": "editor"})
    assert (again.status_code, again.json()) == (200, given | {"role": "editor"})
    changed = await ada.client.patch(f"{at}/{given['id']}", json={"role": "viewer"})
    assert changed.json() == given
    assert (await ada.client.get(at)).json() == {"items": [given], "next_cursor": None}
    inherited = (await ada.client.get(f"/v1/files/{inner}/grants")).json()["items"]
    assert inherited == [given | {"inherited": True}]
    assert (await ed.client.get(f"/v1/files/{inner}")).json()["role"] == "viewer"
    assert (await ada.client.delete(f"{at}/{given['id']}")).status_code == 204
    assert problem(await ed.client.get(f"/v1/files/{inner}")) == (404, "not-found")
    assert problem(await ada.client.delete(f"{at}/{given['id']}")) == (404, "not-found")
    kinds = [kind for kind, node_id in await journal(db, ada) if node_id == folder]
    assert kinds == ["file.created", "share.granted", "share.changed", "share.changed", "share.revoked"]
    listed = (await ada.client.get(f"/v1/files/{folder}/activity")).json()["items"]
    told = [(entry["action"], entry["detail"].get("role")) for entry in listed]
    assert told[:1] + told[3:] == [("unshared", "viewer"), ("shared", "viewer"), ("created", None)]
    assert [action for action, _ in told[1:3]] == ["role-changed"] * 2


async def test_share_with_an_invalid_item_or_grantee_is_refused(people: People) -> None:
    ada, ed, _ = people
    folder = await make_folder(ada, "/a")
    root = (await ada.client.get("/v1/files/by-path?path=/")).json()["id"]

    async def share(node_id: str, **body: Any) -> tuple[int, str]:
        return problem(await ada.client.post(f"/v1/files/{node_id}/grants", json={"role": "viewer"} | body))

    assert await share(root, email=ed.email) == (409, "root-folder")
    assert await share(folder, email=ada.email) == (409, "cannot-share-with")
    assert await share(folder, user_id=(await ada.me())["id"]) == (409, "cannot-share-with")
    assert await share(folder, user_id=folder) == (404, "not-found")
    assert await share(folder) == (422, "invalid-request")
    assert await share(folder, email=ed.email, user_id=folder) == (422, "invalid-request")
    assert await share(folder, email=ed.email, role="owner") == (422, "invalid-request")


async def test_share_repeated_with_an_idempotency_key_creates_one_grant(people: People, db: Db) -> None:
    ada, ed, _ = people
    folder = await make_folder(ada, "/a")
    body, key = {"email": ed.email, "role": "viewer"}, {"Idempotency-Key": "k"}
    made = [await ada.client.post(f"/v1/files/{folder}/grants", json=body, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert [kind for kind, _ in await journal(db, ada)].count("share.granted") == 1


async def test_grant_to_an_unconfirmed_address_is_pending_and_hides_accounts(register: Register, db: Db) -> None:
    ada, known = await register(), await register()
    folder = await make_folder(ada, "/a")
    unknown = "unknown-" + known.email
    answers = []
    for email in (known.email, unknown):  # the first has an account with an unconfirmed address
        answer = await ada.client.post(f"/v1/files/{folder}/grants", json={"email": email, "role": "editor"})
        body = {key: value for key, value in answer.json().items() if key not in {"id", "created_at", "email"}}
        answers.append((answer.status_code, body))
    assert answers[0] == answers[1] == (201, {**answers[0][1], "pending": True, "user_id": None})
    assert problem(await known.client.get(f"/v1/files/{folder}")) == (404, "not-found")
    assert (await known.client.get("/v1/shared-with-me")).json()["items"] == []
    await verify(db, known)
    assert await names_in(known.client, "/v1/shared-with-me") == ["a"]
    assert (await known.client.get(f"/v1/files/{folder}")).json()["role"] == "editor"
    items = (await ada.client.get(f"/v1/files/{folder}/grants")).json()["items"]
    assert {item["email"]: item["pending"] for item in items} == {known.email: False, unknown: True}
    assert [kind for kind, _ in await journal(db, ada)].count("share.granted") == 3
    assert await grants.accept_grants(db, uuid.UUID((await known.me())["id"])) == 0


async def test_shared_with_me_lists_live_items_newest_first(people: People, register: Register) -> None:
    ada, ed, _ = people
    other = await register()
    first, second = await make_folder(ada, f"/{HIDDEN}/first"), await make_folder(ada, "/second")
    third = await make_folder(other, "/third")
    for owner, node_id in ((ada, first), (ada, second), (other, third)):
        await grant(owner, node_id, ed, "viewer")
    listed = (await ed.client.get("/v1/shared-with-me")).json()["items"]
    assert [(file["path"], file["parent_id"], file["owner"]) for file in listed] == [
        ("/third", None, other.email),
        ("/second", None, ada.email),
        ("/first", None, ada.email),
    ]
    page = (await ed.client.get("/v1/shared-with-me?limit=2")).json()
    assert await names_in(ed.client, "/v1/shared-with-me", limit=2, cursor=page["next_cursor"]) == ["first"]
    await ada.client.delete(f"/v1/files/{second}")
    above = (await ada.client.get("/v1/files/by-path", params={"path": f"/{HIDDEN}"})).json()["id"]
    await ada.client.delete(f"/v1/files/{above}")
    assert await names_in(ed.client, "/v1/shared-with-me") == ["third"]
    await ada.client.post(f"/v1/files/{above}/restore")
    assert await names_in(ed.client, "/v1/shared-with-me") == ["third", "first"]


async def test_grantee_can_end_own_grant_only(people: People, shared: dict[str, Any]) -> None:
    ada, ed, vi = people
    at, given = f"/v1/files/{shared['top']}/grants", shared["grants"]
    assert problem(await vi.client.delete(f"{at}/{given['ed']['id']}")) == (404, "not-found")
    assert problem(await ed.client.patch(f"{at}/{given['ed']['id']}", json={"role": "viewer"})) == (403, "forbidden")
    assert problem(await ed.client.patch(f"{at}/{given['vi']['id']}", json={"role": "editor"})) == (404, "not-found")
    wrong_node = f"/v1/files/{shared['inner']}/grants/{given['vi']['id']}"
    assert problem(await vi.client.delete(wrong_node)) == (404, "not-found")
    assert (await vi.client.delete(f"{at}/{given['vi']['id']}")).status_code == 204
    assert problem(await vi.client.get(f"/v1/files/{shared['top']}")) == (404, "not-found")
    assert [item["email"] for item in (await ada.client.get(at)).json()["items"]] == [ed.email]


# Roles

READS = [
    ("GET", "/v1/files/{file}", None),
    ("GET", "/v1/files?parent_id={top}", None),
    ("GET", "/v1/files?parent_id={top}&recursive=true", None),
    ("GET", "/v1/files?parent_id={top}&content_status=verified", None),
    ("GET", "/v1/search?q=deep", None),
    ("GET", "/v1/search?q=deep&parent_id={top}", None),
    ("GET", "/v1/files/{file}/revisions", None),
    ("GET", "/v1/files/{file}/download", None),
    ("GET", "/v1/shared-with-me", None),
]
CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/folders", {"name": "new", "parent_id": "{top}"}),
    ("PATCH", "/v1/files/{file}", {"name": "renamed.txt"}),
    ("PATCH", "/v1/files/{file}", {"parent_id": "{inner}"}),
    ("PATCH", "/v1/files/{file}", {"content_type": "text/css"}),
    ("POST", "/v1/files/{file}/copy", {"name": "copy.txt"}),
    ("POST", "/v1/uploads", start_body(b"up", "up.txt", destination={"parent_id": "{top}"})),
    ("PUT", "/v1/files/{file}/content", "new content"),
    ("POST", "/v1/files/{file}/revisions/{revision}/restore", None),
    ("PUT", "/v1/files/{file}/processing", {"state": "queued"}),
    ("DELETE", "/v1/files/{file}", None),
]
OWNERS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/files/{file}/activity", None),
    ("POST", "/v1/files/{file}/accept-content", None),
    ("GET", "/v1/files/{file}/grants", None),
    ("POST", "/v1/files/{file}/grants", {"email": "x@example.com", "role": "viewer"}),
    ("GET", "/v1/files/{file}/links", None),
    ("POST", "/v1/files/{file}/links", {"mode": "view"}),
    ("PATCH", "/v1/files/{top}", {"parent_id": "{top}"}),
    ("DELETE", "/v1/files/{top}", None),
]


async def ask(account: Account, shared: dict[str, Any], method: str, address: str, body: Any) -> Any:
    known = {"file": shared["file"]["id"], "revision": shared["file"]["revision_id"]}
    known |= {key: shared[key] for key in ("top", "inner", "above")}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return known.get(value[1:-1], value) if isinstance(value, str) and value[:1] == "{" else value

    if isinstance(body, str):
        return await account.client.request(method, address.format(**known), content=body)
    return await account.client.request(method, address.format(**known), json=filled(body))


def assert_shows_nothing_above(ada: Account, shared: dict[str, Any], answer: Any) -> None:
    assert HIDDEN not in answer.text
    assert shared["above"] not in answer.text
    assert "beside" not in answer.text


@pytest.mark.parametrize("number", range(len(READS)))
async def test_read_by_viewer_or_editor_succeeds(people: People, shared: dict[str, Any], number: int) -> None:
    ada, ed, vi = people
    for reader in (ed, vi):
        answer = await ask(reader, shared, *READS[number])
        assert answer.status_code == 200, answer.text
        assert_shows_nothing_above(ada, shared, answer)
        assert answer.json().get("items") != []


@pytest.mark.parametrize("number", range(len(CHANGES)))
async def test_change_by_editor_succeeds_and_by_viewer_is_forbidden(
    people: People, shared: dict[str, Any], db: Db, number: int
) -> None:
    ada, ed, vi = people
    before = (await ada.me(), await vi.me(), await journal(db, ada))
    assert problem(await ask(vi, shared, *CHANGES[number])) == (403, "forbidden")
    assert (await ada.me(), await vi.me(), await journal(db, ada)) == before
    answer = await ask(ed, shared, *CHANGES[number])
    assert answer.status_code in {200, 201, 204}, answer.text
    if answer.content:
        assert_shows_nothing_above(ada, shared, answer)
    editor = await ed.me()
    assert (editor["used_bytes"], editor["reserved_bytes"], editor["used_nodes"]) == (0, 0, 0)


@pytest.mark.parametrize("number", range(len(OWNERS)))
async def test_operation_of_the_owner_by_grantee_is_refused(
    people: People, shared: dict[str, Any], number: int
) -> None:
    _, ed, vi = people
    for other in (ed, vi):
        assert problem(await ask(other, shared, *OWNERS[number])) in {(403, "forbidden"), (409, "into-itself")}
    assert (await ed.client.get(f"/v1/files/{shared['top']}")).status_code == 200


async def test_unshared_item_is_hidden_from_grantees(people: People, shared: dict[str, Any]) -> None:
    _, ed, vi = people
    for other in (ed, vi):
        for node_id in (shared["above"], shared["beside"]["id"]):
            for path in ("", "/content", "/archive", "/revisions", "/grants", "/links"):
                assert problem(await other.client.get(f"/v1/files/{node_id}{path}")) == (404, "not-found")
            moved = await other.client.patch(f"/v1/files/{shared['file']['id']}", json={"parent_id": node_id})
            assert problem(moved) in {(404, "not-found"), (403, "forbidden")}
        assert await names_in(other.client, "/v1/search", q="beside") == []


async def test_shared_file_hides_its_folder_and_siblings(people: People) -> None:
    ada, ed, _ = people
    folder = await make_folder(ada, f"/{HIDDEN}")
    file = await upload_file(ada, b"one", "one.txt", destination={"parent_id": folder})
    await grant(ada, file["id"], ed, "editor")
    shown = (await ed.client.get(f"/v1/files/{file['id']}")).json()
    assert (shown["path"], shown["parent_id"], shown["role"]) == ("/one.txt", None, "editor")
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/revisions", None),
        ("PATCH", "", {"name": "two.txt"}),
        ("PATCH", "", {"content_type": "text/css"}),
    ):
        answer = await ed.client.request(method, f"/v1/files/{file['id']}{path}", json=body)
        assert answer.status_code == 200
        assert HIDDEN not in answer.text
        assert folder not in answer.text
    put = await ed.client.put(f"/v1/files/{file['id']}/content", content=b"two")
    assert (put.status_code, put.json()["revision_id"] != file["revision_id"]) == (200, True)
    back = await ed.client.post(f"/v1/files/{file['id']}/revisions/{file['revision_id']}/restore")
    assert back.status_code == 200
    assert await download(ed, file["id"]) == b"one"
    assert HIDDEN not in put.text + back.text
    # The editor can neither replace a sibling by its name nor read its id.
    beside = await upload_file(ada, b"secret", "taken.txt", destination={"parent_id": folder})
    renamed = f"/v1/files/{file['id']}/content?name=taken.txt&on_conflict=replace"
    for taken in (
        await ed.client.patch(f"/v1/files/{file['id']}", json={"name": "taken.txt", "on_conflict": "replace"}),
        await ed.client.patch(f"/v1/files/{file['id']}", json={"name": "taken.txt"}),
        await ed.client.put(renamed, content=b"three"),
    ):
        assert problem(taken) == (409, "name-taken")
        assert beside["id"] not in taken.text
    assert await download(ada, beside["id"]) == b"secret"
    assert problem(await ed.client.post(f"/v1/files/{file['id']}/copy", json={"name": "c"}))[0] in {403, 404}
    listed = (await ed.client.get("/v1/files?content_status=verified")).json()["items"]
    assert listed == []


async def test_archive_by_viewer_holds_the_shared_folder(people: People, shared: dict[str, Any]) -> None:
    _, _, vi = people
    archive = await vi.client.get(f"/v1/files/{shared['top']}/archive")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as zipped:
        assert zipped.namelist() == ["shared/", "shared/file.txt", "shared/inner/", "shared/inner/deep.txt"]
    assert await download(vi, shared["deep"]["id"]) == b"deep"


async def test_copy_or_move_to_another_owner_is_refused(people: People, shared: dict[str, Any]) -> None:
    _, ed, vi = people
    for other in (ed, vi):
        own = await make_folder(other, "/own")
        for node_id in (shared["file"]["id"], shared["inner"]):
            copied = await other.client.post(f"/v1/files/{node_id}/copy", json={"parent_id": own})
            assert problem(copied) == (409, "cross-owner")
    moved = await ed.client.patch(f"/v1/files/{shared['file']['id']}", json={"parent_id": own})
    assert problem(moved) in {(409, "cross-owner"), (404, "not-found")}
    mine = await upload_file(ed, b"mine", "mine.txt")
    moved = await ed.client.patch(f"/v1/files/{mine['id']}", json={"parent_id": shared["top"]})
    assert problem(moved) == (409, "cross-owner")


# Nested grants, moves, trash


async def test_nested_grants_give_the_highest_role(people: People, shared: dict[str, Any]) -> None:
    ada, _, vi = people
    below = await grant(ada, shared["inner"], vi, "editor")
    deep, file = f"/v1/files/{shared['deep']['id']}", f"/v1/files/{shared['file']['id']}"
    assert (await vi.client.patch(deep, json={"name": "d.txt"})).json()["path"] == "/shared/inner/d.txt"
    assert problem(await vi.client.patch(file, json={"name": "f.txt"})) == (403, "forbidden")
    assert sorted(await names_in(vi.client, "/v1/shared-with-me")) == ["inner", "shared"]
    await ada.client.delete(f"/v1/files/{shared['top']}/grants/{shared['grants']['vi']['id']}")
    shown = (await vi.client.get(deep)).json()
    assert (shown["path"], shown["role"]) == ("/inner/d.txt", "editor")
    assert problem(await vi.client.get(file)) == (404, "not-found")
    assert (await vi.client.get(f"/v1/files/{shared['inner']}")).json()["parent_id"] is None
    await ada.client.delete(f"/v1/files/{shared['inner']}/grants/{below['id']}")
    assert problem(await vi.client.get(deep)) == (404, "not-found")


async def test_removal_of_a_shared_folder_from_a_viewed_folder_is_forbidden(
    people: People, shared: dict[str, Any]
) -> None:
    """Its removal would change the folder above, which the caller may only view."""
    ada, _, vi = people
    await grant(ada, shared["inner"], vi, "editor")
    other = await make_folder(ada, "/other")
    await grant(ada, other, vi, "editor")
    inner = f"/v1/files/{shared['inner']}"
    for request in (("DELETE", None), ("PATCH", {"parent_id": other})):
        assert problem(await vi.client.request(request[0], inner, json=request[1])) == (403, "forbidden")
    assert (await vi.client.patch(inner, json={"name": "renamed"})).status_code == 200
    deep = f"/v1/files/{shared['deep']['id']}"
    assert (await vi.client.patch(deep, json={"parent_id": other})).status_code == 200


async def test_item_moved_out_of_a_share_is_hidden_from_grantees(people: People, shared: dict[str, Any]) -> None:
    ada, ed, _ = people
    await ada.client.patch(f"/v1/files/{shared['inner']}", json={"parent_id": shared["above"]})
    assert problem(await ed.client.get(f"/v1/files/{shared['deep']['id']}")) == (404, "not-found")
    assert await names_in(ed.client, "/v1/files", parent_id=shared["top"], recursive=True) == ["file.txt"]


async def test_trash_of_shared_items_is_visible_to_the_owner_only(people: People, shared: dict[str, Any]) -> None:
    ada, ed, vi = people
    file_id = shared["file"]["id"]
    assert (await ed.client.delete(f"/v1/files/{file_id}")).status_code == 204
    assert await names_in(ada.client, "/v1/trash") == ["file.txt"]
    for other in (ed, vi):
        assert await names_in(other.client, "/v1/trash") == []
        assert problem(await other.client.get(f"/v1/files/{file_id}")) == (404, "not-found")
        assert problem(await other.client.delete(f"/v1/trash/{file_id}")) == (404, "not-found")
    assert (await ada.client.post(f"/v1/files/{file_id}/restore")).status_code == 200
    assert await download(vi, file_id) == b"one"


# Restore by editors


async def trash_by_replacement(by: Account, shared: dict[str, Any]) -> str:
    """Move another file over the shared one; return the replaced file."""
    over = await upload_file(by, b"over", "over.txt", destination={"parent_id": shared["inner"]})
    body = {"parent_id": shared["top"], "name": "file.txt", "on_conflict": "replace"}
    (await by.client.patch(f"/v1/files/{over['id']}", json=body)).raise_for_status()
    return str(shared["file"]["id"])


async def trash_by_batch(by: Account, shared: dict[str, Any], **more: Any) -> str:
    file_id = str(shared["file"]["id"])
    body = {"operations": [{"op": "trash", "file_id": file_id, **more}]}
    answer = (await by.client.post("/v1/files/batch", json=body)).raise_for_status().json()
    assert answer["items"][0]["status"] == 204
    return file_id


async def trash_alone(by: Account, shared: dict[str, Any]) -> str:
    (await by.client.delete(f"/v1/files/{shared['file']['id']}")).raise_for_status()
    return str(shared["file"]["id"])


async def trash_above(by: Account, shared: dict[str, Any]) -> str:
    (await by.client.delete(f"/v1/files/{shared['inner']}")).raise_for_status()
    return str(shared["inner"])


WAYS = pytest.mark.parametrize("way", [trash_alone, trash_by_batch, trash_by_replacement, trash_above])


async def restore_in_batch(by: Account, file_id: str) -> int:
    body = {"operations": [{"op": "restore", "file_id": file_id}]}
    answer = (await by.client.post("/v1/files/batch", json=body)).raise_for_status().json()
    return int(answer["items"][0]["status"])


@WAYS
async def test_restore_by_the_editor_who_deleted_it_brings_it_back_to_all_members(
    people: People, shared: dict[str, Any], server: RunningServer, db: Db, way: Any
) -> None:
    ada, ed, vi = people
    trashed = await way(ed, shared)
    assert problem(await vi.client.post(f"/v1/files/{trashed}/restore")) == (404, "not-found")
    restored = await ed.client.post(f"/v1/files/{trashed}/restore", headers={"Idempotency-Key": "undo"})
    assert restored.status_code == 200
    assert_shows_nothing_above(ada, shared, restored)
    again = await ed.client.post(f"/v1/files/{trashed}/restore", headers={"Idempotency-Key": "undo"})
    assert (again.status_code, again.json()) == (200, restored.json())
    assert problem(await ed.client.post(f"/v1/files/{trashed}/restore")) == (404, "not-found")
    await relay_changes(server.services)
    for member in people:
        assert (await member.client.get(f"/v1/files/{trashed}")).status_code == 200
        assert ("file.restored", trashed) in await journal(db, member)


@WAYS
async def test_restore_in_a_batch_by_the_editor_who_deleted_it_succeeds(
    people: People, shared: dict[str, Any], way: Any
) -> None:
    _, ed, vi = people
    trashed = await way(ed, shared)
    assert await restore_in_batch(vi, trashed) == 404
    assert await restore_in_batch(ed, trashed) == 200
    assert (await vi.client.get(f"/v1/files/{trashed}")).status_code == 200


@pytest.mark.parametrize("trasher", ["owner", "editor"])
@WAYS
async def test_restore_of_what_another_member_deleted_is_not_found(
    people: People, shared: dict[str, Any], register: Register, db: Db, way: Any, trasher: str
) -> None:
    ada, ed, _ = people
    other = await register()
    await verify(db, other)
    await grant(ada, shared["top"], other, "editor")
    trashed = await way(ada if trasher == "owner" else other, shared)
    assert problem(await ed.client.post(f"/v1/files/{trashed}/restore")) == (404, "not-found")
    assert await restore_in_batch(ed, trashed) == 404
    assert await restore_in_batch(ada, trashed) == 200


async def test_restore_after_a_later_deletion_by_the_owner_is_not_found(people: People, shared: dict[str, Any]) -> None:
    ada, ed, _ = people
    file_id = await trash_alone(ed, shared)
    assert await restore_in_batch(ada, file_id) == 200
    await trash_alone(ada, shared)
    assert problem(await ed.client.post(f"/v1/files/{file_id}/restore")) == (404, "not-found")


@pytest.mark.parametrize("loss", ["demoted", "revoked", "moved out", "folder deleted", "purged"])
async def test_restore_by_a_former_editor_is_not_found(people: People, shared: dict[str, Any], loss: str) -> None:
    ada, ed, _ = people
    trashed = (await upload_file(ed, b"x", "x", destination={"parent_id": shared["inner"]}))["id"]
    kept = await make_folder(ada, "/elsewhere")
    await grant(ada, kept, ed, "editor")
    (await ed.client.delete(f"/v1/files/{trashed}")).raise_for_status()
    at = f"/v1/files/{shared['top']}/grants/{shared['grants']['ed']['id']}"
    match loss:
        case "demoted":
            await ada.client.patch(at, json={"role": "viewer"})
        case "revoked":
            await ada.client.delete(at)
        case "moved out":
            await ada.client.patch(f"/v1/files/{shared['inner']}", json={"parent_id": shared["above"]})
        case "folder deleted":
            await ada.client.delete(f"/v1/files/{shared['inner']}")
        case "purged":
            await ada.client.delete(f"/v1/trash/{trashed}")
    for body in ({}, {"parent_id": kept}):
        answer = await ed.client.post(f"/v1/files/{trashed}/restore", json=body)
        assert problem(answer) == (404, "not-found")
        batched = {"operations": [{"op": "restore", "file_id": trashed, **body}]}
        items = (await ed.client.post("/v1/files/batch", json=batched)).raise_for_status().json()["items"]
        assert items[0]["status"] == 404


async def test_restore_by_an_editor_stays_within_the_owner_and_the_share(
    people: People, shared: dict[str, Any]
) -> None:
    _, ed, _ = people
    file_id = await trash_alone(ed, shared)
    own = await make_folder(ed, "/mine")
    for parent, expected in ((own, (409, "cross-owner")), (shared["above"], (404, "not-found"))):
        answer = await ed.client.post(f"/v1/files/{file_id}/restore", json={"parent_id": parent})
        assert problem(answer) == expected
    moved = await ed.client.post(f"/v1/files/{file_id}/restore", json={"parent_id": shared["inner"]})
    assert moved.json()["parent_id"] == shared["inner"]


async def test_undo_of_nested_deletions_by_an_editor_in_one_batch_succeeds(
    people: People, shared: dict[str, Any]
) -> None:
    ada, ed, _ = people
    inner, deep = shared["inner"], shared["deep"]["id"]
    for node_id in (deep, inner):
        (await ed.client.delete(f"/v1/files/{node_id}")).raise_for_status()
    body = {"operations": [{"op": "restore", "file_id": node_id} for node_id in (inner, deep)]}
    answer = (await ed.client.post("/v1/files/batch", json=body)).raise_for_status().json()
    assert [item["status"] for item in answer["items"]] == [200, 200]
    assert await names_in(ada.client, "/v1/files", parent_id=inner) == ["deep.txt"]


async def test_change_by_editor_with_a_stale_etag_is_412(people: People, shared: dict[str, Any]) -> None:
    ada, ed, _ = people
    at = f"/v1/files/{shared['file']['id']}"
    etag = {"If-Match": (await ed.client.get(at)).json()["etag"]}
    await ada.client.patch(at, json={"name": "ada's.txt"})
    assert problem(await ed.client.patch(at, json={"name": "ed's.txt"}, headers=etag)) == (412, "precondition-failed")
    assert problem(await ed.client.put(f"{at}/content", content=b"x", headers=etag)) == (412, "precondition-failed")


async def test_grant_to_a_service_account_is_effective_at_once(register: Register, db: Db) -> None:
    ada, robot = await register(), await register()
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET kind = 'service' WHERE email = :email"), {"email": robot.email})
    file = await upload_file(ada, b"one", "one.txt")
    assert (await grant(ada, file["id"], robot, "viewer"))["pending"] is False
    at = f"/v1/files/{file['id']}/processing"
    assert (await robot.client.put(at, json={"state": "running"})).status_code == 200
    assert problem(await robot.client.delete(f"/v1/files/{file['id']}")) == (403, "forbidden")
    assert json.loads((await ada.client.get(f"/v1/files/{file['id']}")).text)["processing"]["state"] == "running"


# What an owner shares


async def list_by_me(owner: Account, **query: Any) -> dict[str, Any]:
    listed: dict[str, Any] = (await owner.client.get("/v1/shared-by-me", params=query)).raise_for_status().json()
    return listed


async def test_shared_by_me_lists_each_item_once_by_its_newest_share(
    people: People, shared: dict[str, Any], db: Db
) -> None:
    ada, ed, vi = people
    pending = await make_folder(ada, "/pending")
    linked = await make_folder(ada, "/linked")
    expired = await make_folder(ada, "/expired")
    trashed = await make_folder(ada, "/trashed")
    await make_link(ada, linked)
    invitation = {"email": new_address(), "role": "viewer"}
    (await ada.client.post(f"/v1/files/{pending}/grants", json=invitation)).raise_for_status()
    await make_link(ada, linked)
    dead = await make_link(ada, expired)
    await grant(ada, trashed, vi, "viewer")
    below = await make_folder(ada, "/trashed/below")
    await make_link(ada, below)
    await ada.client.delete(f"/v1/files/{trashed}")
    newest = await make_link(ada, shared["top"])
    async with db.begin() as tx:
        expire = text("UPDATE links SET expires_at = now() WHERE id = :id")
        await tx.execute(expire, {"id": uuid.UUID(dead["id"])})
    expected = [(shared["top"], 2, 1), (linked, 0, 2), (pending, 1, 0)]
    items = (await list_by_me(ada))["items"]
    assert [(one["file"]["id"], one["grant_count"], one["link_count"]) for one in items] == expected
    assert items[0]["shared_at"] == newest["created_at"]
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await list_by_me(ada, limit=1, **cursor)
        paged += [one["file"]["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert paged == [node_id for node_id, _, _ in expected]
    assert (await list_by_me(ed))["items"] == []


async def test_shared_by_me_with_many_shares_reads_ranges_of_indexes(people: People, db: Db) -> None:
    """A page reads the newest shares, not all of them: neither sorts nor aggregates."""
    ada, ed, _ = people
    for name in ("a", "b", "c"):
        await grant(ada, await make_folder(ada, f"/{name}"), ed, "viewer")
    with record_statements(db) as seen:
        first = await list_by_me(ada, limit=1)
        await list_by_me(ada, limit=1, cursor=first["next_cursor"])
    pages = [statement for statement in seen if "ORDER BY share.id" in statement[0]]
    assert len(pages) == 2
    planner = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_bitmapscan": "off"}
    for statement in pages:
        nodes = await explain(db, statement, **planner)
        assert not {node["Node Type"] for node in nodes} & {"Sort", "Seq Scan", "Aggregate"}, statement
        assert {"grants_by_owner_idx", "links_by_owner_idx"} <= {node.get("Index Name") for node in nodes}
