"""`dbx upload` of compressed files: what is sent, and what the server has of it."""

import random
from asyncio import to_thread
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dropbox_api.workers.decode import decode_next_upload
from dropbox_client.models import CreateUpload, Destination
from dropbox_client.transfer.compress import CompressMode
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.upload_file import UploadContext, upload_file
from tests.support.dbx import Dbx
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer, download, running_job, sha256

pytestmark = pytest.mark.usefixtures("invariants_hold", "worker")

MIB = 1024 * 1024
CONTENT = b"".join(random.Random(3).randbytes(512) + bytes(512) for _ in range(20 * 1024))


@pytest.fixture
async def worker(server: RunningServer) -> AsyncIterator[None]:
    async with running_job(decode_next_upload, server.services):
        yield


@pytest.fixture
async def worker_behind_proxy(behind_proxy: RunningServer) -> AsyncIterator[None]:
    async with running_job(decode_next_upload, behind_proxy.services):
        yield


@pytest.mark.usefixtures("worker_behind_proxy")
async def test_compressed_upload_of_dbx_stores_the_file_itself(dbx: Dbx, tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(CONTENT)
    done = await dbx("upload", "--compress", "always", path)
    assert "by compression" in done.out
    assert "by compression" in done.err
    assert "already there" not in done.err
    file = await dbx.remote("/server.log")
    assert (file["size_bytes"], file["fingerprint"], file["content_status"]) == (
        len(CONTENT),
        sha256(CONTENT),
        "verified",
    )
    assert await download(dbx.account, file["id"]) == CONTENT
    (record,) = (await dbx("upload", "--json", "--compress", "always", path)).records
    assert (record["sent_bytes"], record["saved_bytes"]) == (0, 0)  # stored already


async def send(
    server: RunningServer, account: Account, path: Path, compress: CompressMode, rate_bytes_s: float = MIB
) -> UploadResult:
    def run() -> UploadResult:
        with ThreadPoolExecutor(4) as senders, blocking_client(server, account) as client:
            limit = ConcurrencyLimit()
            limit.rate_bytes_s = rate_bytes_s
            context = UploadContext(client, senders, limit, ProgressListener(), compress=compress)
            return upload_file(context, UploadItem(path, "/", path.name, path.stat().st_size))

    result, content = await to_thread(run), await to_thread(path.read_bytes)
    assert result.error is None
    assert result.file is not None
    assert await download(account, result.file.id) == content
    return result


async def test_automatic_compression_is_for_new_files_on_a_slow_link(
    server: RunningServer, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(CONTENT)
    new = await send(server, account, path, "auto")
    assert new.saved_bytes > 0.4 * len(CONTENT)
    assert new.sent_bytes + new.saved_bytes == len(CONTENT)

    path.write_bytes(CONTENT[::-1])  # of which there is a version
    assert (await send(server, account, path, "auto")).saved_bytes == 0

    other = tmp_path / "fast.txt"
    other.write_bytes(CONTENT[1:])
    assert (await send(server, account, other, "auto", rate_bytes_s=100 * MIB)).saved_bytes == 0


async def test_content_that_another_compressor_sends_is_sent_as_it_is(
    server: RunningServer, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(CONTENT)

    def begin() -> None:
        with blocking_client(server, account) as client:
            frame = {"encoding": "zstd", "encoded_size_bytes": 12345}
            client.uploads.start(
                CreateUpload(len(CONTENT), Destination("elsewhere.txt"), sha256(CONTENT), **frame)  # type: ignore[arg-type]
            )

    await to_thread(begin)
    result = await send(server, account, path, "always")
    assert (result.sent_bytes, result.saved_bytes) == (len(CONTENT), 0)
