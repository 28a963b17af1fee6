"""Retention: jobs remove old trash, old revisions and old idempotency keys, observed through HTTP."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import batches, reports
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.forget import forget_idempotency_keys
from dropbox_api.workers.prune import prune_revisions
from dropbox_api.workers.purge import purge_trash
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    assert_invariants,
    complete,
    download,
    is_stored,
    journal,
    problem,
    send,
    separate_server,
    sha256,
    start,
    upload_file,
)
from tests.support.sharing import make_folder

BYTES = random.Random(5).randbytes(SMALLEST_CHUNK + 1000)


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with its own database and no grace period: its jobs find only trash of these tests."""
    async with separate_server(postgres_url, s3_config, worker={"sweep_grace_s": 0}) as running:
        yield running


@pytest.fixture(autouse=True)
async def invariants_hold(server: RunningServer) -> AsyncIterator[None]:
    yield
    await assert_invariants(server.db, server.store)


async def run(server: RunningServer, job: reports.Job, **files: Any) -> int:
    """Run a job until it finds nothing; return what it did. `files`: other settings of that group."""
    settings = altered(server.settings, **files)
    done = 0
    while (report := await job(Services(server.db, server.store, settings))).done:
        assert report.failed == 0
        done += report.done
    return done


def altered(settings: Settings, **files: Any) -> Settings:
    return settings.model_copy(update={"files": settings.files.model_copy(update=files)})


async def put_file(account: Account, data: bytes, path: str, **more: Any) -> dict[str, Any]:
    folder, _, name = path.rpartition("/")
    place = more.pop("destination", {}) | {"folder_path": folder or "/"}
    return await upload_file(account, data, name, destination=place, **more)


async def replace(account: Account, data: bytes, path: str) -> dict[str, Any]:
    return await put_file(account, data, path, destination={"on_conflict": "replace"})


async def copy(account: Account, file_id: str, **body: Any) -> dict[str, Any]:
    answer = await account.client.post(f"/v1/files/{file_id}/copy", json=body)
    copied: dict[str, Any] = answer.raise_for_status().json()
    return copied


async def delete(account: Account, *file_ids: str) -> None:
    for file_id in file_ids:
        (await account.client.delete(f"/v1/files/{file_id}")).raise_for_status()


async def delete_for_good(account: Account, *file_ids: str) -> None:
    await delete(account, *file_ids)
    for file_id in file_ids:
        (await account.client.delete(f"/v1/trash/{file_id}")).raise_for_status()


async def alter_node(db: Db, file_id: str, assignment: str) -> None:
    async with db.begin() as tx:
        await tx.execute(text(f"UPDATE nodes SET {assignment} WHERE id = :id"), {"id": file_id})


async def used(account: Account) -> tuple[int, int]:
    me = await account.me()
    return me["used_bytes"], me["used_nodes"]


async def trash(account: Account) -> list[str]:
    items = (await account.client.get("/v1/trash")).raise_for_status().json()["items"]
    return [item["name"] for item in items]


async def revisions(account: Account, file_id: str) -> list[int]:
    items = (await account.client.get(f"/v1/files/{file_id}/revisions")).raise_for_status().json()["items"]
    return [item["number"] for item in items]


async def keys(db: Db, account: Account) -> set[str]:
    """Return the storage keys of the account's blobs."""
    owned = text("SELECT storage_key FROM blobs WHERE owner_id = :id")
    async with db.read() as tx:
        return set((await tx.execute(owned, {"id": (await account.me())["id"]})).scalars())


# purge


