"""The remote tree of the sync client, with shares, other servers and lost cursors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dropbox_api.db import Db
from dropbox_api.workers.relay import relay_changes
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.mounts import make_select
from dropbox_client.sync.part import load_part
from dropbox_client.sync.remote import ServerReplaced
from dropbox_client.sync.trees import SHARED_ID, Mount
from tests.conftest import Register
from tests.support.server import Account, RunningServer, run_until_idle, sha256, upload_file
from tests.support.sharing import grant, make_folder, verify
from tests.support.sync_copy import SyncCopy, sync_copy


@pytest.fixture
async def member(server: RunningServer, register: Register, db: Db) -> Account:
    made = await register()
    await verify(db, made)
    return made


@pytest.fixture
async def copy(server: RunningServer, account: Account, tmp_path: Path) -> AsyncIterator[SyncCopy]:
    async with sync_copy(server, account, tmp_path / "account") as opened:
        yield opened


@pytest.fixture
async def shared(server: RunningServer, member: Account, tmp_path: Path) -> AsyncIterator[SyncCopy]:
    """The copy of a member."""
    async with sync_copy(server, member, tmp_path / "member") as opened:
        yield opened


async def test_tree_of_an_account_follows_its_changes(account: Account, copy: SyncCopy) -> None:
    folder_id = await make_folder(account, "/a/b")
    file = await upload_file(account, b"one", "x", destination={"parent_id": folder_id})
    await copy.settle()
    paths = await copy.paths()
    assert set(paths) == {"", "a", "a/b", "a/b/x"}
    entry = paths["a/b/x"]
    assert entry.content
    assert (entry.content.fingerprint, entry.content.size_bytes) == (sha256(b"one"), 3)
    assert file["etag"] == f'"{await copy.run(lambda: copy.state.epoch)}.{entry.version}"'
    (await account.client.patch(f"/v1/files/{folder_id}", json={"name": "c"})).raise_for_status()
    (await account.client.put(f"/v1/files/{file['id']}/content", content=b"two")).raise_for_status()
    await copy.settle()
    paths = await copy.paths()
    assert set(paths) == {"", "a", "a/c", "a/c/x"}
    newer = paths["a/c/x"]
    assert newer.content
    assert newer.content.fingerprint == sha256(b"two")
    assert newer.version > entry.version


async def test_rule_4_node_deleted_while_the_cursor_expired_is_lost_without_a_proof(
    account: Account, copy: SyncCopy
) -> None:
    folder_id = await make_folder(account, "/a")
    await copy.settle()
    await copy.agree()
    (await account.client.delete(f"/v1/files/{folder_id}")).raise_for_status()
    await copy.run(lambda: copy.state.set_fact("cursor", "not valid any more"))
    await copy.settle()
    trees = await copy.load()
    assert (folder_id in trees.base, folder_id in trees.remote, trees.fates) == (True, False, {})


async def test_rule_3_another_epoch_voids_base(account: Account, copy: SyncCopy) -> None:
    folder_id = await make_folder(account, "/a")
    await copy.settle()
    await copy.agree()
    epoch = await copy.run(lambda: copy.state.epoch)
    await copy.run(lambda: copy.state.set_fact("epoch", "the former one"))
    (await account.client.patch(f"/v1/files/{folder_id}", json={"name": "b"})).raise_for_status()
    await copy.settle()
    assert await copy.run(lambda: copy.state.epoch) == epoch
    trees = await copy.load()
    assert (folder_id in trees.base, folder_id in trees.remote) == (False, True)


async def test_rule_3_another_server_is_refused(account: Account, copy: SyncCopy) -> None:
    await copy.settle()
    await copy.run(lambda: copy.state.set_fact("instance", "another one"))
    await copy.run(copy.reader.reload)
    with pytest.raises(ServerReplaced):
        await copy.step()
    assert not copy.reader.is_settled


async def test_folder_that_is_trashed_is_read_again_when_it_is_restored(
    server: RunningServer, account: Account, tmp_path: Path
) -> None:
    folder_id = await make_folder(account, "/a/b")
    await make_folder(account, "/a/b/c")
    async with sync_copy(server, account, tmp_path / "part", folder="/a/b") as part:
        await part.settle()
        (await account.client.delete(f"/v1/files/{folder_id}")).raise_for_status()
        with pytest.raises(ServerReplaced):
            await part.settle()
        (await account.client.post(f"/v1/files/{folder_id}/restore", json={})).raise_for_status()
        await part.settle()
        assert set(await part.paths()) == {"", "c"}


async def test_rule_11_unselected_and_ignored_nodes_are_marked_with_all_below(account: Account, copy: SyncCopy) -> None:
    for path in ("/a/b/c", "/d/build/e", "/f"):
        await make_folder(account, path)
    await copy.settle()
    select = make_select(Ignores("build/"))

    def read() -> dict[str, str]:
        excluded = copy.state.find_excluded({"a/b"})
        tree = load_part(copy.state, 1, select, is_settled=True, excluded=excluded).remote
        return {entry.name: entry.selection for entry in tree.values() if entry.parent}

    assert await copy.run(read) == {
        **dict.fromkeys("adf", "selected"),
        **dict.fromkeys("bc", "unselected"),
        **dict.fromkeys(["build", "e"], "ignored"),
    }


async def test_shares_are_mounted_with_free_names(
    server: RunningServer, account: Account, register: Register, member: Account, shared: SyncCopy
) -> None:
    other = await register()
    await make_folder(member, "/shared with me")
    folders = [await make_folder(person, "/plans/2026") for person in (account, other)]
    tops = [(await account.client.get("/v1/files/by-path", params={"path": "/plans"})).json()["id"]]
    file = await upload_file(account, b"x", "note")
    for node_id in (*tops, file["id"]):
        await grant(account, node_id, member, "editor")
    await grant(other, folders[1], member, "viewer")
    await grant(account, folders[0], member, "viewer")  # inside of the first one
    await shared.settle()
    paths = set(await shared.paths())
    assert paths == {
        "",
        "shared with me",
        "Shared with me (1)",
        *(f"Shared with me (1)/{name}" for name in ("plans", "plans/2026", "2026", "note")),
    }
    mounts = (await shared.load()).mounts
    assert {root: mount.access for root, mount in mounts.items() if root != SHARED_ID and mount.access != "own"} == {
        tops[0]: "editor",
        file["id"]: "editor",
        folders[0]: "editor",
        folders[1]: "viewer",  # the best grant counts
    }
    await upload_file(account, b"new", "new", destination={"parent_id": tops[0]})
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert "Shared with me (1)/plans/new" in await shared.paths()


async def test_removal_in_a_share_is_proven_by_its_event(
    server: RunningServer, account: Account, member: Account, shared: SyncCopy
) -> None:
    top = await make_folder(account, "/top")
    inner = await make_folder(account, "/top/inner")
    below = await make_folder(account, "/top/inner/below")
    await grant(account, top, member, "editor")
    await shared.settle()
    await shared.agree()
    (await account.client.delete(f"/v1/files/{inner}")).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert await shared.fates() == {inner: "removed", below: "removed"}
    (await account.client.post(f"/v1/files/{inner}/restore")).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert await shared.fates() == {}
    assert "Shared with me/top/inner/below" in await shared.paths()


async def test_removal_in_a_share_is_proven_by_a_complete_list(
    server: RunningServer, account: Account, member: Account, shared: SyncCopy
) -> None:
    top = await make_folder(account, "/top")
    inner = await make_folder(account, "/top/inner")
    await grant(account, top, member, "editor")
    await shared.settle()
    await shared.agree()
    (await account.client.delete(f"/v1/files/{inner}")).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    await shared.run(lambda: shared.state.set_fact("cursor", None))
    await shared.settle()
    assert await shared.fates() == {inner: "removed"}


async def test_ended_share_is_an_inactive_mount_until_it_is_granted_again(
    server: RunningServer, account: Account, member: Account, shared: SyncCopy
) -> None:
    top = await make_folder(account, "/top")
    nested = await make_folder(account, "/top/nested")
    await make_folder(account, "/top/nested/below")
    given = await grant(account, top, member, "editor")
    await grant(account, nested, member, "viewer")
    await shared.settle()
    await shared.agree()
    (await account.client.delete(f"/v1/files/{top}/grants/{given['id']}")).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert set(await shared.paths()) == {
        "",
        "Shared with me",
        "Shared with me/nested",
        "Shared with me/nested/below",
    }
    assert (await shared.load()).mounts[top] == Mount(top, "editor", is_active=False)
    await grant(account, top, member, "viewer")
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert "Shared with me/top/nested/below" in await shared.paths()
    assert (await shared.load()).mounts[top] == Mount(top, "viewer")


async def test_moved_mount_keeps_its_place_and_gets_the_changes_of_its_owner(
    server: RunningServer, account: Account, member: Account, shared: SyncCopy
) -> None:
    top = await make_folder(account, "/top")
    mine = await make_folder(member, "/mine")
    await grant(account, top, member, "editor")
    await shared.settle()

    def place() -> None:
        row, entry = shared.state.find_mount(top), shared.state.find_remote(top)
        assert row
        assert entry
        shared.state.put_mount(row._replace(parent=mine, name="here"))
        shared.state.put_remote(type(entry)(entry.id, mine, "here", entry.kind, None, None, entry.version))

    await shared.run(place)
    (await account.client.patch(f"/v1/files/{top}", json={"name": "renamed"})).raise_for_status()
    await make_folder(account, "/renamed/new")
    await run_until_idle(relay_changes, server.services)
    await shared.settle()
    assert set(await shared.paths()) == {"", "mine", "mine/here", "mine/here/new", "Shared with me"}
    await shared.run(shared.reader.reload)
    await shared.settle()
    assert "mine/here/new" in await shared.paths()
    # A list of the folder shows no mount; without the folder the share returns.
    target = await make_folder(member, "/target")
    (await member.client.patch(f"/v1/files/{mine}", json={"parent_id": target})).raise_for_status()
    await shared.settle()
    assert "target/mine/here/new" in await shared.paths()
    (await member.client.delete(f"/v1/files/{target}")).raise_for_status()
    await shared.settle()
    assert set(await shared.paths()) == {"", "Shared with me", "Shared with me/here", "Shared with me/here/new"}
