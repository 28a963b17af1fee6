"""Content-defined uploads, and stored chunks that become parts of new uploads."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core.ranges import decode_ranges
from dropbox_api.db import Db
from dropbox_api.storage import reuse as store_reuse
from dropbox_api.storage.object_store import StoreRejected, StoreUnavailable
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.uploads import queries
from dropbox_api.workers import reuse as reuse_job
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.purge import purge_trash
from dropbox_api.workers.reuse import reuse_chunks
from dropbox_client.transfer.cdc import cut_bytes
from tests.conftest import Register
from tests.support.plans import explain, record_statements
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    complete,
    download,
    problem,
    put,
    run_until_idle,
    running_server,
    sha256,
    start_body,
    upload_file,
)
from tests.support.sharing import grant, make_folder, verify
from tests.support.store_proxy import Do, store_proxy

pytestmark = pytest.mark.usefixtures("invariants_hold")

MIB = 1024 * 1024
CDC: dict[str, Any] = {"chunking": "cdc1"}

Chunks = list[bytes]


def content(seed: object, mib: int = 34) -> bytes:
    return random.Random(str(seed)).randbytes(mib * MIB)


def cut(data: bytes) -> Chunks:
    chunks, at = [], 0
    for size in cut_bytes(data):
        chunks.append(data[at : at + size])
        at += size
    return chunks


def listed(chunks: Sequence[bytes]) -> list[dict[str, Any]]:
    return [{"sha256": sha256(chunk), "size_bytes": len(chunk)} for chunk in chunks]


def numbers(ranges: str) -> list[int]:
    return decode_ranges(ranges, max_count=10_000)


async def begin(account: Account, data: bytes, name: str = "", **more: Any) -> dict[str, Any]:
    """Start a content-defined upload with its whole list; return the session."""
    body = start_body(data, name or f"{uuid.uuid4()}", chunks=listed(cut(data)), **CDC, **more)
    answer = await account.client.post("/v1/uploads", json=body)
    upload: dict[str, Any] = answer.raise_for_status().json()["upload"]
    return upload


async def put_list(
    account: Account, upload: dict[str, Any], chunks: Sequence[bytes], first: int = 1
) -> httpx2.Response:
    address = f"/v1/uploads/{upload['id']}/chunks"
    return await account.client.put(address, params={"from": first}, json={"chunks": listed(chunks)})


async def look(account: Account, upload: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = await account.client.get(f"/v1/uploads/{upload['id']}", params=query)
    seen: dict[str, Any] = answer.raise_for_status().json()
    return seen


async def send_chunks(account: Account, upload: dict[str, Any], chunks: Chunks, wanted: Sequence[int]) -> None:
    parts = [{"number": number, "sha256": sha256(chunks[number - 1])} for number in wanted]
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/parts", json={"parts": parts})
    for part in answer.raise_for_status().json()["parts"]:
        chunk = chunks[part["number"] - 1]
        assert part["offset_bytes"] == sum(map(len, chunks[: part["number"] - 1]))
        assert part["size_bytes"] == len(chunk)
        (await put(part, chunk)).raise_for_status()


async def finish(account: Account, upload: dict[str, Any], chunks: Chunks) -> dict[str, Any]:
    """Send what the store does not have, complete, and require that the file has these bytes; return it."""
    upload = await look(account, upload)
    if lacking := [*numbers(upload["missing"]), *numbers(upload["reusing"])]:
        await send_chunks(account, upload, chunks, lacking)
    file: dict[str, Any] = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == b"".join(chunks)
    return file


async def store_file(account: Account, data: bytes, name: str = "", **more: Any) -> dict[str, Any]:
    """Store content in content-defined chunks."""
    return await finish(account, await begin(account, data, name, **more), cut(data))


async def begin_edit(account: Account, seed: object, *, mib: int = 20) -> tuple[dict[str, Any], Chunks]:
    """Store content, and begin to upload it with a byte before it; return that session and its chunks."""
    data = content(seed, mib)
    await store_file(account, data)
    edited = b"!" + data
    return await begin(account, edited), cut(edited)


async def manifest(account: Account, file: dict[str, Any]) -> dict[str, Any]:
    answer = await account.client.get(f"/v1/files/{file['id']}/manifest")
    read: dict[str, Any] = answer.raise_for_status().json()
    return read


async def blob_of(db: Db, file: dict[str, Any]) -> Any:
    rows = text("SELECT blobs.* FROM blobs JOIN revisions ON blob_id = blobs.id WHERE revisions.id = :id")
    async with db.read() as tx:
        return (await tx.execute(rows, {"id": uuid.UUID(file["revision_id"])})).one()


async def purge(server: RunningServer, account: Account, file: dict[str, Any]) -> None:
    """Delete a file for good; its content waits for nothing but what still needs it."""
    blob = await blob_of(server.db, file)
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    (await account.client.delete(f"/v1/trash/{file['id']}")).raise_for_status()
    await run_until_idle(purge_trash, server.services)
    long_ago = text("UPDATE blobs SET deleting_at = now() - interval '1 year' WHERE id = :id")
    async with server.db.begin() as tx:
        await tx.execute(long_ago, {"id": blob.id})


async def count_reuses(db: Db, upload: dict[str, Any]) -> int:
    rows = text("SELECT count(*) FROM chunk_reuses WHERE upload_id = :id")
    async with db.read() as tx:
        return int((await tx.execute(rows, {"id": uuid.UUID(upload["id"])})).scalar_one())


async def choose(db: Db, way: str) -> None:
    """Have the waiting chunks copied, as on a store that proves its copies, or relayed."""
    async with db.begin() as tx:
        await tx.execute(text("UPDATE chunk_reuses SET relay = :relay"), {"relay": way == "relay"})


@asynccontextmanager
async def server_with(server: RunningServer, reuse: str) -> AsyncIterator[RunningServer]:
    """Serve the same data with another setting `s3.reuse`."""
    s3 = server.settings.s3.model_copy(update={"reuse": reuse})
    async with running_server(server.settings.model_copy(update={"s3": s3})) as other:
        yield other


# The list


async def test_content_defined_upload_stores_the_file_and_its_manifest(account: Account) -> None:
    data = content("new")
    chunks = cut(data)
    upload = await begin(account, data, "film.mov")
    assert (upload["chunking"], upload["strategy"], upload["chunk_count"]) == ("cdc1", "multipart", len(chunks))
    assert (upload["listed_bytes"], upload["missing"], upload["reusing"]) == (len(data), f"1-{len(chunks)}", "")

    file = await finish(account, upload, chunks)

    read = await manifest(account, file)
    assert read["chunking"] == "cdc1"
    assert [(item["size_bytes"], item["sha256"]) for item in read["items"]] == [
        (len(chunk), sha256(chunk)) for chunk in chunks
    ]


async def test_list_in_pages_is_continued_by_another_client(account: Account) -> None:
    data = content("pages")
    chunks = cut(data)
    body = start_body(data, "pages", chunks=listed(chunks[:1]), **CDC)
    body["parts"] = [{"number": 1, "sha256": sha256(chunks[0])}]
    started = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()
    upload = started["upload"]
    assert (upload["chunk_count"], upload["listed_bytes"], upload["missing"]) == (1, len(chunks[0]), "1")
    (part,) = started["parts"]
    (await put(part, chunks[0])).raise_for_status()

    unfinished = await complete(account, upload["id"])
    assert problem(unfinished) == (409, "chunks-missing")
    assert (unfinished.json()["listed_bytes"], unfinished.json()["next_number"]) == (len(chunks[0]), 2)

    again = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()
    assert (again["upload"]["id"], again["parts"]) == (upload["id"], [])
    for first in (2, 1, 3):  # from the next number; all once more; with an overlap
        page = (await put_list(account, upload, chunks[first - 1 :], first)).raise_for_status().json()
        assert (page["chunk_count"], page["listed_bytes"]) == (len(chunks), len(data))
    reconciled = await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")
    assert reconciled.raise_for_status().json()["uploaded"] == "1"
    await finish(account, upload, chunks)


async def test_list_that_is_no_list_of_the_file_is_refused(account: Account) -> None:
    data = content("refused")
    chunks = cut(data)
    upload = await begin(account, data[: 20 * MIB])
    assert problem(await put_list(account, upload, [b"x"], 99)) == (422, "invalid-request")

    body = start_body(data, "refused", chunks=listed(chunks[:2]), **CDC)
    upload = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    gap = await put_list(account, upload, chunks[3:], 4)
    assert problem(gap) == (422, "invalid-request")
    assert gap.json()["errors"][0]["pointer"] == "/from"
    wrong: list[tuple[Chunks, str]] = [
        ([b"too small", *chunks[2:]], "/chunks/0/size_bytes"),
        ([data[: 16 * MIB + 1]], "/chunks/0/size_bytes"),
        ([*chunks[2:], b"beyond the file"], f"/chunks/{len(chunks[2:])}/size_bytes"),
    ]
    for page, pointer in wrong:
        answer = await put_list(account, upload, page, 3)
        assert problem(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["pointer"] == pointer
    other = [chunks[0], chunks[1][::-1]]
    differing = await put_list(account, upload, other)
    assert problem(differing) == (409, "chunk-mismatch")
    assert differing.json()["numbers"] == [2]

    # Nothing of it was recorded.
    assert (await look(account, upload))["chunk_count"] == 2
    (await put_list(account, upload, chunks[2:], 3)).raise_for_status()
    await finish(account, upload, chunks)


async def test_start_with_chunks_that_the_file_cannot_have_leaves_no_session(account: Account) -> None:
    data = content("start", 20)
    chunks = cut(data)
    fixed = [data[at : at + 8 * MIB] for at in range(0, len(data), 8 * MIB)]
    small, of_fixed = [b"too small", *chunks[1:]], {"chunk_size_bytes": 8 * MIB}
    wrong_part = [{"number": 1, "sha256": sha256(b"another")}]
    refused: list[tuple[dict[str, Any], str]] = [
        (CDC | {"chunks": listed(small)}, "/chunks/0/size_bytes"),
        (CDC | {"chunks": listed([*chunks, b"beyond"])}, f"/chunks/{len(chunks)}/size_bytes"),
        (CDC | {"chunks": listed(chunks), "parts": wrong_part}, "/parts"),
        (of_fixed | {"chunks": listed([fixed[0][:-1]])}, "/chunks/0/size_bytes"),
        (of_fixed | {"chunks": listed([*fixed, b"beyond"])}, "/chunks"),
        (of_fixed | {"chunks": listed(fixed), "parts": wrong_part}, "/parts"),
    ]
    for more, pointer in refused:
        answer = await account.client.post("/v1/uploads", json=start_body(data, "file", **more))
        assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((422, "invalid-request"), pointer)
    assert (await account.client.get("/v1/uploads")).json()["items"] == []
    assert (await account.me())["reserved_bytes"] == 0


@pytest.mark.parametrize("size_bytes", [16 * MIB, 9_999 * 5 * MIB + 1])
async def test_content_defined_upload_of_another_size_is_refused(account: Account, size_bytes: int) -> None:
    limit = (await account.client.get("/v1/capabilities")).json()["cdc1_max_bytes"]
    assert limit == 9_999 * 5 * MIB
    body = {"size_bytes": size_bytes, "fingerprint": sha256(b""), "destination": {"name": "file"}, **CDC}
    answer = await account.client.post("/v1/uploads", json=body)
    assert problem(answer) == (422, "size-not-allowed")
    assert (answer.json()["reason"], answer.json()["max_bytes"]) == ("not-for-cdc1", limit)


async def test_sessions_are_found_by_fingerprint_and_chunking(account: Account) -> None:
    data = content("both", 20)
    fixed_body = start_body(data, "fixed")
    defined = await begin(account, data, "defined")
    fixed = (await account.client.post("/v1/uploads", json=fixed_body)).raise_for_status().json()["upload"]
    assert (fixed["chunking"], fixed["id"] != defined["id"]) == (f"fixed:{8 * MIB}", True)
    assert (await begin(account, data, "defined too"))["id"] == defined["id"]
    hit = (await account.client.get(f"/v1/fingerprints/{sha256(data)}")).raise_for_status().json()
    assert hit["upload"]["id"] == fixed["id"]

    # A client that cuts by content goes on with the fixed chunks of another client.
    (await account.client.delete(f"/v1/uploads/{defined['id']}")).raise_for_status()
    assert (await begin(account, data, "defined"))["id"] == fixed["id"]


async def test_fingerprint_is_bound_to_a_content_defined_session_while_it_is_listed(account: Account) -> None:
    data = content("late", 20)
    chunks = cut(data)
    body = start_body(data, "late", chunks=listed(chunks[:1]), **CDC)
    late = {name: value for name, value in body.items() if name != "fingerprint"}
    upload = (await account.client.post("/v1/uploads", json=late)).raise_for_status().json()["upload"]
    other = await account.client.post("/v1/uploads", json=late)
    assert problem(other) == (409, "fingerprint-required")
    assert other.json()["uploads"] == [upload["id"]]
    fixed = await account.client.post("/v1/uploads", json=late | {"chunking": "fixed", "chunks": []})
    assert problem(fixed) == (409, "fingerprint-required")
    assert fixed.json()["uploads"] == []  # its client could not continue it
    address = f"/v1/uploads/{upload['id']}/fingerprint"
    (await account.client.put(address, json={"fingerprint": sha256(data)})).raise_for_status()
    (await put_list(account, upload, chunks[1:], 2)).raise_for_status()
    await finish(account, upload, chunks)


# Reuse


@pytest.mark.parametrize("way", ["copy", "relay"])
async def test_byte_inserted_at_the_start_sends_at_most_two_chunks(
    server: RunningServer, account: Account, db: Db, way: str
) -> None:
    data = content("insert", 48)
    await store_file(account, data)
    edited = b"!" + data
    chunks = cut(edited)
    upload = await begin(account, edited)
    missing, reusing = numbers(upload["missing"]), numbers(upload["reusing"])
    assert 1 <= len(missing) <= 2
    assert sorted(missing + reusing) == list(range(1, len(chunks) + 1))
    await send_chunks(account, upload, chunks, missing)
    waiting = await complete(account, upload["id"])
    assert (waiting.status_code, waiting.json()["reusing"]) == (202, upload["reusing"])

    await choose(db, way)
    await run_until_idle(reuse_chunks, server.services)

    made = await look(account, upload)
    reused_bytes = sum(len(chunks[number - 1]) for number in reusing)
    assert (made["reusing"], made["missing"], made["reused"]) == ("", "", upload["reusing"])
    assert made["reused_bytes"] == reused_bytes == len(edited) - sum(len(chunks[number - 1]) for number in missing)
    before = (await account.me())["used_bytes"]
    await finish(account, upload, chunks)
    assert (await account.me())["used_bytes"] == before + len(edited)


async def test_waiting_request_answers_when_the_last_chunk_is_made(server: RunningServer, account: Account) -> None:
    data = content("wait", 20)
    await store_file(account, data)
    upload = await begin(account, data + b"!")
    assert upload["reusing"]
    async with asyncio.timeout(60):
        waited, _ = await asyncio.gather(
            look(account, upload, wait_s=30), run_until_idle(reuse_chunks, server.services)
        )
    assert (waited["reusing"], bool(waited["reused"])) == ("", True)
    assert (await look(account, upload, wait_s=30))["reusing"] == ""


async def test_shutdown_answers_the_waiting_request(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content("shutdown", 20)
    await store_file(account, data)
    upload = await begin(account, data + b"!")
    waits = asyncio.Event()
    await_reuse = queries.await_reuse

    async def wait(*args: Any) -> None:
        waits.set()
        await await_reuse(*args)

    monkeypatch.setattr(queries, "await_reuse", wait)
    async with httpx2.AsyncClient(headers=account.client.headers, timeout=60) as client:
        async with server_with(server, "relay") as other:
            address = f"{other.url}/v1/uploads/{upload['id']}"
            answer = asyncio.create_task(client.get(address, params={"wait_s": 30}))
            await waits.wait()
            began_at = time.monotonic()
        assert time.monotonic() - began_at < 20
        assert (await answer).raise_for_status().json()["reusing"] == upload["reusing"]


async def test_edit_within_a_fixed_file_sends_one_chunk(server: RunningServer, account: Account) -> None:
    data = content("fixed", 30)
    await upload_file(account, data, "database")
    edited = data[: 12 * MIB] + b"changed" + data[12 * MIB + 7 :]
    chunks = [edited[at : at + 8 * MIB] for at in range(0, len(edited), 8 * MIB)]
    body = start_body(edited, "edited", chunk_size_bytes=8 * MIB, chunks=listed(chunks))
    upload = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    assert (upload["missing"], upload["reusing"]) == ("2", "1,3-4")
    longer = await put_list(account, upload, [*chunks, b"more"])
    assert problem(longer) == (422, "invalid-request")
    other_cut = await put_list(account, upload, [chunks[0][:-1]])
    assert problem(other_cut) == (409, "chunk-mismatch")
    await run_until_idle(reuse_chunks, server.services)
    file = await finish(account, upload, chunks)
    assert (await manifest(account, file))["chunking"] == f"fixed:{8 * MIB}"


async def test_small_stored_file_is_copied_as_a_whole(server: RunningServer, account: Account, db: Db) -> None:
    """S3 copies ranges only of objects of more than 5 MiB."""
    small = content("small", 5)
    await upload_file(account, small, "small")
    data = small + content("rest", 15)
    chunks = [data[at : at + SMALLEST_CHUNK] for at in range(0, len(data), SMALLEST_CHUNK)]
    body = start_body(data, "large", chunks=listed(chunks), **MULTI)
    upload = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    assert upload["reusing"] == "1"
    await choose(db, "copy")
    await run_until_idle(reuse_chunks, server.services)
    assert (await look(account, upload))["reused"] == "1"
    await finish(account, upload, chunks)


async def test_server_without_reuse_asks_for_every_chunk(server: RunningServer, account: Account, db: Db) -> None:
    data = content("off", 20)
    await store_file(account, data)
    async with server_with(server, "off") as off:
        elsewhere = Account(
            account.email,
            account.password,
            account.tokens,
            httpx2.AsyncClient(base_url=off.url, headers=account.client.headers, timeout=60),
        )
        async with elsewhere.client:
            assert (await elsewhere.client.get("/v1/capabilities")).json()["delta"] == "off"
            upload = await begin(elsewhere, data + b"!")
            assert (upload["reusing"], await count_reuses(db, upload)) == ("", 0)


async def test_capabilities_tell_how_chunks_are_reused(account: Account) -> None:
    found = (await account.client.get("/v1/capabilities")).raise_for_status().json()
    # SeaweedFS returns the hash of a copied part and does not list it.
    assert (found["chunkings"], found["delta"]) == (["fixed", "cdc1"], "relay")
    assert found["behaviours"]["copy_proven"] is False


# What goes wrong meanwhile


async def test_signing_a_chunk_ends_its_reuse_and_a_late_copy_records_nothing(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, chunks = await begin_edit(account, "fenced")
    reusing = numbers(upload["reusing"])
    copied, may_record = asyncio.Event(), asyncio.Event()
    make_part = reuse_job._make_part

    async def make_slowly(*args: Any) -> Any:
        part = await make_part(*args)
        copied.set()
        await may_record.wait()
        return part

    monkeypatch.setattr(reuse_job, "_make_part", make_slowly)
    run = asyncio.create_task(reuse_chunks(server.services))
    await copied.wait()
    await send_chunks(account, upload, chunks, [*numbers(upload["missing"]), *reusing])
    assert await count_reuses(db, upload) == 0
    may_record.set()
    await run
    after = await look(account, upload)
    assert (after["reused"], after["reusing"]) == ("", "")
    await finish(account, upload, chunks)


async def test_listing_that_began_before_parts_were_made_does_not_undo_them(
    server: RunningServer, account: Account, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content("stale listing", 20)
    await store_file(account, data)
    upload = await begin(account, data + b"!")
    assert upload["reusing"]
    list_parts = store.list_parts

    async def list_slowly(*args: Any) -> Any:
        parts = await list_parts(*args)
        await run_until_idle(reuse_chunks, server.services)
        return parts

    monkeypatch.setattr(store, "list_parts", list_slowly)
    after = (await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")).raise_for_status().json()
    assert (after["reused"], after["missing"]) == (upload["reusing"], upload["missing"])
    monkeypatch.undo()
    await finish(account, upload, cut(data + b"!"))


async def test_chunk_whose_worker_dies_each_time_goes_back_to_the_client(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content("deadly", 20)
    await store_file(account, data)
    upload = await begin(account, b"!" + data)
    assert upload["reusing"]

    async def die(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(reuse_job, "_make_part", die)
    monkeypatch.setattr(reuse_job, "PARTS_OF_OWNER", reuse_job.PARTS_AT_ONCE)
    for _ in range(reuse_job.MAX_FAILURES):
        with pytest.raises(MemoryError):
            await reuse_chunks(server.services)
        async with db.begin() as tx:  # the lease lapses
            await tx.execute(text("UPDATE chunk_reuses SET lease_until = NULL"))
    await run_until_idle(reuse_chunks, server.services)
    after = await look(account, upload)
    assert (after["reusing"], await count_reuses(db, upload)) == ("", 0)
    await finish(account, upload, cut(b"!" + data))


async def test_chunk_whose_source_is_gone_goes_back_to_the_client(
    server: RunningServer, account: Account, db: Db, store: S3Store
) -> None:
    data = content("gone", 20)
    file = await store_file(account, data)
    edited = b"!" + data
    upload = await begin(account, edited)
    assert upload["reusing"]
    blob = await blob_of(db, file)
    await store.delete(blob.storage_key)
    try:
        await run_until_idle(reuse_chunks, server.services)
        after = await look(account, upload)
        assert (after["reusing"], after["reused"]) == ("", "")
        assert numbers(after["missing"]) == list(range(1, len(cut(edited)) + 1))
        await finish(account, upload, cut(edited))
    finally:
        await restore_object(store, blob, data)


async def restore_object(store: S3Store, blob: Any, data: bytes) -> None:
    """Store the bytes of a blob again, so that the invariants hold."""
    await write_object(store, blob.storage_key, cut(data))


async def write_object(store: S3Store, key: str, chunks: Chunks) -> str:
    """Write an object in these chunks, whatever was there; return its ETag."""
    from dropbox_api.storage.object_store import CompletedPart  # noqa: PLC0415

    upload_id = await store.create_multipart(key)
    parts = []
    for number, chunk in enumerate(chunks, 1):
        digest = bytes.fromhex(sha256(chunk))
        part = await store.put_part(key, upload_id, number, chunk, digest)
        parts.append(CompletedPart(number, part.etag, digest))
    await store.complete_multipart(key, upload_id, parts, sum(map(len, chunks)))
    return (await store.head(key)).etag


@pytest.mark.parametrize("way", ["copy", "relay"])
async def test_source_with_other_bytes_is_not_reused_and_is_read_by_scrub_next(
    server: RunningServer, account: Account, db: Db, store: S3Store, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SeaweedFS lists a copy and a sent part of one second in any order, and no hash of either: copies are for stores
    # that list hashes. So here they get other numbers than the parts.
    copy_part = store.copy_part

    async def copy_elsewhere(key: str, s3_upload_id: str, number: int, *source: Any, **more: Any) -> Any:
        return await copy_part(key, s3_upload_id, number + 5_000, *source, **more)

    monkeypatch.setattr(store, "copy_part", copy_elsewhere)
    data = content(f"rotten {way}", 20)
    file = await store_file(account, data)
    blob = await blob_of(db, file)
    original = cut(data)
    rotten = [bytes([chunk[0] ^ 1]) + chunk[1:] for chunk in original]
    etag = await write_object(store, blob.storage_key, rotten)
    async with db.begin() as tx:  # rot changes no ETag
        values = {"id": blob.id, "etag": etag}
        marked = "UPDATE blobs SET etag = :etag, content_status = 'verified', scrubbed_at = now() WHERE id = :id"
        await tx.execute(text(marked), values)
    edited = b"!" + data
    upload = await begin(account, edited)
    assert upload["reusing"]
    await choose(db, way)
    try:
        await run_until_idle(reuse_chunks, server.services)
        after = await look(account, upload)
        assert (after["reused"], after["reusing"]) == ("", "")
        assert (await blob_of(db, file)).scrubbed_at is None
        await finish(account, upload, cut(edited))
    finally:
        etag = await write_object(store, blob.storage_key, original)
        async with db.begin() as tx:
            await tx.execute(text("UPDATE blobs SET etag = :etag WHERE id = :id"), values | {"etag": etag})


async def test_second_source_is_taken_when_the_first_is_gone(
    server: RunningServer, account: Account, db: Db, store: S3Store
) -> None:
    data = content("two sources", 20)
    first = await store_file(account, data + b"first")
    await store_file(account, data + b"second")
    upload = await begin(account, data + b"third")
    assert upload["reusing"]
    blobs = text("SELECT DISTINCT blob_id FROM chunk_reuses WHERE upload_id = :id")
    async with db.read() as tx:
        (chosen,) = (await tx.execute(blobs, {"id": uuid.UUID(upload["id"])})).scalars()
    blob = await blob_of(db, first)
    if blob.id != chosen:
        pytest.fail("the first of two equal sources is taken")
    await store.delete(blob.storage_key)
    try:
        await run_until_idle(reuse_chunks, server.services)
        assert (await look(account, upload))["reused"] == upload["reusing"]
        await finish(account, upload, cut(data + b"third"))
    finally:
        await restore_object(store, blob, data + b"first")


async def test_store_that_fails_is_asked_again_and_then_the_client_sends(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, chunks = await begin_edit(account, "failing")
    count = len(numbers(upload["reusing"]))

    async def fail(*_: Any) -> Any:
        raise StoreUnavailable("down")

    monkeypatch.setattr(reuse_job, "_make_part", fail)
    for failure in range(reuse_job.MAX_FAILURES):
        assert await count_reuses(db, upload) == count, failure
        for _ in range(count):
            await reuse_chunks(server.services)
        async with db.begin() as tx:  # the pause is over
            await tx.execute(text("UPDATE chunk_reuses SET lease_until = NULL"))
    after = await look(account, upload)
    assert (after["reusing"], await count_reuses(db, upload)) == ("", 0)
    await finish(account, upload, chunks)


@pytest.mark.parametrize("way", ["copy", "relay"])
async def test_worker_behind_a_bad_network_makes_the_parts_or_leaves_them(
    server: RunningServer, account: Account, db: Db, s3_config: S3Config, way: str
) -> None:
    upload, chunks = await begin_edit(account, f"cuts {way}", mib=32)
    await choose(db, way)
    dice = random.Random(way)
    assert s3_config.endpoint_url
    async with (
        store_proxy(s3_config.endpoint_url) as proxy,
        S3Store.open(replace(s3_config, endpoint_url=proxy.url)) as behind,
    ):
        proxy.decide = lambda _: dice.choice([Do.PASS, Do.PASS, Do.CUT, Do.LOSE, Do.BUSY, Do.FLIP])
        while await count_reuses(db, upload):
            await reuse_chunks(Services(db, behind, server.settings))
            async with db.begin() as tx:  # the pauses are over
                await tx.execute(text("UPDATE chunk_reuses SET lease_until = NULL"))
        assert {request.status for request in proxy.requests} > {200}
    await finish(account, upload, chunks)


@pytest.mark.parametrize("finding", ["unproven", "slow"])
async def test_store_whose_copies_are_unproven_or_slow_has_the_others_relayed(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch, finding: str
) -> None:
    upload, chunks = await begin_edit(account, finding, mib=48)
    await choose(db, "copy")
    copies: list[int] = []
    copy_part = store_reuse.copy_part

    async def copy(*args: Any) -> Any:
        copies.append(1)
        if finding == "unproven":
            raise store_reuse.CopyUnproven
        return await copy_part(*args)

    monkeypatch.setattr(reuse_job, "copy_part", copy)
    monkeypatch.setattr(reuse_job, "SLOW_COPY_S", -1e9 if finding == "slow" else 1e9)
    await run_until_idle(reuse_chunks, server.services)
    assert 1 <= len(copies) <= reuse_job.PARTS_OF_OWNER < len(numbers(upload["reusing"]))
    assert (await look(account, upload))["reused"] == upload["reusing"]
    await finish(account, upload, chunks)


async def test_reused_parts_that_complete_refuses_are_sent(
    server: RunningServer, account: Account, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, chunks = await begin_edit(account, "invalid part")
    await run_until_idle(reuse_chunks, server.services)
    await send_chunks(account, upload, chunks, numbers(upload["missing"]))

    async def refuse(*_: Any, **__: Any) -> None:
        raise StoreRejected("InvalidPart", "as AWS says it")

    monkeypatch.setattr(store, "complete_multipart", refuse)
    refused = await complete(account, upload["id"])
    assert problem(refused) == (409, "parts-missing")
    assert refused.json()["mismatched"] == upload["reusing"]
    monkeypatch.undo()
    await finish(account, upload, chunks)


async def test_source_is_kept_while_a_session_needs_it_and_stops_to_count_at_once(
    server: RunningServer, account: Account, db: Db, store: S3Store
) -> None:
    data = content("held", 20)
    file = await store_file(account, data)
    blob = await blob_of(db, file)
    upload = await begin(account, b"!" + data)
    used = (await account.me())["used_bytes"]
    await purge(server, account, file)
    assert (await account.me())["used_bytes"] == used - len(data)
    await collect_blobs(server.services)
    assert (await store.head(blob.storage_key)).size_bytes == len(data)
    await run_until_idle(reuse_chunks, server.services)
    assert (await look(account, upload))["reused"] == upload["reusing"]
    await collect_blobs(server.services)
    assert blob.storage_key not in [item.key async for item in store.list_objects(blob.storage_key)]
    await finish(account, upload, cut(b"!" + data))


async def test_source_of_a_session_that_ends_or_waits_for_a_day_is_kept_no_longer(
    server: RunningServer, account: Account, db: Db, store: S3Store
) -> None:
    for ends in (True, False):
        data = content(f"held {ends}", 20)
        file = await store_file(account, data)
        blob = await blob_of(db, file)
        upload = await begin(account, b"!" + data)
        await purge(server, account, file)
        if not ends:
            async with db.begin() as tx:
                await tx.execute(text("UPDATE chunk_reuses SET created_at = now() - interval '25 hours'"))
        if ends:
            (await account.client.delete(f"/v1/uploads/{upload['id']}")).raise_for_status()
            assert await count_reuses(db, upload) == 0
        await collect_blobs(server.services)
        assert blob.storage_key not in [item.key async for item in store.list_objects(blob.storage_key)]
        if not ends:
            await run_until_idle(reuse_chunks, server.services)
            await finish(account, upload, cut(b"!" + data))


# Whose bytes are reused


async def test_chunks_of_another_account_are_never_reused(register: Register) -> None:
    owner, other = await register(), await register()
    data = content("private", 20)
    await store_file(owner, data)
    upload = await begin(other, b"!" + data)
    assert (upload["reusing"], numbers(upload["missing"])) == ("", list(range(1, upload["chunk_count"] + 1)))


async def test_editor_reuses_the_base_revision_of_the_file_and_nothing_else(
    server: RunningServer, register: Register, db: Db
) -> None:
    owner, editor = await register(), await register()
    await verify(db, editor)
    folder = await make_folder(owner, "shared")
    base, hidden = content("base", 20), content("hidden", 20)
    file = await store_file(owner, base, "base", destination={"parent_id": folder, "name": "base"})
    await store_file(owner, hidden, "hidden")
    shared_too = await store_file(owner, hidden[::-1], destination={"parent_id": folder, "name": "other"})
    await grant(owner, folder, editor, "editor")

    async def edit(data: bytes, destination: dict[str, str]) -> dict[str, Any]:
        body = start_body(data, "", chunks=listed(cut(data)), **CDC) | {"destination": destination}
        answer = await editor.client.post("/v1/uploads", json=body)
        upload: dict[str, Any] = answer.raise_for_status().json()["upload"]
        return upload

    into = {"file_id": file["id"], "base_revision_id": file["revision_id"]}
    # By name, into the owner's folder: nothing, though the same bytes lie in it.
    assert (await edit(base + b"1", {"parent_id": folder, "name": "new"}))["reusing"] == ""
    # Bytes that the owner stores elsewhere, also in a file that the editor could read.
    for other in (hidden, hidden[::-1]):
        assert (await edit(other + b"2", into))["reusing"] == ""
    # Its own base: all but the edit. Not even time tells of the owner's other content: no look at it.
    with record_statements(db) as seen:
        upload = await edit(base + b"3", into)
    assert numbers(upload["reusing"])
    (search,) = [statement for statement in seen if "FROM blob_chunks chunk" in statement[0]]
    indexes = {node.get("Index Name") for node in await explain(db, search, enable_seqscan="off")}
    assert "blob_chunks_pkey" in indexes
    assert "blob_chunks_owner_id_sha256_idx" not in indexes
    await run_until_idle(reuse_chunks, server.services)
    edited = await finish(editor, upload, cut(base + b"3"))
    assert edited["id"] == file["id"]

    # A revision that was the base of another file is refused, and one whose access has ended reuses nothing.
    wrong = into | {"base_revision_id": shared_too["revision_id"]}
    body = start_body(base + b"4", "", chunks=listed(cut(base + b"4")), **CDC) | {"destination": wrong}
    assert problem(await editor.client.post("/v1/uploads", json=body)) == (422, "invalid-request")
    into = {"file_id": file["id"], "base_revision_id": edited["revision_id"]}
    body = start_body(base + b"5", "", **CDC) | {"destination": into}
    upload = (await editor.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    grants = (await owner.client.get(f"/v1/files/{folder}/grants")).raise_for_status().json()["items"]
    (await owner.client.delete(f"/v1/files/{folder}/grants/{grants[0]['id']}")).raise_for_status()
    assert problem(await put_list(editor, upload, cut(base + b"5"))) == (409, "parent-gone")
    assert await count_reuses(db, upload) == 0


async def test_hash_list_that_lies_stores_nothing(account: Account) -> None:
    """The bytes of a URL must be those of the listed hash: other bytes never become a part."""
    data = content("truth", 20)
    chunks = cut(data)
    lie = [*chunks[:-1], bytes(len(chunks[-1]))]
    body = start_body(data, "lie", chunks=listed(lie), **CDC)
    upload = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    parts = [{"number": number, "sha256": sha256(chunk)} for number, chunk in enumerate(lie, 1)]
    signed = (await account.client.post(f"/v1/uploads/{upload['id']}/parts", json={"parts": parts})).json()["parts"]
    answers = [await put(part, chunk) for part, chunk in zip(signed, chunks, strict=True)]
    assert [answer.is_success for answer in answers] == [True] * (len(chunks) - 1) + [False]
    assert problem(await complete(account, upload["id"])) == (409, "parts-missing")
