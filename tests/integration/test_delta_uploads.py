"""Uploads of the client that send only what changed: content-defined chunks, and chunks that the server reuses."""

import io
import os
import random
import re
from asyncio import to_thread
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.storage.object_store import ObjectNotFound
from dropbox_api.workers import reuse as reuse_job
from dropbox_api.workers.reuse import reuse_chunks
from dropbox_client import AsyncClient, Client, File, FileChanged, Stopped
from dropbox_client.models import CreatedUpload, CreateUpload, ListedChunk, SignedPart, Upload
from dropbox_client.transfer import async_upload, upload_file
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.source import BytesSource
from dropbox_client.transfer.upload_file import UploadContext
from tests.support.dbx import Dbx
from tests.support.sdk import async_client, blocking_client
from tests.support.server import Account, RunningServer, running_job, running_server
from tests.support.server import upload_file as store_fixed

pytestmark = pytest.mark.usefixtures("invariants_hold")

MIB = 1024 * 1024
LARGEST_CHUNK = 16 * MIB


def content(seed: object, mib: int = 40) -> bytes:
    return random.Random(str(seed)).randbytes(mib * MIB)


@dataclass
class Uploads:
    """The blocking and the asynchronous client of one account, and what they sent."""

    blocking: Client
    asynchronous: AsyncClient
    senders: ThreadPoolExecutor

    def upload(self, data: bytes, to: str, listener: ProgressListener | None = None, **members: Any) -> UploadResult:
        """Upload with the blocking client; what goes wrong is raised."""
        folder, _, name = to.rpartition("/")
        item = UploadItem(Path(name), folder or "/", name, len(data), **members)
        context = UploadContext(self.blocking, self.senders, ConcurrencyLimit(), listener or ProgressListener())
        result = upload_file.upload_stream(context, item, BytesSource(data))
        if result.error:
            raise result.error
        return result

    def read(self, file: File | None) -> bytes:
        assert file is not None
        read = io.BytesIO()
        self.blocking.download(file, to=read)
        return read.getvalue()


@pytest.fixture
async def uploads(server: RunningServer, account: Account) -> AsyncIterator[Uploads]:
    with ThreadPoolExecutor(4) as senders, blocking_client(server, account) as blocking:
        async with async_client(server, account) as asynchronous:
            yield Uploads(blocking, asynchronous, senders)


@pytest.fixture
async def worker(server: RunningServer) -> AsyncIterator[None]:
    async with running_job(reuse_chunks, server.services):
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clients wait for the server's reuse for a moment only."""
    for module in (upload_file, async_upload):
        monkeypatch.setattr(module, "REUSE_POLL_S", 0.1)
    monkeypatch.setattr(upload_file, "REUSE_PATIENCE_S", 0.3)


class Sum(ProgressListener):
    def __init__(self) -> None:
        self.done_bytes = 0

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:  # noqa: ARG002 - there is one item
        self.done_bytes += size_bytes


class StopAfter(Sum):
    """Closes the client when it has sent so many bytes, as the end of its process does."""

    def __init__(self, client: Client, size_bytes: int) -> None:
        super().__init__()
        self.client, self.size_bytes = client, size_bytes

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:
        super().on_bytes(item, size_bytes)
        if self.done_bytes >= self.size_bytes:
            self.client.close()


async def sessions(account: Account) -> list[dict[str, Any]]:
    listed = (await account.client.get("/v1/uploads")).raise_for_status().json()["items"]
    return [one for one in listed if one["state"] == "active"]


async def chunking_of(account: Account, file: File | None) -> str:
    assert file is not None
    answer = await account.client.get(f"/v1/files/{file.id}/manifest")
    chunking: str = answer.raise_for_status().json()["chunking"]
    return chunking


@pytest.mark.usefixtures("worker")
async def test_edits_send_the_chunks_around_them_alone(uploads: Uploads, account: Account) -> None:
    old = content("edits", 96)
    first = await to_thread(uploads.upload, old, "/a")
    assert (first.sent_bytes, first.reused_bytes) == (len(old), 0)
    assert await chunking_of(account, first.file) == "cdc1"
    edits: list[tuple[bytes, int]] = [
        (b"x" + old, 2),
        (old + content("appended", 1), 2),
        (old[: 50 * MIB] + b"?" + old[50 * MIB + 1 :], 2),
        (old[: 60 * MIB] + old[70 * MIB :], 2),
    ]
    for new, chunks in edits:
        summed = Sum()
        result = await to_thread(uploads.upload, new, "/a", summed)
        assert 0 < result.sent_bytes <= chunks * LARGEST_CHUNK
        assert result.sent_bytes + result.reused_bytes == len(new) == summed.done_bytes
        assert await to_thread(uploads.read, result.file) == new


