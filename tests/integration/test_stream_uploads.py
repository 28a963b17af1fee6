"""Direct uploads: forms and bodies, streamed into a real S3. A failed one leaves nothing behind."""

import asyncio
import contextlib
import json
import random
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import select, text

from dropbox_api.models import Blob, BlobChunk, Upload
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config
from dropbox_api.uploads.direct import body as request_body
from dropbox_api.workers.discard import discard_leftovers
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.finish import finish_idle_uploads
from tests.conftest import Register
from tests.support.fault_proxy import Fault, FaultProxy, Kind, Request, is_complete, running_proxy, s3_error
from tests.support.server import (
    Account,
    RunningServer,
    download,
    journal,
    make_settings,
    problem,
    register_account,
    run_until_idle,
    running_server,
    sha256,
    start_body,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


PART = 5 * MIB
LIMIT = 6 * MIB
BYTES = random.Random(6).randbytes(12 * MIB)
BOUNDARY = "--a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
async def small(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server that accepts at most 6 MiB, one file at a time."""
    uploads = {"stream_max_bytes": LIMIT, "streams_at_once": 1}
    async with running_server(make_settings(postgres_url, s3_config, uploads=uploads)) as running:
        yield running


@pytest.fixture
async def narrow(small: RunningServer) -> AsyncIterator[Account]:
    account = await register_account(small.url)
    async with account.client:
        yield account


def form(content: bytes, filename: str | None = "file.bin", *, after: bool = False, **fields: str) -> bytes:
    """Return a form as curl writes it; with `after` the fields follow the file."""
    named = "" if filename is None else f'; filename="{filename}"'
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    file = f'Content-Disposition: form-data; name="file"{named}\r\nContent-Type: text/plain\r\n\r\n'.encode() + content
    ordered = [file, *parts] if after else [*parts, file]
    return b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY.encode(), part) for part in ordered) + f"--{BOUNDARY}--\r\n".encode()


async def blocks(body: bytes, block_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), block_bytes):
        yield body[at : at + block_bytes]


async def post(account: Account, content: bytes, *args: Any, key: str | None = None, **fields: Any) -> httpx2.Response:
    headers = FORM | ({"Idempotency-Key": key} if key else {})
    return await account.client.post("/v1/files", content=form(content, *args, **fields), headers=headers)


async def sent(account: Account, content: bytes, *args: Any, **fields: Any) -> dict[str, Any]:
    file: dict[str, Any] = (await post(account, content, *args, **fields)).raise_for_status().json()
    return file


async def names(account: Account, **query: str) -> list[str]:
    answer = await account.client.get("/v1/files", params=query)
    return [file["name"] for file in answer.raise_for_status().json()["items"]]


async def sessions(server: RunningServer, account: Account) -> list[Any]:
    owner_id = uuid.UUID((await account.me())["id"])
    async with server.db.read() as tx:
        found = select(*Upload.__table__.c).where(Upload.owner_id == owner_id, Upload.strategy == "stream")
        return list(await tx.execute(found.order_by(Upload.id)))


async def objects(server: RunningServer, account: Account) -> list[str]:
    """Return the keys of all objects and open multipart uploads of an account."""
    prefix = f"blobs/{(await account.me())['id']}/"
    keys = [found.key async for found in server.store.list_objects(prefix)]
    return keys + [found.key async for found in server.store.list_multiparts(prefix)]


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the condition asks a server
            await asyncio.sleep(0.01)


async def has_begun(server: RunningServer, account: Account) -> bool:
    return any(row.state == "active" for row in await sessions(server, account))


async def nothing_is_left(server: RunningServer, account: Account, *, used_bytes: int = 0, files: int = 0) -> None:
    """Wait until a refused upload is gone from the database's counters and from the store."""

    async def is_over() -> bool:
        return all(row.state not in {"creating", "active"} for row in await sessions(server, account))

    await until(is_over)
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (used_bytes, 0, files)

    async def is_discarded() -> bool:
        return len(await objects(server, account)) == files

    await until(is_discarded)


# Round trips


@pytest.mark.parametrize("size_bytes", [0, 1, PART - 1, PART, PART + 1, 12 * MIB])
async def test_form_with_a_file_of_each_size_stores_it(
    server: RunningServer, account: Account, size_bytes: int
) -> None:
    content = BYTES[:size_bytes]
    answer = await post(account, content, "cat.jpg")
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert answer.headers["location"] == f"/v1/files/{file['id']}"
    assert answer.headers["etag"] == file["etag"]
    assert (file["name"], file["path"], file["content_type"]) == ("cat.jpg", "/cat.jpg", "text/plain")
    assert (file["size_bytes"], file["fingerprint"], file["content_status"]) == (
        size_bytes,
        sha256(content),
        "verified",
    )
    assert await download(account, file["id"]) == content
    assert (await account.client.get(f"/v1/files/{file['id']}")).json() == file
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (size_bytes, 0, 1)
    assert await journal(server.db, account) == [("file.created", file["id"])]
    async with server.db.read() as tx:
        manifest = select(BlobChunk.offset_bytes, BlobChunk.size_bytes, BlobChunk.sha256).join(
            Blob, Blob.id == BlobChunk.blob_id
        )
        mine = manifest.where(Blob.owner_id == uuid.UUID(me["id"])).order_by(BlobChunk.number)
        chunks = [(row.offset_bytes, row.size_bytes, row.sha256.hex()) for row in await tx.execute(mine)]
    starts = range(0, max(size_bytes, 1), PART)
    assert chunks == [(at, len(content[at : at + PART]), sha256(content[at : at + PART])) for at in starts]
    assert len(await objects(server, account)) == 1


async def test_form_fields_before_or_after_the_file_are_read(account: Account) -> None:
    folder = (await account.client.post("/v1/folders", json={"name": "b"})).json()
    fields = {
        "name": "named.txt",
        "folder_path": "/a/new",
        "content_type": "image/png",
        "client_modified_at": "2026-01-02T03:04:05+02:00",
    }
    for after in (False, True):
        file = await sent(account, BYTES[:100], "other", after=after, **fields | {"name": f"{after}.txt"})
        assert (file["path"], file["content_type"]) == (f"/a/new/{after}.txt", "image/png")
        assert file["client_modified_at"] == "2026-01-02T01:04:05Z"
        content = BYTES[: 100 + after]
        file = await sent(account, content, after=after, parent_id=folder["id"], on_conflict="rename")
        assert (file["parent_id"], file["name"]) == (folder["id"], "file (1).bin" if after else "file.bin")
    assert (await account.me())["used_bytes"] == 100 + 101


async def test_form_with_chunked_transfer_encoding_is_stored(account: Account) -> None:
    answer = await account.client.post(
        "/v1/files", content=blocks(form(BYTES, "a", after=True, name="b")), headers=FORM
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "b"
    assert await download(account, answer.json()["id"]) == BYTES
    assert (await account.me())["reserved_bytes"] == 0


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("日本 ü 🐈.txt", "日本 ü 🐈.txt"),
        ("a\u0308.txt", "ä.txt"),
        ("say %22hi%22.txt", 'say "hi".txt'),
        ("C:\\Users\\me\\cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("=?utf-8?B?R3LDvMOfZQ==?=\"; filename*=\"UTF-8''Gr%C3%BC%C3%9Fe", "Grüße"),
    ],
)
async def test_file_name_of_a_form_is_unescaped(account: Account, filename: str, name: str) -> None:
    assert (await sent(account, b"x", filename))["name"] == name


async def test_form_file_without_a_filename_takes_the_name_field(account: Account) -> None:
    assert (await sent(account, b"x", None, name="given"))["name"] == "given"
    answer = await post(account, b"x", None)
    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"] == [{"pointer": "", "detail": "either name or file_id is required"}]


async def test_form_sent_by_curl_is_stored(server: RunningServer, account: Account, tmp_path: Path) -> None:
    (tmp_path / 'a "file".bin').write_bytes(BYTES[: PART + 7])
    bearer = ["-H", f"Authorization: {account.client.headers['Authorization']}"]

    async def curl(*args: str) -> dict[str, Any]:
        command = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--fail-with-body", *bearer, *args, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await command.communicate()
        assert command.returncode == 0, output
        answer: dict[str, Any] = json.loads(output)
        return answer

    quoted = 'file=@"a \\"file\\".bin"'
    first = await curl("-F", quoted, f"{server.url}/v1/files")
    assert (first["name"], first["fingerprint"]) == ('a "file".bin', sha256(BYTES[: PART + 7]))
    named = await curl("-F", quoted, "-F", "name=y", "-F", "folder_path=/z", f"{server.url}/v1/files")
    assert named["path"] == "/z/y"
    (tmp_path / "new").write_bytes(b"new")
    put = await curl("-T", "new", f"{server.url}/v1/files/{named['id']}/content")
    assert (put["id"], put["fingerprint"]) == (named["id"], sha256(b"new"))


async def test_memory_of_the_server_stays_flat(server: RunningServer, account: Account) -> None:
    block = bytes(MIB // 4)

    async def large() -> AsyncIterator[bytes]:
        yield form(b"", "large")[: -len(BOUNDARY) - 8]
        for _ in range(60 * 4):
            yield block
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    await account.me()
    tracemalloc.start()
    try:
        answer = await account.client.post("/v1/files", content=large(), headers=FORM)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.raise_for_status().json()["size_bytes"] == 60 * MIB
    assert peak_bytes < 30 * MIB


# Conflicts


async def test_form_at_a_taken_name_follows_its_policy(server: RunningServer, account: Account) -> None:
    first = await sent(account, b"first", "a.txt")
    refused = await post(account, b"second", "A.TXT")
    assert problem(refused) == (409, "name-taken")
    assert refused.json()["file_id"] == first["id"]
    await nothing_is_left(server, account, used_bytes=5, files=1)
    renamed = await sent(account, b"second", "a.txt", on_conflict="rename")
    assert renamed["name"] == "a (1).txt"
    replaced = await sent(account, b"third", "a.txt", on_conflict="replace")
    assert replaced["id"] == first["id"]
    assert replaced["revision_id"] != first["revision_id"]
    assert await download(account, first["id"]) == b"third"
    # Content that the name holds already is left as it is, whatever the policy.
    again = await sent(account, b"third", "a.txt")
    assert again == replaced
    folder = (await account.client.post("/v1/folders", json={"name": "folder"})).json()
    for policy in ("fail", "replace"):
        answer = await post(account, b"x", "folder", on_conflict=policy)
        assert problem(answer) == (409, "name-taken")
        assert answer.json()["file_id"] == folder["id"]


async def test_concurrent_forms_for_one_name_store_one(server: RunningServer, account: Account) -> None:
    answers = await asyncio.gather(*(post(account, content, "same") for content in (b"one", b"two")))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    (won,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert await names(account) == ["same"]
    await nothing_is_left(server, account, used_bytes=3, files=1)
    assert sha256(await download(account, won["id"])) == won["fingerprint"]


async def test_form_with_stored_content_keeps_one_object(server: RunningServer, account: Account) -> None:
    known = await upload_file(account, BYTES[:1000], "known")
    await sent(account, BYTES[:1000], "again")
    assert (await account.me())["used_bytes"] == 1000
    (row,) = await sessions(server, account)
    assert (row.state, row.leftover) == ("completed", True)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE uploads SET ended_at = now() - interval '1 day' WHERE id = :id"), {"id": row.id})
    await run_until_idle(discard_leftovers, server.services)
    assert len(await objects(server, account)) == 1
    assert await download(account, known["id"]) == BYTES[:1000]


# Refusals


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown folder": ({"parent_id": str(uuid.uuid4())}, "not-found"),
    "both folders": ({"parent_id": str(uuid.uuid4()), "folder_path": "/a"}, "invalid-request"),
    "no id": ({"parent_id": "x"}, "invalid-request"),
    "unknown policy": ({"on_conflict": "explode"}, "invalid-request"),
    "bad name": ({"name": "a/b"}, "invalid-name"),
    "bad path": ({"folder_path": "/a/../b"}, "invalid-name"),
    "a time without a zone": ({"client_modified_at": "2026-01-02T03:04:05"}, "invalid-request"),
    "no content type": ({"content_type": "picture"}, "invalid-request"),
    "an unknown field": ({"colour": "red"}, "invalid-request"),
    "too long": ({"name": "x" * 20_000}, "invalid-request"),
    "a name that is too long": ({"name": "x" * 2000}, "invalid-request"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("after", [False, True])
async def test_form_with_an_invalid_field_is_refused(
    server: RunningServer, account: Account, wrong: str, after: bool
) -> None:
    fields, code = WRONG[wrong]
    answer = await post(account, BYTES[: PART + 1], after=after, **fields)
    assert problem(answer)[1] == code
    if code == "invalid-request":
        assert answer.json()["errors"]
    await nothing_is_left(server, account)


async def test_form_for_a_folder_that_is_a_file_is_refused(server: RunningServer, account: Account) -> None:
    file = await sent(account, b"x", "x")
    for fields in ({"parent_id": file["id"]}, {"folder_path": "/x/y"}):
        assert problem(await post(account, b"y", **fields)) == (409, "not-a-folder")
    await nothing_is_left(server, account, used_bytes=1, files=1)


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "no form": b"hello",
    "no file": form(b"", name="x").split(b'Content-Disposition: form-data; name="file"')[0] + b"--\r\n",
    "another boundary": form(b"x").replace(BOUNDARY.encode(), b"other"),
    "no end": form(BYTES[: PART + 1])[: -len(BOUNDARY) - 6],
    "two files": form(b"x")[: -len(BOUNDARY) - 6] + form(b"y"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_broken_form_is_422(server: RunningServer, account: Account, broken: str) -> None:
    answer = await account.client.post("/v1/files", content=BROKEN[broken], headers=FORM)
    assert problem(answer) == (422, "invalid-request")
    await nothing_is_left(server, account)


async def test_body_that_is_no_form_is_422(server: RunningServer, account: Account) -> None:
    for content_type in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded"):
        answer = await account.client.post("/v1/files", content=b"{}", headers={"Content-Type": content_type})
        assert problem(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["pointer"] == "/Content-Type"
    assert await sessions(server, account) == []


async def test_direct_upload_without_a_token_is_401(api: httpx2.AsyncClient) -> None:
    assert problem(await api.post("/v1/files", content=form(b"x"), headers=FORM)) == (401, "unauthenticated")
    assert problem(await api.put(f"/v1/files/{uuid.uuid4()}/content", content=b"")) == (401, "unauthenticated")


async def test_direct_upload_to_a_full_account_is_refused(server: RunningServer, account: Account) -> None:
    file = await sent(account, b"12345", "x")
    me = (await account.me())["id"]
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 1000 WHERE id = :id"), {"id": me})
    before = await sessions(server, account)
    put = f"/v1/files/{file['id']}/content"
    for answer in (
        await post(account, BYTES[:2000], "y"),
        await account.client.post("/v1/files", content=blocks(form(b"y")), headers=FORM),
        await account.client.put(put, content=BYTES[:2000]),
    ):
        assert problem(answer) == (413, "quota-exceeded")
        assert answer.json()["quota_bytes"] == 1000
    assert await sessions(server, account) == before
    # Every upload needs space; only a new file needs a free node.
    async with server.db.begin() as tx:
        full = text("UPDATE users SET quota_bytes = 1000000, quota_nodes = 1 WHERE id = :id")
        await tx.execute(full, {"id": me})
    assert problem(await post(account, b"y", "y")) == (413, "too-many-files")
    assert (await account.client.put(put, content=b"new")).status_code == 200


async def test_direct_upload_beyond_the_limit_is_413(small: RunningServer, narrow: Account) -> None:
    at_most = await sent(narrow, BYTES[:LIMIT], "at most")
    assert at_most["size_bytes"] == LIMIT
    before = await sessions(small, narrow)
    address = f"/v1/files/{at_most['id']}/content"
    too_much = BYTES[: LIMIT + 1]
    # Refused by Content-Length, before anything is read or written.
    far = await post(narrow, BYTES[: LIMIT + 70_000])
    declared = await narrow.client.put(address, content=too_much)
    assert await sessions(small, narrow) == before
    counted = [
        far,
        declared,
        await post(narrow, too_much, "form"),
        await narrow.client.post("/v1/files", content=blocks(form(too_much)), headers=FORM),
        await narrow.client.post("/v1/files", content=blocks(form(b"x") + BYTES), headers=FORM),
        await narrow.client.put(address, content=blocks(too_much)),
        await narrow.client.put(address, content=blocks(BYTES)),
    ]
    for answer in counted:
        assert problem(answer) == (413, "body-too-large")
        assert answer.json()["max_bytes"] == LIMIT
    await nothing_is_left(small, narrow, used_bytes=LIMIT, files=1)


async def test_json_body_keeps_its_own_limit(account: Account) -> None:
    body = b'{"name": "' + b"x" * (8 * MIB) + b'"}'
    for address in ("/v1/folders", "/v1/uploads"):
        answer = await account.client.post(address, content=body, headers={"Content-Type": "application/json"})
        assert problem(answer) == (413, "body-too-large")


# Clients that disconnect or stall


@dataclass
class Line:
    """A raw connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@contextlib.asynccontextmanager
async def dialled(server: RunningServer, account: Account, request: str, *headers: str) -> AsyncIterator[Line]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    authorization = f"Authorization: {account.client.headers['Authorization']}"
    line = Line(reader, writer)
    try:
        await line.send("\r\n".join([f"{request} HTTP/1.1", "Host: x", authorization, *headers, "", ""]).encode())
        yield line
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def form_headers(size_bytes: int) -> tuple[str, str]:
    return (f"Content-Type: {FORM['Content-Type']}", f"Content-Length: {size_bytes}")


@pytest.mark.parametrize("sent_bytes", [0, 1000, PART + 100_000, 12 * MIB - 1])
@pytest.mark.parametrize("way", ["form", "put"])
async def test_client_that_leaves_half_way_leaves_nothing_behind(
    server: RunningServer, account: Account, sent_bytes: int, way: str
) -> None:
    file = await sent(account, b"old", "old")
    if way == "form":
        body, request, headers = form(BYTES, "new"), "POST /v1/files", form_headers(len(form(BYTES, "new")))
    else:
        body, request = BYTES, f"PUT /v1/files/{file['id']}/content"
        headers = ("Content-Type: image/png", f"Content-Length: {len(BYTES)}")
    async with dialled(server, account, request, *headers) as line:
        await line.send(body[:sent_bytes])
        await until(lambda: has_begun(server, account))
    await nothing_is_left(server, account, used_bytes=3, files=1)
    assert [row.state for row in await sessions(server, account)] == ["completed", "aborted"]
    assert await names(account) == ["old"]
    assert await download(account, file["id"]) == b"old"


async def test_client_that_sends_less_than_declared_leaves_nothing_behind(
    server: RunningServer, account: Account
) -> None:
    body = form(b"all of it")
    async with dialled(server, account, "POST /v1/files", *form_headers(len(body) + 100)) as line:
        await line.send(body)
        line.writer.write_eof()
        assert await line.reader.read() == b""  # the client has closed its side

    async def has_begun() -> bool:
        return bool(await sessions(server, account))

    await until(has_begun)
    await nothing_is_left(server, account)


async def test_client_that_stalls_is_refused(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "STALL_S", 0.3)
    body = form(BYTES)
    async with dialled(server, account, "POST /v1/files", *form_headers(len(body))) as line:
        await line.send(body[: PART + 500_000])
        assert (await line.reader.readline()).split()[1] == b"422"
    await nothing_is_left(server, account)


async def test_expect_continue_to_a_full_account_is_refused_before_the_body(
    server: RunningServer, account: Account
) -> None:
    """With `Expect: 100-continue` the refusal comes before the client has sent a byte of the body."""
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 10 WHERE id = :id"), {"id": (await account.me())["id"]})
    headers = (*form_headers(1000), "Expect: 100-continue")
    async with dialled(server, account, "POST /v1/files", *headers) as line:
        assert (await line.reader.readline()).split()[1] == b"413"


@contextlib.asynccontextmanager
async def held_open(server: RunningServer, account: Account, name: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Begin to send a file; the yielded function sends the rest and returns the answer."""
    go_on = asyncio.Event()
    body = form(b"held", name)

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:100]
        await go_on.wait()
        yield body[100:]

    async def finish() -> httpx2.Response:
        go_on.set()
        return await sending

    sending = asyncio.ensure_future(account.client.post("/v1/files", content=slowly(), headers=FORM))

    async def has_begun() -> bool:
        return any(row.state == "active" for row in await sessions(server, account))

    await until(has_begun)
    try:
        yield finish
    finally:
        go_on.set()
        await asyncio.gather(sending, return_exceptions=True)


async def test_direct_uploads_beyond_the_slots_wait(small: RunningServer, narrow: Account) -> None:
    async with held_open(small, narrow, "first") as finish:
        second = asyncio.ensure_future(post(narrow, b"second", "second"))

        async def waits() -> bool:
            return bool(small.app.state.direct_uploads.waiting)

        await until(waits)
        assert len(await sessions(small, narrow)) == 1
        assert (await finish()).status_code == 201
        assert (await second).status_code == 201
    assert await names(narrow) == ["first", "second"]


async def test_session_of_a_direct_upload_is_hidden_from_clients(server: RunningServer, account: Account) -> None:
    async with held_open(server, account, "held") as finish:
        (row,) = await sessions(server, account)
        assert (await account.client.get("/v1/uploads")).json()["items"] == []
        address = f"/v1/uploads/{row.id}"
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/chunks", None),
            ("POST", "/reconcile", None),
            ("POST", "/complete", None),
            ("POST", "/parts", {"parts": [{"number": 1, "sha256": "0" * 64}]}),
            ("PUT", "/fingerprint", {"fingerprint": "0" * 64}),
            ("POST", "/destinations", {"destination": {"name": "mine"}}),
            ("DELETE", "", None),
        ):
            assert problem(await account.client.request(method, address + path, json=body)) == (404, "not-found")
        # It does not keep an upload of the same size from starting.
        unbound = {"size_bytes": row.size_bytes, "destination": {"name": "other"}}
        assert (await account.client.post("/v1/uploads", json=unbound)).status_code == 201
        # A worker does not finish it.
        async with server.db.begin() as tx:
            await tx.execute(
                text("UPDATE uploads SET next_check_at = now() - interval '1 day' WHERE id = :id"), row._mapping
            )
        await finish_idle_uploads(server.services)
        answer = await finish()
        assert answer.status_code == 201, answer.text
    fingerprint = sha256(b"held")
    hit = (await account.client.get(f"/v1/fingerprints/{fingerprint}")).json()
    assert (hit["file"]["id"], hit["upload"]) == (answer.json()["id"], None)
    started = await account.client.post("/v1/uploads", json=start_body(b"held", "instant"))
    assert started.json()["file"]["name"] == "instant"


async def test_direct_upload_whose_session_expired_is_refused(server: RunningServer, account: Account) -> None:
    async with held_open(server, account, "late") as finish:
        (row,) = await sessions(server, account)
        async with server.db.begin() as tx:
            await tx.execute(
                text("UPDATE uploads SET expires_at = now() - interval '1 s' WHERE id = :id"), {"id": row.id}
            )
        await expire_uploads(server.services)
        assert problem(await finish()) == (409, "upload-expired")
    assert (await account.me())["reserved_bytes"] == 0
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE uploads SET ended_at = now() - interval '1 day' WHERE id = :id"), {"id": row.id})
    await run_until_idle(discard_leftovers, server.services)
    await nothing_is_left(server, account)


# Stores that fail


@pytest.fixture(scope="module")
async def faulty(postgres_url: str, s3_config: S3Config) -> AsyncIterator[tuple[RunningServer, FaultProxy]]:
    """A server that reaches its store through a proxy."""
    address = urlsplit(s3_config.endpoint_url or "")
    async with running_proxy(address.hostname or "", address.port or 0) as proxy:
        settings = make_settings(postgres_url, replace(s3_config, endpoint_url=proxy.url))
        async with running_server(settings) as running:
            yield running, proxy


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=2" in request.target


def is_put(request: Request) -> bool:
    return request.method == "PUT" and "partNumber" not in request.target


def is_head(request: Request) -> bool:
    return request.method == "HEAD"


FAULTS: dict[str, tuple[Callable[[Request], bool], int, Kind, bytes, int]] = {
    "a part, for good": (is_part, PART + 1, "answer", s3_error(503, "SlowDown"), 503),
    "a part, in between": (is_part, PART + 1, "cut", b"", 201),
    "a part that is lost": (is_part, PART + 1, "answer", s3_error(404, "NoSuchUpload"), 500),
    "a part that arrives damaged": (is_part, PART + 1, "answer", s3_error(400, "BadDigest"), 500),
    "an object": (is_put, 10, "answer", s3_error(503, "SlowDown"), 503),
    "completing": (is_complete, PART + 1, "answer", s3_error(200, "InternalError"), 503),
    "the answer to completing": (is_complete, PART + 1, "drop-reply", b"", 503),
    "the look afterwards": (is_head, PART + 1, "answer", s3_error(503, "SlowDown"), 503),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_direct_upload_to_a_failing_store_leaves_nothing_behind(
    faulty: tuple[RunningServer, FaultProxy], name: str
) -> None:
    server, proxy = faulty
    matches, size_bytes, kind, answer_bytes, status = FAULTS[name]
    account = await register_account(server.url)
    async with account.client:
        proxy.faults.append(Fault(kind, matches, times=1 if status == 201 else 100, answer=answer_bytes))
        answer = await post(account, BYTES[:size_bytes], "x")
        proxy.faults.clear()
        assert answer.status_code == status, answer.text
        if status == 201:
            assert await download(account, answer.json()["id"]) == BYTES[:size_bytes]
            return
        assert answer.json()["retryable"]
        await nothing_is_left(server, account)
        assert (await post(account, BYTES[:size_bytes], "x")).status_code == 201


# Idempotency-Key


async def test_form_repeated_under_one_key_gets_the_first_answer(server: RunningServer, account: Account) -> None:
    first = await post(account, BYTES[: PART + 1], "x", key="k")
    assert first.status_code == 201
    before = await sessions(server, account)
    again = await post(account, BYTES[: PART + 1], "x", key="k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    for other in ((BYTES[:PART], "x"), (BYTES[: PART + 1], "y")):
        assert problem(await post(account, *other, key="k")) == (422, "idempotency-mismatch")
    assert problem(await post(account, BYTES[: PART + 1], "x", key="k", on_conflict="rename")) == (
        422,
        "idempotency-mismatch",
    )
    # Nothing was stored for the comparison.
    assert await sessions(server, account) == before
    assert (await post(account, b"another", "x", key="other", on_conflict="rename")).json()["name"] == "x (1)"
    assert await names(account) == ["x", "x (1)"]


async def test_form_repeated_to_a_full_account_gets_the_first_answer(server: RunningServer, account: Account) -> None:
    first = await post(account, b"x" * 1000, "x", key="k")
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 1000 WHERE id = :id"), {"id": (await account.me())["id"]})
    assert (await post(account, b"x" * 1000, "x", key="k")).json() == first.json()


async def test_concurrent_forms_under_one_key_store_one_file(server: RunningServer, account: Account) -> None:
    answers = await asyncio.gather(*(post(account, BYTES[:1000], "x", key="k", on_conflict="rename") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    await nothing_is_left(server, account, used_bytes=1000, files=1)
    assert await names(account) == ["x"]


async def test_refused_form_leaves_its_key_unused(account: Account) -> None:
    await sent(account, b"there", "x")
    assert problem(await post(account, b"new", "x", key="k")) == (409, "name-taken")
    assert (await post(account, b"new", "y", key="k")).status_code == 201


async def test_put_repeated_under_one_key_gets_the_first_answer(account: Account) -> None:
    file = await sent(account, b"old", "x")
    address = f"/v1/files/{file['id']}/content"
    headers = {"Idempotency-Key": "k", "If-Match": file["etag"], "Content-Type": "application/json"}
    first = await account.client.put(address, content=b'{"a": 1}', headers=headers)
    assert first.status_code == 200, first.text
    # The file has another ETag by now; the key decides first.
    again = await account.client.put(address, content=b'{"a": 1}', headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    other = await account.client.put(address, content=b'{"a": 2}', headers=headers)
    assert problem(other) == (422, "idempotency-mismatch")
    await account.client.delete(f"/v1/files/{file['id']}")
    assert (await account.client.put(address, content=b'{"a": 1}', headers=headers)).json() == first.json()


# New content of a file


@pytest.mark.parametrize("size_bytes", [0, 10, 12 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
async def test_put_of_new_content_adds_a_revision(
    server: RunningServer, account: Account, size_bytes: int, chunked: bool
) -> None:
    file = await sent(account, b"the old content", "x.txt")
    content = BYTES[:size_bytes]
    answer = await account.client.put(
        f"/v1/files/{file['id']}/content",
        content=blocks(content) if chunked else content,
        headers={"Content-Type": "image/png", "If-Match": file["etag"]},
    )
    assert answer.status_code == 200, answer.text
    new = answer.json()
    assert answer.headers["etag"] == new["etag"] != file["etag"]
    assert (new["id"], new["name"], new["content_type"]) == (file["id"], "x.txt", "image/png")
    assert (new["size_bytes"], new["fingerprint"], new["content_status"]) == (size_bytes, sha256(content), "verified")
    assert await download(account, file["id"]) == content
    revisions = (await account.client.get(f"/v1/files/{file['id']}/revisions")).json()["items"]
    assert [(one["number"], one["is_head"]) for one in revisions] == [(2, True), (1, False)]
    assert await journal(server.db, account) == [("file.created", file["id"]), ("file.updated", file["id"])]
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (15 + size_bytes, 0, 1)


async def test_put_of_the_same_content_makes_no_revision(server: RunningServer, account: Account) -> None:
    file = await sent(account, b"same", "x")
    answer = await account.client.put(f"/v1/files/{file['id']}/content", content=b"same")
    assert (answer.status_code, answer.json()) == (200, file)
    assert await journal(server.db, account) == [("file.created", file["id"])]


async def test_put_with_a_name_changes_content_and_name(server: RunningServer, account: Account) -> None:
    file = await sent(account, b"old", "x")
    taken = await sent(account, b"taken", "y")
    address = f"/v1/files/{file['id']}/content"
    refused = await account.client.put(address, params={"name": "Y"}, content=b"new")
    assert problem(refused) == (409, "name-taken")
    assert (await account.client.get(f"/v1/files/{file['id']}")).json() == file
    await nothing_is_left(server, account, used_bytes=8, files=2)
    beside = await account.client.put(address, params={"name": "y", "on_conflict": "rename"}, content=b"new")
    assert (beside.json()["name"], beside.json()["fingerprint"]) == ("y (1)", sha256(b"new"))
    over = await account.client.put(address, params={"name": "y", "on_conflict": "replace"}, content=b"newer")
    assert (over.json()["id"], over.json()["name"]) == (file["id"], "y")
    assert over.headers["etag"] == over.json()["etag"]
    assert await names(account) == ["y"]
    trashed = (await account.client.get("/v1/trash")).json()["items"]
    assert [one["id"] for one in trashed] == [taken["id"]]
    assert problem(await account.client.put(address, params={"name": "a/b"}, content=b"z")) == (422, "invalid-name")
    kinds = [kind for kind, node in await journal(server.db, account) if node == file["id"]]
    assert kinds == ["file.created", "file.updated", "file.renamed", "file.updated", "file.renamed"]


async def test_put_to_a_node_that_is_no_file_of_the_caller_is_refused(
    server: RunningServer, account: Account, register: Register
) -> None:
    folder = (await account.client.post("/v1/folders", json={"name": "f"})).json()
    foreign = await sent(await register(), b"foreign", "foreign")
    trashed = await sent(account, b"trashed", "trashed")
    await account.client.delete(f"/v1/files/{trashed['id']}")
    before = await sessions(server, account)
    for file_id, expected in (
        (folder["id"], (409, "not-a-file")),
        (folder["parent_id"], (409, "not-a-file")),
        (foreign["id"], (404, "not-found")),
        (trashed["id"], (404, "not-found")),
        (str(uuid.uuid4()), (404, "not-found")),
        ("x", (422, "invalid-request")),
    ):
        assert problem(await account.client.put(f"/v1/files/{file_id}/content", content=b"x")) == expected
    assert await sessions(server, account) == before


async def test_put_with_an_old_etag_is_refused(server: RunningServer, account: Account) -> None:
    file = await sent(account, b"old", "x")
    address = f"/v1/files/{file['id']}/content"
    newer = (await account.client.put(address, content=b"newer")).json()
    before = await sessions(server, account)
    stale = await account.client.put(address, content=BYTES, headers={"If-Match": file["etag"]})
    assert problem(stale) == (412, "precondition-failed")
    assert stale.json()["etag"] == newer["etag"]
    assert await sessions(server, account) == before  # refused before anything was stored
    wrong = await account.client.put(address, content=b"x", headers={"If-Match": "x"})
    assert problem(wrong) == (422, "invalid-request")
    wrong = await account.client.put(address, content=b"x", headers={"Content-Type": "picture"})
    assert problem(wrong) == (422, "invalid-request")
    assert wrong.json()["errors"][0]["pointer"] == "/content-type"


@pytest.mark.parametrize("meanwhile", ["replaced", "trashed"])
async def test_put_to_a_file_that_changes_meanwhile_is_refused(
    server: RunningServer, account: Account, meanwhile: str
) -> None:
    file = await sent(account, b"old", "x")
    address = f"/v1/files/{file['id']}/content"

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first half, "
        await until(lambda: has_begun(server, account))
        if meanwhile == "trashed":
            (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
        else:
            (await account.client.put(address, content=b"newer")).raise_for_status()
        yield b"second half"

    answer = await account.client.put(address, content=slowly(), headers={"If-Match": file["etag"]})
    expected = {"replaced": (412, "precondition-failed"), "trashed": (404, "not-found")}
    assert problem(answer) == expected[meanwhile]
    states = [row.state for row in await sessions(server, account)]
    assert states.count("aborted") == 1
    assert (await account.me())["reserved_bytes"] == 0


async def test_put_of_a_range_or_encoded_content_is_422(account: Account) -> None:
    file = await upload_file(account, b"whole", "a")
    for header in ({"Content-Range": "bytes 3-4/5"}, {"Content-Encoding": "gzip"}):
        answer = await account.client.put(f"/v1/files/{file['id']}/content", content=b"le", headers=header)
        assert problem(answer) == (422, "invalid-request")
    assert await download(account, file["id"]) == b"whole"


async def test_put_without_a_content_type_keeps_the_old_one(account: Account) -> None:
    file = await upload_file(account, b"one", "a.txt", content_type="text/plain")
    address = f"/v1/files/{file['id']}/content"
    kept = (await account.client.put(address, content=b"two")).raise_for_status().json()
    assert (kept["content_type"], kept["size_bytes"]) == ("text/plain", 3)
    same = await account.client.put(address, content=b"two", headers={"Content-Type": "text/markdown"})
    changed = same.raise_for_status().json()
    assert (changed["content_type"], changed["revision_id"]) == ("text/markdown", kept["revision_id"])
