"""Batches are decided set-wise: the number of statements does not depend on the number of items.

Half of them run under the owner's lock, where each further statement makes all other changes of the owner wait.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conftest import Register
from tests.support.plans import record_statements
from tests.support.server import Account, RunningServer, create_folder, put, sign, start_body, upload_file

pytestmark = pytest.mark.usefixtures("invariants_hold")

Items = list[dict[str, Any]]
FEW, MANY = 2, 9


def new_items(count: int, **destination: Any) -> tuple[list[bytes], Items]:
    contents = [uuid.uuid4().bytes for _ in range(count)]
    return contents, [start_body(data, data.hex(), destination=dict(destination)) for data in contents]


async def start_batch(account: Account, items: Items) -> Items:
    started: Items = (await account.client.post("/v1/uploads/batch", json={"items": items})).json()["items"]
    assert [item["problem"] for item in started] == [None] * len(items)
    return started


async def complete_batch(account: Account, started: Items) -> Items:
    ids = [item["upload"]["id"] for item in started]
    done: Items = (await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})).json()["items"]
    assert [item["problem"] for item in done] == [None] * len(ids)
    return done


async def send_all(account: Account, started: Items, contents: list[bytes]) -> None:
    for item, data in zip(started, contents, strict=True):
        (part,) = await sign(account, item["upload"], data, [1])
        (await put(part, data)).raise_for_status()


class Batches:
    """Prepares a batch of `count` items and returns the request to count."""

    def __init__(self, owner: Account, editor: Account, shared_id: str) -> None:
        self.owner, self.editor, self.shared_id = owner, editor, shared_id

    async def _folders(self, account: Account, items: Items, parent_id: str | None = None) -> Items:
        """Give each item a folder of its own."""
        for item in items:
            body = {"name": uuid.uuid4().hex, "parent_id": parent_id}
            made = (await account.client.post("/v1/folders", json=body)).raise_for_status().json()
            item["destination"]["parent_id"] = made["id"]
        return items

    async def start_in_own_folders(self, count: int) -> Awaitable[Any]:
        _, items = new_items(count)
        return start_batch(self.owner, await self._folders(self.owner, items))

    async def start_in_shared_folders(self, count: int) -> Awaitable[Any]:
        _, items = new_items(count)
        return start_batch(self.editor, await self._folders(self.owner, items, self.shared_id))

    async def start_again(self, count: int) -> Awaitable[Any]:
        _, items = new_items(count)
        await start_batch(self.owner, items)
        return start_batch(self.owner, items)

    async def complete_in_shared_folders(self, count: int) -> Awaitable[Any]:
        contents, items = new_items(count)
        started = await start_batch(self.editor, await self._folders(self.owner, items, self.shared_id))
        await send_all(self.editor, started, contents)
        return complete_batch(self.editor, started)

    async def complete_at_taken_names(self, count: int) -> Awaitable[Any]:
        contents, items = new_items(count, on_conflict="rename")
        for item in items:
            await upload_file(self.owner, uuid.uuid4().bytes, item["destination"]["name"])
        started = await start_batch(self.owner, items)
        await send_all(self.owner, started, contents)
        return complete_batch(self.owner, started)

    async def complete_edits_of_trashed_files(self, count: int) -> Awaitable[Any]:
        contents, items = new_items(count, on_conflict="replace")
        for item in items:
            file = await upload_file(self.owner, uuid.uuid4().bytes, item["destination"]["name"])
            item["destination"]["base_revision_id"] = file["revision_id"]
            (await self.owner.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
        started = await start_batch(self.owner, items)
        await send_all(self.owner, started, contents)
        return complete_batch(self.owner, started)

    async def complete_edits_of_trashed_files_by_id(self, count: int) -> Awaitable[Any]:
        """Their names are taken meanwhile; the editor sees the folder as shared."""
        contents, items = new_items(count)
        for item in items:
            place = {"parent_id": self.shared_id}
            name = item["destination"]["name"]
            file = await upload_file(self.owner, uuid.uuid4().bytes, name, destination=place)
            (await self.owner.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
            await upload_file(self.owner, uuid.uuid4().bytes, name, destination=place)
            item["destination"] = {"file_id": file["id"], "base_revision_id": file["revision_id"]}
        started = await start_batch(self.editor, items)
        await send_all(self.editor, started, contents)
        return complete_batch(self.editor, started)


BATCHES = [
    Batches.start_in_own_folders,
    Batches.start_in_shared_folders,
    Batches.start_again,
    Batches.complete_in_shared_folders,
    Batches.complete_at_taken_names,
    Batches.complete_edits_of_trashed_files,
    Batches.complete_edits_of_trashed_files_by_id,
]


@pytest.mark.parametrize("prepare", BATCHES, ids=lambda prepare: prepare.__name__)
async def test_batch_of_more_items_runs_no_more_statements(
    server: RunningServer, register: Register, prepare: Callable[[Batches, int], Awaitable[Awaitable[Any]]]
) -> None:
    owner, editor = await register(), await register()
    shared = await create_folder(owner, "/shared")
    body = {"user_id": (await editor.me())["id"], "role": "editor"}
    (await owner.client.post(f"/v1/files/{shared['id']}/grants", json=body)).raise_for_status()
    batches = Batches(owner, editor, shared["id"])
    counts = []
    for count in (FEW, MANY):
        request = await prepare(batches, count)
        with record_statements(server.db) as seen:
            await request
        counts.append(len(seen))
    assert counts[0] == counts[1]
