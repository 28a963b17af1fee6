"""The upload journey through HTTP, on a real Postgres and S3: every step, resumed, repeated and with bad input."""

import asyncio
import random
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    UNKNOWN_ID,
    Account,
    RunningServer,
    chunks_of,
    complete,
    download,
    journal,
    make_settings,
    problem,
    put,
    register_account,
    run_until_idle,
    running_server,
    send,
    sha256,
    sign,
    start,
    start_body,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


GIB = 1024 * MIB
TIB = 1024 * GIB
BYTES = random.Random(1).randbytes(2 * SMALLEST_CHUNK + 1)
LATE = BYTES[: 8 * MIB + 1]
"""The smallest content that may be sent before it is hashed."""
ZEROS = "0" * 64


async def alter(db: Db, statement: str, **values: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(text(statement), values)


async def alter_account(db: Db, account: Account, assignment: str, **values: Any) -> None:
    await alter(db, f"UPDATE users SET {assignment} WHERE id = :id", id=(await account.me())["id"], **values)


async def start_late(account: Account, data: bytes, name: str) -> httpx2.Response:
    body = {key: value for key, value in start_body(data, name).items() if key != "fingerprint"}
    return await account.client.post("/v1/uploads", json=body)


async def bind(account: Account, upload_id: str, fingerprint: str) -> httpx2.Response:
    return await account.client.put(f"/v1/uploads/{upload_id}/fingerprint", json={"fingerprint": fingerprint})


async def reconcile(account: Account, upload_id: str) -> dict[str, Any]:
    upload: dict[str, Any] = (await account.client.post(f"/v1/uploads/{upload_id}/reconcile")).raise_for_status().json()
    return upload


async def names_in_root(account: Account) -> list[str]:
    return [item["name"] for item in (await account.client.get("/v1/files")).raise_for_status().json()["items"]]


# The journey


@pytest.mark.parametrize(
    ("size_bytes", "more", "strategy", "chunk_count"),
    [
        (0, {}, "single", 1),
        (1, {}, "single", 1),
        (8 * MIB, {}, "single", 1),
        (8 * MIB + 1, {}, "multipart", 2),
        (1, MULTI, "multipart", 1),
        (2 * SMALLEST_CHUNK, MULTI, "multipart", 2),
        (2 * SMALLEST_CHUNK + 1, MULTI, "multipart", 3),
    ],
)
async def test_upload_of_each_size_downloads_as_sent(
    account: Account, db: Db, size_bytes: int, more: dict[str, Any], strategy: str, chunk_count: int
) -> None:
    data = BYTES[:size_bytes]
    upload = await start(account, data, "file.bin", content_type="image/x-test", **more)
    assert (upload["strategy"], upload["chunk_count"], upload["state"]) == (strategy, chunk_count, "active")
    assert upload["missing"] == ("1" if chunk_count == 1 else f"1-{chunk_count}")
    assert (await account.me())["reserved_bytes"] == size_bytes
    await send(account, upload, data)
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert {
        key: file[key] for key in ("kind", "name", "path", "size_bytes", "fingerprint", "content_type", "role")
    } == {
        "kind": "file",
        "name": "file.bin",
        "path": "/file.bin",
        "size_bytes": size_bytes,
        "fingerprint": sha256(data),
        "content_type": "image/x-test",
        "role": "owner",
    }
    assert file["content_status"] == ("verified" if strategy == "single" else "stored")
    assert await download(account, file["id"]) == data
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (size_bytes, 0, 1)
    assert await journal(db, account) == [("file.created", file["id"])]


async def test_start_of_a_single_upload_carries_its_signed_part(account: Account) -> None:
    answer = await account.client.post("/v1/uploads", json=start_body(b"abc", "a"))
    assert answer.status_code == 201
    (part,) = answer.json()["parts"]
    assert (part["number"], part["offset_bytes"], part["size_bytes"]) == (1, 0, 3)
    assert (await put(part, b"abc")).is_success
    assert (await complete(account, answer.json()["upload"]["id"])).status_code == 200


async def test_start_with_chunk_hashes_signs_them_at_once(account: Account) -> None:
    hashes = [{"number": n, "sha256": sha256(chunk)} for n, chunk in enumerate(chunks_of(BYTES, SMALLEST_CHUNK), 1)]
    answer = await account.client.post("/v1/uploads", json=start_body(BYTES, "a", parts=hashes, **MULTI))
    parts = answer.raise_for_status().json()["parts"]
    assert [part["number"] for part in parts] == [1, 2, 3]
    for part, chunk in zip(parts, chunks_of(BYTES, SMALLEST_CHUNK), strict=True):
        assert (await put(part, chunk)).is_success
    assert (await complete(account, answer.json()["upload"]["id"])).status_code == 200


async def test_start_with_hashes_of_another_plan_registers_none(account: Account) -> None:
    """The server clamped the requested chunk size: the hashes belong to other ranges than the planned ones."""
    hashes = [{"number": 1, "sha256": sha256(BYTES[:1])}]
    body = start_body(BYTES, "a", parts=hashes, strategy="multipart", chunk_size_bytes=1)
    answer = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()
    assert (answer["parts"], answer["upload"]["chunk_size_bytes"]) == ([], SMALLEST_CHUNK)
    await send(account, answer["upload"], BYTES)
    assert (await complete(account, answer["upload"]["id"])).status_code == 200


async def test_capabilities_show_limits_and_proof_level(visitor: Account) -> None:
    found = (await visitor.client.get("/v1/capabilities")).raise_for_status().json()
    assert found["proof_level"] in {"A", "B"}
    assert (found["single_max_bytes"], found["max_parts"], found["batch_items"]) == (8 * MIB, 9_999, 500)
    assert found["max_file_bytes"] == 9_999 * 5 * GIB


# Resume


async def test_resume_names_only_the_chunks_the_store_lacks(account: Account) -> None:
    upload = await start(account, BYTES, "big", **MULTI)
    await send(account, upload, BYTES, [1, 3])
    answer = await account.client.post("/v1/uploads", json=start_body(BYTES, "big"))
    assert (answer.status_code, answer.json()["upload"]["id"]) == (200, upload["id"])
    seen = await reconcile(account, upload["id"])
    assert (seen["uploaded"], seen["missing"], seen["mismatched"]) == ("1,3", "2", "")
    assert seen["uploaded_bytes"] == SMALLEST_CHUNK + 1
    early = await complete(account, upload["id"])
    assert problem(early) == (409, "parts-missing")
    assert (early.json()["missing"], early.json()["mismatched"]) == ("2", "")
    await send(account, upload, BYTES, [2])
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == BYTES


async def test_reconcile_of_signed_parts_counts_none_as_uploaded(account: Account) -> None:
    upload = await start(account, BYTES, "big", **MULTI)
    await sign(account, upload, BYTES, [1, 2, 3])
    assert (await reconcile(account, upload["id"]))["missing"] == "1-3"


async def test_chunk_list_with_a_limit_is_paged(account: Account) -> None:
    upload = await start(account, BYTES, "big", **MULTI)
    await send(account, upload, BYTES, [2])
    await reconcile(account, upload["id"])
    address = f"/v1/uploads/{upload['id']}/chunks"
    first = (await account.client.get(address, params={"limit": 2})).json()
    rest = (await account.client.get(address, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert rest["next_cursor"] is None
    chunks = first["items"] + rest["items"]
    assert [(chunk["number"], chunk["offset_bytes"], chunk["size_bytes"], chunk["state"]) for chunk in chunks] == [
        (1, 0, SMALLEST_CHUNK, "planned"),
        (2, SMALLEST_CHUNK, SMALLEST_CHUNK, "uploaded"),
        (3, 2 * SMALLEST_CHUNK, 1, "planned"),
    ]
    assert [bool(chunk["sha256"]) for chunk in chunks] == [False, True, False]


async def test_upload_list_filters_by_state_and_fingerprint(account: Account) -> None:
    uploads = [await start(account, bytes([n]), f"{n}") for n in range(3)]
    await account.client.delete(f"/v1/uploads/{uploads[0]['id']}")

    async def listed(**query: Any) -> list[str]:
        answer = (await account.client.get("/v1/uploads", params=query)).raise_for_status().json()
        ids = [item["id"] for item in answer["items"]]
        return ids if not answer["next_cursor"] else ids + await listed(**query | {"cursor": answer["next_cursor"]})

    newest_first = [upload["id"] for upload in reversed(uploads)]
    assert await listed() == await listed(limit=1) == newest_first
    assert await listed(state="active") == newest_first[:2]
    assert await listed(state="aborted") == newest_first[2:]
    assert await listed(fingerprint=sha256(b"\1")) == [uploads[1]["id"]]
    shown = (await account.client.get(f"/v1/uploads/{uploads[1]['id']}")).json()
    assert (shown["state"], shown["fingerprint"]) == ("active", sha256(b"\1"))


async def test_fingerprint_finds_the_live_session_then_the_file(account: Account) -> None:
    address = f"/v1/fingerprints/{sha256(b'abc')}"
    assert problem(await account.client.get(address)) == (404, "not-found")
    upload = await start(account, b"abc", "a")
    found = (await account.client.get(address)).json()
    assert (found["file"], found["upload"]["id"]) == (None, upload["id"])
    await send(account, upload, b"abc")
    file = (await complete(account, upload["id"])).json()["file"]
    assert (await account.client.get(address)).json() == {"file": file, "upload": None}


# Complete


async def test_complete_repeated_returns_the_same_answer(account: Account, db: Db) -> None:
    upload = await start(account, BYTES, "big", **MULTI)
    await send(account, upload, BYTES)
    first = await complete(account, upload["id"])
    again = await complete(account, upload["id"])
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert len(await journal(db, account)) == 1


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
async def test_concurrent_completes_make_one_revision(account: Account, db: Db, more: dict[str, Any]) -> None:
    upload = await start(account, b"abc", "a", **more)
    await send(account, upload, b"abc")
    answers = await asyncio.gather(*(complete(account, upload["id"]) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    (revision_id,) = {answer.json()["file"]["revision_id"] for answer in answers}
    async with db.read() as tx:
        made = text("SELECT id FROM revisions WHERE node_id = :id")
        assert [str(row.id) for row in await tx.execute(made, {"id": answers[0].json()["file"]["id"]})] == [revision_id]
    assert await journal(db, account) == [("file.created", answers[0].json()["file"]["id"])]
    assert (await account.me())["used_bytes"] == 3


async def test_concurrent_starts_make_one_session(account: Account) -> None:
    body = start_body(BYTES, "big", **MULTI)
    answers = await asyncio.gather(*(account.client.post("/v1/uploads", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    (upload_id,) = {answer.json()["upload"]["id"] for answer in answers}
    assert {answer.json()["upload"]["state"] for answer in answers} == {"active"}
    assert (await account.me())["reserved_bytes"] == len(BYTES)
    assert (await account.client.delete(f"/v1/uploads/{upload_id}")).status_code == 204


async def test_complete_of_an_unsent_single_upload_is_parts_missing(account: Account) -> None:
    upload = await start(account, b"abc", "a")
    answer = await complete(account, upload["id"])
    assert problem(answer) == (409, "parts-missing")
    assert answer.json()["missing"] == "1"


async def test_second_hash_for_a_registered_chunk_is_refused(account: Account) -> None:
    upload = await start(account, BYTES, "big", **MULTI)
    await sign(account, upload, BYTES, [2])
    parts = [{"number": 1, "sha256": ZEROS}, {"number": 2, "sha256": ZEROS}]
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/parts", json={"parts": parts})
    assert problem(answer) == (409, "chunk-mismatch")
    assert answer.json()["numbers"] == [2]
    # The refused request registered none of its hashes.
    await send(account, upload, BYTES)
    assert (await complete(account, upload["id"])).status_code == 200


async def test_part_hash_other_than_the_fingerprint_of_a_single_upload_is_refused(account: Account) -> None:
    upload = await start(account, b"abc", "a")
    parts = {"parts": [{"number": 1, "sha256": ZEROS}]}
    assert problem(await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)) == (
        409,
        "chunk-mismatch",
    )


# Late fingerprints


async def test_late_fingerprint_bound_after_sending_completes(account: Account, db: Db) -> None:
    started = await start_late(account, LATE, "late")
    assert started.status_code == 201
    upload = started.json()["upload"]
    assert upload["fingerprint"] is None
    await send(account, upload, LATE)
    early = await complete(account, upload["id"])
    assert problem(early) == (409, "fingerprint-required")
    for _ in range(2):
        bound = (await bind(account, upload["id"], sha256(LATE))).raise_for_status().json()
        assert (bound["upload"]["id"], bound["upload"]["fingerprint"]) == (upload["id"], sha256(LATE))
    assert problem(await bind(account, upload["id"], ZEROS)) == (409, "fingerprint-mismatch")
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert file["fingerprint"] == sha256(LATE)
    assert await download(account, file["id"]) == LATE
    assert await journal(db, account) == [("file.created", file["id"])]


async def test_late_start_of_a_small_file_requires_the_fingerprint(account: Account) -> None:
    assert problem(await start_late(account, BYTES[: 8 * MIB], "small")) == (409, "fingerprint-required")


async def test_late_start_of_a_known_size_requires_the_fingerprint(account: Account) -> None:
    upload = (await start_late(account, LATE, "a")).json()["upload"]
    second = await start_late(account, LATE, "b")
    assert problem(second) == (409, "fingerprint-required")
    assert second.json()["uploads"] == [upload["id"]]
    await send(account, upload, LATE)
    await bind(account, upload["id"], sha256(LATE))
    (await complete(account, upload["id"])).raise_for_status()
    stored = await start_late(account, LATE, "b")
    assert problem(stored) == (409, "fingerprint-required")
    assert stored.json()["uploads"] == []


@pytest.mark.parametrize("fuller", ["bound", "unbound"])
async def test_bind_with_a_second_live_session_keeps_the_fuller_one(account: Account, fuller: str) -> None:
    unbound = (await start_late(account, LATE, "late.bin")).json()["upload"]
    bound = await start(account, LATE, "early.bin")
    await send(account, bound if fuller == "bound" else unbound, LATE, [1])
    kept, dropped = (bound, unbound) if fuller == "bound" else (unbound, bound)
    answer = (await bind(account, unbound["id"], sha256(LATE))).raise_for_status().json()["upload"]
    assert (answer["id"], answer["uploaded"], answer["fingerprint"]) == (kept["id"], "1", sha256(LATE))
    assert {place["name"] for place in answer["destinations"]} == {"late.bin", "early.bin"}
    assert (await account.client.get(f"/v1/uploads/{dropped['id']}")).json()["state"] == "aborted"
    assert (await account.me())["reserved_bytes"] == len(LATE)
    await send(account, kept, LATE, [2])
    done = (await complete(account, kept["id"])).raise_for_status().json()
    assert all(place["file_id"] for place in done["destinations"])
    assert await names_in_root(account) == ["early.bin", "late.bin"]
    assert (await account.me())["used_bytes"] == len(LATE)


async def test_bind_to_verified_content_returns_the_file(account: Account, server: RunningServer) -> None:
    unbound = (await start_late(account, LATE, "late.bin")).json()["upload"]
    file = await upload_file(account, LATE, "early.bin")
    await run_until_idle(verify_next_blob, server.services)
    answer = (await bind(account, unbound["id"], sha256(LATE))).raise_for_status().json()
    assert (answer["upload"], answer["file"]["name"]) == (None, "late.bin")
    assert await download(account, answer["file"]["id"]) == LATE
    assert (await account.client.get(f"/v1/uploads/{unbound['id']}")).json()["state"] == "completed"
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"]) == (len(LATE), 0)
    assert await journal(server.db, account) == [
        ("file.created", file["id"]),
        ("file.verified", file["id"]),
        ("file.created", answer["file"]["id"]),
    ]


async def test_bind_to_content_of_another_size_is_refused(account: Account) -> None:
    await upload_file(account, b"abc", "a")
    body = start_body(b"abc", "b") | {"size_bytes": 4}
    assert problem(await account.client.post("/v1/uploads", json=body)) == (409, "fingerprint-mismatch")
    unbound = (await start_late(account, LATE, "late")).json()["upload"]
    assert problem(await bind(account, unbound["id"], sha256(b"abc"))) == (409, "fingerprint-mismatch")
    await start(account, b"live", "live")
    body = start_body(b"live", "c") | {"size_bytes": 5}
    assert problem(await account.client.post("/v1/uploads", json=body)) == (409, "fingerprint-mismatch")


# Content that the owner stores already


async def test_start_of_verified_content_returns_the_file(account: Account, server: RunningServer) -> None:
    first = await upload_file(account, BYTES, "first", **MULTI)
    unproven = await account.client.post("/v1/uploads", json=start_body(BYTES, "second"))
    assert unproven.status_code == 201, "stored content is a claim until a worker has read it"
    await account.client.delete(f"/v1/uploads/{unproven.json()['upload']['id']}")
    await run_until_idle(verify_next_blob, server.services)
    proven = await account.client.post("/v1/uploads", json=start_body(BYTES, "second"))
    assert (proven.status_code, proven.json()["upload"], proven.json()["parts"]) == (200, None, [])
    second = proven.json()["file"]
    assert second["id"] != first["id"]
    assert await download(account, second["id"]) == BYTES
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(BYTES), 0, 2)


@pytest.mark.parametrize("on_conflict", ["fail", "rename", "replace"])
async def test_start_of_the_same_content_at_the_same_name_changes_nothing(
    account: Account, db: Db, on_conflict: str
) -> None:
    file = await upload_file(account, b"abc", "a")
    answer = await account.client.post(
        "/v1/uploads", json=start_body(b"abc", "a", destination={"on_conflict": on_conflict})
    )
    assert (answer.status_code, answer.json()["file"]) == (200, file)
    assert await journal(db, account) == [("file.created", file["id"])]


# Destinations


async def test_destination_path_with_missing_folders_makes_them(account: Account, db: Db) -> None:
    first = await upload_file(account, b"1", "a", destination={"folder_path": "/Photos/2026"})
    second = await upload_file(account, b"2", "b", destination={"folder_path": "photos/2026/"})
    third = await upload_file(account, b"3", "c", destination={"parent_id": first["parent_id"]})
    assert [file["path"] for file in (first, second, third)] == [f"/Photos/2026/{name}" for name in "abc"]
    photos = (await account.client.get("/v1/files/by-path", params={"path": "/photos"})).json()
    assert await journal(db, account) == [
        ("file.created", photos["id"]),
        ("file.created", first["parent_id"]),
        *(("file.created", file["id"]) for file in (first, second, third)),
    ]
    assert (await account.me())["used_nodes"] == 5


async def test_destination_below_a_file_is_refused(account: Account) -> None:
    file = await upload_file(account, b"1", "file")
    for place in ({"folder_path": "/file/sub"}, {"folder_path": "/FILE"}, {"parent_id": file["id"]}):
        body = start_body(b"2", "a", destination=place)
        assert problem(await account.client.post("/v1/uploads", json=body)) == (409, "not-a-folder")
    upload = await start(account, b"2", "a")
    for place in ({"folder_path": "/file/sub"}, {"parent_id": file["id"]}):
        body = {"destination": {"name": "b"} | place}
        answer = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=body)
        assert problem(answer) == (409, "not-a-folder")
    unknown = start_body(b"2", "a", destination={"parent_id": str(uuid.uuid4())})
    assert problem(await account.client.post("/v1/uploads", json=unknown)) == (404, "not-found")


async def test_start_at_a_taken_name_is_refused(account: Account) -> None:
    file = await upload_file(account, b"1", "Straße.txt")
    for name in ("Straße.txt", "STRASSE.TXT", "Strasse.txt"):
        answer = await account.client.post("/v1/uploads", json=start_body(b"2", name))
        assert problem(answer) == (409, "name-taken")
        assert answer.json()["file_id"] == file["id"]
    assert (await account.me())["reserved_bytes"] == 0


async def test_start_at_the_name_of_a_folder_is_refused(account: Account) -> None:
    await upload_file(account, b"1", "a", destination={"folder_path": "/folder"})
    body = start_body(b"2", "folder", destination={"on_conflict": "replace"})
    assert problem(await account.client.post("/v1/uploads", json=body)) == (409, "name-taken")
    renamed = await upload_file(account, b"2", "folder", destination={"on_conflict": "rename"})
    assert renamed["name"] == "folder (1)"


async def test_on_conflict_rename_takes_the_next_free_name(account: Account) -> None:
    for n in range(3):
        await upload_file(account, bytes([n]), "src.tar.gz", destination={"on_conflict": "rename"})
    assert await names_in_root(account) == ["src (1).tar.gz", "src (2).tar.gz", "src.tar.gz"]


async def test_on_conflict_replace_adds_a_revision(account: Account, db: Db) -> None:
    first = await upload_file(account, b"1", "a")
    second = await upload_file(account, b"2", "a", destination={"on_conflict": "replace"})
    assert second["id"] == first["id"]
    assert second["revision_id"] != first["revision_id"]
    assert second["etag"] != first["etag"]
    assert await download(account, first["id"]) == b"2"
    assert await journal(db, account) == [("file.created", first["id"]), ("file.updated", first["id"])]
    me = await account.me()
    assert (me["used_bytes"], me["used_nodes"], me["reserved_bytes"]) == (2, 1, 0)


async def test_replace_with_an_old_base_revision_is_refused(account: Account) -> None:
    first = await upload_file(account, b"1", "a")
    onto_first = {"on_conflict": "replace", "base_revision_id": first["revision_id"]}
    second = await upload_file(account, b"2", "a", destination=onto_first)
    answer = await account.client.post("/v1/uploads", json=start_body(b"3", "a", destination=onto_first))
    assert problem(answer) == (409, "revision-conflict")
    assert (answer.json()["file_id"], answer.json()["revision_id"]) == (first["id"], second["revision_id"])


async def test_session_with_many_destinations_makes_a_file_at_each(account: Account, db: Db) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    assert (await start(account, BYTES, "b"))["id"] == upload["id"]
    added = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": "c"}})
    assert [place["name"] for place in added.json()["destinations"]] == ["a", "b", "c"]
    await send(account, upload, BYTES)
    done = (await complete(account, upload["id"])).raise_for_status().json()
    assert done["file"]["id"] == done["destinations"][0]["file_id"]
    assert await journal(db, account) == [("file.created", place["file_id"]) for place in done["destinations"]]
    me = await account.me()
    assert (me["used_bytes"], me["used_nodes"]) == (len(BYTES), 3)


async def test_name_taken_while_sending_loses_no_bytes(account: Account, db: Db) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    await send(account, upload, BYTES)
    winner = await upload_file(account, b"winner", "a")
    refused = await complete(account, upload["id"])
    assert problem(refused) == (409, "destination-refused")
    assert [one["code"] for one in refused.json()["problems"]] == ["name-taken"]
    assert problem(await complete(account, upload["id"])) == (409, "destination-refused")
    again = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": "a"}})
    assert problem(again) == (409, "name-taken")
    placed = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": "b"}})
    file_id = placed.raise_for_status().json()["destinations"][-1]["file_id"]
    assert await download(account, file_id) == BYTES
    assert (await complete(account, upload["id"])).json()["file"]["id"] == file_id
    assert await journal(db, account) == [("file.created", winner["id"]), ("file.created", file_id)]


async def test_destination_requested_again_takes_the_new_policy(account: Account) -> None:
    upload = await start(account, b"2", "a")
    await upload_file(account, b"1", "a")
    body = start_body(b"2", "a", destination={"on_conflict": "rename"})
    assert (await account.client.post("/v1/uploads", json=body)).json()["upload"]["id"] == upload["id"]
    await send(account, upload, b"2")
    assert (await complete(account, upload["id"])).json()["file"]["name"] == "a (1)"


# Abort and expiry


async def test_abort_releases_quota_and_parts(account: Account, store: S3Store, db: Db) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    await send(account, upload, BYTES, [1])
    for _ in range(2):
        assert (await account.client.delete(f"/v1/uploads/{upload['id']}")).status_code == 204
    me = await account.me()
    assert (me["reserved_bytes"], me["used_bytes"]) == (0, 0)
    ended = await complete(account, upload["id"])
    assert problem(ended) == (409, "upload-ended")
    assert ended.json()["state"] == "aborted"
    parts = {"parts": [{"number": 1, "sha256": ZEROS}]}
    assert problem(await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)) == (409, "upload-ended")
    place = {"destination": {"name": "b"}}
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
    assert problem(answer) == (409, "upload-ended")
    assert upload["id"] != (await start(account, BYTES, "a", **MULTI))["id"]
    async with db.read() as tx:
        row = (await tx.execute(text("SELECT storage_key, s3_upload_id FROM uploads WHERE id = :id"), upload)).one()
    assert row.s3_upload_id not in [open_.s3_upload_id async for open_ in store.list_multiparts(row.storage_key)]


async def test_abort_of_a_completed_upload_is_refused(account: Account) -> None:
    upload = await start(account, b"abc", "a")
    await send(account, upload, b"abc")
    await complete(account, upload["id"])
    answer = await account.client.delete(f"/v1/uploads/{upload['id']}")
    assert problem(answer) == (409, "upload-ended")
    assert await names_in_root(account) == ["a"]


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
async def test_requests_on_an_expired_session_are_upload_expired(
    account: Account, server: RunningServer, more: dict[str, Any]
) -> None:
    upload = await start(account, b"abc", "a", **more)
    await alter(
        server.db, "UPDATE uploads SET expires_at = now() - interval '1 second' WHERE id = :id", id=upload["id"]
    )
    await expire_uploads(server.services)
    parts = {"parts": [{"number": 1, "sha256": sha256(b"abc")}]}
    assert problem(await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)) == (
        409,
        "upload-expired",
    )
    assert problem(await complete(account, upload["id"])) == (409, "upload-expired")
    assert problem(await bind(account, upload["id"], ZEROS)) == (409, "fingerprint-mismatch")
    assert (await account.me())["reserved_bytes"] == 0
    assert (await upload_file(account, b"abc", "a", **more))["name"] == "a"


async def test_parts_discarded_by_the_store_expire_the_session(account: Account, db: Db, store: S3Store) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    async with db.read() as tx:
        row = (await tx.execute(text("SELECT storage_key, s3_upload_id FROM uploads WHERE id = :id"), upload)).one()
    await store.abort_multipart(row.storage_key, row.s3_upload_id)
    assert problem(await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")) == (409, "upload-expired")
    assert problem(await complete(account, upload["id"])) == (409, "upload-expired")
    assert (await account.me())["reserved_bytes"] == 0


async def test_expired_url_is_signed_again(account: Account, db: Db, store: S3Store) -> None:
    upload = await start(account, b"abc", "a")
    async with db.read() as tx:
        key = (await tx.execute(text("SELECT storage_key FROM uploads WHERE id = :id"), upload)).scalar_one()
    brief = store.sign_put(key, 3, bytes.fromhex(sha256(b"abc")), ttl_s=1)
    # A signature is valid through the second in which it ends.
    await asyncio.sleep((brief.expires_at - datetime.now(UTC)).total_seconds() + 1)
    assert (await put({"url": brief.url, "headers": dict(brief.headers)}, b"abc")).status_code == 403
    await send(account, upload, b"abc")
    assert (await complete(account, upload["id"])).status_code == 200


# Limits


async def test_quota_counts_stored_and_reserved_bytes(account: Account, db: Db) -> None:
    await alter_account(db, account, "quota_bytes = 10")
    await upload_file(account, b"12345", "a")
    upload = await start(account, b"678", "b")
    answer = await account.client.post("/v1/uploads", json=start_body(b"90!", "c"))
    assert problem(answer) == (413, "quota-exceeded")
    figures = ("quota_bytes", "used_bytes", "reserved_bytes", "needed_bytes")
    assert [answer.json()[figure] for figure in figures] == [10, 5, 3, 3]
    await account.client.delete(f"/v1/uploads/{upload['id']}")
    assert (await upload_file(account, b"90!ab", "c"))["size_bytes"] == 5
    assert problem(await account.client.post("/v1/uploads", json=start_body(b"x", "d"))) == (413, "quota-exceeded")
    await upload_file(account, b"", "empty")


async def test_start_beyond_the_number_of_files_is_refused(account: Account, db: Db) -> None:
    await alter_account(db, account, "quota_nodes = 2")
    upload = await start(account, b"1", "a", destination={"folder_path": "/folder"})
    assert problem(await account.client.post("/v1/uploads", json=start_body(b"2", "b"))) == (413, "too-many-files")
    body = start_body(b"2", "b", destination={"folder_path": "/other"})
    assert problem(await account.client.post("/v1/uploads", json=body)) == (413, "too-many-files")
    place = {"destination": {"name": "c"}}
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
    assert problem(answer) == (413, "too-many-files")
    await send(account, upload, b"1")
    assert (await complete(account, upload["id"])).status_code == 200


async def test_upload_of_five_tebibytes_is_planned_and_signed(account: Account, db: Db) -> None:
    await alter_account(db, account, "quota_bytes = :quota", quota=10 * TIB)
    body = start_body(b"", "huge") | {"size_bytes": 5 * TIB, "fingerprint": sha256(b"huge")}
    upload = (await account.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    size, count = upload["chunk_size_bytes"], upload["chunk_count"]
    assert (count - 1) * size < 5 * TIB <= count * size
    assert 8_000 < count <= 9_000
    number = min(9_000, count)
    parts = {"parts": [{"number": number, "sha256": ZEROS}, {"number": 1, "sha256": ZEROS}]}
    signed = (await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)).raise_for_status().json()
    assert [part["number"] for part in signed["parts"]] == [number, 1]
    assert signed["parts"][0]["offset_bytes"] == (number - 1) * size
    assert (await reconcile(account, upload["id"]))["missing"] == f"1-{count}"
    assert (await account.client.delete(f"/v1/uploads/{upload['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size_bytes": 9_999 * 5 * GIB + 1}, "beyond-store"),
        ({"size_bytes": 2**62}, "beyond-store"),
        ({"size_bytes": 8 * MIB + 1, "strategy": "single"}, "too-large-for-single"),
        ({"size_bytes": 0, "strategy": "multipart"}, "empty-multipart"),
    ],
)
async def test_start_with_a_size_beyond_the_limits_is_refused(
    visitor: Account, change: dict[str, Any], reason: str
) -> None:
    answer = await visitor.client.post("/v1/uploads", json=start_body(b"", "a") | {"fingerprint": ZEROS} | change)
    assert problem(answer) == (422, "size-not-allowed")
    assert (answer.json()["reason"], answer.json()["max_bytes"]) == (reason, 9_999 * 5 * GIB)


async def test_stricter_settings_refuse_what_others_allow(
    postgres_url: str, s3_config: S3Config, server: RunningServer
) -> None:
    """A second server on the same database, stricter than the first."""
    settings = make_settings(postgres_url, s3_config, uploads={"max_open": 2, "max_file_bytes": 10})
    async with running_server(settings) as strict:
        account = await register_account(strict.url)
        async with account.client as client:
            assert (await client.get("/v1/capabilities")).json()["max_file_bytes"] == 10
            answer = await client.post("/v1/uploads", json=start_body(b"12345678901", "a"))
            assert problem(answer) == (422, "size-not-allowed")
            uploads = [await start(account, bytes([n]), f"{n}") for n in range(2)]
            third = start_body(b"3", "3")
            assert problem(await client.post("/v1/uploads", json=third)) == (429, "too-many-uploads")
            await client.delete(f"/v1/uploads/{uploads[0]['id']}")
            assert (await client.post("/v1/uploads", json=third)).status_code == 201


# Bad input

NAMES = [
    "ferrari.jpg",
    "Ζεύς.txt",
    "Übergröße.pdf",
    "привет мир.doc",
    "日本語のファイル名.txt",
    "한국어.hwp",
    "مرحبا.txt",
    "שלום.txt",
    "हिन्दी.txt",
    "👩‍👩‍👧‍👦🏳️‍🌈.png",
    "CON",
    "trailing dot.",
    "semi;colon\"quote'%2F\\.txt",
    "-rf *",
    " leading space",
    "x" * 255,
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_all_scripts_are_kept_as_typed(visitor: Account, name: str) -> None:
    folder = f"/names/{uuid.uuid4()}"
    file = await upload_file(visitor, name.encode(), name, destination={"folder_path": folder})
    assert (file["name"], file["path"]) == (name, f"{folder}/{name}")
    found = await visitor.client.get("/v1/files/by-path", params={"path": f"{folder}/{name}"})
    assert found.json() == file
    listed = (await visitor.client.get("/v1/files", params={"path": folder})).json()["items"]
    assert listed == [file]


async def test_decomposed_name_is_stored_composed(account: Account) -> None:
    file = await upload_file(account, b"abc", "e\N{COMBINING ACUTE ACCENT}")
    assert file["name"] == "\N{LATIN SMALL LETTER E WITH ACUTE}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "dot-name"),
        ("..", "dot-name"),
        ("a/b", "slash"),
        ("../../etc/passwd", "slash"),
        ("a\0b", "control-character"),
        ("a\r\nSet-Cookie: b", "control-character"),
        ("a\N{LINE SEPARATOR}b", "control-character"),
        ("x" * 256, "too-long"),
        ("ü" * 128, "too-long"),
    ],
)
async def test_invalid_name_is_refused(visitor: Account, name: str, reason: str) -> None:
    answer = await visitor.client.post("/v1/uploads", json=start_body(b"abc", name))
    assert problem(answer) == (422, "invalid-name")
    assert answer.json()["reason"] == reason
    if name not in {"", "."} and "/" not in name:
        inside = start_body(b"abc", "a", destination={"folder_path": f"/x/{name}/y"})
        assert problem(await visitor.client.post("/v1/uploads", json=inside)) == (422, "invalid-name")
    upload = await start(visitor, b"abc", "fine")
    answer = await visitor.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": name}})
    assert problem(answer) == (422, "invalid-name")


@pytest.mark.parametrize("path", ["a/..", "/../b", "/".join("x" * 101)])
async def test_invalid_path_is_refused_and_named(visitor: Account, path: str) -> None:
    body = start_body(b"abc", "a", destination={"folder_path": path})
    answer = await visitor.client.post("/v1/uploads", json=body)
    assert problem(answer) == (422, "invalid-name")
    assert path in answer.json()["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "abc"},
        {"fingerprint": "A" * 64},
        {"fingerprint": "g" * 64},
        {"fingerprint": ZEROS + "\n"},
        {"fingerprint": 5},
        {"size_bytes": -1},
        {"size_bytes": 2**63},
        {"size_bytes": 10**40},
        {"size_bytes": 1.5},
        {"size_bytes": None},
        {"destination": None},
        {"destination": {}},
        {"destination": {"name": "a", "parent_id": "nonsense"}},
        {"destination": {"name": "a", "parent_id": UNKNOWN_ID, "folder_path": "/"}},
        {"destination": {"name": "a", "folder_path": "x" * 5000}},
        {"destination": {"name": "a", "on_conflict": "overwrite"}},
        {"destination": {"name": "a", "base_revision_id": UNKNOWN_ID}},
        {"destination": {"name": "x" * 2000}},
        {"chunk_size_bytes": 0},
        {"strategy": "telepathy"},
        {"content_type": "text"},
        {"content_type": "text/html\r\nX: y"},
        {"client_modified_at": "yesterday"},
        {"client_modified_at": "2026-01-01T00:00:00"},
        {"parts": [{"number": 0, "sha256": ZEROS}]},
        {"parts": [{"number": 10_001, "sha256": ZEROS}]},
        {"parts": [{"number": 1, "sha256": ZEROS}] * 1001},
        {"owner_id": UNKNOWN_ID},
    ],
    ids=lambda change: str(change)[:60],
)
async def test_start_with_an_invalid_member_is_422(visitor: Account, change: dict[str, Any]) -> None:
    answer = await visitor.client.post("/v1/uploads", json=start_body(b"abc", "a") | change)
    assert problem(answer) == (422, "invalid-request")
    assert all(set(error) == {"pointer", "detail"} for error in answer.json()["errors"])
    batch = await visitor.client.post("/v1/uploads/batch", json={"items": [start_body(b"abc", "a") | change]})
    assert problem(batch) == (422, "invalid-request")


