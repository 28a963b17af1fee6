"""Uploads of compressed content: a zstd frame on the way, the content itself in the store."""

import asyncio
import random
import uuid
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from backports import zstd
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.storage.object_store import StoreUnavailable
from dropbox_api.storage.s3 import S3Store
from dropbox_api.workers import decode as decode_job
from dropbox_api.workers.decode import decode_next_upload
from dropbox_api.workers.discard import discard_leftovers
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.server import (
    Account,
    RunningServer,
    complete,
    download,
    problem,
    run_until_idle,
    send,
    sha256,
    start_body,
    until,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")

MIB = 1024 * 1024


def logs(seed: object, mib: int = 20) -> bytes:
    """Return content that zstd shrinks to about a half."""
    return b"".join(random.Random(str(seed)).randbytes(512) + bytes(512) for _ in range(mib * 1024))


def body_of(data: bytes, frame: bytes, name: str = "", **more: Any) -> dict[str, Any]:
    return start_body(data, name or f"{uuid.uuid4()}.log", encoding="zstd", encoded_size_bytes=len(frame), **more)


async def begin(account: Account, data: bytes, frame: bytes, **more: Any) -> dict[str, Any]:
    answer = await account.client.post("/v1/uploads", json=body_of(data, frame, **more))
    upload: dict[str, Any] = answer.raise_for_status().json()["upload"]
    return upload


async def finish(account: Account, server: RunningServer, upload: dict[str, Any]) -> httpx2.Response:
    """Complete an upload while the worker decodes; return the answer."""
    answer = asyncio.create_task(complete(account, upload["id"]))
    while not answer.done():
        await decode_next_upload(server.services)
        await asyncio.sleep(0.02)
    return await answer


async def send_frame(account: Account, server: RunningServer, data: bytes, frame: bytes) -> httpx2.Response:
    """Send a frame for content, and complete it."""
    upload = await begin(account, data, frame)
    await send(account, upload, frame)
    return await finish(account, server, upload)


async def assemble(account: Account, db: Db, upload: dict[str, Any]) -> None:
    """Complete an upload as far as that goes without the worker, whose client does not wait for the answer."""
    waiting = text("SELECT encoded_etag IS NOT NULL FROM uploads WHERE id = :id")

    async def is_assembled() -> bool:
        async with db.read() as tx:
            return bool((await tx.execute(waiting, {"id": uuid.UUID(upload["id"])})).scalar_one())

    answer = asyncio.create_task(complete(account, upload["id"]))
    await until(is_assembled)
    answer.cancel()


async def objects(store: S3Store, account: Account) -> list[str]:
    owner = (await account.me())["id"]
    return [item.key async for item in store.list_objects(f"blobs/{owner}/")]


async def test_compressed_upload_is_stored_decoded_and_verified(
    server: RunningServer, account: Account, db: Db, store: S3Store
) -> None:
    data = logs("whole")
    frame = zstd.compress(data, level=1)
    assert len(frame) < 0.6 * len(data)
    upload = await begin(account, data, frame)
    assert (upload["encoding"], upload["size_bytes"], upload["content_bytes"]) == ("zstd", len(frame), len(data))
    assert (await account.me())["reserved_bytes"] == len(data)
    await send(account, upload, frame)
    file = (await finish(account, server, upload)).raise_for_status().json()["file"]
    assert (file["size_bytes"], file["fingerprint"], file["content_status"]) == (len(data), sha256(data), "verified")
    assert await download(account, file["id"]) == data
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"]) == (len(data), 0)
    assert len(await objects(store, account)) == 1  # the compressed object is gone
    manifest = (await account.client.get(f"/v1/files/{file['id']}/manifest")).raise_for_status().json()
    assert [item["sha256"] for item in manifest["items"]] == [
        sha256(data[at : at + 8 * MIB]) for at in range(0, len(data), 8 * MIB)
    ]
    again = await account.client.post("/v1/uploads", json=body_of(data, frame, "again"))
    assert again.raise_for_status().json()["file"]["name"] == "again"
    async with db.read() as tx:
        encodings = await tx.execute(text("SELECT DISTINCT encoding FROM blobs"))
        assert list(encodings.scalars()) == ["identity"]


def frame_of(data: bytes) -> bytes:
    return zstd.compress(data, level=1)


def with_huge_window(data: bytes) -> bytes:
    """Return a frame whose reader must remember 256 MiB, as it says."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    return compressor.compress(data) + compressor.flush()


REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "other content": (lambda data: frame_of(data[::-1]), "does not decode to its fingerprint"),
    "more content": (lambda data: frame_of(data + b"x"), "more bytes than were announced"),
    "a bomb": (lambda _: frame_of(bytes(2_000 * MIB)), "more bytes than were announced"),
    "less content": (lambda data: frame_of(data[:-1]), "fewer bytes than were announced"),
    "no frame": (lambda data: data[: 6 * MIB], "is no zstd frame"),
    "half a frame": (lambda data: frame_of(data)[:-5], "ends early"),
    "two frames": (lambda data: frame_of(data) + frame_of(b"x"), "bytes follow"),
    "bytes after the frame": (lambda data: frame_of(data) + b"x", "bytes follow"),
    "a huge window": (with_huge_window, "is no zstd frame"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_frame_of_anything_else_stores_nothing(
    server: RunningServer, account: Account, store: S3Store, kind: str
) -> None:
    make, reason = REFUSED[kind]
    data = logs(kind, 6)
    refused = await send_frame(account, server, data, make(data))
    assert problem(refused) == (409, "upload-failed")
    assert reason in refused.json()["reason"]
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (0, 0, 0)
    long_ago = "UPDATE uploads SET ended_at = ended_at - interval '30 days', next_check_at = now() WHERE leftover"
    async with server.db.begin() as tx:
        await tx.execute(text(long_ago))
    await run_until_idle(discard_leftovers, server.services)
    assert await objects(store, account) == []
    # The content itself is not refused.
    assert (await upload_file(account, data, "plain"))["size_bytes"] == len(data)


async def test_frame_that_is_misread_once_is_read_again(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = logs("misread", 6)
    write, calls = decode_job._write, [0]

    async def misread(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise decode_job.UndecodableError("in transit")
        return await write(*args)

    monkeypatch.setattr(decode_job, "_write", misread)
    file = (await send_frame(account, server, data, frame_of(data))).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == data


async def test_store_that_fails_while_decoding_is_asked_again(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = logs("failing", 6)
    frame = frame_of(data)
    upload = await begin(account, data, frame)
    await send(account, upload, frame)
    await assemble(account, db, upload)

    async def fail(*_: Any) -> Any:
        raise StoreUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(decode_job, "_write", fail)
        report = await decode_next_upload(server.services)
        assert (report.found, report.failed) == (1, 1)
    async with db.begin() as tx:
        failures = text("SELECT checks FROM uploads WHERE id = :id AND lease_token IS NULL")
        assert (await tx.execute(failures, {"id": uuid.UUID(upload["id"])})).scalar_one() == 1
        await tx.execute(text("UPDATE uploads SET next_check_at = now() WHERE encoded_etag IS NOT NULL"))
    await run_until_idle(decode_next_upload, server.services)
    assert (await complete(account, upload["id"])).raise_for_status().json()["file"]["size_bytes"] == len(data)


async def test_worker_that_loses_its_lease_records_nothing_and_removes_its_object(
    server: RunningServer, account: Account, db: Db, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = logs("lease", 6)
    frame = frame_of(data)
    upload = await begin(account, data, frame)
    await send(account, upload, frame)
    await assemble(account, db, upload)
    write = decode_job._write

    async def write_slowly(*args: Any) -> Any:
        written = await write(*args)
        monkeypatch.undo()
        async with db.begin() as tx:  # the lease lapses, and another worker takes over
            await tx.execute(text("UPDATE uploads SET lease_until = NULL WHERE encoded_etag IS NOT NULL"))
        await run_until_idle(decode_next_upload, server.services)
        return written

    monkeypatch.setattr(decode_job, "_write", write_slowly)
    await decode_next_upload(server.services)
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == data
    assert len(await objects(store, account)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"encoded_size_bytes": None},
        {"fingerprint": None},
        {"chunking": "cdc1"},
        {"chunks": [{"sha256": "0" * 64, "size_bytes": 1}]},
        {"size_bytes": 0},
        {"encoding": "identity"},
        {"encoding": "gzip"},
    ],
    ids=str,
)
async def test_compressed_upload_that_contradicts_itself_is_refused(account: Account, change: dict[str, Any]) -> None:
    body = body_of(b"x" * 20 * MIB, b"frame") | change
    assert problem(await account.client.post("/v1/uploads", json=body)) == (422, "invalid-request")


async def test_compressed_upload_counts_with_its_decoded_size(
    server: RunningServer, register: Register, db: Db
) -> None:
    account = await register()
    data = logs("quota", 6)
    async with db.begin() as tx:
        limit: dict[str, Any] = {"email": account.email, "quota": len(data) - 1}
        await tx.execute(text("UPDATE users SET quota_bytes = :quota WHERE email = :email"), limit)
    frame = frame_of(data)
    assert len(frame) < limit["quota"]
    assert problem(await account.client.post("/v1/uploads", json=body_of(data, frame))) == (413, "quota-exceeded")
    async with db.begin() as tx:
        await tx.execute(
            text("UPDATE users SET quota_bytes = :quota WHERE email = :email"), limit | {"quota": len(data)}
        )
    assert (await send_frame(account, server, data, frame)).status_code == 200


async def test_plain_and_compressed_uploads_of_one_content_make_one_blob(
    server: RunningServer, account: Account, store: S3Store
) -> None:
    data = logs("twice", 12)
    frame = frame_of(data)
    compressed = await begin(account, data, frame)
    plain = (await account.client.post("/v1/uploads", json=start_body(data, "plain"))).raise_for_status().json()
    assert plain["upload"]["id"] != compressed["id"]
    resumed = await begin(account, data, frame)
    assert resumed["id"] == compressed["id"]
    hit = (await account.client.get(f"/v1/fingerprints/{sha256(data)}")).raise_for_status().json()
    assert hit["upload"]["id"] == plain["upload"]["id"]  # every client can continue it
    other = await account.client.post("/v1/uploads", json=body_of(data, frame + b"longer"))
    assert problem(other) == (409, "fingerprint-mismatch")
    await send(account, compressed, frame)
    await send(account, plain["upload"], data)
    assert (await finish(account, server, compressed)).status_code == 200
    assert (await complete(account, plain["upload"]["id"])).status_code == 200
    await run_until_idle(verify_next_blob, server.services)
    assert (await account.me())["used_bytes"] == len(data)
