"""Files through HTTP: lookup, lists, and downloads from a real S3 with signed URLs."""

import asyncio
import base64
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest

from dropbox_api.settings import MIB
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    NO_TLS,
    SMALLEST_CHUNK,
    UNKNOWN_ID,
    Account,
    RunningServer,
    download,
    journal,
    problem,
    register_account,
    run_until_idle,
    send,
    sha256,
    start_body,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


BYTES = random.Random(2).randbytes(SMALLEST_CHUNK + 1000)


@pytest.fixture(scope="module")
async def owner(server: RunningServer) -> AsyncIterator[Account]:
    """An account with one large file, /big.bin, and /folder/small.txt; the tests do not change these."""
    account = await register_account(server.url)
    async with account.client:
        await upload_file(account, BYTES, "big.bin", **MULTI)
        await upload_file(account, b"small", "small.txt", destination={"folder_path": "/folder"})
        yield account


async def get_by_path(account: Account, path: str) -> dict[str, Any]:
    file: dict[str, Any] = (
        (await account.client.get("/v1/files/by-path", params={"path": path})).raise_for_status().json()
    )
    return file


async def fetch_from_store(account: Account, address: str, **request: Any) -> httpx2.Response:
    """Follow the redirect with a second client that has no token."""
    redirect = await account.client.request(request.get("method", "GET"), address, follow_redirects=False)
    assert redirect.status_code == 307
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as anonymous:
        return await anonymous.request(
            request.get("method", "GET"), redirect.headers["location"], headers=request.get("headers", {})
        )


# Lookup and lists


async def test_root_of_a_new_account_is_empty(account: Account) -> None:
    assert (await account.client.get("/v1/files")).json() == {"items": [], "next_cursor": None, "total": None}
    root = await get_by_path(account, "/")
    assert (root["kind"], root["name"], root["path"], root["parent_id"]) == ("folder", "", "/", None)
    assert (await account.client.get(f"/v1/files/{root['id']}")).json() == root


async def test_get_by_id_and_by_path_returns_the_same_item(owner: Account) -> None:
    file = await get_by_path(owner, "/folder/small.txt")
    assert (file["size_bytes"], file["fingerprint"], file["content_status"]) == (5, sha256(b"small"), "verified")
    by_id = await owner.client.get(f"/v1/files/{file['id']}")
    assert by_id.json() == file
    assert by_id.headers["etag"] == file["etag"]
    for path in (
        "folder/small.txt",
        "/FOLDER/Small.TXT",
        "/folder/small.txt/",
        "//folder/./small.txt",
        "./folder//small.txt//",
    ):
        assert await get_by_path(owner, path) == file
    folder = await get_by_path(owner, "/folder")
    assert (folder["kind"], folder["id"], folder["size_bytes"]) == ("folder", file["parent_id"], None)


async def test_list_of_a_folder_in_pages_of_any_size_is_ordered_by_name(account: Account) -> None:
    expected = ["9", "10", "_", "A", "ä", "b", "Z.txt", "日本"]
    names = ["b", "A", "ä", "10", "9", "Z.txt", "_", "日本"]
    items = [start_body(b"", name, destination={"folder_path": "/x"}) for name in names]
    first, *others = items
    await upload_file(account, b"", first["destination"]["name"], destination={"folder_path": "/x"})
    # The content is stored: each start creates its file at once.
    batch = await account.client.post("/v1/uploads/batch", json={"items": others})
    assert all(item["file"] for item in batch.json()["items"])
    folder = await get_by_path(account, "/x")
    for query in ({"path": "/x"}, {"parent_id": folder["id"]}):
        for limit in (1, 3, 8, 1000):
            seen: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                page = await account.client.get("/v1/files", params=query | cursor | {"limit": str(limit)})
                answer = page.raise_for_status().json()
                assert len(answer["items"]) <= limit
                seen += [item["name"] for item in answer["items"]]
                if answer["next_cursor"] is None:
                    break
                cursor = {"cursor": answer["next_cursor"]}
            assert seen == expected, (query, limit)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"limit": "0"}, (422, "invalid-request")),
        ({"limit": "1001"}, (422, "invalid-request")),
        ({"parent_id": "x"}, (422, "invalid-request")),
        ({"parent_id": UNKNOWN_ID, "path": "/"}, (422, "invalid-request")),
        ({"parent_id": UNKNOWN_ID}, (404, "not-found")),
        ({"path": "/nowhere"}, (404, "not-found")),
        ({"path": "/big.bin"}, (409, "not-a-folder")),
        ({"path": "/big.bin/x"}, (404, "not-found")),
        ({"path": "/a/../b"}, (422, "invalid-name")),
        ({"path": "/../b"}, (422, "invalid-name")),
        ({"path": "/a\0b"}, (422, "invalid-name")),
        ({"path": "x" * 5000}, (422, "invalid-request")),
        ({"cursor": "x"}, (422, "invalid-cursor")),
        ({"cursor": base64.urlsafe_b64encode(b'["files",1]').decode()}, (422, "invalid-cursor")),
        ({"cursor": base64.urlsafe_b64encode(b'["files","\\u0000"]').decode()}, (422, "invalid-cursor")),
        ({"cursor": base64.urlsafe_b64encode(b'["uploads","a"]').decode()}, (422, "invalid-cursor")),
    ],
    ids=str,
)
async def test_list_with_an_invalid_query_is_refused(
    owner: Account, query: dict[str, str], answer: tuple[int, str]
) -> None:
    assert problem(await owner.client.get("/v1/files", params=query)) == answer


