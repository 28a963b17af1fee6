"""Batches of changes: each item is answered as its single operation, in order, and a refused one changes nothing."""

import asyncio
import hashlib
import uuid
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.plans import record_statements
from tests.support.server import Account, RunningServer, create_folder, problem, upload_file
from tests.support.sharing import make_folder

pytestmark = pytest.mark.usefixtures("invariants_hold")

Items = list[dict[str, Any]]


async def run(account: Account, *operations: dict[str, Any], key: str | None = None) -> Items:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await account.client.post("/v1/files/batch", json={"operations": operations}, headers=headers)
    items: Items = answer.raise_for_status().json()["items"]
    assert len(items) == len(operations)
    return items


def outcomes(items: Items) -> list[int | str]:
    """Return the status of each item, or the code of its problem."""
    return [item["problem"]["code"] if item["problem"] else item["status"] for item in items]


def move(file_id: str, parent_id: str | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": "move", "file_id": file_id, "parent_id": parent_id, "name": name} | more


def trash(file_id: str, **more: Any) -> dict[str, Any]:
    return {"op": "trash", "file_id": file_id} | more


def copy(file_id: str, parent_id: str | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": "copy", "file_id": file_id, "parent_id": parent_id, "name": name} | more


async def count_revisions(account: Account, file_id: str) -> int:
    return len((await account.client.get(f"/v1/files/{file_id}/revisions")).raise_for_status().json()["items"])


async def list_paths(account: Account) -> list[str]:
    listed = await account.client.get("/v1/files", params={"path": "/", "recursive": True, "limit": 1000})
    return [item["path"] for item in listed.raise_for_status().json()["items"]]


async def share(owner: Account, folder_id: str, grantee: Account, role: str = "editor") -> None:
    body = {"user_id": (await grantee.me())["id"], "role": role}
    (await owner.client.post(f"/v1/files/{folder_id}/grants", json=body)).raise_for_status()


async def hash_below(account: Account, path: str) -> str:
    listed = await account.client.get("/v1/files", params={"path": path, "recursive": True, "limit": 1000})
    lines = sorted(f"{item['id']} {item['etag']}\n" for item in listed.raise_for_status().json()["items"])
    return hashlib.sha256("".join(lines).encode()).hexdigest()


async def test_items_of_a_batch_see_the_changes_of_earlier_ones(account: Account) -> None:
    file = await upload_file(account, b"a", "a")
    old = await create_folder(account, "/old/below")
    gone = await create_folder(account, "/gone")
    (await account.client.delete(f"/v1/files/{gone['id']}")).raise_for_status()
    items = await run(
        account,
        {"op": "create_folder", "name": "new"},
        {"op": "create_folder", "parent_item": 0, "name": "inner"},
        {"op": "move", "file_id": file["id"], "parent_item": 1},
        {"op": "copy", "file_id": file["id"], "parent_item": 0, "name": "copy"},
        {"op": "move", "file_id": old["id"], "parent_item": 1, "name": "moved"},
        {"op": "restore", "file_id": gone["id"], "parent_item": 0},
        trash(old["parent_id"]),
        {"op": "create_folder", "name": "old"},
        {"op": "copy", "file_id": old["id"], "parent_item": 7},
    )
    assert outcomes(items) == [201, 201, 200, 201, 200, 200, 204, 201, 201]
    assert await list_paths(account) == [
        "/new",
        "/new/copy",
        "/new/gone",
        "/new/inner",
        "/new/inner/a",
        "/new/inner/moved",
        "/old",
        "/old/moved",
    ]
    assert [item["file"] and item["file"]["path"] for item in items] == [
        "/new",
        "/new/inner",
        "/new/inner/a",
        "/new/copy",
        "/new/inner/moved",
        "/new/gone",
        None,
        "/old",
        "/old/moved",
    ]
    current = await account.client.get(f"/v1/files/{file['id']}")
    assert items[2]["file"] == current.json(), "the ETag is the one after the batch"


async def test_swap_and_chain_of_names_in_one_batch_succeed(account: Account) -> None:
    a, b, c = [await upload_file(account, name.encode(), name) for name in "abc"]
    items = await run(
        account, move(a["id"], name="t"), move(b["id"], name="a"), move(a["id"], name="b"), trash(c["id"]),
        {"op": "create_folder", "name": "c"},
    )  # fmt: skip
    assert outcomes(items) == [200, 200, 200, 204, 201]
    assert [items[n]["file"]["name"] for n in (0, 1, 2)] == ["b", "a", "b"]
    assert await list_paths(account) == ["/a", "/b", "/c"]


async def test_refused_items_change_nothing_and_the_others_go_on(account: Account, register: Register) -> None:
    stranger = await register()
    foreign = await upload_file(stranger, b"f", "foreign")
    a, b = await create_folder(account, "/a"), await create_folder(account, "/b")
    file, changed = await upload_file(account, b"1", "file"), await upload_file(account, b"2", "changed")
    stale = changed["etag"]
    (await account.client.patch(f"/v1/files/{changed['id']}", json={"name": "changed again"})).raise_for_status()
    items = await run(
        account,
        move(a["id"], b["id"]),
        move(b["id"], a["id"]),
        move(str(uuid.uuid4()), a["id"]),
        move(foreign["id"], a["id"]),
        move(changed["id"], a["id"], if_match=stale),
        move(file["id"], b["id"], name="."),
        {"op": "create_folder", "name": "file"},
        {"op": "create_folder", "parent_item": 6, "name": "below a refused one"},
        {"op": "move", "file_id": file["id"], "parent_item": 7},
        move(file["id"], foreign["id"]),
        move(file["id"], b["id"], if_match=file["etag"]),
        trash(file["id"], if_match=file["etag"]),
    )
    assert outcomes(items) == [
        200,
        "into-itself",
        "not-found",
        "not-found",
        "precondition-failed",
        "invalid-name",
        "name-taken",
        "dependency-failed",
        "dependency-failed",
        "not-found",
        200,
        "precondition-failed",
    ]
    assert items[2]["problem"] == items[3]["problem"], "a foreign id and an unknown one look alike"
    assert items[8]["problem"]["item"] == 7
    assert [item["status"] for item in items] == [(item["problem"] or item)["status"] for item in items]
    assert await list_paths(account) == ["/b", "/b/a", "/b/file", "/changed again"]
    assert await list_paths(stranger) == ["/foreign"]


async def test_if_match_of_an_item_needs_no_quotes(account: Account) -> None:
    file = await upload_file(account, b"1", "file")
    items = await run(account, move(file["id"], name="x", if_match=file["etag"].strip('"')))
    assert outcomes(items) == [200]


async def test_batch_permits_what_the_single_operations_permit(register: Register) -> None:
    owner, editor, viewer = await register(), await register(), await register()
    folder_id = await make_folder(owner, "/shared")
    inner_id = await make_folder(owner, "/shared/inner")
    file = await upload_file(owner, b"1", "file", destination={"parent_id": folder_id})
    await share(owner, folder_id, editor)
    await share(owner, folder_id, viewer, "viewer")
    own = await create_folder(editor, "/own")
    operations = [
        move(file["id"], name="renamed"),
        {"op": "copy", "file_id": file["id"], "name": "copy"},
        {"op": "create_folder", "parent_id": folder_id, "name": "made"},
        move(file["id"], inner_id),
        move(file["id"], own["id"]),
        move(folder_id, name="other"),
        trash(folder_id),
        trash(file["id"]),
        {"op": "restore", "file_id": file["id"]},
    ]
    assert outcomes(await run(viewer, *operations)) == [*["forbidden"] * 8, "not-found"]
    items = await run(editor, *operations)
    assert outcomes(items) == [200, 201, 201, 200, "cross-owner", 200, "forbidden", 204, 200]
    assert await list_paths(owner) == ["/other", "/other/copy", "/other/inner", "/other/inner/renamed", "/other/made"]


async def test_trash_of_a_folder_that_changed_below_is_refused(account: Account) -> None:
    folder = await create_folder(account, "/folder")
    await create_folder(account, "/folder/below")
    await upload_file(account, b"1", "file", destination={"folder_path": "/folder/below"})
    seen = await hash_below(account, "/folder")
    added = await upload_file(account, b"2", "added", destination={"folder_path": "/folder/below"})
    etag = (await account.client.get(f"/v1/files/{folder['id']}")).json()["etag"]
    assert etag == folder["etag"], "the ETag of a folder does not show it"
    assert outcomes(await run(account, trash(folder["id"], if_match=etag, if_tree=seen))) == ["tree-changed"]
    items = await run(account, trash(added["id"]), trash(folder["id"], if_tree=seen))
    assert outcomes(items) == [204, 204], "the items before it count"


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [{"op": "create_folder", "name": "x"}] * 501,
        [{"op": "create_folder", "name": "x", "parent_item": 0}],
        [{"op": "trash", "file_id": str(uuid.uuid4())}, {"op": "create_folder", "name": "x", "parent_item": 0}],
        [{"op": "purge", "file_id": str(uuid.uuid4())}],
        [{"op": "move", "file_id": str(uuid.uuid4())}],
    ],
    ids=["none", "501", "itself", "no folder", "unknown operation", "no change"],
)
async def test_malformed_batch_is_invalid_as_a_whole(visitor: Account, operations: Items) -> None:
    answer = await visitor.client.post("/v1/files/batch", json={"operations": operations})
    assert problem(answer) == (422, "invalid-request")
    assert await list_paths(visitor) == []


