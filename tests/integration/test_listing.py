"""Lists through HTTP in pages: a folder in six orders, recursive lists, and lists by fingerprint or state."""

import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from dropbox_api.core import names
from dropbox_api.db import Db
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.sort_names import sort_names
from tests.support.plans import explain, record_statements
from tests.support.server import (
    UNKNOWN_ID,
    Account,
    RunningServer,
    create_folder,
    problem,
    register_account,
    separate_server,
    sha256,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


ORDERS = ["name", "-name", "size", "-size", "modified", "-modified"]


async def page(account: Account, **query: Any) -> dict[str, Any]:
    answer = await account.client.get("/v1/files", params=query)
    listed: dict[str, Any] = answer.raise_for_status().json()
    return listed


async def pages(
    account: Account, limit: int, between: Callable[[], Awaitable[None]] | None = None, **query: Any
) -> list[dict[str, Any]]:
    """Return the items of all pages; `between` is called after each page but the last."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await page(account, limit=limit, **query, **cursor)
        assert len(answer["items"]) <= limit
        items += answer["items"]
        if answer["next_cursor"] is None:
            return items
        assert len(answer["items"]) == limit
        cursor = {"cursor": answer["next_cursor"]}
        if between:
            await between()


async def put_files(account: Account, *files: tuple[str, bytes]) -> None:
    """Upload files with these paths and contents."""
    for path, data in files:
        folder, _, name = path.rpartition("/")
        await upload_file(account, data, name, destination={"folder_path": folder or "/"})


async def trash(account: Account, file_id: str) -> None:
    (await account.client.delete(f"/v1/files/{file_id}")).raise_for_status()


async def rename(account: Account, file_id: str, name: str) -> None:
    (await account.client.patch(f"/v1/files/{file_id}", json={"name": name})).raise_for_status()


def paths(items: list[dict[str, Any]]) -> list[str]:
    return [item["path"] for item in items]


def forged(*key: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


# Orders of a folder


@pytest.fixture(scope="module")
async def shelf(server: RunningServer) -> AsyncIterator[Account]:
    """An account whose folder /shelf holds files of few sizes and two folders; the tests do not change it."""
    account = await register_account(server.url)
    async with account.client:
        contents = {
            "b.txt": b"22",
            "A.txt": b"1",
            "ä": b"333",
            "10": b"22",
            "9": b"",
            "a b": b"1",
            "Z": b"22",
            "日本": b"1",
        }
        await put_files(account, *((f"/shelf/{name}", data) for name, data in contents.items()))
        for name in ("Folder", "another folder"):
            await create_folder(account, f"/shelf/{name}")
        gone = await upload_file(account, b"22", "gone", destination={"folder_path": "/shelf"})
        await trash(account, gone["id"])
        yield account


@pytest.mark.parametrize("order", ORDERS)
async def test_list_of_a_folder_in_pages_of_any_size_keeps_the_order(shelf: Account, order: str) -> None:
    everything = await pages(shelf, 1000, path="/shelf")
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "name": lambda item: names.make_sort_key(names.make_key(item["name"])),
        "size": lambda item: (item["size_bytes"] or 0, item["id"]),
        "modified": lambda item: (item["modified_at"], item["id"]),
    }
    expected = sorted(everything, key=keys[order.removeprefix("-")], reverse=order.startswith("-"))
    assert len(expected) == 10
    for limit in (1, 2, 5, 9, 10, 1000):
        assert await pages(shelf, limit, path="/shelf", order=order) == expected


async def test_list_by_name_is_in_natural_order_after_every_way_to_get_a_name(account: Account) -> None:
    """Uploads, folders, conflict names, renames, moves, copies and restores all give a name its place."""
    ids = {}
    for name in ("file10", "file2", "Äpfel", "apfel 3", "x"):
        ids[name] = (await upload_file(account, name.encode(), name))["id"]
    await create_folder(account, "/n20/m11")
    folder = await create_folder(account, "/n3")
    again = {"name": "file2", "on_conflict": "rename"}
    (await account.client.post(f"/v1/files/{ids['x']}/copy", json=again)).raise_for_status()
    await rename(account, ids["x"], "file1")
    n20 = (await account.client.get("/v1/files/by-path", params={"path": "/n20"})).json()["id"]
    (await account.client.post(f"/v1/files/{n20}/copy", json={"name": "n100"})).raise_for_status()
    move = {"parent_path": "/n100", "name": "m2"}
    (await account.client.patch(f"/v1/files/{folder['id']}", json=move)).raise_for_status()
    await trash(account, ids["file10"])
    (await account.client.post(f"/v1/files/{ids['file10']}/restore", json={"name": "file03"})).raise_for_status()
    listed = paths(await pages(account, 3))
    assert listed == ["/Äpfel", "/apfel 3", "/file1", "/file2", "/file2 (1)", "/file03", "/n20", "/n100"]
    assert paths(await pages(account, 3, order="-name")) == listed[::-1]
    assert paths(await pages(account, 1, path="/n100")) == ["/n100/m2", "/n100/m11"]


async def test_list_of_names_that_an_older_server_wrote_is_complete_and_soon_in_order(
    hoard: Account, large: RunningServer
) -> None:
    """During an update the version before writes names without their place in natural order."""
    folder = await create_folder(hoard, "/rolling")
    for name in ("file10", "file9", "other"):
        await create_folder(hoard, f"/rolling/{name}")
    async with large.db.begin() as tx:
        bound = {"parent_id": folder["id"]}
        renamed = "UPDATE nodes SET name = 'file1', name_key = 'file1' WHERE parent_id = :parent_id AND name = 'other'"
        await tx.execute(text(renamed), bound)
        added = """
            INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key)
            SELECT gen_random_uuid(), owner_id, id, 'folder', n, n FROM nodes, unnest(ARRAY['file2', 'other']) n
            WHERE id = :parent_id"""
        await tx.execute(text(added), bound)
    expected = [f"/rolling/{name}" for name in ("file1", "file2", "file9", "file10", "other")]
    for limit in (1, 2, 9):
        assert sorted(paths(await pages(hoard, limit, path="/rolling"))) == sorted(expected)
    assert (await sort_names(large.services)).done == 3
    assert (await sort_names(large.services)).done == 0
    assert paths(await pages(hoard, 2, path="/rolling")) == expected


async def test_list_of_items_of_equal_time_and_size_is_ordered_by_id(hoard: Account, large: RunningServer) -> None:
    """Rows of one transaction have equal times; a cursor of the time alone would skip or repeat rows."""
    folder = await create_folder(hoard, "/at once")
    await insert_nodes(large.db, hoard, folder["id"], 25)
    for order in ("size", "-size", "modified", "-modified"):
        listed = await pages(hoard, 4, path="/at once", order=order)
        ids = [item["id"] for item in listed]
        assert ids == sorted(ids, reverse=order.startswith("-"))
        assert len(ids) == 25


@pytest.mark.parametrize(("kind", "total"), [(None, 10), ("folder", 2), ("file", 8)])
async def test_list_that_counts_has_the_number_of_entries_of_the_folder(
    shelf: Account, kind: str | None, total: int
) -> None:
    query = {"path": "/shelf", "limit": "1", "count": "true"} | ({"kind": kind} if kind else {})
    for thumbnails in ("false", "true"):
        query["thumbnails"] = thumbnails
        page = (await shelf.client.get("/v1/files", params=query)).json()
        assert page["total"] == total
        query["cursor"] = page["next_cursor"]
    assert (await shelf.client.get("/v1/files", params={"path": "/shelf"})).json()["total"] is None


@pytest.mark.parametrize("order", ORDERS)
async def test_list_of_one_kind_has_the_order_of_the_whole_list(shelf: Account, order: str) -> None:
    everything = await pages(shelf, 1000, path="/shelf", order=order)
    for kind, count in (("file", 8), ("folder", 2)):
        expected = [item for item in everything if item["kind"] == kind]
        assert len(expected) == count
        for limit in (1, 3, 1000):
            assert await pages(shelf, limit, path="/shelf", order=order, kind=kind) == expected


async def test_list_of_few_folders_among_many_files_reads_the_folders_alone(
    hoard: Account, large: RunningServer
) -> None:
    folder = await create_folder(hoard, "/mixed")
    for n in (10, 9, 1):
        await create_folder(hoard, f"/mixed/n{n}")
    await insert_nodes(large.db, hoard, folder["id"], 20_000, kind="file")
    async with large.db.begin() as tx:
        await tx.exec_driver_sql("ANALYZE nodes")
    for order, expected in (("name", ["n1", "n9", "n10"]), ("-name", ["n10", "n9", "n1"])):
        with record_statements(large.db) as seen:
            first = await page(hoard, path="/mixed", kind="folder", order=order, limit=2)
            rest = await page(hoard, path="/mixed", kind="folder", order=order, cursor=first["next_cursor"])
        assert [item["name"] for item in first["items"] + rest["items"]] == expected
        lists = [question for question in seen if "ORDER BY nodes." in question[0]]
        assert len(lists) == 2
        for question in lists:
            nodes = await explain(large.db, question)
            (scan,) = [node for node in nodes if node.get("Relation Name") == "nodes"]
            assert scan["Index Name"] == "nodes_folders_by_name_idx"


async def test_list_after_a_replacement_follows_the_new_size_and_time(account: Account) -> None:
    await put_files(account, ("/a", b"1"), ("/b", b"22"), ("/c", b"333"))
    await upload_file(account, b"4444", "a", destination={"on_conflict": "replace"})
    assert paths(await pages(account, 2, order="-size")) == ["/a", "/c", "/b"]
    assert paths(await pages(account, 2, order="-modified")) == ["/a", "/c", "/b"]


async def test_cursor_of_another_order_is_refused(shelf: Account) -> None:
    cursors = {order: (await page(shelf, path="/shelf", order=order, limit=2))["next_cursor"] for order in ORDERS}
    cursors["recursive"] = (await page(shelf, path="/shelf", recursive=True, limit=2))["next_cursor"]
    cursors["matching"] = (await page(shelf, content_status="verified", limit=2))["next_cursor"]
    for made_for, cursor in cursors.items():
        for order in ORDERS:
            if order != made_for:
                query = {"path": "/shelf", "order": order, "cursor": cursor}
                assert problem(await shelf.client.get("/v1/files", params=query)) == (422, "invalid-cursor")


async def test_recursive_cursor_of_another_folder_is_refused(shelf: Account) -> None:
    cursor = (await page(shelf, path="/shelf", recursive=True, limit=2))["next_cursor"]
    query = {"path": "/", "recursive": "true", "cursor": cursor}
    assert problem(await shelf.client.get("/v1/files", params=query)) == (422, "invalid-cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"order": "name", "cursor": forged("files name 1", "\0", UNKNOWN_ID)},
        {"order": "name", "cursor": forged("files name 1", "a")},
        {"order": "name", "cursor": forged("files name 0", "a\x01a", UNKNOWN_ID)},
        {"order": "size", "cursor": forged("files size 1", 1, "x")},
        {"order": "size", "cursor": forged("files size 1", "1", UNKNOWN_ID)},
        {"order": "size", "cursor": forged("files size 1", 2**63, UNKNOWN_ID)},
        {"order": "modified", "cursor": forged("files modified 1", "2026-01-01T00:00:00", UNKNOWN_ID)},
        {"order": "modified", "cursor": forged("files modified 1", "yesterday", UNKNOWN_ID)},
        {"order": "-modified", "cursor": forged("files -modified 1", "9999-12-31T23:59:59-23:00", UNKNOWN_ID)},
        {"processing": "failed", "cursor": forged("files matching", "x")},
        {"processing": "failed", "cursor": forged("files matching", 1)},
    ],
    ids=str,
)
async def test_forged_cursor_is_refused(shelf: Account, query: dict[str, str]) -> None:
    assert problem(await shelf.client.get("/v1/files", params=query)) == (422, "invalid-cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"order": "size,name"},
        {"order": "-"},
        {"order": ""},
        {"recursive": "perhaps"},
        {"recursive": "true", "order": "-name"},
        {"recursive": "true", "order": "size"},
        {"recursive": "true", "kind": "folder"},
        {"fingerprint": "a" * 64, "kind": "file"},
        {"recursive": "true", "count": "true"},
        {"processing": "failed", "count": "true"},
        {"kind": "link"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": str(2**70)},
        {"fingerprint": "x"},
        {"fingerprint": "A" * 64},
        {"content_status": "deleting"},
        {"content_status": ""},
        {"processing": "done"},
    ],
    ids=str,
)
async def test_list_with_an_invalid_order_or_filter_is_refused(shelf: Account, query: dict[str, str]) -> None:
    assert problem(await shelf.client.get("/v1/files", params=query)) == (422, "invalid-request")


# Cost of a page of a large folder


INSERT_MANY = """
    INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key, name_sort, size_bytes, modified_at)
    SELECT gen_random_uuid(), :owner_id, :parent_id, '{kind}', n, n, n || chr(1) || n, {size_bytes}, {modified_at}
    FROM (SELECT i, md5(i::text) AS n FROM generate_series(1, :count) i) made
