"""The tree in compact rows through HTTP: what is in it, its pages, and both ways to find them."""

import base64
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from dropbox_api.files import entries
from dropbox_api.files.schemas import TREE_COLUMNS, TreePage
from dropbox_api.plumbing import page_cursors
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.purge import purge_trash
from tests.support.plans import record_statements
from tests.support.server import (
    UNKNOWN_ID,
    Account,
    RunningServer,
    problem,
    register_account,
    run_until_idle,
    separate_server,
    upload_file,
)
from tests.support.sharing import grant, make_folder, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")

Row = dict[str, Any]


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server whose jobs find only the trash of these tests."""
    async with separate_server(postgres_url, s3_config) as running:
        yield running


@pytest.fixture(params=["walk", "scan"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to find the nodes below a folder, each for subtrees of any size."""
    if request.param == "walk":
        monkeypatch.setattr(entries, "isqrt", lambda _: 10**6)
    else:
        monkeypatch.setattr(entries, "_walk", _find_nothing)
    return str(request.param)


async def _find_nothing(*_: object) -> None:
    return None


async def page(account: Account, **query: Any) -> dict[str, Any]:
    answer = (await account.client.get("/v1/tree", params=query)).raise_for_status()
    TreePage.model_validate_json(answer.content, strict=True)
    listed: dict[str, Any] = answer.json()
    assert listed["columns"] == [*TREE_COLUMNS]
    return listed


async def tree(
    account: Account, limit: int = 1000, between: Callable[[], Awaitable[None]] | None = None, **query: Any
) -> list[Row]:
    """Return the rows of all pages; `between` is called after each page but the last."""
    rows: list[Row] = []
    cursors = set()
    while True:
        answer = await page(account, limit=limit, **query)
        assert len(answer["items"]) <= limit
        rows += [dict(zip(answer["columns"], item, strict=True)) for item in answer["items"]]
        cursors.add(answer["events_cursor"])
        if answer["next_cursor"] is None:
            assert len(cursors) == 1
            return rows
        query["cursor"] = answer["next_cursor"]
        if between:
            await between()


