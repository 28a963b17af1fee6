"""Interleavings and edge cases that were once wrong: one per test."""

import uuid
from collections import Counter
from typing import Any

from sqlalchemy import select

from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Db
from dropbox_api.models import Blob, Upload, UploadChunk
from dropbox_api.settings import MIB
from dropbox_api.storage.object_store import CompletedPart
from dropbox_api.storage.s3 import S3Store
from dropbox_api.uploads.destinations import MAX_DESTINATIONS
from dropbox_api.workers.invariants import find_violations
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    Account,
    RunningServer,
    download,
    problem,
    run_until_idle,
    send,
    sha256,
    start_body,
    upload_file,
)


def noise(size_bytes: int) -> bytes:
    return (uuid.uuid4().bytes * (size_bytes // 16 + 1))[:size_bytes]


async def start(account: Account, data: bytes, name: str, **more: Any) -> dict[str, Any]:
    answer = await account.client.post("/v1/uploads", json=start_body(data, name, **more))
    started: dict[str, Any] = answer.raise_for_status().json()
    return started


async def s3_upload(db: Db, upload_id: str) -> tuple[str, str]:
    async with db.read() as tx:
        found = select(Upload.storage_key, Upload.s3_upload_id).where(Upload.id == uuid.UUID(upload_id))
        row = (await tx.execute(found)).one()
        assert row.s3_upload_id is not None
        return row.storage_key, row.s3_upload_id


async def test_session_beyond_its_maximum_of_destinations_refuses_more(account: Account) -> None:
    data = noise(100)
    items = [start_body(data, f"copy-{n}") for n in range(MAX_DESTINATIONS + 20)]
    answer = (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()
    codes = Counter(item["problem"]["code"] if item["problem"] else "ok" for item in answer["items"])
    assert codes == {"ok": MAX_DESTINATIONS, "too-many-files": 20}

    upload = answer["items"][0]["upload"]
    await send(account, upload, data)
    done = (await account.client.post(f"/v1/uploads/{upload['id']}/complete")).raise_for_status().json()
    assert len({place["file_id"] for place in done["destinations"]}) == MAX_DESTINATIONS


async def test_object_assembled_late_is_found_by_the_next_complete(account: Account, db: Db, store: S3Store) -> None:
    """A Complete was given up, the session became active again, and then the store assembled the object after all."""
    data = noise(5 * MIB + 7)
    upload = (await start(account, data, "late.bin", strategy="multipart", chunk_size_bytes=5 * MIB))["upload"]
    await send(account, upload, data)
    await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")
    async with db.read() as tx:
        chunks = select(UploadChunk.number, UploadChunk.etag, UploadChunk.sha256)
        rows = (await tx.execute(chunks.where(UploadChunk.upload_id == uuid.UUID(upload["id"])))).all()
    parts = [CompletedPart(row.number, row.etag or "", row.sha256 or b"") for row in sorted(rows)]
    await store.complete_multipart(*await s3_upload(db, upload["id"]), parts, len(data))

    done = (await account.client.post(f"/v1/uploads/{upload['id']}/complete")).raise_for_status().json()
    assert await download(account, done["file"]["id"]) == data


async def test_batch_item_with_wrong_parts_gets_its_own_problem(account: Account) -> None:
    data = [noise(6 * MIB) for _ in range(2)]
    wish = {"strategy": "multipart", "chunk_size_bytes": 5 * MIB}
    bad = start_body(data[0], "bad", **wish, parts=[{"number": 9, "sha256": sha256(b"")}])
    good = start_body(data[1], "good", **wish, parts=[{"number": 1, "sha256": sha256(data[1][: 5 * MIB])}])
    answer = (await account.client.post("/v1/uploads/batch", json={"items": [bad, good]})).raise_for_status().json()
    assert answer["items"][0]["problem"]["code"] == "invalid-request"
    assert [part["number"] for part in answer["items"][1]["parts"]] == [1]


async def late_and_bound(account: Account, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start the same content twice: without its fingerprint first, then with it."""
    wish = {"strategy": "multipart", "chunk_size_bytes": 5 * MIB}
    late = start_body(data, "late.bin", **wish)
    del late["fingerprint"]
    first = (await account.client.post("/v1/uploads", json=late)).raise_for_status().json()["upload"]
    second = (await start(account, data, "bound.bin", **wish))["upload"]
    assert first["id"] != second["id"]
    return first, second


async def test_bind_repeated_after_a_merge_returns_the_same_session(account: Account) -> None:
    data = noise(8 * MIB + 3)
    late, bound = await late_and_bound(account, data)
    await send(account, bound, data, [1])
    for _ in range(2):  # the answer to the first call may have been lost
        answer = await account.client.put(f"/v1/uploads/{late['id']}/fingerprint", json={"fingerprint": sha256(data)})
        kept = answer.raise_for_status().json()["upload"]
        assert kept["id"] == bound["id"]
        assert sorted(place["name"] for place in kept["destinations"]) == ["bound.bin", "late.bin"]
    assert (await account.me())["reserved_bytes"] == len(data)


async def test_bind_after_the_other_session_lost_its_parts_goes_on(account: Account, db: Db, store: S3Store) -> None:
    data = noise(8 * MIB + 3)
    late, bound = await late_and_bound(account, data)
    await send(account, late, data)
    await store.abort_multipart(*await s3_upload(db, bound["id"]))

    answer = await account.client.put(f"/v1/uploads/{late['id']}/fingerprint", json={"fingerprint": sha256(data)})
    assert answer.raise_for_status().json()["upload"]["id"] == late["id"]
    done = (await account.client.post(f"/v1/uploads/{late['id']}/complete")).raise_for_status().json()
    assert await download(account, done["file"]["id"]) == data


async def test_batch_with_verified_content_twice_at_one_place_makes_one_file(account: Account) -> None:
    data = noise(50)
    await upload_file(account, data, "there")
    items = [start_body(data, "copy"), start_body(data, "copy")]
    answer = (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()
    assert answer["items"][0]["file"]["id"] == answer["items"][1]["file"]["id"]


async def test_batch_with_many_deep_folders_makes_each_once(account: Account) -> None:
    data = noise(10)
    deep = "/".join(f"level {n}" for n in range(50))
    items = [start_body(data, f"{n}", destination={"folder_path": f"{deep}/{n % 5}"}) for n in range(50)]
    (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status()
    assert (await account.me())["used_nodes"] == 50 + 5


async def test_content_that_no_destination_took_is_collected(account: Account, server: RunningServer) -> None:
    """Content becomes verified at its name while a second session sends other bytes under its fingerprint."""
    data, wish = noise(5 * MIB + 1), {"strategy": "multipart", "chunk_size_bytes": 5 * MIB}
    first = (await start(account, data, "x", **wish))["upload"]
    await send(account, first, data)
    (await account.client.post(f"/v1/uploads/{first['id']}/complete")).raise_for_status()
    replace = {"destination": {"on_conflict": "replace"}}
    second = (await start(account, data, "x", **wish, **replace))["upload"]
    await send(account, second, noise(len(data)))
    await run_until_idle(verify_next_blob, server.services)
    (await account.client.post(f"/v1/uploads/{second['id']}/complete")).raise_for_status()

    async with server.db.read() as tx:
        blobs = select(Blob.id, Blob.unreferenced_at).where(Blob.fingerprint == parse_sha256(sha256(data)))
        waiting = {str(row.id): row.unreferenced_at for row in await tx.execute(blobs)}
    assert waiting[first["id"]] is None
    assert waiting[second["id"]] is not None
    found = await find_violations(server.db, server.store)
    assert not [violation for violation in found if second["id"] in violation.detail]


async def test_start_of_known_content_with_a_wrong_size_is_refused_at_every_place(account: Account) -> None:
    data = noise(60)
    await upload_file(account, data, "there")
    for name in ("there", "elsewhere"):
        answer = await account.client.post("/v1/uploads", json=start_body(data, name) | {"size_bytes": 61})
        assert (answer.status_code, answer.json()["code"]) == (409, "fingerprint-mismatch")


async def test_late_destination_requested_again_changes_nothing(account: Account) -> None:
    data = noise(5 * MIB + 1)
    upload = (await start(account, data, "x", strategy="multipart", chunk_size_bytes=5 * MIB))["upload"]
    await send(account, upload, data)
    (await account.client.post(f"/v1/uploads/{upload['id']}/complete")).raise_for_status()
    again = {"destination": {"name": "y"}}
    for _ in range(2):  # the answer to the first call may have been lost
        (await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=again)).raise_for_status()
    assert (await account.me())["used_nodes"] == 2


async def test_batch_items_are_decided_in_their_order(account: Account) -> None:
    """The second item's content is at its name when the batch begins, and replaced when its turn comes."""
    await upload_file(account, b"one", "y")
    await upload_file(account, b"two", "x")
    replace = {"on_conflict": "replace"}
    items = [start_body(b"two", "y", destination=replace), start_body(b"one", "Y", destination=replace)]
    answer = (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()
    first, second = (item["file"] for item in answer["items"])
    assert first["id"] == second["id"]
    assert await download(account, second["id"]) == b"one"


async def test_two_edits_of_a_name_deleted_twice_restore_one_file(account: Account) -> None:
    """Each edit is based on another file in the trash, and only one of the two can return to the name."""
    bases = []
    for data in (b"first", b"second"):
        file = await upload_file(account, data, "same.txt")
        bases.append(file["revision_id"])
        await account.client.delete(f"/v1/files/{file['id']}")
    edits = [{"on_conflict": "replace", "base_revision_id": base} for base in bases]
    data = noise(5 * MIB + 9)
    started = await start(account, data, "same.txt", destination=edits[0], strategy="multipart")
    upload = started["upload"]
    other = {"destination": {"name": "same.txt"} | edits[1]}
    (await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=other)).raise_for_status()
    await send(account, upload, data)
    done = (await account.client.post(f"/v1/uploads/{upload['id']}/complete")).raise_for_status().json()
    problems = [place["problem"] and place["problem"]["code"] for place in done["destinations"]]
    assert problems == [None, None], "the name holds the second's content already"
    assert len((await account.client.get("/v1/trash")).json()["items"]) == 1
    innocent = [start_body(b"first", "same.txt", destination=edit) for edit in edits] + [start_body(b"second", "other")]
    answer = (await account.client.post("/v1/uploads/batch", json={"items": innocent})).raise_for_status().json()
    assert answer["items"][2]["file"]["name"] == "other"


async def test_refused_start_undoes_its_folders_and_key(account: Account) -> None:
    body = start_body(b"x", "big", destination={"folder_path": "/x/y/z"}) | {"size_bytes": 200 * 1024**3}
    key = {"Idempotency-Key": "refused-once"}
    refused = await account.client.post("/v1/uploads", json=body, headers=key)
    assert refused.status_code == 413
    assert (await account.me())["used_nodes"] == 0
    batch = await account.client.post("/v1/uploads/batch", json={"items": [body]})
    assert batch.json()["items"][0]["problem"]["code"] == "quota-exceeded", "a batch answers each item"
    small = await account.client.post("/v1/uploads", json=start_body(b"x", "small"), headers=key)
    assert small.status_code == 201, "the key is not used yet"


async def test_complete_repeated_after_the_file_was_deleted_is_404(account: Account) -> None:
    upload = (await start(account, b"gone soon", "a"))["upload"]
    await send(account, upload, b"gone soon")
    address = f"/v1/uploads/{upload['id']}/complete"
    file = (await account.client.post(address)).raise_for_status().json()["file"]
    await account.client.delete(f"/v1/files/{file['id']}")
    assert problem(await account.client.post(address)) == (404, "not-found")
    await account.client.post(f"/v1/files/{file['id']}/restore")
    assert (await account.client.post(address)).json()["file"]["id"] == file["id"]


async def test_fingerprint_of_trashed_files_finds_only_live_ones(account: Account) -> None:
    for folder in ("/d/e", "/f"):
        await upload_file(account, b"twice", "one", destination={"folder_path": folder})
    top = (await account.client.get("/v1/files/by-path?path=/d")).json()
    await account.client.delete(f"/v1/files/{top['id']}")
    hit = (await account.client.get(f"/v1/fingerprints/{sha256(b'twice')}")).json()
    assert hit["file"]["path"] == "/f/one"
    await account.client.delete(f"/v1/files/{hit['file']['id']}")
    assert problem(await account.client.get(f"/v1/fingerprints/{sha256(b'twice')}")) == (404, "not-found")


async def test_client_time_outside_the_calendar_is_422(account: Account) -> None:
    for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        body = start_body(b"x", "a", client_modified_at=time)
        assert problem(await account.client.post("/v1/uploads", json=body)) == (422, "invalid-request"), time