@pytest.mark.usefixtures("worker")
async def test_asynchronous_client_sends_the_same_and_reads_it_back(uploads: Uploads, account: Account) -> None:
    old = content("asynchronous", 40)
    await uploads.asynchronous.upload(old, "/a")
    sent = count_parts(uploads.asynchronous)
    done: list[tuple[int, int]] = []
    new = b"x" + old
    file = await uploads.asynchronous.upload(
        new, "/a", on_conflict="replace", progress=lambda *progress: done.append(progress)
    )
    assert 0 < sum(sent) <= 2 * LARGEST_CHUNK
    assert done[-1] == (len(new), len(new))
    assert await chunking_of(account, file) == "cdc1"
    assert await to_thread(uploads.read, file) == new


def count_parts(client: AsyncClient) -> list[int]:
    """Return a list that gets the sizes of the parts that the client asks to send."""
    sizes: list[int] = []
    sign_parts = client.uploads.sign_parts

    async def sign(upload_id: str, hashes: Mapping[int, str]) -> list[SignedPart]:
        parts = await sign_parts(upload_id, hashes)
        sizes.extend(part.size_bytes for part in parts)
        return parts

    start_upload = client.uploads.start

    async def start(new: CreateUpload) -> CreatedUpload:
        started = await start_upload(new)
        sizes.extend(part.size_bytes for part in started.parts)
        return started

    client.uploads.start, client.uploads.sign_parts = start, sign  # type: ignore[method-assign]
    return sizes


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("way", ["name", "identity", "asynchronous"])
async def test_edit_in_place_of_a_file_with_fixed_chunks_keeps_its_cuts(
    uploads: Uploads, account: Account, way: str
) -> None:
    old = content(f"fixed {way}", 40)
    stored = await store_fixed(account, old, "a")  # as an earlier client did
    new = old[: 20 * MIB] + b"?" + old[20 * MIB + 1 :]
    sent = count_parts(uploads.asynchronous)
    base = {"file_id": stored["id"], "base_revision_id": stored["revision_id"]}
    if way == "asynchronous":
        file: File | None = await uploads.asynchronous.upload(new, **base)
        assert sum(sent) == 8 * MIB
    else:
        result = await to_thread(uploads.upload, new, "/a", **(base if way == "identity" else {}))
        file = result.file
        assert (result.sent_bytes, result.reused_bytes) == (8 * MIB, 32 * MIB)
    assert file is not None
    assert file.id == stored["id"]
    assert await chunking_of(account, file) == f"fixed:{8 * MIB}"
    assert await to_thread(uploads.read, file) == new


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("listed_pages", [0, 1])
async def test_another_device_continues_an_unfinished_list(
    uploads: Uploads, server: RunningServer, account: Account, listed_pages: int
) -> None:
    data = content(f"list {listed_pages}", 160)
    with blocking_client(server, account) as first:
        add_chunks, pages = first.uploads.add_chunks, list[int]()

        def add(upload_id: str, number: int, chunks: Sequence[ListedChunk]) -> Upload:
            if len(pages) == listed_pages:
                first.close()
            pages.append(number)
            return add_chunks(upload_id, number, chunks)

        first.uploads.add_chunks = add  # type: ignore[assignment,method-assign]
        with pytest.raises(Stopped):
            await to_thread(replace(uploads, blocking=first).upload, data, "/a")
    (session,) = await sessions(account)
    assert (session["chunking"], session["listed_bytes"] < len(data)) == ("cdc1", True)
    result = await to_thread(uploads.upload, data, "/a")
    assert result.sent_bytes + session["uploaded_bytes"] <= len(data)
    assert await sessions(account) == []
    assert await to_thread(uploads.read, result.file) == data


@pytest.mark.usefixtures("worker")
async def test_another_device_continues_with_the_missing_chunks(
    uploads: Uploads, server: RunningServer, account: Account
) -> None:
    old = content("parts", 64)
    await to_thread(uploads.upload, old, "/old")
    new = old + content("more", 48)
    with blocking_client(server, account) as first:
        stop = StopAfter(first, len(old) + 24 * MIB)
        with pytest.raises(Stopped):
            await to_thread(replace(uploads, blocking=first).upload, new, "/new", stop)
    (session,) = await sessions(account)
    answer = await account.client.post(f"/v1/uploads/{session['id']}/reconcile")
    stored_bytes = answer.raise_for_status().json()["uploaded_bytes"]
    assert stored_bytes > 0
    result = await to_thread(uploads.upload, new, "/new")
    assert 0 < result.sent_bytes <= len(new) - stored_bytes
    assert await sessions(account) == []
    assert await to_thread(uploads.read, result.file) == new