async def test_lookup_of_an_invalid_or_missing_item_is_refused(owner: Account) -> None:
    wrong: list[tuple[str, tuple[int, str]]] = [
        ("/v1/files/by-path", (422, "invalid-request")),
        ("/v1/files/by-path?path=/nowhere", (404, "not-found")),
        ("/v1/files/by-path?path=/a%00b", (422, "invalid-name")),
        ("/v1/files/by-path?path=/%FF", (404, "not-found")),
        (f"/v1/files/{uuid.uuid4()}", (404, "not-found")),
        ("/v1/files/nonsense", (422, "invalid-request")),
        (f"/v1/files/{uuid.uuid4()}/content", (404, "not-found")),
        (f"/v1/files/{uuid.uuid4()}/download", (404, "not-found")),
    ]
    for address, answer in wrong:
        assert problem(await owner.client.get(address)) == answer, address


async def test_content_of_a_folder_is_refused(owner: Account) -> None:
    folder = (await get_by_path(owner, "/folder"))["id"]
    assert problem(await owner.client.get(f"/v1/files/{folder}/content")) == (409, "not-a-file")
    assert problem(await owner.client.get(f"/v1/files/{folder}/download")) == (409, "not-a-file")
    assert problem(await owner.client.post(f"/v1/files/{folder}/accept-content")) == (409, "not-a-file")


async def test_request_without_a_token_is_unauthenticated(owner: Account, api: httpx2.AsyncClient) -> None:
    file = await get_by_path(owner, "/big.bin")
    for address in ("", "/by-path?path=/", f"/{file['id']}", f"/{file['id']}/content", f"/{file['id']}/download"):
        assert problem(await api.get(f"/v1/files{address}")) == (401, "unauthenticated")
    assert problem(await api.post(f"/v1/files/{file['id']}/accept-content")) == (401, "unauthenticated")


# Content


async def test_content_is_a_redirect_without_caching(owner: Account) -> None:
    file = await get_by_path(owner, "/big.bin")
    answer = await owner.client.get(f"/v1/files/{file['id']}/content")
    assert answer.status_code == 307
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert answer.content == b""
    assert await download(owner, file["id"]) == BYTES


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        (f"bytes={SMALLEST_CHUNK - 10}-{SMALLEST_CHUNK + 9}", SMALLEST_CHUNK - 10, SMALLEST_CHUNK + 10),
        ("bytes=-7", len(BYTES) - 7, len(BYTES)),
    ],
)
async def test_content_with_a_range_returns_these_bytes(owner: Account, wanted: str, start: int, stop: int) -> None:
    file = await get_by_path(owner, "/big.bin")
    answer = await fetch_from_store(owner, f"/v1/files/{file['id']}/content", headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"
    assert answer.content == BYTES[start:stop]


async def test_head_of_content_returns_size_and_name(owner: Account) -> None:
    file = await get_by_path(owner, "/big.bin")
    answer = await fetch_from_store(owner, f"/v1/files/{file['id']}/content", method="HEAD")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(BYTES)))
    assert "big.bin" in answer.headers["content-disposition"]


async def test_signed_url_with_another_method_or_signature_is_refused(owner: Account) -> None:
    file = await get_by_path(owner, "/folder/small.txt")
    url = (await owner.client.get(f"/v1/files/{file['id']}/content")).headers["location"]
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as anonymous:
        assert (await anonymous.put(url, content=b"other")).status_code == 403
        assert (await anonymous.delete(url)).status_code == 403
        assert (await anonymous.get(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"))).status_code == 403
        assert (await anonymous.get(url)).content == b"small"


async def test_download_returns_size_fingerprint_and_etag(owner: Account) -> None:
    file = await get_by_path(owner, "/big.bin")
    answer = await owner.client.get(f"/v1/files/{file['id']}/download")
    assert answer.headers["cache-control"] == "no-store"
    info = answer.json()
    assert {key: info[key] for key in ("size_bytes", "fingerprint", "encoding", "revision_id")} == {
        "size_bytes": len(BYTES),
        "fingerprint": sha256(BYTES),
        "encoding": "identity",
        "revision_id": file["revision_id"],
    }
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as anonymous:
        content = await anonymous.get(info["url"])
    assert content.content == BYTES
    assert content.headers["etag"].strip('"') == info["etag"].strip('"')


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        'quote".txt',
        "semi;colon=1.txt",
        "back\\slash.txt",
        "per%41cent.txt",
        "plus + space.txt",
        "Ζεύς.txt",
        "日本語.txt",
        "👩‍👩‍👧‍👦.png",
        "x" * 255,
    ],
)
async def test_content_of_any_name_has_that_name_in_its_header(owner: Account, name: str) -> None:
    """RFC 6266: a client that supports `filename*` gets the exact name; no character of it ends the header early."""
    file = await upload_file(owner, b"small", name, destination={"folder_path": "/names"})
    answer = await fetch_from_store(owner, f"/v1/files/{file['id']}/content")
    assert answer.content == b"small"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert unquote(disposition.rpartition("filename*=UTF-8''")[2], errors="strict") == name
    assert len(answer.headers.get_list("content-disposition")) == 1


