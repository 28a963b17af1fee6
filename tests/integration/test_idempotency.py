"""`Idempotency-Key`: a request repeated under its key is done once and gets the recorded answer."""

import asyncio
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import MIB
from tests.conftest import Register
from tests.support.server import UNKNOWN_ID, Account, problem, start_body, upload_file


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


async def names(account: Account) -> list[str]:
    return [item["name"] for item in (await account.client.get("/v1/files")).json()["items"]]


def content_of(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


async def test_repeated_request_is_answered_by_replay(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    revised = await upload_file(account, b"two", "a", destination={"on_conflict": "replace"})
    address = f"/v1/files/{file['id']}"
    requests: list[tuple[str, dict[str, Any] | None]] = [
        ("/v1/folders", {"name": "x", "on_conflict": "rename"}),
        (f"{address}/copy", {"on_conflict": "rename"}),
        (f"{address}/revisions/{file['revision_id']}/restore", None),
    ]
    for where, body in requests:
        key = new_key()
        first = await account.client.post(where, json=body, headers=key)
        assert first.is_success
        assert "idempotency-replayed" not in first.headers
        before = await account.me()
        again = await account.client.post(where, json=body, headers=key)
        assert content_of(again) == content_of(first)
        assert again.headers["idempotency-replayed"] == "true"
        assert await account.me() == before
        other = await account.client.post(where, json=body, headers=new_key())
        assert content_of(other) != content_of(first) or where.endswith("restore"), "a new key makes a new request"
    assert revised["id"] == file["id"]


async def test_replay_after_its_file_was_deleted_is_the_same(account: Account) -> None:
    file = await upload_file(account, b"one", "a")
    key, where, body = new_key(), f"/v1/files/{file['id']}/copy", {"name": "b"}
    first = await account.client.post(where, json=body, headers=key)
    await account.client.delete(f"/v1/files/{file['id']}")
    assert content_of(await account.client.post(where, json=body, headers=key)) == content_of(first)
    assert problem(await account.client.post(where, json=body, headers=new_key())) == (404, "not-found")


async def test_other_request_under_a_used_key_is_a_mismatch(account: Account, register: Register) -> None:
    key = new_key()
    body = {"name": "x"}
    await account.client.post("/v1/folders", json=body, headers=key)
    for where, other in (("/v1/folders", {"name": "y"}), ("/v1/folders?a=b", body)):
        answer = await account.client.post(where, json=other, headers=key)
        assert problem(answer) == (422, "idempotency-mismatch")
    assert await names(account) == ["x"]
    other_account = await register()
    assert (await other_account.client.post("/v1/folders", json={"name": "y"}, headers=key)).status_code == 201


async def test_refused_request_leaves_its_key_usable(account: Account) -> None:
    """A refused request changed nothing, so its key is still usable for the same request."""
    key = new_key()
    body = {"name": "x", "parent_path": "/a"}
    assert problem(await account.client.post("/v1/folders", json=body, headers=key)) == (404, "not-found")
    await account.client.post("/v1/folders", json={"name": "a"})
    assert (await account.client.post("/v1/folders", json=body, headers=key)).status_code == 201


CHUNK = {"number": 1, "sha256": "0" * 64}
IN_CHUNKS = {"size_bytes": 9 * MIB, "chunk_size_bytes": 5 * MIB, "destination": {"name": "a"}}
REFUSED_STARTS: dict[str, dict[str, Any]] = {
    "invalid-name": start_body(b"x", ".."),
    "size-not-allowed": start_body(b"x", "x", size_bytes=2**62),
    "fingerprint-required": {"size_bytes": 1, "destination": {"name": "a"}},
    "not-found": start_body(b"x", "x", destination={"parent_id": UNKNOWN_ID}),
    "invalid-request: chunk twice": IN_CHUNKS | {"parts": [CHUNK, CHUNK]},
    "invalid-request: no such chunk": IN_CHUNKS | {"parts": [CHUNK | {"number": 3}]},
}


@pytest.mark.parametrize("refused", REFUSED_STARTS)
async def test_corrected_start_under_the_key_of_a_refused_one_succeeds(account: Account, refused: str) -> None:
    key = new_key()
    answer = await account.client.post("/v1/uploads", json=REFUSED_STARTS[refused], headers=key)
    assert problem(answer)[1] == refused.partition(":")[0]
    assert (await account.client.get("/v1/uploads")).json()["items"] == []
    corrected = await account.client.post("/v1/uploads", json=start_body(b"corrected", "a"), headers=key)
    assert corrected.status_code == 201, corrected.text


async def test_corrected_request_under_the_key_of_a_refused_one_succeeds(account: Account) -> None:
    """Every other route that takes a key: a refusal and, under the same key, the corrected request."""
    client = account.client
    folder = (await client.post("/v1/folders", json={"name": "folder"})).json()["id"]
    file = await upload_file(account, b"one", "a")
    upload = (await client.post("/v1/uploads", json=start_body(b"begun", "b"))).json()["upload"]["id"]
    trashed = (await upload_file(account, b"two", "c"))["id"]
    await client.delete(f"/v1/files/{trashed}")
    form, at = {"file": ("x", b"content")}, f"/v1/files/{file['id']}"
    refusals: list[tuple[str, str, dict[str, Any], str, dict[str, Any]]] = [
        ("POST", "/v1/folders", {"json": {"name": "."}}, "/v1/folders", {"json": {"name": "b"}}),
        ("POST", f"{at}/copy", {"json": {"name": "."}}, f"{at}/copy", {"json": {"name": "copy"}}),
        ("POST", f"/v1/files/{trashed}/restore", {"json": {"name": "."}}, f"/v1/files/{trashed}/restore", {}),
        (
            "POST",
            f"{at}/revisions/{UNKNOWN_ID}/restore",
            {},
            f"{at}/revisions/{file['revision_id']}/restore",
            {},
        ),
        (
            "POST",
            f"/v1/files/{folder}/grants",
            {"json": {"email": account.email, "role": "viewer"}},
            f"/v1/files/{folder}/grants",
            {"json": {"email": "other@example.com", "role": "viewer"}},
        ),
        ("POST", f"{at}/links", {"json": {"mode": "upload"}}, f"{at}/links", {"json": {"mode": "view"}}),
        (
            "POST",
            f"/v1/uploads/{upload}/destinations",
            {"json": {"destination": {"name": "."}}},
            f"/v1/uploads/{upload}/destinations",
            {"json": {"destination": {"name": "d"}}},
        ),
        ("POST", "/v1/files", {"files": form, "data": {"name": "."}}, "/v1/files", {"files": form}),
        ("PUT", f"{at}/content?name=.", {"content": b"new"}, f"{at}/content", {"content": b"new"}),
        (
            "POST",
            "/v1/uploads/batch",
            {"json": {"items": []}},
            "/v1/uploads/batch",
            {"json": {"items": [start_body(b"z", "z")]}},
        ),
    ]
    for method, address, refused, corrected_address, corrected in refusals:
        key = new_key()
        assert problem(await client.request(method, address, headers=key, **refused))[0] in {404, 409, 422}, address
        answer = await client.request(method, corrected_address, headers=key, **corrected)
        assert answer.is_success, (address, answer.text)


async def test_concurrent_requests_under_one_key_are_done_once(account: Account) -> None:
    key = new_key()
    body = {"name": "x", "on_conflict": "rename"}
    answers = await asyncio.gather(*(account.client.post("/v1/folders", json=body, headers=key) for _ in range(6)))
    assert len({answer.text for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, *[True] * 5]
    assert await names(account) == ["x"]


@pytest.mark.parametrize("key", ["x" * 256, "a b", "a\tb"])
async def test_malformed_key_is_invalid(account: Account, key: str) -> None:
    answer = await account.client.post("/v1/folders", json={"name": "x"}, headers={"Idempotency-Key": key})
    assert problem(answer) == (422, "invalid-request")


async def test_repeated_start_of_an_unbound_upload_is_answered_by_replay(account: Account) -> None:
    unbound = {"size_bytes": 9 * MIB, "destination": {"name": "a"}}
    key = new_key()
    first = await account.client.post("/v1/uploads", json=unbound, headers=key)
    assert first.status_code == 201
    again = await account.client.post("/v1/uploads", json=unbound, headers=key)
    assert content_of(again) == content_of(first), "without the key this is fingerprint-required"
    assert problem(await account.client.post("/v1/uploads", json=unbound)) == (409, "fingerprint-required")


async def test_replay_of_a_start_holds_no_signed_urls(account: Account, db: Db) -> None:
    key = new_key()
    first = await account.client.post("/v1/uploads", json=start_body(b"small", "a"), headers=key)
    assert first.json()["parts"][0]["url"]
    again = await account.client.post("/v1/uploads", json=start_body(b"small", "a"), headers=key)
    assert content_of(again) == (201, first.json() | {"parts": []})
    batch = {"items": [start_body(b"other", "b")]}
    key_of_batch = new_key()
    started = await account.client.post("/v1/uploads/batch", json=batch, headers=key_of_batch)
    assert started.json()["items"][0]["parts"]
    replayed = await account.client.post("/v1/uploads/batch", json=batch, headers=key_of_batch)
    assert replayed.json()["items"] == [started.json()["items"][0] | {"parts": []}]
    async with db.read() as tx:
        kept = await tx.execute(
            text("SELECT convert_from(answer, 'UTF8') FROM idempotency_keys WHERE key IN (:a, :b)"),
            {"a": key["Idempotency-Key"], "b": key_of_batch["Idempotency-Key"]},
        )
        answers = list(kept.scalars())
    assert len(answers) == 2
    assert not any("X-Amz-Signature" in answer for answer in answers)


async def test_key_without_a_recorded_answer_runs_the_request_again(account: Account, db: Db) -> None:
    """The state after a crash between creating the session and recording the answer."""
    key = new_key()
    body = start_body(b"small", "a")
    first = await account.client.post("/v1/uploads", json=body, headers=key)
    async with db.begin() as tx:
        forget = "UPDATE idempotency_keys SET answer = NULL, status = NULL WHERE key = :key"
        await tx.execute(text(forget), {"key": key["Idempotency-Key"]})
    again = await account.client.post("/v1/uploads", json=body, headers=key)
    assert (again.status_code, again.json()["upload"]["id"]) == (200, first.json()["upload"]["id"])
    assert again.json()["parts"]