async def test_repeated_batch_is_answered_from_its_key(account: Account, register: Register) -> None:
    owner = await register()
    shared_id = await make_folder(owner, "/shared")
    await share(owner, shared_id, account)
    make = {"op": "create_folder", "name": "made", "on_conflict": "rename"}
    operations = [make, make | {"parent_id": shared_id}]
    first = await run(account, *operations, key="a-batch")
    assert await run(account, *operations, key="a-batch") == first
    assert await list_paths(owner) == ["/shared", "/shared/made"]
    other = await account.client.post(
        "/v1/files/batch", json={"operations": [make]}, headers={"Idempotency-Key": "a-batch"}
    )
    assert problem(other) == (422, "idempotency-mismatch")


async def test_concurrent_batches_on_the_same_trees_all_end(register: Register) -> None:
    first, second = await register(), await register()
    one, two = await make_folder(first, "/one"), await make_folder(second, "/two")
    await share(first, one, second)
    await share(second, two, first)
    made = [{"op": "create_folder", "parent_id": parent, "name": "n", "on_conflict": "rename"} for parent in (one, two)]
    batches = [run(account, *made[::step]) for account, step in ((first, 1), (second, -1)) for _ in range(4)]
    for items in await asyncio.gather(*batches):
        assert outcomes(items) == [201, 201]
    assert len(await list_paths(first)) == len(await list_paths(second)) == 1 + 8


