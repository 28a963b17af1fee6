"""Uploads and files under attack: other accounts' ids, known hashes, forged bytes, forged members, races."""

import asyncio
import json
import random
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.plans import record_statements, texts_of
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    complete,
    journal,
    problem,
    put,
    send,
    sha256,
    sign,
    start,
    start_body,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


BYTES = random.Random(5).randbytes(SMALLEST_CHUNK + 1000)
ZEROS = "0" * 64

ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/uploads/{upload_id}", None),
    ("GET", "/v1/uploads/{upload_id}/chunks", None),
    ("POST", "/v1/uploads/{upload_id}/parts", {"parts": [{"number": 1, "sha256": ZEROS}]}),
    ("PUT", "/v1/uploads/{upload_id}/fingerprint", {"fingerprint": ZEROS}),
    ("POST", "/v1/uploads/{upload_id}/reconcile", None),
    ("POST", "/v1/uploads/{upload_id}/complete", None),
    ("POST", "/v1/uploads/{upload_id}/destinations", {"destination": {"name": "mine"}}),
    ("DELETE", "/v1/uploads/{upload_id}", None),
    ("GET", "/v1/files/{file_id}", None),
    ("GET", "/v1/files/{file_id}/content", None),
    ("HEAD", "/v1/files/{file_id}/content", None),
    ("GET", "/v1/files/{file_id}/download", None),
    ("POST", "/v1/files/{file_id}/accept-content", None),
    ("GET", "/v1/files/{file_id}/archive", None),
    ("PUT", "/v1/files/{file_id}/content", {"any": "content"}),
    ("PATCH", "/v1/files/{file_id}", {"name": "mine"}),
    ("DELETE", "/v1/files/{file_id}", None),
    ("POST", "/v1/files/{file_id}/copy", {"name": "mine"}),
    ("POST", "/v1/files/{file_id}/restore", None),
    ("DELETE", "/v1/trash/{file_id}", None),
    ("GET", "/v1/files/{file_id}/revisions", None),
    ("POST", f"/v1/files/{{file_id}}/revisions/{uuid.uuid4()}/restore", None),
    ("PUT", "/v1/files/{file_id}/processing", {"state": "queued"}),
    ("GET", "/v1/files/{file_id}/activity", None),
    ("GET", "/v1/files/{file_id}/grants", None),
    ("POST", "/v1/files/{file_id}/grants", {"email": "me@example.com", "role": "editor"}),
    ("PATCH", f"/v1/files/{{file_id}}/grants/{uuid.uuid4()}", {"role": "editor"}),
    ("DELETE", f"/v1/files/{{file_id}}/grants/{uuid.uuid4()}", None),
    ("GET", "/v1/files/{file_id}/links", None),
    ("POST", "/v1/files/{file_id}/links", {"mode": "download"}),
    ("GET", "/v1/public/links/unknown/files/{file_id}/content", None),
]
"""Routes that take the id of an upload or a file; `test_matrix.py` checks that none is missing."""