"""


async def insert_nodes(
    db: Db,
    account: Account,
    parent_id: str,
    count: int,
    size_bytes: str = "0",
    modified_at: str = "now()",
    *,
    kind: str = "folder",
) -> None:
    """Insert many entries into a folder in one transaction; sizes and times are SQL expressions of `i`."""
    statement = INSERT_MANY.format(size_bytes=size_bytes, modified_at=modified_at, kind=kind)
    async with db.begin() as tx:
        bound = {"owner_id": (await account.me())["id"], "parent_id": parent_id, "count": count}
        await tx.execute(text(statement), bound)


@pytest.fixture(scope="module")
async def large(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with its own database: the rows that these tests insert have neither events nor stored content."""
    async with separate_server(postgres_url, s3_config) as running:
        yield running


@pytest.fixture(scope="module")
async def hoard(large: RunningServer) -> AsyncIterator[Account]:
    """An account whose folder /large holds 100,000 entries."""
    account = await register_account(large.url)
    async with account.client:
        folder = await create_folder(account, "/large")
        await insert_nodes(large.db, account, folder["id"], 100_000, "i % 1000", "now() - i * interval '1 second'")
        async with large.db.begin() as tx:
            await tx.exec_driver_sql("ANALYZE nodes")
        yield account


@pytest.mark.parametrize("order", ORDERS)
async def test_page_of_a_large_folder_reads_one_range_of_an_index(
    hoard: Account, large: RunningServer, order: str
) -> None:
    """The first page and a page after a cursor need no sort and no filter, under custom and generic plans."""
    index = {"name": "nodes_by_name_idx", "size": "nodes_by_size_idx", "modified": "nodes_by_time_idx"}
    with record_statements(large.db) as seen:
        first = await page(hoard, path="/large", order=order)
        await page(hoard, path="/large", order=order, cursor=first["next_cursor"])
    lists = [question for question in seen if "ORDER BY nodes." in question[0]]
    assert len(lists) == 2
    for question in lists:
        for mode in ("force_custom_plan", "force_generic_plan"):
            nodes = await explain(large.db, question, plan_cache_mode=mode)
            assert not {node["Node Type"] for node in nodes} & {"Sort", "Incremental Sort"}, (mode, question)
            (scan,) = [node for node in nodes if node.get("Relation Name") == "nodes"]
            assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", index[order.removeprefix("-")])
            assert "parent_id" in scan["Index Cond"]
            assert "Filter" not in scan


