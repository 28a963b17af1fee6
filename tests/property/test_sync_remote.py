"""The remote tree of the sync client equals the server's after any history of changes.

The histories are those of `test_mirror`: changes of an owner and a member, and single requests of readers between them.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.relay import relay_changes
from dropbox_client.sync.trees import SHARED_ID
from tests.property.test_mirror import LONG, World
from tests.support.server import RunningServer, run_until_idle, separate_server
from tests.support.sync_copy import SyncCopy, sync_copy

STEPS, SEEDS = (400, 40) if LONG else (100, 2)
COMPARED = ("parent_id", "kind", "name", "size_bytes", "revision_id", "fingerprint", "content_status")


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config) as running:
        yield running


async def read_copy(copy: SyncCopy, root_id: str) -> dict[str, dict[str, Any]]:
    """Return what is below a folder, as far as it is compared."""
    return {
        entry.id: {
            "parent_id": entry.parent,
            "kind": entry.kind,
            "name": entry.name,
            "size_bytes": entry.content.size_bytes if entry.content else None,
            "revision_id": entry.revision_id,
            "fingerprint": entry.content.fingerprint if entry.content else None,
            "content_status": entry.content_status,
        }
        for entry in (await copy.read_tree()).below(root_id)
    }


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_remote_tree_equals_the_server_after_any_history(
    server: RunningServer, tmp_path: Path, seed: int
) -> None:
    world = await World.make(server, seed)
    accounts = {"owner": world.owner, "member": world.member}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.close)
        copies = {
            who: await stack.enter_async_context(
                sync_copy(
                    *(server, account, tmp_path / who),
                    page_rows=world.random.randint(1, 4),
                    page_events=world.random.randint(1, 8),
                )
            )
            for who, account in accounts.items()
        }
        for step in range(1, STEPS + 1):
            if world.random.random() < 0.4:
                await world.change()
            else:
                await world.random.choice([*copies.values()]).step()
            if step % 50 == 0:
                await run_until_idle(relay_changes, server.services)
                for who, copy in copies.items():
                    await copy.settle()
                    await copy.settle()
                    found = await read_copy(copy, world.roots[who])
                    wanted = await world.read_tree(who)
                    assert found == {
                        node_id: {name: entry[name] for name in COMPARED} for node_id, entry in wanted.items()
                    }
            if step == STEPS // 2:
                await copies["owner"].run(copies["owner"].reader.reload)
        member = await copies["member"].read_tree()
        shared = (await world.member.client.get("/v1/shared-with-me")).raise_for_status().json()["items"]
        tops = {file["id"] for file in shared if file["parent_id"] is None}
        assert {entry.id for entry in member.children(SHARED_ID)} == tops