@pytest.mark.parametrize("modified_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_time_that_does_not_exist_in_utc_is_422(visitor: Account, modified_at: str) -> None:
    """Neither time exists in UTC."""
    body = start_body(b"abc", "a", client_modified_at=modified_at)
    assert problem(await visitor.client.post("/v1/uploads", json=body)) == (422, "invalid-request")
    upload = await start(visitor, b"abc", "a")
    place = {"destination": {"name": "b"}, "client_modified_at": modified_at}
    answer = await visitor.client.post(f"/v1/uploads/{upload['id']}/destinations", json=place)
    assert problem(answer) == (422, "invalid-request")


async def test_client_time_is_stored_in_utc(account: Account) -> None:
    file = await upload_file(account, b"abc", "a", client_modified_at="1969-07-20T20:17:40.5+02:00")
    assert file["client_modified_at"] == "1969-07-20T18:17:40.500000Z"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"fingerprint": "\xff\xfe"}',
        b'{"size_bytes": ' + b"9" * 5_000 + b"}",
    ],
    ids=["nothing", "half", "deep", "not UTF-8", "long number"],
)
async def test_body_that_is_not_json_is_refused(visitor: Account, raw: bytes) -> None:
    answer = await visitor.client.post("/v1/uploads", content=raw, headers={"Content-Type": "application/json"})
    assert problem(answer) in {(400, "malformed-json"), (422, "invalid-request")}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"destination": {"name": "\\ud800"}, "size_bytes": 3, "fingerprint": "' + b"0" * 64 + b'"}',
        b'{"destination": {"name": "a", "folder_path": "\\udfff"}, "size_bytes": 3, "fingerprint": "'
        + b"0" * 64
        + b'"}',
        b'{"destination": {"name": "a", "\\ud800": 1}, "size_bytes": 3}',
        b'{"\\ud800": 1}',
        b"[]",
        b"null",
        b'{"size_bytes": NaN, "destination": {"name": "a"}}',
    ],
)
async def test_body_with_lone_surrogates_or_another_shape_is_422(visitor: Account, raw: bytes) -> None:
    answer = await visitor.client.post("/v1/uploads", content=raw, headers={"Content-Type": "application/json"})
    assert problem(answer) in {(422, "invalid-request"), (422, "invalid-name")}