# Recursive lists


Model = dict[str, Any]


def walk(tree: Model, above: str = "") -> Iterator[str]:
    """Yield the paths of a nested dict (None: a file), depth-first: the expected order of the server."""
    for name in sorted(tree, key=names.make_key):
        yield f"{above}/{name}"
        if tree[name] is not None:
            yield from walk(tree[name], f"{above}/{name}")


def random_tree(chance: random.Random, depth: int = 0) -> Model:
    tree: Model = {}
    for _ in range(chance.randrange(5) + (depth == 0) * 4):
        name = chance.choice("aBcDé日_-. x!") + chance.choice(["", "a", ".b", "-", " 1", "😀"])
        is_folder = depth < 5 and chance.random() < 0.6
        if not any(names.make_key(name) == names.make_key(other) for other in tree) and name.strip(". "):
            tree[name] = random_tree(chance, depth + 1) if is_folder else None
    return tree


async def plant(account: Account, tree: Model, above: str = "") -> None:
    for name, below in tree.items():
        if below is None:
            await upload_file(account, b"leaf", name, destination={"folder_path": above or "/"})
        else:
            await create_folder(account, f"{above}/{name}")
            await plant(account, below, f"{above}/{name}")


async def test_recursive_list_in_pages_of_any_size_is_depth_first(account: Account) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    tree = random_tree(random.Random(seed))
    await plant(account, tree)
    expected = list(walk(tree))
    assert paths(await pages(account, 1000, recursive=True)) == expected
    for limit in (1, 2, 3, 7, max(1, len(expected) - 1), len(expected) or 1):
        assert paths(await pages(account, limit, recursive=True)) == expected, limit
    for name, below in tree.items():
        if below is not None:
            listed = paths(await pages(account, 2, recursive=True, path=f"/{name}"))
            assert listed == list(walk(below, f"/{name}"))