def told(answer: httpx2.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return status, headers and body of an answer, without the members that differ for every request."""
    headers = {key: value for key, value in answer.headers.items() if key not in {"date", "x-request-id"}}
    body = {key: value for key, value in answer.json().items() if key not in {"instance", "request_id"}}
    return answer.status_code, headers, body


# Ids of other accounts


async def test_ids_of_another_account_are_404(register: Register, db: Db) -> None:
    owner, stranger = await register(), await register()
    file = await upload_file(owner, b"secret", "secret.txt", destination={"folder_path": "/private"})
    live = await start(owner, BYTES, "live", **MULTI)
    done = await start(owner, b"done", "done")
    await send(owner, done, b"done")
    await complete(owner, done["id"])
    before, events = await owner.me(), await journal(db, owner)
    for method, path, body in ROUTES:
        unknown = await stranger.client.request(
            method, path.format(upload_id=uuid.uuid4(), file_id=uuid.uuid4()), json=body
        )
        for upload_id in (live["id"], done["id"]):
            for file_id in (file["id"], file["parent_id"]):
                address = path.format(upload_id=upload_id, file_id=file_id)
                answer = await stranger.client.request(method, address, json=body)
                assert answer.status_code == 404, address
                if method != "HEAD":
                    assert told(answer) == told(unknown), address
    into_foreign: dict[str, Any] = {"parent_id": file["parent_id"]}
    own = await upload_file(stranger, b"own too", "own too")
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/folders", {"name": "x"}),
        ("PATCH", f"/v1/files/{own['id']}", {}),
        ("POST", f"/v1/files/{own['id']}/copy", {}),
    ]
    for method, address, body in changes:
        answer = await stranger.client.request(method, address, json=body | into_foreign)
        assert problem(answer) == (404, "not-found"), address
    await stranger.client.delete(f"/v1/files/{own['id']}")
    answer = await stranger.client.post(f"/v1/files/{own['id']}/restore", json=into_foreign)
    assert problem(answer) == (404, "not-found")
    starting = start_body(b"x", "x", destination=into_foreign)
    assert problem(await stranger.client.post("/v1/uploads", json=starting)) == (404, "not-found")
    assert problem(await stranger.client.get("/v1/files", params=into_foreign)) == (404, "not-found")
    mine = await start(stranger, b"x", "x")
    place = {"destination": {"name": "x"} | into_foreign}
    answer = await stranger.client.post(f"/v1/uploads/{mine['id']}/destinations", json=place)
    assert problem(answer) == (404, "not-found")
    batch = await stranger.client.post("/v1/uploads/batch/complete", json={"upload_ids": [live["id"], done["id"]]})
    assert [item["problem"]["code"] for item in batch.json()["items"]] == ["not-found"] * 2
    listed = (await stranger.client.get("/v1/uploads", params={"state": "active"})).json()["items"]
    assert [item["id"] for item in listed] == [mine["id"]]
    assert (await stranger.client.get("/v1/files")).json()["items"] == []
    answer = await stranger.client.get("/v1/files/by-path", params={"path": "/private/secret.txt"})
    assert problem(answer) == (404, "not-found")
    revision = f"/v1/files/{(await upload_file(stranger, b'own', 'own'))['id']}/content?revision={file['revision_id']}"
    assert problem(await stranger.client.get(revision)) == (404, "not-found")
    assert (await owner.me(), await journal(db, owner)) == (before, events)
    assert (await owner.client.get(f"/v1/uploads/{live['id']}")).json()["state"] == "active"


# A known hash gives no access


@pytest.mark.parametrize(("data", "more"), [(b"secret" * 100, {}), (BYTES, MULTI)], ids=["single", "multipart"])
async def test_claimed_fingerprint_of_another_account_requires_every_byte(
    register: Register, data: bytes, more: dict[str, Any]
) -> None:
    owner, thief = await register(), await register()
    await upload_file(owner, data, "secret", **more)
    answer = await thief.client.post("/v1/uploads", json=start_body(data, "loot", **more))
    assert (answer.status_code, answer.json()["file"]) == (201, None)
    upload = answer.json()["upload"]
    assert (upload["uploaded"], upload["uploaded_bytes"]) == ("", 0)
    for _ in range(2):
        early = await complete(thief, upload["id"])
        assert problem(early) == (409, "parts-missing")
        assert early.json()["missing"] == upload["missing"] == ("1" if not more else "1-2")
    # The chunk hashes do not stand in for the chunks.
    await sign(thief, upload, data, list(range(1, upload["chunk_count"] + 1)))
    assert problem(await complete(thief, upload["id"])) == (409, "parts-missing")
    assert (await thief.client.get("/v1/files")).json()["items"] == []


async def test_known_and_unknown_fingerprints_of_others_get_equal_answers(register: Register, db: Db) -> None:
    owner, curious = await register(), await register()
    await upload_file(owner, b"stored by the owner", "a")
    await start(owner, b"being sent by owner", "b")
    contents = [b"stored by the owner", b"being sent by owner", b"of no account at all"[:19]]
    found = []
    for data in contents:
        with record_statements(db) as executed:
            answer = await curious.client.get(f"/v1/fingerprints/{sha256(data)}")
        found.append((told(answer), texts_of(executed)))
    assert found[0] == found[1] == found[2]
    assert found[0][0][0] == 404

    started = []
    for n, data in enumerate(contents):
        with record_statements(db) as executed:
            answer = await curious.client.post("/v1/uploads", json=start_body(data, f"{n}"))
        status, headers, body = told(answer)
        shape = {key for key, value in body["upload"].items() if value}
        # The length varies with the signed URL's encoding of the checksum.
        del headers["content-length"]
        started.append((status, headers, body["file"], shape, texts_of(executed)))
    assert started[0] == started[1] == started[2]
    listed = [
        told(await curious.client.get("/v1/uploads", params={"fingerprint": sha256(data), "state": "completed"}))
        for data in contents
    ]
    assert listed[0] == listed[1] == listed[2]


async def test_late_start_with_the_size_of_others_content_is_accepted(register: Register) -> None:
    owner, curious = await register(), await register()
    data = random.Random(6).randbytes(8 * 1024**2 + 1)
    await upload_file(owner, data, "a")
    body = {"size_bytes": len(data), "destination": {"name": "b"}}
    assert (await curious.client.post("/v1/uploads", json=body)).status_code == 201


# Keys and ids of the store are internal


def without_urls(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: without_urls(value) for key, value in answer.items() if key != "url"}
    return [without_urls(item) for item in answer] if isinstance(answer, list) else answer


async def test_answers_hold_no_keys_or_ids_of_the_store(account: Account, db: Db) -> None:
    client = account.client
    started = await client.post("/v1/uploads", json=start_body(BYTES, "a", **MULTI))
    upload = started.json()["upload"]
    parts = {"parts": [{"number": 1, "sha256": sha256(BYTES[:SMALLEST_CHUNK])}]}
    at = f"/v1/uploads/{upload['id']}"
    answers = [started, await client.post(f"{at}/parts", json=parts)]
    answers += [await client.get(at), await client.get(f"{at}/chunks"), await client.get("/v1/uploads")]
    answers += [await client.post(f"{at}/complete"), await client.get(f"/v1/fingerprints/{sha256(BYTES)}")]
    await send(account, upload, BYTES)
    answers += [await client.post(f"{at}/reconcile"), await client.get(f"{at}/chunks")]
    completed = await client.post(f"{at}/complete")
    file_id = completed.raise_for_status().json()["file"]["id"]
    answers += [
        completed,
        await client.get(at),
        await client.get(f"/v1/files/{file_id}"),
        await client.get("/v1/files"),
    ]
    answers += [await client.get(f"/v1/files/{file_id}/download"), await client.get("/v1/files/by-path?path=/a")]
    answers += [await client.post(f"{at}/parts", json=parts), await client.delete(at)]
    answers += [await client.post("/v1/uploads/batch", json={"items": [start_body(b"b", "b")]})]
    async with db.read() as tx:
        secrets = text("SELECT storage_key, s3_upload_id FROM uploads WHERE id = :id")
        key, s3_upload_id = (await tx.execute(secrets, {"id": upload["id"]})).one()
    assert s3_upload_id
    for answer in answers:
        shown = json.dumps(without_urls(answer.json()))
        assert s3_upload_id not in shown
        assert key not in shown
        assert "blobs/" not in shown


HOSTILE = [
    "../../x",
    "a?X-Amz-Signature=0",
    "a#b",
    "a%2F..%2F",
    "a&uploadId=1",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "'--",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_signed_path_holds_no_part_of_the_name(visitor: Account, name: str) -> None:
    body = start_body(b"abc", name.replace("/", "\N{DIVISION SLASH}"))
    (part,) = (await visitor.client.post("/v1/uploads", json=body)).raise_for_status().json()["parts"]
    path = httpx2.URL(part["url"]).path
    assert path.endswith(f"/blobs/{(await visitor.me())['id']}/{sha256(b'abc')}/{path.rsplit('/', 1)[1]}")
    uuid.UUID(path.rsplit("/", 1)[1])


# Members that are not the client's to set


@pytest.mark.parametrize(
    "member",
    ["owner_id", "uploader_id", "state", "storage_key", "s3_upload_id", "quota_bytes", "id", "verified", "etag"],
)
async def test_request_with_a_member_beyond_the_contract_is_422(visitor: Account, member: str) -> None:
    upload = await start(visitor, b"abc", "a")
    at = f"/v1/uploads/{upload['id']}"
    extra = {member: "x"}
    body = start_body(b"x", "x")
    chunk = {"number": 1, "sha256": ZEROS}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/uploads", body | extra),
        ("POST", "/v1/uploads", body | {"destination": {"name": "x"} | extra}),
        ("POST", "/v1/uploads", body | {"parts": [chunk | extra]}),
        ("POST", "/v1/uploads/batch", {"items": [body]} | extra),
        ("POST", "/v1/uploads/batch", {"items": [body | extra]}),
        ("POST", "/v1/uploads/batch/complete", {"upload_ids": [upload["id"]]} | extra),
        ("POST", f"{at}/parts", {"parts": [chunk]} | extra),
        ("POST", f"{at}/parts", {"parts": [chunk | extra]}),
        ("PUT", f"{at}/fingerprint", {"fingerprint": ZEROS} | extra),
        ("POST", f"{at}/destinations", {"destination": {"name": "x"}} | extra),
    ]
    for method, address, wrong in requests:
        answer = await visitor.client.request(method, address, json=wrong)
        assert problem(answer) == (422, "invalid-request"), (address, wrong)
        assert any(error["pointer"].endswith(f"/{member}") for error in answer.json()["errors"])


# Forged bytes


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
@pytest.mark.parametrize("forged", [b"abcdefgi", b"abcdefg", b"abcdefghi", b""], ids=["flip", "less", "more", "none"])
async def test_signed_url_refuses_other_bytes(account: Account, more: dict[str, Any], forged: bytes) -> None:
    upload = await start(account, b"abcdefgh", "a", **more)
    (part,) = await sign(account, upload, b"abcdefgh", [1])
    honest = {key.lower(): value for key, value in part["headers"].items()}
    lengths = honest | {"content-length": str(len(forged))}
    hashes = {key: value for key, value in lengths.items() if "checksum" not in key}
    for headers in (lengths, hashes):
        answer = await put({"url": part["url"], "headers": headers}, forged)
        assert 400 <= answer.status_code < 500, answer.text
    assert problem(await complete(account, upload["id"])) == (409, "parts-missing")
    assert (await put(part, b"abcdefgh")).is_success
    assert (await complete(account, upload["id"])).status_code == 200


async def test_signed_url_of_one_part_refuses_another_part(account: Account) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    first, second = await sign(account, upload, BYTES, [1, 2])
    swapped = {"url": first["url"], "headers": second["headers"]}
    assert (await put(swapped, BYTES[SMALLEST_CHUNK:])).status_code == 403
    other = {"url": first["url"].replace("partNumber=1", "partNumber=2"), "headers": first["headers"]}
    assert other["url"] != first["url"]
    assert (await put(other, BYTES[:SMALLEST_CHUNK])).status_code == 403
    seen = (await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")).json()
    assert seen["missing"] == "1-2"


async def test_url_used_after_completion_leaves_the_object_unchanged(account: Account) -> None:
    """A URL that is still valid can only write the same bytes again."""
    upload = await start(account, b"abc", "a")
    (part,) = await sign(account, upload, b"abc", [1])
    await put(part, b"abc")
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    bare = {key: value for key, value in part["headers"].items() if "checksum" not in key.lower()}
    for headers in (part["headers"], bare):
        assert not (await put({"url": part["url"], "headers": headers}, b"abd")).is_success
    await put(part, b"abc")
    answer = await account.client.get(f"/v1/files/{file['id']}/content", follow_redirects=True)
    assert answer.content == b"abc"


# Races for the quota


async def test_hundred_concurrent_starts_with_quota_for_one_admit_one(account: Account, db: Db) -> None:
    async with db.begin() as tx:
        room = text("UPDATE users SET quota_bytes = 19 WHERE id = :id")
        await tx.execute(room, {"id": (await account.me())["id"]})
    bodies = [start_body(f"{n:010}".encode(), f"{n}") for n in range(100)]
    answers = await asyncio.gather(*(account.client.post("/v1/uploads", json=body) for body in bodies))
    refused = [problem(answer) for answer in answers if answer.status_code != 201]
    assert refused == [(413, "quota-exceeded")] * 99
    me = await account.me()
    assert (me["reserved_bytes"], me["used_bytes"]) == (10, 0)


async def test_each_destination_of_a_session_counts_as_a_file(account: Account, db: Db) -> None:
    async with db.begin() as tx:
        room = text("UPDATE users SET quota_nodes = 3 WHERE id = :id")
        await tx.execute(room, {"id": (await account.me())["id"]})
    bodies = [start_body(b"same", f"{n}") for n in range(10)]
    answers = await asyncio.gather(*(account.client.post("/v1/uploads", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201] + [413] * 7