async def test_body_beyond_the_limit_is_413(visitor: Account) -> None:
    answer = await visitor.client.post("/v1/uploads", content=b" " * (8 * MIB + 1))
    assert problem(answer) == (413, "body-too-large")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"number": 4, "sha256": ZEROS}],
        [{"number": 0, "sha256": ZEROS}],
        [{"number": 10_001, "sha256": ZEROS}],
        [{"number": 1, "sha256": ZEROS}, {"number": 1, "sha256": ZEROS}],
        [{"number": 1, "sha256": "0"}],
        [{"number": 1}],
        [{"number": 1, "sha256": ZEROS, "url": "x"}],
        [{"number": n, "sha256": ZEROS} for n in range(1, 1002)],
    ],
    ids=lambda parts: str(parts)[:60],
)
async def test_sign_with_invalid_parts_is_422(visitor: Account, parts: list[dict[str, Any]]) -> None:
    upload = await start(visitor, BYTES, "a", **MULTI)
    answer = await visitor.client.post(f"/v1/uploads/{upload['id']}/parts", json={"parts": parts})
    assert problem(answer) == (422, "invalid-request")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "invalid-request"),
        ({"limit": "1001"}, "invalid-request"),
        ({"state": "asleep"}, "invalid-request"),
        ({"fingerprint": "x"}, "invalid-request"),
        ({"cursor": "x"}, "invalid-cursor"),
        ({"cursor": "\N{SNOWMAN}"}, "invalid-cursor"),
        ({"cursor": "WyJ1cGxvYWRzIiwieCJd"}, "invalid-cursor"),  # ["uploads","x"]
    ],
)
async def test_upload_list_with_an_invalid_query_is_422(visitor: Account, query: dict[str, str], code: str) -> None:
    assert problem(await visitor.client.get("/v1/uploads", params=query)) == (422, code)


