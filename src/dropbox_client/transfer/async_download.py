"""The download of one file by the asynchronous client; invariants and temporary file as in `download`."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dropbox_client.errors import ClientError, Corrupt, LocalExists, TransferFailed, Unreachable
from dropbox_client.models import DownloadUrl, File
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import Chunks
from dropbox_client.transfer.partial_file import PartialFile, StalePartialFiles
from dropbox_client.transfer.progress import ProgressReport
from dropbox_client.transfer.ranges import BUSY, MAX_EXPIRED_URLS, PARALLEL, RANGE_BYTES
from dropbox_client.transfer.waiting import gather

if TYPE_CHECKING:
    from dropbox_client.async_client import AsyncClient

Write = Callable[[bytes, int], Awaitable[object]]
"""Called with bytes and their offset in the content."""


async def download_to_path(
    client: "AsyncClient", file: File, target: Path, report: ProgressReport, *, overwrite: bool
) -> None:
    """Download the revision of `file` to `target`, whose folder must exist; resume an earlier download of it."""
    if not overwrite and await asyncio.to_thread(os.path.lexists, target):
        raise LocalExists(f"{target} already exists")
    while True:
        fetcher = _Fetcher(client, file, await client.files.sign_download(file, file.revision_id), report)
        with PartialFile(target, fetcher.source, fetcher.count) as part:
            digest = await _fetch(fetcher, part)
            if digest != fetcher.source.fingerprint:
                part.is_kept = False
                if not part.present:
                    raise Corrupt(f"{file.path}: the downloaded content does not match its fingerprint")
                report.add(-fetcher.source.size_bytes)
                continue
            finish = part.replace_target if overwrite else part.create_target
            await asyncio.to_thread(finish, target, file.client_modified_at, executable=bool(file.executable))
            break
    await asyncio.to_thread(StalePartialFiles().delete, target)


async def _fetch(fetcher: "_Fetcher", part: PartialFile) -> str:
    """Fetch the missing ranges, and return the hash of the whole content."""

    async def write(block: bytes, offset: int) -> None:
        await asyncio.to_thread(part.write, memoryview(block), offset)

    waiting = [number for number in range(1, fetcher.count + 1) if number not in part.present]
    waiting.reverse()
    fetcher.report.add(sum(map(fetcher.chunks.bytes_of, part.present)))

    async def work() -> None:
        while waiting:
            number = waiting.pop()
            await fetcher.fetch(number, write)
            part.mark_range(number)

    await gather(work() for _ in range(PARALLEL))
    digest = hashlib.sha256()
    await asyncio.to_thread(part.hash_into, digest, 0, fetcher.source.size_bytes)
    return digest.hexdigest()


async def download_to_stream(client: "AsyncClient", file: File, target: IO[bytes], report: ProgressReport) -> None:
    """Write the content to a file object; the last piece follows only if the hash matches."""
    fetcher = _Fetcher(client, file, await client.files.sign_download(file, file.revision_id), report)
    digest = hashlib.sha256()
    piece = bytearray()

    async def write(block: bytes, offset: int) -> None:
        piece[offset % RANGE_BYTES : offset % RANGE_BYTES + len(block)] = block

    for number in range(1, fetcher.count + 1):
        if number > 1:
            await asyncio.to_thread(target.write, bytes(piece))
        piece.clear()
        await fetcher.fetch(number, write)
        digest.update(piece)
    if digest.hexdigest() != fetcher.source.fingerprint:
        raise Corrupt("the downloaded content does not match its fingerprint")
    await asyncio.to_thread(target.write, bytes(piece))


class _Fetcher:
    """Fetches the ranges of one content."""

    def __init__(self, client: "AsyncClient", file: File, source: DownloadUrl, report: ProgressReport) -> None:
        self.source = source
        self.chunks = Chunks(source.size_bytes, RANGE_BYTES)
        self.count = self.chunks.count if source.size_bytes else 0
        self.report = report
        self._client = client
        self._file = file
        self._retry_window = RetryWindow(TRANSFER_RETRY_FOR_S)

    async def fetch(self, number: int, write: Write) -> None:
        """Fetch one range, with retries; each attempt begins at the start of the range."""
        backoff, expired_urls = Backoff(self._retry_window), 0
        while True:
            source = self.source
            failure: ClientError
            try:
                status = await self._fetch_once(source, number, write)
            except Unreachable as error:
                failure = error
            else:
                if status == 206:
                    self._retry_window.renew()
                    return
                failure = TransferFailed(f"the store answered {status}")
                if status == 403 and expired_urls < MAX_EXPIRED_URLS:
                    expired_urls += 1
                    if self.source is source:
                        self.source = await self._client.files.sign_download(self._file, source.revision_id)
                    continue
                if status not in BUSY:
                    raise failure
            pause_s = backoff.next_pause_s()
            if pause_s is None:
                raise failure
            await self._client.pause(pause_s)

    async def _fetch_once(self, source: DownloadUrl, number: int, write: Write) -> int:
        offset, size = self.chunks.offset(number), self.chunks.bytes_of(number)
        last = offset + size - 1
        done = 0
        transport = self._client.transport
        try:
            async with (
                self._client.transfer_slots,
                transport.open("GET", source.url, {"Range": f"bytes={offset}-{last}"}) as response,
            ):
                if response.status_code != 206:
                    return response.status_code
                sent, expected = response.headers.get("content-range"), f"bytes {offset}-{last}/{source.size_bytes}"
                if sent != expected:
                    raise TransferFailed(f"the store sent {sent} instead of {expected}")  # noqa: TRY301
                async for block in transport.read_pieces(response):
                    if done + len(block) > size:
                        raise TransferFailed("the store sent more bytes than were requested")  # noqa: TRY301
                    await write(block, offset + done)
                    done += len(block)
                    self.report.add(len(block))
            if done < size:
                raise Unreachable("the response of the store ended early")  # noqa: TRY301
        except BaseException:
            self.report.add(-done)
            raise
        return 206
