"""The download of one file by the asynchronous client; invariants and temporary file as in `download`."""

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dropbox_client.errors import ApiError, ClientError, Corrupt, Stopped, TransferFailed, Unreachable
from dropbox_client.models import DownloadUrl, File
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import Chunks, fixed
from dropbox_client.transfer.partial_file import PartialFile, StalePartialFiles, require_target
from dropbox_client.transfer.progress import ProgressReport
from dropbox_client.transfer.ranges import BUSY, MAX_EXPIRED_URLS, PARALLEL, RANGE_BYTES
from dropbox_client.transfer.reuse import Piece, copy_pieces, find_gaps
from dropbox_client.transfer.waiting import gather, run_to_end

if TYPE_CHECKING:
    from dropbox_client.async_client import AsyncClient

Write = Callable[[bytes, int], Awaitable[object]]
"""Called with bytes and their offset in the content."""


async def download_to_path(
    client: "AsyncClient", file: File, target: Path, report: ProgressReport, *, overwrite: bool
) -> None:
    """Download the revision of `file` to `target`, whose folder must exist; resume an earlier download of it."""
    await asyncio.to_thread(require_target, target, overwrite=overwrite)
    is_base_useful = overwrite
    while True:
        fetcher = _Fetcher(client, file, await client.files.sign_download(file, file.revision_id), report)
        with PartialFile(target, fetcher.source, fetcher.count) as part:
            pieces = await _copy_pieces(client, fetcher, part, file, target) if is_base_useful else []
            digest = await _fetch(fetcher, part, pieces)
            if digest != fetcher.source.fingerprint:
                part.is_kept = is_base_useful = False
                if not part.present and not pieces:
                    raise Corrupt(f"{file.path}: the downloaded content does not match its fingerprint")
                report.add(-fetcher.source.size_bytes)
                continue
            finish = part.replace_target if overwrite else part.create_target
            await run_to_end(partial(finish, target, file.client_modified_at, executable=bool(file.executable)))
            break
    await asyncio.to_thread(StalePartialFiles().delete, target)


async def _copy_pieces(
    client: "AsyncClient", fetcher: "_Fetcher", part: PartialFile, file: File, target: Path
) -> list[Piece]:
    """Copy the chunks that the file at `target` has already into `part`; return them, as in `download`."""
    if fetcher.count < 2:
        return []
    try:
        manifest = await client.files.get_manifest(file, fetcher.source.revision_id)
    except ApiError:
        return []
    is_cancelled = threading.Event()

    def check() -> None:
        if is_cancelled.is_set():
            raise Stopped("cancelled")

    return await run_to_end(lambda: copy_pieces(manifest, target, part, check), is_cancelled.set)


async def _fetch(fetcher: "_Fetcher", part: PartialFile, pieces: list[Piece]) -> str:
    """Fetch what is in neither an earlier download nor `pieces`, and return the hash of the whole content."""

    async def write(block: bytes, offset: int) -> None:
        await run_to_end(lambda: part.write(memoryview(block), offset))

    gaps = find_gaps(fetcher.chunks, part, pieces)
    waiting = sorted(gaps, reverse=True)
    fetcher.report.add(fetcher.source.size_bytes - sum(size for _, size in gaps.values()))

    async def work() -> None:
        while waiting:
            number = waiting.pop()
            await fetcher.fetch(*gaps[number], write)
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
        await fetcher.fetch(fetcher.chunks.offset(number), fetcher.chunks.bytes_of(number), write)
        digest.update(piece)
    if digest.hexdigest() != fetcher.source.fingerprint:
        raise Corrupt("the downloaded content does not match its fingerprint")
    await asyncio.to_thread(target.write, bytes(piece))


class _Fetcher:
    """Fetches the ranges of one content."""

    def __init__(self, client: "AsyncClient", file: File, source: DownloadUrl, report: ProgressReport) -> None:
        self.source = source
        self.chunks = Chunks(source.size_bytes, fixed(RANGE_BYTES))
        self.count = self.chunks.count if source.size_bytes else 0
        self.report = report
        self._client = client
        self._file = file
        self._retry_window = RetryWindow(TRANSFER_RETRY_FOR_S)

    async def fetch(self, offset: int, size: int, write: Write) -> None:
        """Fetch `size` bytes at `offset`, with retries; each attempt begins at `offset`."""
        backoff, expired_urls = Backoff(self._retry_window), 0
        while True:
            source = self.source
            failure: ClientError
            try:
                status = await self._fetch_once(source, offset, size, write)
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

    async def _fetch_once(self, source: DownloadUrl, offset: int, size: int, write: Write) -> int:
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