def read_time(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def names(rows: list[Row]) -> list[str]:
    return sorted(row["name"] for row in rows)


async def delete(account: Account, node_id: str) -> None:
    (await account.client.delete(f"/v1/files/{node_id}")).raise_for_status()


async def test_rows_show_what_the_files_show(account: Account) -> None:
    folder_id = await make_folder(account, "/a")
    destination = {"parent_id": folder_id}
    odd = 'quote " tab \u00e9 \u200d \N{GRINNING FACE}'
    await upload_file(account, b"one", odd, destination=destination, client_modified_at="2024-02-29T23:59:59.123400Z")
    for number, time in enumerate(("0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z", "2026-03-01T02:00:00+02:00")):
        await upload_file(account, b"%d" % number, f"{number}", client_modified_at=time)
    (await account.client.patch(f"/v1/files/{folder_id}", json={"name": "renamed"})).raise_for_status()
    epoch = (await page(account))["epoch"]
    rows = await tree(account)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    for row in rows:
        shown = (await account.client.get(f"/v1/files/{row['id']}")).raise_for_status().json()
        version, executable, modified_at = (row.pop(name) for name in ("version", "executable", "client_modified_at"))
        assert row == {name: shown[name] for name in row}
        assert shown["etag"] == f'"{epoch}.{version}"'
        assert executable is False
        assert modified_at is None or modified_at.endswith("Z")
        assert read_time(modified_at) == read_time(shown["client_modified_at"])
    assert names(rows) == sorted(["renamed", odd, "0", "1", "2"])


async def test_tree_has_live_nodes_below_the_root_only(account: Account, server: RunningServer, way: str) -> None:
    top = await make_folder(account, "/top")
    ids = {
        path: await make_folder(account, f"/top/{path}") for path in ("a", "a/b", "t", "t/in", "p", "p/in", "p/in/x")
    }
    ids["file"] = (await upload_file(account, b"x", "file", destination={"parent_id": ids["a/b"]}))["id"]
    await make_folder(account, "/other/in")
    lone = (await upload_file(account, b"x", "lone", destination={"parent_id": ids["a"]}))["id"]
    for node_id in (lone, ids["t"], ids["p"]):
        await delete(account, node_id)
    (await account.client.delete(f"/v1/trash/{ids['p']}")).raise_for_status()
    for limit in (1, 2, 1000):
        assert names(await tree(account, limit, root_id=top)) == ["a", "b", "file"]
        assert names(await tree(account, limit)) == ["a", "b", "file", "in", "other", "top"]
    await run_until_idle(purge_trash, server.services)
    assert names(await tree(account, root_id=top)) == ["a", "b", "file"]
    assert await tree(account, root_id=ids["a/b"]) == [row for row in await tree(account) if row["name"] == "file"]


async def test_tree_of_a_shared_folder_for_its_members(account: Account, server: RunningServer, way: str) -> None:
    shared = await make_folder(account, "/above/shared")
    for path in ("in", "in/deep", "gone", "gone/in"):
        await make_folder(account, f"/above/shared/{path}")
    await make_folder(account, "/beside")
    await delete(account, await make_folder(account, "/above/shared/gone"))
    member, stranger = [await register_account(server.url) for _ in range(2)]
    await verify(server.db, member)
    given = await grant(account, shared, member, "viewer")
    for limit in (1, 1000):
        rows = await tree(member, limit, root_id=shared)
        assert names(rows) == ["deep", "in"]
        assert rows == await tree(account, limit, root_id=shared)
    assert await tree(member) == []
    above = await make_folder(account, "/above")
    for person, root_id in ((stranger, shared), (member, above), (member, UNKNOWN_ID)):
        assert problem(await person.client.get("/v1/tree", params={"root_id": root_id})) == (404, "not-found")
    first = await page(member, root_id=shared, limit=1)
    (await account.client.delete(f"/v1/files/{shared}/grants/{given['id']}")).raise_for_status()
    following = await member.client.get("/v1/tree", params={"root_id": shared, "cursor": first["next_cursor"]})
    assert problem(following) == (404, "not-found")
    for person in (member, stranger):
        await person.client.aclose()


async def test_nodes_that_stay_are_in_one_page_whatever_moves(account: Account, way: str) -> None:
    """Other nodes move to and fro across the position of the list."""
    rng = random.Random(7)
    top = await make_folder(account, "/top")
    homes = [await make_folder(account, f"/top/{number}") for number in range(4)]
    outside = await make_folder(account, "/outside")
    staying: list[str] = []
    moving: list[str] = []
    for number in range(30):
        target = staying if number % 2 else moving
        target.append(await make_folder(account, f"/top/{number % 4}/{number}"))

    async def disturb() -> None:
        for node_id in rng.sample(moving, 3):
            place = {"parent_id": rng.choice([*homes, outside])}
            (await account.client.patch(f"/v1/files/{node_id}", json=place)).raise_for_status()

    for limit in (1, 4, 7):
        found = [row["id"] for row in await tree(account, limit, disturb, root_id=top)]
        assert len(set(found)) == len(found)
        assert set(found) >= {*staying, *homes}


async def test_change_during_the_first_page_is_among_the_events_after_its_cursor(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_id = await make_folder(account, "/before")
    find = entries._scan

    async def find_and_change(*arguments: Any) -> Any:
        found = await find(*arguments)
        monkeypatch.setattr(entries, "_scan", find)
        (await account.client.patch(f"/v1/files/{folder_id}", json={"name": "after"})).raise_for_status()
        return found

    monkeypatch.setattr(entries, "_scan", find_and_change)
    first = await page(account)
    assert [row[3] for row in first["items"]] == ["before"]
    events = await account.client.get("/v1/events", params={"cursor": first["events_cursor"]})
    assert [event["file"]["name"] for event in events.raise_for_status().json()["events"]] == ["after"]


async def test_subtree_that_grows_beyond_a_walk_is_listed_on_by_scans(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = await make_folder(account, "/top")
    for number in range(6):
        await make_folder(account, f"/top/{number}")
    monkeypatch.setattr(entries, "isqrt", lambda _: 8)
    with record_statements(server.db) as seen:
        first = await page(account, root_id=top, limit=2)
        for number in range(6, 12):
            await make_folder(account, f"/top/{number}")
        rows = first["items"]
        rows += [[*row.values()] for row in await tree(account, 2, root_id=top, cursor=first["next_cursor"])]
    assert sorted(row[3] for row in rows) == sorted(str(number) for number in range(12))
    assert len([1 for statement in seen if "bounded" in str(statement)]) >= 2


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 10_001}, {"root_id": "x"}, {"cursor": "x"}])
async def test_tree_with_wrong_parameters_is_refused(account: Account, query: dict[str, Any]) -> None:
    assert problem(await account.client.get("/v1/tree", params=query))[0] == 422


async def test_cursor_of_another_tree_or_account_is_refused(account: Account, server: RunningServer) -> None:
    top = await make_folder(account, "/top")
    for path in ("/top/a", "/top/b"):
        await make_folder(account, path)
    cursor = (await page(account, limit=1))["next_cursor"]
    other = await register_account(server.url)
    for person, query in ((account, {"root_id": top}), (other, {})):
        answer = await person.client.get("/v1/tree", params={"cursor": cursor, **query})
        assert problem(answer) == (422, "invalid-cursor")
    await other.client.aclose()
    kind, after, way, events = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    other_position = "A" + events[1:] if events[0] != "A" else "B" + events[1:]
    forged = page_cursors.encode_cursor(kind, after, way, other_position)
    assert problem(await account.client.get("/v1/tree", params={"cursor": forged})) == (422, "invalid-cursor")


async def test_tree_of_a_file_is_refused(account: Account) -> None:
    file = await upload_file(account, b"x", "x")
    assert problem(await account.client.get("/v1/tree", params={"root_id": file["id"]})) == (409, "not-a-folder")