async def test_recursive_list_reads_each_level_in_one_query(account: Account, db: Db) -> None:
    """The number of queries depends on the depth, not on the number of folders."""
    chance = random.Random(5)
    for branch in "abcdefgh":
        for leaf in "xyz":
            await create_folder(account, f"/{branch}/{chance.choice('mn')}/{leaf}")
    with record_statements(db) as seen:
        listed = await page(account, recursive=True, limit=1000)
    assert len(listed["items"]) > 30
    assert sum("unnest" in statement and "LATERAL" in statement for statement, _ in seen) == 4


async def test_recursive_list_omits_the_trash(account: Account) -> None:
    await plant(account, {"a": {"b": {"c": None}, "d": None}, "e": {"f": None}, "g": None})
    folder = (await account.client.get("/v1/files/by-path?path=/a/b")).json()
    await trash(account, folder["id"])
    await trash(account, (await account.client.get("/v1/files/by-path?path=/g")).json()["id"])
    assert paths(await pages(account, 2, recursive=True)) == ["/a", "/a/d", "/e", "/e/f"]
    query = {"parent_id": folder["id"], "recursive": "true"}
    assert problem(await account.client.get("/v1/files", params=query)) == (404, "not-found")
    (await account.client.post(f"/v1/files/{folder['id']}/restore")).raise_for_status()
    assert paths(await pages(account, 2, recursive=True))[:3] == ["/a", "/a/b", "/a/b/c"]


