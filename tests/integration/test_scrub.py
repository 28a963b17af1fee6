"""Scrubbing: damaged and lost objects are found, refused, reported, and repaired from equal bytes."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import repair, reports
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.inspection import ManifestChunk
from dropbox_api.workers.scrub import scrub_blobs
from dropbox_api.workers.sweep import sweep_orphans
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    assert_invariants,
    download,
    journal,
    problem,
    register_account,
    run_until_idle,
    separate_server,
    upload_file,
)
from tests.support.stack import Stack


@dataclass
class World:
    """A server with its own database and bucket, where every blob is due at each run."""

    server: RunningServer
    volumes: Path

    @property
    def settings(self) -> Settings:
        worker = self.server.settings.worker.model_copy(update={"scrub_days": 1e-9, "sweep_grace_s": 0})
        return self.server.settings.model_copy(update={"worker": worker})

    async def scrub(self) -> reports.Report:
        return await scrub_blobs(Services(self.server.db, self.server.store, self.settings))

    async def verify(self) -> None:
        await run_until_idle(verify_next_blob, Services(self.server.db, self.server.store, self.settings))

    async def collect(self) -> None:
        """Delete the objects that are no longer needed."""
        await run_until_idle(collect_blobs, Services(self.server.db, self.server.store, self.settings))
        await sweep_orphans(Services(self.server.db, self.server.store, self.settings))

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.server.db.read() as tx:
            return list((await tx.execute(text(statement), values)).all())

    async def blob(self, file: dict[str, Any]) -> Any:
        found = "SELECT b.* FROM blobs b JOIN revisions r ON r.blob_id = b.id WHERE r.id = :id"
        return (await self.query(found, id=uuid.UUID(file["revision_id"])))[0]

    def flip(self, data: bytes) -> int:
        """Flip a bit in the files of the store wherever these bytes begin; return the number of places.

        The store splits objects into its own pieces, so only the beginning is searched for.
        """
        found, data = 0, data[:1000]
        for path in self.volumes.rglob("*.dat"):
            stored = path.read_bytes()
            at = stored.find(data)
            while at >= 0:
                with path.open("r+b") as file:
                    file.seek(at + 10)
                    file.write(bytes([data[10] ^ 4]))
                found += 1
                at = stored.find(data, at + 1)
        return found

    async def replace(self, file: dict[str, Any], data: bytes) -> None:
        """Put other bytes into the object without any error of the store."""
        await self.server.store.put((await self.blob(file)).storage_key, data)


@pytest.fixture(scope="module")
async def world(stack: Stack, postgres_url: str, s3_config: S3Config) -> AsyncIterator[World]:
    async with separate_server(postgres_url, s3_config, bucket="scrub") as server:
        yield World(server, stack.directory / "s3")
        await assert_invariants(server.db, server.store)


@pytest.fixture
async def account(world: World) -> AsyncIterator[Account]:
    account = await register_account(world.server.url)
    async with account.client:
        yield account


def flipped(data: bytes) -> bytes:
    return data[:10] + bytes([data[10] ^ 4]) + data[11:]


async def status(account: Account, file: dict[str, Any]) -> str:
    found: str = (await account.client.get(f"/v1/files/{file['id']}")).raise_for_status().json()["content_status"]
    return found


async def is_refused(account: Account, file: dict[str, Any]) -> None:
    for path in ("content", "download"):
        answer = await account.client.get(f"/v1/files/{file['id']}/{path}")
        assert problem(answer) == (409, "content-damaged")


async def test_scrub_of_intact_content_changes_nothing(world: World, account: Account) -> None:
    data = random.Random("scrub 1").randbytes(SMALLEST_CHUNK + 1000)
    files = [await upload_file(account, data, "a", **MULTI), await upload_file(account, b"", "empty")]
    await world.verify()
    before = [await world.blob(file) for file in files]
    report = await world.scrub()
    assert (report.found, report.done, report.failed, report.notes) == (report.found, report.found, 0, ())
    after = [await world.blob(file) for file in files]
    assert [blob.scrubbed_at for blob in before] == [None, None]
    for was, now in zip(before, after, strict=True):
        assert now.scrubbed_at is not None
        assert (now.storage_key, now.content_status, now.lease_token) == (was.storage_key, "verified", None)
    told = await journal(world.server.db, account)
    assert [kind for kind, _ in told] == ["file.created", "file.created", "file.verified"]


async def test_scrub_repairs_a_chunk_from_another_file(world: World, account: Account) -> None:
    """Two files of one owner share a chunk; the damaged one is rebuilt, the other is unchanged."""
    rng = random.Random("scrub 2")
    shared, one, two = (rng.randbytes(SMALLEST_CHUNK) for _ in range(3))
    rotten = await upload_file(account, one + shared, "rotten", **MULTI)
    await world.verify()
    await world.replace(rotten, one + flipped(shared))
    source = await upload_file(account, shared + two, "source", **MULTI)
    await world.verify()
    before = await world.blob(rotten)
    report = await world.scrub()
    assert report.failed == 0
    assert report.notes == (f"blob {before.id}: 1 of 2 chunks are damaged", f"blob {before.id}: repaired")
    told = [kind for kind, node_id in await journal(world.server.db, account) if node_id == rotten["id"]]
    assert told == ["file.created", "file.verified", "file.damaged", "file.repaired"]
    assert await download(account, rotten["id"]) == one + shared
    assert await download(account, source["id"]) == shared + two
    after = await world.blob(rotten)
    assert (after.content_status, after.composite_digest) == ("verified", before.composite_digest)
    assert after.storage_key != before.storage_key
    await world.collect()
    assert await download(account, rotten["id"]) == one + shared
    kept = [item.key async for item in world.server.store.list_objects(f"blobs/{before.owner_id}/")]
    assert before.storage_key not in kept, "the sweep has it"
    assert (await world.scrub()).notes == ()


async def test_scrub_with_a_very_frequent_chunk_finds_sources_of_others(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "SOURCES_PER_CHUNK", 2)
    common, rare = (random.Random(f"scrub {word}").randbytes(SMALLEST_CHUNK) for word in ("common", "rare"))
    data = common + rare
    file = await upload_file(account, data, "lost", strategy="multipart", chunk_size_bytes=SMALLEST_CHUNK)
    more = await upload_file(account, common, "common")
    await upload_file(account, rare, "rare")
    await world.verify()
    filler = """INSERT INTO blob_chunks (blob_id, number, owner_id, offset_bytes, size_bytes, sha256)
        SELECT blob_id, number + n, owner_id, offset_bytes, size_bytes, sha256
        FROM blob_chunks, generate_series(1, 1500) n WHERE blob_id = :id"""
    blob, filled = await world.blob(file), {"id": (await world.blob(more)).id}
    async with world.server.db.begin() as tx:
        await tx.execute(text(filler), filled)
    async with world.server.db.read() as tx:
        manifest = text("SELECT number, offset_bytes, size_bytes, sha256 FROM blob_chunks WHERE blob_id = :id")
        chunks = [ManifestChunk(*row) for row in await tx.execute(manifest, {"id": blob.id})]
    found = await repair.find_candidates(world.server.db, blob, chunks)
    async with world.server.db.begin() as tx:
        await tx.execute(text("DELETE FROM blob_chunks WHERE blob_id = :id AND number > 1"), filled)
    assert {number: len(sources) for number, sources in found.items()} == {1: 2, 2: 1}


async def test_scrub_repairs_a_flipped_bit_from_a_file_of_another_account(world: World, account: Account) -> None:
    """SeaweedFS detects it by its CRC, retries for a while, and then answers with an error."""
    data = random.Random("scrub 3").randbytes(100_000)
    rotten = await upload_file(account, data, "rotten")
    assert world.flip(data) == 1
    other = await register_account(world.server.url)
    async with other.client:
        await upload_file(other, data, "copy")
        assert any("repaired" in note for note in (await world.scrub()).notes)
        assert [kind for kind, _ in await journal(world.server.db, other)] == ["file.created"], (
            "the other account gets no event"
        )
    assert await status(account, rotten) == "verified"
    assert await download(account, rotten["id"]) == data
    assert (await world.scrub()).notes == ()


async def test_damaged_content_without_another_copy_is_refused(world: World, account: Account) -> None:
    data = random.Random("scrub 4").randbytes(100_000)
    file = await upload_file(account, data, "only")
    await world.replace(file, flipped(data))
    await world.scrub()
    assert await status(account, file) == "damaged"
    await is_refused(account, file)
    link = (
        (await account.client.post(f"/v1/files/{file['id']}/links", json={"mode": "download"}))
        .raise_for_status()
        .json()
    )
    token = link["token"]
    public = f"/v1/public/links/{token}/files/{file['id']}/content"
    assert problem(await account.client.get(public)) == (409, "content-damaged")
    for _ in range(2):
        assert (await world.scrub()).notes == (), "it is known"
    assert [kind for kind, _ in await journal(world.server.db, account)][:2] == ["file.created", "file.damaged"]
    # Damaged content counts as missing: a client sends it again, which repairs it under any name.
    again = await upload_file(account, data, "again")
    assert again["id"] != file["id"]
    for each in (file, again):
        assert await status(account, each) == "verified"
        assert await download(account, each["id"]) == data
    assert (await account.me())["used_bytes"] == len(data)
    told = await journal(world.server.db, account)
    assert ("file.repaired", file["id"]) in told
    await world.collect()
    assert await download(account, file["id"]) == data
    await assert_invariants(world.server.db, world.server.store)


async def test_content_sent_again_repairs_after_verification(world: World, account: Account) -> None:
    data = random.Random("scrub 5").randbytes(SMALLEST_CHUNK + 5)
    file = await upload_file(account, data, "a", **MULTI)
    await world.verify()
    await world.replace(file, flipped(data))
    await world.scrub()
    assert await status(account, file) == "damaged"
    await upload_file(account, data, "b", **MULTI)
    assert await status(account, file) == "damaged"
    await world.verify()
    assert await status(account, file) == "verified"
    assert await download(account, file["id"]) == data
    assert (await account.me())["used_bytes"] == len(data)


async def test_scrub_of_a_lost_object_reports_damage(world: World, account: Account) -> None:
    file = await upload_file(account, b"to be lost", "lost")
    blob = await world.blob(file)
    await world.server.store.delete(blob.storage_key)
    await world.scrub()
    await is_refused(account, file)
    await world.server.store.put(blob.storage_key, b"to be lost")
    await world.scrub()
    assert await status(account, file) == "verified", "it is looked at anew in each run"
    assert await download(account, file["id"]) == b"to be lost"


async def test_scrub_of_a_short_object_reports_damage(world: World, account: Account) -> None:
    file = await upload_file(account, b"ten bytes.", "short")
    blob = await world.blob(file)
    await world.server.store.put(blob.storage_key, b"ten")
    await world.scrub()
    assert await status(account, file) == "damaged"
    await world.server.store.put(blob.storage_key, b"ten bytes.")
    await world.scrub()
    assert await status(account, file) == "verified"


async def test_concurrent_scrubs_share_the_work(world: World, account: Account) -> None:
    for number in range(6):
        await upload_file(account, str(number).encode(), str(number))
    worker = world.settings.worker.model_copy(update={"scrub_days": 1, "sweep_interval_s": 86400})
    settings = world.settings.model_copy(update={"worker": worker})
    async with world.server.db.begin() as tx:
        await tx.execute(text("UPDATE blobs SET scrubbed_at = now() - interval '2 days'"))
    all_of_it = await world.query("SELECT count(*) AS n FROM blobs WHERE content_status = 'verified'")
    db, store = world.server.db, world.server.store
    both = await asyncio.gather(*(scrub_blobs(Services(db, store, settings)) for _ in range(2)))
    assert sum(report.done for report in both) == all_of_it[0].n


async def test_scrub_run_reads_its_share_only(world: World, account: Account) -> None:
    for number in range(40):
        await upload_file(account, random.Random(f"share {number}").randbytes(10_000), str(number))
    worker = world.settings.worker.model_copy(update={"scrub_days": 1, "sweep_interval_s": 8640})
    tenth = world.settings.model_copy(update={"worker": worker})
    async with world.server.db.begin() as tx:
        await tx.execute(text("UPDATE blobs SET scrubbed_at = now() - interval '2 days'"))
    recent = "scrubbed_at > now() - interval '1 hour'"
    ours = f"SELECT sum(size_bytes) AS total, sum(size_bytes) FILTER (WHERE {recent}) AS read"
    largest = (await world.query("SELECT max(size_bytes) AS n FROM blobs"))[0].n
    await scrub_blobs(Services(world.server.db, world.server.store, tenth))
    row = (await world.query(f"{ours} FROM blobs WHERE content_status = 'verified'"))[0]
    assert row.total / 10 <= row.read <= row.total / 10 + largest
    again = await scrub_blobs(Services(world.server.db, world.server.store, tenth))
    assert again.done <= 1, "bytes read in this interval count for all workers"
    off = world.settings.model_copy(update={"worker": worker.model_copy(update={"scrub_days": 0})})
    assert (await scrub_blobs(Services(world.server.db, world.server.store, off))).found == 0