@pytest.mark.parametrize(
    ("content_type", "disposition"),
    [("image/png", "inline"), ("text/html", "attachment"), ("image/svg+xml", "attachment"), ("x/y", "attachment")],
)
async def test_inline_content_is_inline_for_safe_types_only(
    owner: Account, content_type: str, disposition: str
) -> None:
    place = {"folder_path": "/types"}
    name = content_type.replace("/", "-")
    file = await upload_file(owner, b"small", name, destination=place, content_type=content_type)
    shown = await fetch_from_store(owner, f"/v1/files/{file['id']}/content?inline=true")
    assert shown.headers["content-disposition"].startswith(disposition)
    assert shown.headers["content-type"] == content_type
    saved = await fetch_from_store(owner, f"/v1/files/{file['id']}/content")
    assert saved.headers["content-disposition"].startswith("attachment")


async def test_content_of_an_older_revision_is_returned(account: Account) -> None:
    first = await upload_file(account, b"one", "a")
    second = await upload_file(account, b"two", "a", destination={"on_conflict": "replace"})
    other = await upload_file(account, b"three", "b")
    at_a = f"/v1/files/{first['id']}/content"
    assert (await fetch_from_store(account, f"{at_a}?revision={first['revision_id']}")).content == b"one"
    assert (await fetch_from_store(account, f"{at_a}?revision={second['revision_id']}")).content == b"two"
    assert (await fetch_from_store(account, at_a)).content == b"two"
    for revision in (other["revision_id"], uuid.uuid4()):
        assert problem(await account.client.get(f"{at_a}?revision={revision}")) == (404, "not-found")
    info = await account.client.get(f"/v1/files/{first['id']}/download?revision={first['revision_id']}")
    assert info.json()["fingerprint"] == sha256(b"one")


# Quarantine


async def upload_with_false_claim(account: Account, claimed: bytes, sent: bytes) -> dict[str, Any]:
    """Store `sent` as /a under the fingerprint of `claimed`."""
    body = start_body(claimed, "a", **MULTI) | {"size_bytes": len(sent)}
    upload = (await account.client.post("/v1/uploads", json=body)).json()["upload"]
    await send(account, upload, sent)
    file: dict[str, Any] = (await account.client.post(f"/v1/uploads/{upload['id']}/complete")).json()["file"]
    return file


async def test_accept_of_quarantined_content_adopts_its_true_fingerprint(
    account: Account, server: RunningServer
) -> None:
    file = await upload_with_false_claim(account, b"claimed content", b"sent content")
    assert problem(await account.client.post(f"/v1/files/{file['id']}/accept-content")) == (409, "not-quarantined")
    await run_until_idle(verify_next_blob, server.services)
    seen = await get_by_path(account, "/a")
    assert (seen["content_status"], seen["fingerprint"]) == ("quarantined", sha256(b"claimed content"))
    assert seen["true_fingerprint"] == sha256(b"sent content")
    again = await account.client.post("/v1/uploads", json=start_body(b"claimed content", "b"))
    assert again.status_code == 201, "content with a false fingerprint is not deduplicated"
    await account.client.delete(f"/v1/uploads/{again.json()['upload']['id']}")

    answers = await asyncio.gather(
        *(account.client.post(f"/v1/files/{file['id']}/accept-content") for _ in range(3)),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    accepted = await get_by_path(account, "/a")
    assert (accepted["content_status"], accepted["fingerprint"]) == ("verified", sha256(b"sent content"))
    assert accepted["true_fingerprint"] is None
    assert accepted["etag"] != seen["etag"]
    assert await download(account, file["id"]) == b"sent content"
    instant = await account.client.post("/v1/uploads", json=start_body(b"sent content", "copy"))
    assert instant.json()["file"]["name"] == "copy"
    kinds = [kind for kind, _ in await journal(server.db, account)]
    assert kinds == ["file.created", "file.quarantined", "file.verified", "file.created"]


async def test_accept_of_content_already_stored_deduplicates(account: Account, server: RunningServer) -> None:
    known = await upload_file(account, b"known", "known")
    file = await upload_with_false_claim(account, b"claimed", b"known")
    await run_until_idle(verify_next_blob, server.services)
    assert (await account.me())["used_bytes"] == 10
    accepted = (await account.client.post(f"/v1/files/{file['id']}/accept-content")).raise_for_status().json()
    assert (accepted["content_status"], accepted["fingerprint"]) == ("verified", known["fingerprint"])
    assert (await account.me())["used_bytes"] == 5
    assert await download(account, file["id"]) == await download(account, known["id"]) == b"known"


def test_large_file_spans_two_parts() -> None:
    assert SMALLEST_CHUNK < len(BYTES) < 8 * MIB