async def test_recursive_list_continues_after_its_last_folder_changed(account: Account) -> None:
    """The last entry's folder is trashed, renamed forwards or backwards, or becomes a file between two pages."""
    await plant(account, {"a": {"b": {"c": None, "d": None}, "e": None}, "f": None})
    first = await page(account, recursive=True, limit=3)
    assert paths(first["items"]) == ["/a", "/a/b", "/a/b/c"]
    rest = {"recursive": True, "cursor": first["next_cursor"]}
    b_id = first["items"][1]["id"]
    assert paths((await page(account, **rest))["items"]) == ["/a/b/d", "/a/e", "/f"]
    await rename(account, b_id, "a-before")
    assert paths((await page(account, **rest))["items"]) == ["/a/e", "/f"]
    await rename(account, b_id, "bb")
    assert paths((await page(account, **rest))["items"]) == ["/a/bb", "/a/bb/c", "/a/bb/d", "/a/e", "/f"]
    await trash(account, b_id)
    assert paths((await page(account, **rest))["items"]) == ["/a/e", "/f"]
    await put_files(account, ("/a/b", b"now a file"))
    assert paths((await page(account, **rest))["items"]) == ["/a/e", "/f"]
    await trash(account, first["items"][0]["id"])
    assert paths((await page(account, **rest))["items"]) == ["/f"]


