"""The states of many ids through HTTP, and the tombstones that removed nodes leave."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import batches
from dropbox_api.workers.invariants import find_violations
from dropbox_api.workers.purge import purge_trash
from tests.support.server import (
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


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server whose jobs find only the trash of these tests."""
    async with separate_server(postgres_url, s3_config) as running:
        yield running


async def look_up(account: Account, *ids: str) -> list[dict[str, Any]]:
    answer = (await account.client.post("/v1/files/lookup", json={"ids": ids})).raise_for_status().json()
    assert [item["id"] for item in answer["items"]] == list(ids)
    items: list[dict[str, Any]] = answer["items"]
    return items


async def states(account: Account, *ids: str) -> list[str]:
    return [item["state"] for item in await look_up(account, *ids)]


@dataclass
class Tree:
    """A shared folder with nodes in every state."""

    live: str
    trashed: str
    below_trashed: str
    purged: str
    """Hidden, but its row still exists."""
    below_purged: str
    removed: str
    below_removed: str

    @property
    def ids(self) -> list[str]:
        return [*vars(self).values()]


async def make_tree(server: RunningServer, owner: Account, *grantees: tuple[Account, str]) -> Tree:
    shared = await make_folder(owner, "/shared")
    paths = ("live", "trashed", "trashed/in", "purged", "purged/in/deep", "removed", "removed/in/deep")
    tree = Tree(*[await make_folder(owner, f"/shared/{path}") for path in paths])
    await verify(server.db, *(account for account, _ in grantees))
    for account, role in grantees:
        await grant(owner, shared, account, role)
    await delete(owner, tree.trashed)
    for node_id in (tree.removed, tree.purged):
        await delete(owner, node_id)
        (await owner.client.delete(f"/v1/trash/{node_id}")).raise_for_status()
        if node_id == tree.removed:
            await run_until_idle(purge_trash, server.services)
    return tree


async def delete(account: Account, node_id: str) -> None:
    (await account.client.delete(f"/v1/files/{node_id}")).raise_for_status()


async def test_lookup_by_the_owner_tells_every_state_and_etag(server: RunningServer, account: Account) -> None:
    tree = await make_tree(server, account)
    found = await look_up(account, *tree.ids, str(uuid.uuid4()))
    expected = ["live", "trashed", "trashed", "deleted", "deleted", "deleted", "deleted", "unknown"]
    assert [item["state"] for item in found] == expected
    assert [item["etag"] is None for item in found] == [False] * 3 + [True] * 5
    shown = (await account.client.get(f"/v1/files/{tree.live}")).json()
    assert found[0]["etag"] == shown["etag"]
    restored = await account.client.post(f"/v1/files/{tree.trashed}/restore", headers={"If-Match": found[1]["etag"]})
    assert restored.status_code == 200
    assert await states(account, tree.trashed, tree.below_trashed) == ["live", "live"]


async def test_lookup_by_other_callers_tells_live_or_unknown(server: RunningServer, account: Account) -> None:
    people = [await register_account(server.url) for _ in range(3)]
    viewer, editor, stranger = people
    tree = await make_tree(server, account, (viewer, "viewer"), (editor, "editor"))
    root_id = (await account.client.get("/v1/files/by-path", params={"path": "/"})).json()["id"]
    for member in (viewer, editor):
        found = await look_up(member, *tree.ids, root_id)
        assert [item["state"] for item in found] == ["live"] + ["unknown"] * 7
        assert [item["etag"] is None for item in found] == [False] + [True] * 7
    assert set(await states(stranger, *tree.ids, root_id)) == {"unknown"}
    for person in people:
        await person.client.aclose()


async def test_lookup_with_an_id_twice_answers_both_in_order(server: RunningServer, account: Account) -> None:
    file = await upload_file(account, b"twice", "twice")
    missing = str(uuid.uuid4())
    found = await look_up(account, file["id"], missing, file["id"])
    assert [item["state"] for item in found] == ["live", "unknown", "live"]
    assert len(await look_up(account, *[file["id"]] * 1000)) == 1000


@pytest.mark.parametrize("ids", [[], [str(uuid.uuid4())] * 1001, ["nothing"], None, [1]])
async def test_lookup_of_wrong_ids_is_refused(account: Account, ids: Any) -> None:
    answer = await account.client.post("/v1/files/lookup", json={"ids": ids})
    assert problem(answer) == (422, "invalid-request")


async def test_removed_nodes_leave_one_tombstone_each_whatever_the_batches(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_TRANSACTION", 2)
    monkeypatch.setattr(batches, "ROWS_PER_QUERY", 3)
    ids = [await make_folder(account, f"/gone/{number}/deep") for number in range(4)]
    ids += [await make_folder(account, f"/gone/{number}") for number in range(4)] + [
        await make_folder(account, "/gone")
    ]
    await delete(account, ids[-1])
    (await account.client.delete("/v1/trash")).raise_for_status()
    await asyncio.gather(*(run_until_idle(purge_trash, server.services) for _ in range(2)))
    assert await states(account, *ids) == ["deleted"] * 9
    async with server.db.read() as tx:
        count = text("SELECT count(*) FROM tombstones WHERE owner_id = :me")
        assert (await tx.execute(count, {"me": (await account.me())["id"]})).scalar_one() == 9


async def test_tombstone_of_an_existing_node_violates_an_invariant(server: RunningServer, account: Account) -> None:
    node_id = await make_folder(account, "/alive")
    async with server.db.begin() as tx:
        made = "INSERT INTO tombstones (owner_id, node_id) SELECT owner_id, id FROM nodes WHERE id = :id"
        await tx.execute(text(made), {"id": node_id})
    found = await find_violations(server.db, server.store)
    async with server.db.begin() as tx:
        await tx.execute(text("DELETE FROM tombstones WHERE node_id = :id"), {"id": node_id})
    details = [violation.detail for violation in found if violation.invariant == "I7"]
    assert [detail.partition(",")[0] for detail in details] == [f"I7 node with a tombstone: node_id={node_id}"], found
