"""What scanner and reader observe is what the planner needs: plans of a real folder and a real account."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dropbox_client.sync.guard import RootFolder
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.mounts import make_select
from dropbox_client.sync.part import load_part
from dropbox_client.sync.plan import Situation, make_plan
from dropbox_client.sync.trees import (
    Action,
    Adopt,
    BaseEntry,
    Download,
    LookUp,
    MakeLocal,
    MoveLocal,
    MoveRemote,
    SendEdit,
    SendNew,
    TrashRemote,
)
from tests.support.server import Account, RunningServer, upload_file
from tests.support.sharing import make_folder
from tests.support.sync_copy import SyncCopy, sync_copy
from tests.support.sync_folder import FaultyDisk, SyncFolder


class Device:
    """An account and a folder, observed into one state."""

    def __init__(self, copy: SyncCopy, folder: SyncFolder) -> None:
        self._copy, self._folder = copy, folder
        self.root = folder.root

    async def plan(self) -> list[Action]:
        """Observe both sides, and return the actions of the plan."""
        await self._copy.settle()

        def make() -> list[Action]:
            self._folder.settle()
            select = make_select(Ignores())
            is_settled = self._folder.scanner.is_settled and self._copy.reader.is_settled
            trees = load_part(self._copy.state, self._folder.device, select, is_settled=is_settled)
            plan = make_plan(trees, Situation("laptop", "2026-11-30", files=100))
            return [action for stage in plan.stages for action in stage]

        return await self._copy.run(make)

    async def adopt(self, actions: list[Action]) -> None:
        """Write the rows of adoptions."""

        def write() -> None:
            for action in actions:
                if isinstance(action, Adopt):
                    local, remote = action.local, action.remote
                    self._copy.state.bind(local.id, remote.id)
                    self._copy.state.put_base(
                        BaseEntry(
                            *(remote.id, remote.parent, remote.name, local.name, remote.kind),
                            *(remote.content, remote.revision_id, remote.version),
                        )
                    )

        await self._copy.run(write)


@pytest.fixture
async def device(server: RunningServer, account: Account, tmp_path: Path) -> AsyncIterator[Device]:
    root = tmp_path / "root"
    root.mkdir()
    async with sync_copy(server, account, tmp_path / "state") as copy:
        await copy.settle()
        with RootFolder(root) as opened:
            make = lambda: SyncFolder(root, copy.state, FaultyDisk(opened.fd), opened.device, opened.fd)  # noqa: E731
            yield Device(copy, await copy.run(make))


async def test_observed_trees_give_the_right_plans(account: Account, device: Device) -> None:
    assert await device.plan() == []
    docs = await make_folder(account, "/docs")
    same = await upload_file(account, b"same", "same", destination={"parent_id": docs})
    await upload_file(account, b"remote", "foreign", destination={"parent_id": docs})
    await make_folder(account, "/empty")
    (device.root / "docs").mkdir()
    (device.root / "docs" / "same").write_bytes(b"same")
    (device.root / "docs" / "mine").write_bytes(b"local")
    (device.root / "docs" / "lock~").write_bytes(b"ignored")

    first = await device.plan()
    assert {(type(action), getattr(action, "name", None)) for action in first if not isinstance(action, Adopt)} == {
        (Download, b"foreign"),
        (SendNew, "mine"),
        (MakeLocal, b"empty"),
    }
    adopted = [action for action in first if isinstance(action, Adopt)]
    assert {action.remote.id for action in adopted} == {docs, same["id"]}
    await device.adopt(first)

    (device.root / "docs" / "same").write_bytes(b"edited")
    kinds = [type(action) for action in await device.plan()]
    assert kinds.count(SendEdit) == 1
    assert Adopt not in kinds

    (device.root / "docs" / "same").write_bytes(b"same")
    (device.root / "docs" / "same").rename(device.root / "docs" / "renamed")
    moves = [action for action in await device.plan() if isinstance(action, MoveRemote)]
    assert [(move.remote.id, move.name) for move in moves] == [(same["id"], "renamed")]

    (await account.client.patch(f"/v1/files/{docs}", json={"name": "papers"})).raise_for_status()
    moved = [action for action in await device.plan() if isinstance(action, MoveLocal)]
    assert [(move.local.id, move.name) for move in moved] == [(docs, b"papers")]

    (device.root / "docs" / "renamed").unlink()
    trashed = [action for action in await device.plan() if isinstance(action, TrashRemote)]
    assert [action.remote.id for action in trashed] == [same["id"]]

    (await account.client.delete(f"/v1/files/{docs}")).raise_for_status()
    lookups = [action for action in await device.plan() if isinstance(action, LookUp)]
    assert lookups
    assert {docs} <= {node_id for action in lookups for node_id in action.ids}