async def test_recursive_list_during_changes_has_each_unchanged_item_once(account: Account) -> None:
    """Paths are unique and in order; items without a change are all listed."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    await plant(account, {f"{letter}": {"x": {"1": None, "2": None}, "y": None} for letter in "abcdefgh"})
    touched: set[str] = set()

    async def change() -> None:
        everything = (await page(account, recursive=True, limit=1000))["items"]
        victim = chance.choice(everything)
        touched.add(victim["id"])
        if chance.random() < 0.3:
            await trash(account, victim["id"])
        else:
            await rename(account, victim["id"], chance.choice("abcxyz123") + chance.choice("pqr") + victim["id"][-12:])
        await create_folder(account, f"/{chance.choice('abcdefgh')}/{chance.choice('lmn')}{chance.randrange(10**6)}")

    before = (await page(account, recursive=True, limit=1000))["items"]
    listed = await pages(account, 2, change, recursive=True)
    keys = [[names.make_key(name) for name in item["path"].split("/")[1:]] for item in listed]
    assert keys == sorted(keys)
    assert len(set(map(tuple, keys))) == len(keys)
    seen = {item["id"] for item in listed}
    by_id = {item["id"]: item for item in before}

    def untouched(item: dict[str, Any]) -> bool:
        return item["id"] not in touched and (item["parent_id"] not in by_id or untouched(by_id[item["parent_id"]]))

    assert {item["id"] for item in before if untouched(item)} <= seen


async def test_recursive_list_of_the_deepest_path_is_complete(account: Account) -> None:
    parent: str | None = None
    for depth in range(99):
        body = {"name": f"{depth:03}" + "x" * 252, "parent_id": parent}
        parent = (await account.client.post("/v1/folders", json=body)).raise_for_status().json()["id"]
    listed = await pages(account, 60, recursive=True)
    assert [item["name"][:3] for item in listed] == [f"{depth:03}" for depth in range(99)]


# Filters


async def test_list_by_fingerprint_has_files_with_that_content(account: Account) -> None:
    await put_files(account, ("/a", b"same"), ("/b/c", b"same"), ("/d", b"other"))
    await upload_file(account, b"old", "e")
    await upload_file(account, b"new", "e", destination={"on_conflict": "replace"})
    assert sorted(paths(await pages(account, 1, fingerprint=sha256(b"same")))) == ["/a", "/b/c"]
    assert paths(await pages(account, 1, fingerprint=sha256(b"same"), path="/b")) == ["/b/c"]
    assert paths(await pages(account, 1, fingerprint=sha256(b"same"), path="/")) == sorted(["/a", "/b/c"])
    assert paths(await pages(account, 9, fingerprint=sha256(b"new"))) == ["/e"]
    assert paths(await pages(account, 9, fingerprint=sha256(b"old"))) == []
    # A list by fingerprint ignores `order` and `recursive`.
    query: dict[str, Any] = {"fingerprint": sha256(b"other"), "order": "-size", "recursive": True}
    assert paths(await pages(account, 9, **query)) == ["/d"]


async def test_list_by_processing_state_has_files_in_that_state(account: Account) -> None:
    await put_files(account, *((f"/a/{name}", name.encode()) for name in "123456"), ("/7", b"7"))
    files = {item["name"]: item["id"] for item in await pages(account, 99, content_status="verified")}
    assert len(files) == 7
    states = {"1": "failed", "2": "failed", "3": "running", "4": "queued", "5": "succeeded", "7": "failed"}
    for name, state in states.items():
        answer = await account.client.put(f"/v1/files/{files[name]}/processing", json={"state": state})
        answer.raise_for_status()
    assert sorted(paths(await pages(account, 1, processing="failed"))) == ["/7", "/a/1", "/a/2"]
    assert paths(await pages(account, 1, processing="failed", path="/a")) == ["/a/1", "/a/2"]
    for state in ("running", "queued", "succeeded"):
        (found,) = await pages(account, 1, processing=state)
        assert found["processing"]["state"] == state
    assert paths(await pages(account, 9, processing="failed", fingerprint=sha256(b"2"))) == ["/a/2"]
    assert paths(await pages(account, 9, processing="failed", content_status="stored")) == []
    # A new revision has no processing state.
    await upload_file(account, b"new", "7", destination={"on_conflict": "replace"})
    assert paths(await pages(account, 9, processing="failed")) == ["/a/1", "/a/2"]


async def test_filtered_list_is_ordered_by_id_and_omits_the_trash(account: Account, register: Any) -> None:
    other = await register()
    await put_files(other, ("/other", b"x"))
    await put_files(account, *((f"/a/b/{name}", b"x") for name in "123"), ("/c", b"x"))
    listed = await pages(account, 1, content_status="verified")
    assert [item["id"] for item in listed] == sorted(item["id"] for item in listed)
    assert len(listed) == 4
    folder = (await account.client.get("/v1/files/by-path?path=/a")).json()
    await trash(account, folder["id"])
    for limit in (1, 9):
        assert paths(await pages(account, limit, content_status="verified")) == ["/c"]
        assert paths(await pages(account, limit, fingerprint=sha256(b"x"))) == ["/c"]
    (await account.client.post(f"/v1/files/{folder['id']}/restore")).raise_for_status()
    deeper = (await account.client.get("/v1/files/by-path?path=/a/b")).json()
    await trash(account, deeper["id"])
    assert paths(await pages(account, 1, content_status="verified")) == ["/c"]
    assert paths(await pages(account, 1, content_status="verified", path="/a")) == []


async def test_list_by_content_status_has_quarantined_files(account: Account, server: RunningServer) -> None:
    file = await upload_file(account, b"x", "bad")
    await upload_file(account, b"y", "good")
    async with server.db.begin() as tx:
        statement = text("UPDATE blobs SET content_status = :to WHERE fingerprint = :of AND owner_id = :me")
        bound = {"of": bytes.fromhex(file["fingerprint"]), "me": (await account.me())["id"]}
        await tx.execute(statement, bound | {"to": "quarantined"})
    assert paths(await pages(account, 9, content_status="quarantined")) == ["/bad"]
    assert paths(await pages(account, 9, content_status="verified")) == ["/good"]
    async with server.db.begin() as tx:
        await tx.execute(statement, bound | {"to": "verified"})


# Indexes for rare states

MANY_FILES = """
    WITH made AS (
        SELECT i, gen_random_uuid() AS node_id, gen_random_uuid() AS revision_id, gen_random_uuid() AS blob_id
        FROM generate_series(1, :count) i
    ), content AS (
        INSERT INTO blobs (id, owner_id, fingerprint, size_bytes, storage_key, etag, content_status)
        SELECT blob_id, :me, sha256(uuid_send(blob_id)), 0, blob_id::text, '""',
            CASE i WHEN 7 THEN 'quarantined' ELSE 'verified' END
        FROM made
    ), file AS (
        INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key, head_revision_id)
        SELECT node_id, :me, :parent_id, 'file', 'file ' || i, 'file ' || i, revision_id FROM made RETURNING id
    )
    INSERT INTO revisions
        (id, owner_id, node_id, number, blob_id, size_bytes, content_type, author_id, processing_state, processing_at)
    SELECT revision_id, :me, node_id, 1, blob_id, 0, 'a/b', :me, CASE i WHEN 9 THEN 'failed' ELSE 'succeeded' END, now()
    FROM made