async def test_events_of_a_batch_come_in_the_order_of_its_items(account: Account) -> None:
    file = await upload_file(account, b"1", "file")
    cursor = (await account.client.get("/v1/events/cursor")).json()["cursor"]
    made = copy(file["id"], name="copy")
    await run(account, {"op": "create_folder", "name": "f"}, move(file["id"], name="x"), made, trash(file["id"]))
    events = (await account.client.get("/v1/events", params={"cursor": cursor})).json()["events"]
    assert [event["kind"] for event in events] == ["file.created", "file.renamed", "file.created", "file.trashed"]


async def test_batch_of_more_moves_runs_no_more_statements(server: RunningServer, account: Account) -> None:
    target = await create_folder(account, "/target")
    files = [await upload_file(account, bytes([n]), f"{n}") for n in range(11)]
    counts = []
    for some in (files[:2], files[2:]):
        with record_statements(server.db) as seen:
            items = await run(account, *(move(file["id"], target["id"]) for file in some))
        assert outcomes(items) == [200] * len(some)
        counts.append(len(seen))
    assert counts[0] == counts[1]


async def test_batch_of_more_copies_of_files_runs_no_more_statements(server: RunningServer, account: Account) -> None:
    target = await create_folder(account, "/target")
    files = [await upload_file(account, bytes([n]), f"{n}") for n in range(33)]
    for file in files:
        await run(account, copy(file["id"], target["id"], "taken " + file["name"]))
    counts = []
    for some in (files[:3], files[3:]):
        policies = ("fail", "replace", "rename") * (len(some) // 3)
        operations = [
            copy(file["id"], target["id"], ("" if policy == "fail" else "taken ") + file["name"], on_conflict=policy)
            for file, policy in zip(some, policies, strict=True)
        ]
        with record_statements(server.db) as seen:
            items = await run(account, *operations)
        assert outcomes(items) == [201] * len(some)
        counts.append(len(seen))
    assert counts[0] == counts[1]


async def test_copies_of_one_batch_see_each_other(account: Account) -> None:
    a, b = await upload_file(account, b"a", "a"), await upload_file(account, b"b", "b")
    folder = await create_folder(account, "/b2")
    items = await run(
        account,
        copy(a["id"], name="b", on_conflict="replace"),
        copy(b["id"], name="c"),
        copy(b["id"], name="d", if_match=b["etag"]),
        copy(a["id"], name="c"),
        copy(a["id"], name="b2", on_conflict="replace"),
        copy(a["id"], name="a", on_conflict="replace"),
        copy(a["id"], name="c", on_conflict="rename"),
        copy(b["id"], name="C", on_conflict="rename"),
        copy(folder["id"], folder["id"], name="inner"),
        copy(a["id"], folder["id"], name="inner"),
        copy(a["id"], name="e"),
        copy(folder["id"], name="e"),
        copy(b["id"], name="e", on_conflict="replace"),
    )
    assert outcomes(items) == [
        201, 201, "precondition-failed", "name-taken", "name-taken", "name-taken",
        201, 201, 201, "name-taken", 201, "name-taken", 201,
    ]  # fmt: skip
    made = [item["file"] for item in items]
    assert [file and file["path"] for file in made] == [
        "/b", "/c", None, None, None, None, "/c (1)", "/C (2)", "/b2/inner", None, "/e", None, "/e"
    ]  # fmt: skip
    assert made[1]["fingerprint"] == a["fingerprint"], "the content after the first item"
    assert items[3]["problem"]["file_id"] == made[1]["id"]
    assert (made[0]["id"], made[12]["id"]) == (b["id"], made[10]["id"]), "replaced files keep their ids"
    assert await count_revisions(account, b["id"]) == await count_revisions(account, made[12]["id"]) == 2


async def test_copies_beyond_the_quota_of_nodes_are_refused_one_by_one(db: Db, account: Account) -> None:
    a, b = await upload_file(account, b"a", "a"), await upload_file(account, b"b", "b")
    async with db.begin() as tx:
        room = text("UPDATE users SET quota_nodes = used_nodes + 2 WHERE id = :id")
        await tx.execute(room, {"id": (await account.me())["id"]})
    items = await run(
        account,
        {"op": "create_folder", "name": "folder"},
        {"op": "copy", "file_id": a["id"], "parent_item": 0},
        {"op": "copy", "file_id": b["id"], "parent_item": 0},
        copy(a["id"], name="b", on_conflict="replace"),
        {"op": "create_folder", "name": "too many"},
    )
    assert outcomes(items) == [201, 201, "too-many-files", 201, "too-many-files"]
    assert await list_paths(account) == ["/a", "/b", "/folder", "/folder/a"]


FOLDERS = 4


async def build_tree(account: Account) -> list[str]:
    """Make the same few folders and files in each account; return their ids."""
    folders = [await create_folder(account, path) for path in ("/a", "/a/b", "/a/b/c", "/d")]
    files = [await upload_file(account, name.encode(), name, destination={"folder_path": "/a/b"}) for name in "xyz"]
    return [item["id"] for item in (*folders, *files)]


def draw_operations(random: Random, ids: list[str], count: int) -> Items:
    """Draw operations, often several of one kind in a row."""
    drawn: Items = []
    while len(drawn) < count:
        op = random.choice(["move", "move", "copy", "copy", "trash", "restore", "create_folder"])
        drawn += (draw_operation(random, op, ids) for _ in range(random.choice([1, 2, 6]) if op == "copy" else 2))
    return drawn[:count]


def draw_operation(random: Random, op: str, ids: list[str]) -> dict[str, Any]:
    third_policy = {"create_folder": "reuse", "restore": "rename"}.get(op, "replace")
    place = {
        "parent_id": random.choice(ids[:FOLDERS] * 3 + ids),
        "name": random.choice("abcxyz"),
        "on_conflict": random.choice(["fail", "rename", third_policy]),
    }
    subject = {"op": op, "file_id": random.choice(ids)}
    return subject if op == "trash" else {"op": op} | place if op == "create_folder" else subject | place


async def run_alone(account: Account, operation: dict[str, Any]) -> int | str:
    """Send the single request of an operation; return its status, or the code of its problem."""
    body = {name: value for name, value in operation.items() if name not in {"op", "file_id"}}
    address = f"/v1/files/{operation.get('file_id')}"
    match operation["op"]:
        case "move":
            answer = await account.client.patch(address, json=body)
        case "trash":
            answer = await account.client.delete(address)
        case "create_folder":
            answer = await account.client.post("/v1/folders", json=body)
        case op:
            answer = await account.client.post(f"{address}/{op}", json=body)
    return answer.status_code if answer.is_success else str(answer.json()["code"])


async def describe(account: Account, cursor: str) -> dict[str, Any]:
    """Return what an account has after `cursor`, without its ids: files and folders, trash, and events in order."""
    listed = await account.client.get("/v1/files", params={"path": "/", "recursive": True, "limit": 1000})
    trashed = await account.client.get("/v1/trash", params={"limit": 1000})
    events = (await account.client.get("/v1/events", params={"cursor": cursor, "limit": 1000})).json()["events"]
    files = listed.json()["items"]
    return {
        "files": [(item["path"], item["fingerprint"], item["content_status"], item["executable"]) for item in files],
        "revisions": {
            item["path"]: await count_revisions(account, item["id"]) for item in files if item["kind"] == "file"
        },
        "actions": {item["path"]: await list_actions(account, item["id"]) for item in files},
        "trash": sorted(item["path"] for item in trashed.json()["items"]),
        "events": [(event["kind"], event["file"] and event["file"]["path"]) for event in events],
    }


async def list_actions(account: Account, file_id: str) -> list[str]:
    listed = await account.client.get(f"/v1/files/{file_id}/activity")
    return [item["action"] for item in listed.raise_for_status().json()["items"]]


@pytest.mark.parametrize("seed", range(4))
async def test_batch_has_the_outcome_of_its_operations_one_by_one(register: Register, seed: int) -> None:
    alone, together = await register(), await register()
    ids = [await build_tree(account) for account in (alone, together)]
    cursors = [(await one.client.get("/v1/events/cursor")).json()["cursor"] for one in (alone, together)]
    single = [await run_alone(alone, one) for one in draw_operations(Random(seed), ids[0], 80)]
    items = await run(together, *draw_operations(Random(seed), ids[1], 80))
    assert outcomes(items) == single
    assert {type(outcome) for outcome in single} == {int, str}
    assert await describe(together, cursors[1]) == await describe(alone, cursors[0])


async def test_batch_repeated_after_a_crash_and_a_new_grant_answers_each_item(register: Register, db: Db) -> None:
    ada, ed = await register(), await register()
    shared, hidden = await make_folder(ada, "/shared"), await make_folder(ada, "/hidden")
    await share(ada, shared, ed)
    operations = [
        {"op": "create_folder", "name": "first", "parent_id": hidden},
        {"op": "create_folder", "name": "second", "parent_id": shared},
    ]
    first = await run(ed, *operations, key="crash")
    async with db.begin() as tx:  # as a crash between two owners leaves it
        lost = text("UPDATE idempotency_keys SET status = NULL, answer = NULL WHERE user_id = :id AND key = 'crash'")
        await tx.execute(lost, {"id": uuid.UUID((await ed.me())["id"])})
    await share(ada, hidden, ed)
    assert await run(ed, *operations, key="crash") == first
    assert outcomes(first) == ["not-found", 201]