async def test_trash_beyond_its_retention_is_purged(account: Account, server: RunningServer) -> None:
    young, old = await put_file(account, b"young", "/young"), await put_file(account, b"old", "/old")
    await delete(account, young["id"], old["id"])
    await alter_node(server.db, old["id"], "trashed_at = trashed_at - interval '29 days 23 hours'")
    assert await run(server, purge_trash) == 0
    await alter_node(server.db, old["id"], "trashed_at = trashed_at - interval '1 hour'")
    assert await run(server, purge_trash) == 2, "one mark, one row"
    assert await trash(account) == ["young"]
    assert await used(account) == (5, 1)
    assert (await journal(server.db, account))[-1] == ("file.deleted", old["id"])
    log = text("SELECT action, actor_id FROM audit_log WHERE node_id = :id ORDER BY id")
    async with server.db.read() as tx:
        entries = (await tx.execute(log, {"id": old["id"]})).all()
    assert [entry.action for entry in entries] == ["created", "trashed", "purged"]
    assert entries[-1].actor_id is None, "the purge has no actor"
    answer = await account.client.post(f"/v1/files/{young['id']}/restore")
    assert await download(account, answer.raise_for_status().json()["id"]) == b"young"


async def test_purge_of_a_folder_removes_its_descendants(account: Account, server: RunningServer) -> None:
    """Counters are exact, content shared with a live file stays, and an object goes with its last file."""
    kept = await put_file(account, b"shared" * 10, "/kept")
    folder_id = await make_folder(account, "/a")
    await make_folder(account, "/a/b/c/d")
    for path in ("/a/one", "/a/b/one", "/a/b/c/d/one"):
        await put_file(account, path.encode() * 100, path)
    await put_file(account, b"shared" * 10, "/a/b/shared")
    await copy(account, kept["id"], parent_path="/a/b/c")
    for version in (b"v1", b"v2", b"v1", b"v3"):
        await replace(account, version, "/a/b/often")
    nested = await put_file(account, b"deleted on its own", "/a/b/c/nested")
    await make_folder(account, "/a/b/inner/deeper")
    inner_id = await make_folder(account, "/a/b/inner")
    await put_file(account, b"within", "/a/b/inner/deeper/within")
    await delete(account, nested["id"], inner_id)
    before = await keys(server.db, account)
    assert (await used(account))[1] == 1 + 4 + 3 + 2 + 1 + 1 + 3

    await delete_for_good(account, folder_id)
    assert (await used(account))[1] == 15, "a worker frees it"
    assert await run(server, purge_trash) == 14
    assert await used(account) == (60, 1)
    assert await trash(account) == []
    assert await keys(server.db, account) == before, "reference first, object later"
    await run(server, collect_blobs)
    (left,) = await keys(server.db, account)
    assert [await is_stored(server.store, key) for key in sorted(before)] == [key == left for key in sorted(before)]
    assert await download(account, kept["id"]) == b"shared" * 10

    await delete_for_good(account, kept["id"])
    await run(server, purge_trash)
    assert await used(account) == (0, 0)
    await run(server, collect_blobs)
    assert await keys(server.db, account) == set()
    assert not await is_stored(server.store, left)


async def test_purge_of_a_folder_includes_earlier_deletions_in_it(account: Account, server: RunningServer) -> None:
    folder_id, inner_id = await make_folder(account, "/a"), await make_folder(account, "/a/inner")
    await put_file(account, b"x", "/a/inner/x")
    await delete(account, inner_id)
    await delete_for_good(account, folder_id)
    assert await trash(account) == []
    assert await run(server, purge_trash) == 3
    gone = {("file.deleted", inner_id), ("file.deleted", folder_id)}
    assert set((await journal(server.db, account))[-2:]) == gone
    assert problem(await account.client.post(f"/v1/files/{inner_id}/restore")) == (404, "not-found")
    assert await used(account) == (0, 0)