"""


OTHERS = """
    INSERT INTO blobs (id, owner_id, fingerprint, size_bytes, storage_key, etag, content_status)
    SELECT id, :me, sha256(uuid_send(id)), 0, id::text, '""', 'verified'
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, :count)) made
"""


async def test_list_by_a_rare_state_uses_an_index(large: RunningServer) -> None:
    account, other = await register_account(large.url), await register_account(large.url)
    async with account.client, other.client:
        root = (await account.client.get("/v1/files/by-path?path=/")).json()["id"]
        async with large.db.begin() as tx:
            bound = {"me": (await account.me())["id"], "parent_id": root, "count": 20_000}
            await tx.execute(text(MANY_FILES), bound)
            await tx.execute(text(OTHERS), {"me": (await other.me())["id"], "count": 60_000})
            await tx.exec_driver_sql("ANALYZE nodes, revisions, blobs")
        found: list[tuple[dict[str, str], list[str], str | tuple[str, ...]]] = [
            ({"processing": "failed"}, ["/file 9"], "revisions_processing_idx"),
            ({"content_status": "quarantined"}, ["/file 7"], ("blobs_owner_id", "blobs_unverified_idx")),
            ({"processing": "failed", "content_status": "quarantined"}, [], "revisions_processing_idx"),
            ({"content_status": "verified"}, [], "nodes_owner_id_idx"),
        ]
        for query, expected, index in found:
            with record_statements(large.db) as seen:
                listed = await page(account, **query)
            if expected:
                assert paths(listed["items"]) == expected
            nodes = await explain(large.db, next(question for question in seen if "superseded_at" in question[0]))
            assert any(node.get("Index Name", "").startswith(index) for node in nodes), query
            assert not any(node["Node Type"] == "Seq Scan" for node in nodes), query


# ETag of lookups


async def test_get_by_id_and_by_path_have_the_etag_header(account: Account) -> None:
    await put_files(account, ("/a/b", b"x"))
    for path in ("/", "/a", "/a/b"):
        by_path = await account.client.get("/v1/files/by-path", params={"path": path})
        file = by_path.json()
        by_id = await account.client.get(f"/v1/files/{file['id']}")
        assert by_path.headers["etag"] == by_id.headers["etag"] == file["etag"] == by_id.json()["etag"]


# Recent files


async def recent(account: Account, limit: int, **cursor: str) -> dict[str, Any]:
    answer = await account.client.get("/v1/files/recent", params={"limit": limit, **cursor})
    listed: dict[str, Any] = answer.raise_for_status().json()
    return listed


async def test_recent_files_of_all_folders_come_last_changed_first(account: Account) -> None:
    await put_files(account, ("/a", b"1"), ("/x/b", b"2"), ("/x/y/c", b"3"), ("/gone/d", b"4"), ("/e", b"5"))
    gone = (await page(account, path="/"))["items"]
    await trash(account, next(item["id"] for item in gone if item["name"] == "gone"))
    await trash(account, next(item["id"] for item in gone if item["name"] == "e"))
    await put_files(account, ("/new", b"6"))
    await upload_file(account, b"7", "a", destination={"on_conflict": "replace"})
    expected = ["/a", "/new", "/x/y/c", "/x/b"]
    assert paths((await recent(account, 100))["items"]) == expected
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await recent(account, 1, **cursor)
        listed += paths(answer["items"])
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}
    assert listed == expected
    assert problem(await account.client.get("/v1/files/recent", params={"cursor": forged("recent files", "x", 1)})) == (
        422,
        "invalid-cursor",
    )


async def test_page_of_recent_files_reads_one_range_of_an_index(hoard: Account, large: RunningServer) -> None:
    folder = await create_folder(hoard, "/recent")
    await insert_nodes(large.db, hoard, folder["id"], 20, modified_at="now() - i * interval '1 second'", kind="file")
    with record_statements(large.db) as seen:
        first = await recent(hoard, 10)
        assert first["next_cursor"]
        await recent(hoard, 10, cursor=first["next_cursor"])
    lists = [question for question in seen if "ORDER BY nodes.modified_at" in question[0]]
    assert len(lists) == 2
    for question in lists:
        for mode in ("force_custom_plan", "force_generic_plan"):
            nodes = await explain(large.db, question, plan_cache_mode=mode)
            assert not {node["Node Type"] for node in nodes} & {"Sort", "Incremental Sort"}, (mode, question)
            (scan,) = [node for node in nodes if node.get("Relation Name") == "nodes"]
            assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "nodes_recent_idx")
            assert "Filter" not in scan