@pytest.mark.usefixtures("worker")
async def test_chunks_whose_source_is_gone_are_sent(
    uploads: Uploads, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def vanish(*_: object) -> None:
        raise ObjectNotFound("deleted meanwhile")

    old = content("vanished")
    await to_thread(uploads.upload, old, "/a")
    monkeypatch.setattr(reuse_job, "copy_part", vanish)
    monkeypatch.setattr(reuse_job, "relay_part", vanish)
    for name, upload in (("b", blocking_upload), ("c", asynchronous_upload)):
        new = name.encode() + old
        file = await upload(uploads, new, f"/{name}")
        assert await to_thread(uploads.read, file) == new
    assert await sessions(account) == []


@pytest.mark.usefixtures("impatient")
async def test_client_sends_everything_where_no_worker_runs(uploads: Uploads) -> None:
    old = content("idle")
    await to_thread(uploads.upload, old, "/a")
    for name, upload in (("b", blocking_upload), ("c", asynchronous_upload)):
        new = name.encode() + old
        file = await upload(uploads, new, f"/{name}")
        assert await to_thread(uploads.read, file) == new


async def blocking_upload(uploads: Uploads, data: bytes, to: str) -> File | None:
    result = await to_thread(uploads.upload, data, to)
    assert (result.sent_bytes, result.reused_bytes) == (len(data), 0)
    return result.file


async def asynchronous_upload(uploads: Uploads, data: bytes, to: str) -> File:
    return await uploads.asynchronous.upload(data, to)


async def test_server_that_reuses_nothing_gets_everything(
    uploads: Uploads, server: RunningServer, account: Account
) -> None:
    s3 = server.settings.s3.model_copy(update={"reuse": "off"})
    old = content("off")
    await to_thread(uploads.upload, old, "/a")
    new = b"x" + old
    async with running_server(server.settings.model_copy(update={"s3": s3})) as off:
        with blocking_client(off, account) as blocking:
            result = await to_thread(replace(uploads, blocking=blocking).upload, new, "/a")
    assert (result.sent_bytes, result.reused_bytes) == (len(new), 0)
    assert await chunking_of(account, result.file) == "cdc1"
    assert await to_thread(uploads.read, result.file) == new


async def test_file_that_changes_while_it_is_read_is_not_stored(
    uploads: Uploads, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content("changing"))

    def change(done: int, _: int) -> None:
        if done:
            with path.open("r+b") as file:
                file.seek(30 * MIB)
                file.write(os.urandom(MIB))

    with pytest.raises(FileChanged):
        await to_thread(uploads.blocking.upload, path, "/a", progress=change)
    assert await sessions(account) == []
    with pytest.raises(FileChanged):
        await uploads.asynchronous.upload(path, "/a", progress=change)
    assert await sessions(account) == []
    assert (await account.client.get("/v1/files/by-path", params={"path": "/a"})).status_code == 404


@pytest.mark.usefixtures("worker")
async def test_random_edit_scripts_arrive_byte_for_byte(uploads: Uploads) -> None:
    rng = random.Random(7)
    data = content("script", 48)
    await to_thread(uploads.upload, data, "/a")
    for _ in range(4):
        for _ in range(rng.randint(1, 3)):
            at, size = rng.randrange(len(data)), rng.choice([0, 1, 1000, 3 * MIB])
            data = data[:at] + rng.randbytes(rng.choice([0, 1, 5000, 2 * MIB])) + data[at + size :]
        result = await to_thread(uploads.upload, data, "/a")
        assert result.sent_bytes + result.reused_bytes == len(data)
        assert await to_thread(uploads.read, result.file) == data


async def test_summary_of_dbx_tells_what_was_reused(dbx: Dbx, behind_proxy: RunningServer, tmp_path: Path) -> None:
    old = content("dbx", 40)
    (tmp_path / "file").write_bytes(old)
    async with running_job(reuse_chunks, behind_proxy.services):
        await dbx("upload", "file")
        (tmp_path / "file").write_bytes(b"x" + old)
        done = await dbx("upload", "file")
        assert re.search(r"file -> /file \(sent [\d.]+ MiB, reused [\d.]+ MiB\)", done.out)
        assert re.search(r"1 file, 40.0 MiB, sent [\d.]+ MiB, reused [\d.]+ MiB, in ", done.err)
        (tmp_path / "file").write_bytes(b"xy" + old)
        (record,) = (await dbx("upload", "file", "--json")).records
    assert record["sent_bytes"] + record["reused_bytes"] == record["size_bytes"]
    assert record["sent_bytes"] <= 2 * LARGEST_CHUNK
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == b"xy" + old