@pytest.mark.parametrize(
    "cursor",
    ["x", "WyJjaHVua3MiLDkyMjMzNzIwMzY4NTQ3NzU4MDhd", "WyJjaHVua3MiLDQyOTQ5NjcyOTZd", "WyJjaHVua3MiLC0xXQ"],
    ids=["nonsense", "2**63", "2**32", "-1"],
)
async def test_forged_chunk_cursor_is_refused_or_harmless(visitor: Account, cursor: str) -> None:
    upload = await start(visitor, b"abc", "a")
    answer = await visitor.client.get(f"/v1/uploads/{upload['id']}/chunks", params={"cursor": cursor})
    assert answer.status_code == 200 or problem(answer) == (422, "invalid-cursor")


def upload_routes(upload_id: object) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return every route of one upload: method, address, a valid body."""
    at = f"/v1/uploads/{upload_id}"
    return [
        ("GET", at, None),
        ("GET", f"{at}/chunks", None),
        ("POST", f"{at}/parts", {"parts": [{"number": 1, "sha256": ZEROS}]}),
        ("PUT", f"{at}/fingerprint", {"fingerprint": ZEROS}),
        ("POST", f"{at}/reconcile", None),
        ("POST", f"{at}/complete", None),
        ("POST", f"{at}/destinations", {"destination": {"name": "a"}}),
        ("DELETE", at, None),
    ]


async def test_requests_on_an_unknown_session_are_404(visitor: Account) -> None:
    for method, address, body in upload_routes(uuid.uuid4()):
        assert problem(await visitor.client.request(method, address, json=body)) == (404, "not-found")
    for method, address, body in upload_routes("nonsense"):
        assert problem(await visitor.client.request(method, address, json=body)) == (422, "invalid-request")


@pytest.mark.parametrize("token", [None, "Bearer nonsense", "Bearer", "Basic Og=="])
async def test_upload_routes_without_a_valid_token_are_401(api: httpx2.AsyncClient, token: str | None) -> None:
    headers = {"Authorization": token} if token else {}
    others: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/v1/uploads", start_body(b"abc", "a")),
        ("GET", "/v1/uploads", None),
        ("POST", "/v1/uploads/batch", {"items": [start_body(b"abc", "a")]}),
        ("POST", "/v1/uploads/batch/complete", {"upload_ids": [str(uuid.uuid4())]}),
        ("GET", f"/v1/fingerprints/{ZEROS}", None),
        ("GET", "/v1/capabilities", None),
    ]
    for method, address, body in upload_routes(uuid.uuid4()) + others:
        answer = await api.request(method, address, json=body, headers=headers)
        assert problem(answer) == (401, "unauthenticated"), address


# Batches


async def test_batch_with_mixed_items_answers_each_in_order(account: Account, db: Db) -> None:
    """500 items: new contents, stored contents, equal contents, and one of each mistake."""
    await upload_file(account, b"stored", "stored")
    await alter_account(db, account, "quota_bytes = 10000000")
    mistakes: list[tuple[dict[str, Any], str]] = [
        (start_body(b"x", "stored"), "name-taken"),
        (start_body(b"x", "a/b"), "invalid-name"),
        (start_body(b"x", "x", destination={"folder_path": "/stored/x"}), "not-a-folder"),
        (start_body(b"x", "x", destination={"parent_id": str(uuid.uuid4())}), "not-found"),
        (start_body(b"", "x") | {"size_bytes": 2**62}, "size-not-allowed"),
        (start_body(b"", "x") | {"size_bytes": 10_000_001, "fingerprint": ZEROS}, "quota-exceeded"),
        (start_body(b"stored", "y") | {"size_bytes": 7}, "fingerprint-mismatch"),
        ({"size_bytes": 1, "destination": {"name": "z"}}, "fingerprint-required"),
    ]
    good = [start_body(f"{n}".encode(), f"{n:03}", destination={"folder_path": f"/d{n % 7}"}) for n in range(489)]
    items = [body for body, _ in mistakes] + good
    items += [start_body(b"stored", "copy"), start_body(b"0", "000 again"), start_body(b"stored", "stored")]
    answer = await account.client.post("/v1/uploads/batch", json={"items": items})
    answers = answer.raise_for_status().json()["items"]
    assert len(answers) == 500
    refused, started = answers[: len(mistakes)], answers[len(mistakes) : -3]
    assert [item["problem"]["code"] for item in refused] == [code for _, code in mistakes]
    assert all(item["problem"] is None and len(item["parts"]) == 1 for item in started)
    copy, again, same = answers[-3:]
    assert (copy["file"]["name"], copy["upload"]) == ("copy", None)
    assert again["upload"]["id"] == started[0]["upload"]["id"]
    assert same["file"]["name"] == "stored"
    assert (await account.me())["reserved_bytes"] == sum(body["size_bytes"] for body in good)

    sent = started[:20]
    await asyncio.gather(*(put(item["parts"][0], f"{n}".encode()) for n, item in enumerate(sent)))
    upload_ids = [item["upload"]["id"] for item in started[:21]] + [str(uuid.uuid4()), sent[3]["upload"]["id"]]
    done = await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": upload_ids})
    outcomes = done.raise_for_status().json()["items"]
    assert [item["upload_id"] for item in outcomes] == upload_ids
    assert [item["file"]["name"] for item in outcomes[:20]] == [f"{n:03}" for n in range(20)]
    assert [item["problem"]["code"] for item in outcomes[20:22]] == ["parts-missing", "not-found"]
    assert outcomes[22] == outcomes[3]
    assert await download(account, outcomes[7]["file"]["id"]) == b"7"
    # stored, 7 folders, copy, 20 files and the second destination of the first
    assert len(await journal(db, account)) == 1 + 7 + 1 + 20 + 1
    repeated = await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": upload_ids[:20]})
    assert repeated.json()["items"] == outcomes[:20]


async def test_batch_of_multipart_uploads_completes(account: Account) -> None:
    items = [start_body(bytes([n]), f"{n}", **MULTI) for n in range(5)]
    started = (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()["items"]
    for n, item in enumerate(started):
        await send(account, item["upload"], bytes([n]))
    ids = [item["upload"]["id"] for item in started]
    done = await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})
    assert [item["file"]["name"] for item in done.raise_for_status().json()["items"]] == ["0", "1", "2", "3", "4"]


async def test_batch_with_one_name_for_several_contents_decides_in_order(account: Account) -> None:
    """Four contents for one name: new, renamed, replacing it, and refused when its turn comes."""
    items = [start_body(bytes([n]), "same", destination={"on_conflict": policy}) for n, policy in enumerate(POLICIES)]
    started = (await account.client.post("/v1/uploads/batch", json={"items": items})).json()["items"]
    for n, item in enumerate(started):
        assert (await put(item["parts"][0], bytes([n]))).is_success
    ids = [item["upload"]["id"] for item in started]
    done = (await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})).json()["items"]
    assert [item["file"] and item["file"]["name"] for item in done] == ["same", "same (1)", "same", None]
    assert done[3]["problem"]["code"] == "destination-refused"
    assert done[0]["file"]["id"] == done[2]["file"]["id"]
    assert await download(account, done[0]["file"]["id"]) == b"\2"


POLICIES = ("fail", "rename", "replace", "fail")


@pytest.mark.parametrize("count", [0, 501])
async def test_batch_of_none_or_too_many_items_is_422(visitor: Account, count: int) -> None:
    items = [start_body(b"x", f"{n}") for n in range(count)]
    assert problem(await visitor.client.post("/v1/uploads/batch", json={"items": items})) == (422, "invalid-request")
    ids = [str(uuid.uuid4())] * count
    answer = await visitor.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})
    assert problem(answer) == (422, "invalid-request")


async def test_same_upload_of_two_accounts_makes_two_files(register: Register) -> None:
    first, second = await register(), await register()
    one = await upload_file(first, b"abc", "same")
    two = await upload_file(second, b"abc", "same")
    assert one["id"] != two["id"]
    assert (one["owner"], two["owner"]) == (first.email, second.email)