async def test_purge_of_nested_deletions_succeeds_in_any_order(account: Account, server: RunningServer) -> None:
    """Deleted for good from the inside out and from the outside in: no order violates a foreign key."""
    inwards, outwards = ("/a", "/a/b", "/a/b/c/d"), ("/a/b/c/d", "/a/b", "/a")
    for names, answers in ((inwards, [204, 404, 404]), (outwards, [204, 204, 204])):
        ids = {path: await make_folder(account, path) for path in ("/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/b/c/d/e")}
        await delete(account, ids["/a/b/c/d"], ids["/a/b"], ids["/a"])
        found = [(await account.client.delete(f"/v1/trash/{ids[path]}")).status_code for path in names]
        assert found == answers, "what is deleted for good takes along what had been deleted within"
        assert await run(server, purge_trash) == 5
        assert await used(account) == (0, 0)


async def test_purge_in_small_batches_counts_every_row_once(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two concurrent workers and batches of one: every row is counted once."""
    monkeypatch.setattr(batches, "ROWS_PER_TRANSACTION", 1)
    monkeypatch.setattr(batches, "ROWS_PER_QUERY", 3)
    folder_id = await make_folder(account, "/a")
    for path in ("/a/b/c", "/a/d", "/a/e/f/g"):
        await make_folder(account, path)
    for number in range(5):
        await put_file(account, bytes([number]) * 10, f"/a/b/{number}")
    await delete_for_good(account, folder_id)
    done = await asyncio.gather(*(run(server, purge_trash) for _ in range(2)))
    assert sum(done) == 12
    assert await used(account) == (0, 0)


async def test_emptied_trash_frees_its_quota(account: Account, server: RunningServer) -> None:
    files = [await put_file(account, b"same", f"/{number}") for number in range(3)]
    assert await used(account) == (4, 3)
    await delete(account, *(file["id"] for file in files[:2]))
    (await account.client.delete("/v1/trash")).raise_for_status()
    assert await run(server, purge_trash) == 2
    assert await used(account) == (4, 1)


@pytest.mark.parametrize("status", ["quarantined", "damaged", "stored"])
async def test_purge_releases_content_in_every_state(account: Account, server: RunningServer, status: str) -> None:
    file = await upload_file(account, BYTES, "a", **MULTI)
    async with server.db.begin() as tx:
        owned = "UPDATE blobs SET content_status = :status WHERE owner_id = :id"
        await tx.execute(text(owned), {"status": status, "id": (await account.me())["id"]})
    await delete_for_good(account, file["id"])
    (key,) = await keys(server.db, account)
    await run(server, purge_trash)
    assert await used(account) == (0, 0)
    assert (await verify_next_blob(server.services)).found == 0
    await run(server, collect_blobs)
    assert not await is_stored(server.store, key)


async def test_restore_during_a_purge_is_whole_or_refused(account: Account, server: RunningServer) -> None:
    """The folder is restored as a whole or purged as a whole."""

    async def purge(pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        await run(server, purge_trash)

    outcomes = []
    for attempt in range(10):
        folder_id = await make_folder(account, f"/{attempt}")
        data = f"{attempt}".encode()
        files = [await put_file(account, data, f"/{attempt}/in/{name}") for name in "ab"]
        before = await used(account)
        await delete(account, folder_id)
        await alter_node(server.db, folder_id, "trashed_at = trashed_at - interval '31 days'")
        restoring = account.client.post(f"/v1/files/{folder_id}/restore")
        answer, _ = await asyncio.gather(restoring, purge(attempt * 0.002))
        outcomes.append(answer.status_code)
        assert await trash(account) == []
        if answer.status_code == 200:
            assert [await download(account, file["id"]) for file in files] == [data, data]
            assert await used(account) == before
        else:
            assert problem(answer) == (404, "not-found")
            assert await used(account) == (before[0] - len(data), before[1] - 4)
    print("in the order of how late the purge began:", outcomes)


async def test_upload_of_released_content_is_sent_again(account: Account, server: RunningServer) -> None:
    """The same bytes right after the purge: the server must not reuse an object that is being deleted."""
    first = await put_file(account, b"again", "/a")
    (old,) = await keys(server.db, account)
    await delete_for_good(account, first["id"])
    await run(server, purge_trash)
    missing = await account.client.get(f"/v1/fingerprints/{sha256(b'again')}")
    assert problem(missing) == (404, "not-found")
    upload = await start(account, b"again", "a")
    await send(account, upload, b"again")
    await run(server, collect_blobs)
    assert not await is_stored(server.store, old)
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    await run(server, collect_blobs)
    assert await download(account, file["id"]) == b"again"
    assert await used(account) == (5, 1)


async def test_deduplicated_uploads_during_a_purge_stay_readable(account: Account, server: RunningServer) -> None:
    """Each upload is deduplicated or sent again; all acknowledged files are readable afterwards."""
    for attempt in range(6):
        data = f"{attempt}".encode() * 50
        first = await put_file(account, data, f"/first-{attempt}")
        await delete_for_good(account, first["id"])

        async def again(pause_s: float, name: str = f"again-{attempt}", data: bytes = data) -> dict[str, Any]:
            await asyncio.sleep(pause_s)
            return await upload_file(account, data, name)

        file, *_ = await asyncio.gather(again(attempt * 0.002), run(server, purge_trash), run(server, collect_blobs))
        await run(server, purge_trash)
        await run(server, collect_blobs)
        assert await download(account, file["id"]) == data
    assert await used(account) == (6 * 50, 6)


async def test_purge_keeps_content_of_a_session_without_a_destination(account: Account, server: RunningServer) -> None:
    """A session without an accepted destination may still name one, although the only file is purged."""
    upload = await start(account, b"content", "taken")
    await send(account, upload, b"content")
    await put_file(account, b"winner", "/taken")
    assert problem(await complete(account, upload["id"])) == (409, "destination-refused")
    file = await put_file(account, b"content", "/file")
    await delete_for_good(account, file["id"])
    await run(server, purge_trash)
    await run(server, collect_blobs)
    assert await used(account) == (6 + 7, 1), "it is kept for a week, and charged"
    place = {"destination": {"name": "rescued"}}
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
    rescued = answer.raise_for_status().json()["destinations"][-1]["file_id"]
    assert await download(account, rescued) == b"content"

    # With a destination, the session no longer keeps the content.
    await delete_for_good(account, rescued)
    await run(server, purge_trash)
    assert await used(account) == (6, 1)
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
    assert problem(answer) == (409, "nothing-to-place")


async def test_completed_upload_does_not_keep_its_content(account: Account, server: RunningServer) -> None:
    upload = await start(account, b"done", "done")
    await send(account, upload, b"done")
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    await delete_for_good(account, file["id"])
    await run(server, purge_trash)
    assert await used(account) == (0, 0)
    answer = await account.client.post(
        f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": "again"}}
    )
    assert problem(answer) == (409, "nothing-to-place")


# prune


async def test_revisions_beyond_the_count_are_pruned(account: Account, server: RunningServer) -> None:
    for number in range(1, 7):
        file = await replace(account, b"x" * number, "/a")
    for number in range(1, 4):
        few = await replace(account, b"y" * number, "/few")
    assert await run(server, prune_revisions, revisions_keep=7) == 0
    assert await run(server, prune_revisions, revisions_keep=3) == 3
    assert await revisions(account, file["id"]) == [6, 5, 4]
    assert await revisions(account, few["id"]) == [3, 2, 1]
    assert await used(account) == (6 + 5 + 4 + 3 + 2 + 1, 2)
    assert await run(server, prune_revisions, revisions_keep=1) == 4
    assert await revisions(account, file["id"]) == [6]
    assert await run(server, prune_revisions, revisions_keep=1) == 0, "never the head"
    assert await download(account, file["id"]) == b"x" * 6
    await run(server, collect_blobs)
    assert len(await keys(server.db, account)) == 2
    assert (await replace(account, b"next", "/a"))["id"] == file["id"]
    assert await revisions(account, file["id"]) == [7, 6]


async def test_revisions_beyond_the_age_are_pruned(account: Account, server: RunningServer) -> None:
    """The age counts from the replacement. Heads and revisions in the trash have no age limit."""
    for data in (b"1", b"22", b"333"):
        file = await replace(account, data, "/a")
        gone = await replace(account, data * 10, "/gone")
    await delete(account, gone["id"])

    async def age(days: int, which: str) -> None:
        aged = f"created_at = created_at - interval '1 year', superseded_at = superseded_at - interval '{days} days'"
        mine = text(f"UPDATE revisions SET {aged} WHERE {which} AND owner_id = :id")
        async with server.db.begin() as tx:
            await tx.execute(mine, {"id": (await account.me())["id"]})

    await age(179, "true")
    assert await run(server, prune_revisions) == 0
    await age(1, "number = 1")
    assert await run(server, prune_revisions) == 2
    assert await revisions(account, file["id"]) == [3, 2]
    await age(1, "number > 1")
    assert await run(server, prune_revisions) == 2
    restored = await account.client.post(f"/v1/files/{gone['id']}/restore")
    assert restored.status_code == 200
    for file_id, content in ((file["id"], b"333"), (gone["id"], b"333" * 10)):
        assert await revisions(account, file_id) == [3]
        assert await download(account, file_id) == content
    assert await used(account) == (33, 2)


async def test_prune_keeps_shared_content_and_processed_revisions(account: Account, server: RunningServer) -> None:
    first = await replace(account, b"first", "/a")
    other = await copy(account, first["id"], name="copy")
    await replace(account, b"second", "/a")
    file = await replace(account, b"third", "/a")
    path = f"/v1/files/{file['id']}/processing"
    second = (await account.client.get(f"/v1/files/{file['id']}/revisions")).json()["items"][1]["id"]
    running = {"state": "running", "revision_id": second}
    (await account.client.put(path, json=running)).raise_for_status()
    await run(server, prune_revisions, revisions_keep=1, revisions_keep_s=0)
    assert await revisions(account, file["id"]) == [3, 2]
    (await account.client.put(path, json=running | {"state": "succeeded"})).raise_for_status()
    await run(server, prune_revisions, revisions_keep=1)
    assert await revisions(account, file["id"]) == [3]
    await run(server, collect_blobs)
    assert await download(account, other["id"]) == b"first"
    assert await used(account) == (5 + 5, 2)


async def test_prune_in_small_batches_removes_everything_due(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job runs once an hour, so one run must do everything, batch by batch and owner by owner."""
    monkeypatch.setattr(batches, "ROWS_PER_TRANSACTION", 2)
    monkeypatch.setattr(batches, "ROWS_PER_QUERY", 3)
    for number in range(8):
        file = await replace(account, b"x" * number, "/a")
    settings = altered(server.settings, revisions_keep=1)
    report = await prune_revisions(Services(server.db, server.store, settings))
    assert report.found == report.done >= 7
    assert await revisions(account, file["id"]) == [8]


# forget


async def test_idempotency_keys_beyond_their_lifetime_are_forgotten(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_TRANSACTION", 2)

    async def make(name: str) -> tuple[int, str]:
        answer = await account.client.post("/v1/folders", json={"name": name}, headers={"Idempotency-Key": name})
        return answer.status_code, answer.json().get("id", "")

    names = [f"folder-{number}" for number in range(5)]
    made = [await make(name) for name in names]
    young = await make("young")
    aged = "UPDATE idempotency_keys SET created_at = created_at - interval '{}' WHERE key <> 'young'"
    for by, forgotten in (("23 hours 59 minutes", 0), ("1 minute", 5)):
        async with server.db.begin() as tx:
            await tx.execute(text(aged.format(by)))
        assert [await make(name) for name in names[:1]] == made[:1]
        assert await run(server, forget_idempotency_keys) == forgotten
    assert [status for status, _ in [await make(name) for name in names]] == [409] * 5
    assert await make("young") == young
