"""The upload of one file by the asynchronous client; order of the steps and invariants as in `upload_file`.

Files are read and hashed in threads: a small file before it is sent, a large one while it is sent.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from dropbox_client.errors import ApiError, ClientError, FileChanged, Stopped, TransferFailed, Unreachable
from dropbox_client.models import CompletedUpload, CreatedUpload, File, RetryLater, SignedPart, Upload
from dropbox_client.problems import FingerprintRequired, PartsMissing, StoreFull, UploadCompleting
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import Chunks, Hashes, expected_chunk_bytes, fixed, parse_ranges
from dropbox_client.transfer.parts import MAX_DAMAGED_TRIES, Busy, Damaged, Failing, PartResult, read_result
from dropbox_client.transfer.progress import ProgressReport, UploadItem
from dropbox_client.transfer.source import Source, hash_file, hash_range
from dropbox_client.transfer.upload_file import (
    COMPLETE_RETRY_FOR_S,
    MAX_ROUNDS,
    MAX_SESSIONS,
    SESSION_LOST,
    find_place,
    new_upload,
)
from dropbox_client.transfer.waiting import gather, iterate_in_threads

if TYPE_CHECKING:
    from dropbox_client.async_client import AsyncClient

_BATCH = 64
_MAX_URLS = 5


class _SessionLost(Exception):
    """The session ended before it was complete."""


class AsyncUpload:
    """The upload of one file; single use."""

    def __init__(self, client: "AsyncClient", item: UploadItem, source: Source, report: ProgressReport) -> None:
        self._client = client
        self._item = item
        self._source = source
        self._report = report
        self._hashes = Hashes(self._plan(fixed(0)))
        self._reported_bytes = 0
        self._retry_window = RetryWindow(TRANSFER_RETRY_FOR_S)

    async def run(self) -> File:
        """Upload the content and return its file. Raises ClientError."""
        size, reason = self._source.size_bytes, ""
        for _ in range(MAX_SESSIONS):
            self._count(-self._reported_bytes)
            started = await self._start()
            if started.file:
                self._count(size - self._reported_bytes)
                return started.file
            if started.upload is None:
                raise TransferFailed("the server sent neither an upload nor a file")
            try:
                return await self._send_and_complete(started, started.upload)
            except _SessionLost as lost:
                reason = str(lost)
            except FileChanged:
                await self._abort(started.upload)
                raise
            except ApiError as error:
                if error.code == "chunk-mismatch":
                    await self._abort(started.upload)
                elif error.code not in SESSION_LOST:
                    raise
                reason = error.detail
        raise TransferFailed(f"gave up after {MAX_SESSIONS} upload sessions: {reason}")

    async def _start(self) -> CreatedUpload:
        """Start a session, with the fingerprint if it is cheap to compute or the server requires it."""
        if self._hashes.fingerprint is None:
            limits, size = await self._client.uploads.get_cached_capabilities(), self._source.size_bytes
            if size <= limits.single_max_bytes:
                await self._hash_all(fixed(size))
            else:
                try:
                    return await self._client.uploads.start(new_upload(self._item, self._source, None))
                except FingerprintRequired as error:
                    unbound = [await self._client.uploads.reconcile(upload_id) for upload_id in error.uploads]
                unbound.sort(key=lambda upload: upload.uploaded_bytes, reverse=True)
                expected = fixed(expected_chunk_bytes(size, limits.chunk_size_bytes))
                await self._hash_all(unbound[0].chunking if unbound else expected)
                await self._adopt_session(unbound)
        return await self._client.uploads.start(new_upload(self._item, self._source, self._hashes.fingerprint))

    async def _adopt_session(self, unbound: Iterable[Upload]) -> None:
        """Bind the fingerprint to the first session of this file that an interrupted upload left unbound, if any."""
        assert self._hashes.fingerprint is not None  # noqa: S101 - for the type checker
        for upload in unbound:
            if upload.chunking != self._hashes.plan.chunking:
                continue
            chunks = [chunk async for chunk in self._client.uploads.list_chunks(upload.id) if chunk.sha256]
            if not chunks or any(chunk.sha256 != self._hashes.chunks[chunk.number] for chunk in chunks):
                continue
            try:
                await self._client.uploads.bind_fingerprint(upload.id, self._hashes.fingerprint)
            except ApiError as problem:
                if problem.code not in SESSION_LOST:
                    raise
            else:
                return  # a start with this fingerprint joins the session

    def _plan(self, chunking: str) -> Chunks:
        return Chunks(self._source.size_bytes, chunking)

    async def _hash_all(self, chunking: str) -> None:
        hashes = Hashes(self._plan(chunking))
        hashes.fingerprint = await asyncio.to_thread(hash_file, self._source, hashes.plan, hashes.chunks.__setitem__)
        await asyncio.to_thread(self._source.check)
        self._hashes = hashes

    async def _send_and_complete(self, started: CreatedUpload, upload: Upload) -> File:
        if self._hashes.fingerprint is None:
            bound = await self._send_unbound(upload)
            if bound.file:
                self._count(self._source.size_bytes - self._reported_bytes)
                return bound.file
            if bound.upload is None or bound.upload.id == upload.id:
                return await self._complete_sent(upload, [], [])
            started, upload = bound, bound.upload
        if upload.strategy == "single":
            fingerprint = self._hashes.fingerprint
            self._hashes = Hashes(self._plan(upload.chunking), {1: fingerprint or ""}, fingerprint)
        elif upload.chunking != self._hashes.plan.chunking:
            await self._hash_all(upload.chunking)
        if not started.is_new:
            upload = await self._client.uploads.reconcile(upload.id)
            if upload.state in {"aborted", "expired", "failed"}:
                raise _SessionLost(f"the upload is {upload.state}")
            await self._require_matching_chunks(upload)
        return await self._complete_sent(upload, parse_ranges(upload.missing), started.parts)

    async def _complete_sent(self, upload: Upload, todo: list[int], signed: list[SignedPart]) -> File:
        """Send the chunks `todo`, and what the store loses, until the server has completed the file."""
        for _ in range(MAX_ROUNDS):
            if upload.state == "active":
                todo_bytes = sum(map(self._hashes.plan.bytes_of, todo))
                self._count(self._source.size_bytes - todo_bytes - self._reported_bytes)
                await self._send(upload, todo, signed)
            await asyncio.to_thread(self._source.check)
            try:
                return await self._complete(upload)
            except PartsMissing as error:
                todo, signed = parse_ranges(error.missing) + parse_ranges(error.mismatched), []
        raise TransferFailed(f"the store lost parts {MAX_ROUNDS} times")

    async def _send_unbound(self, upload: Upload) -> CreatedUpload:
        """Send all parts while a thread hashes the content, then bind its fingerprint.

        Returns the session to complete, which may be another one, or the file.
        """
        hashed: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def on_chunk(number: int, sha256: str) -> None:
            if stopped.is_set():
                raise Stopped("stopped")
            loop.call_soon_threadsafe(hashed.put_nowait, (number, sha256))

        self._hashes = hashes = Hashes(self._plan(upload.chunking))
        hashing = asyncio.create_task(asyncio.to_thread(hash_file, self._source, hashes.plan, on_chunk))
        hashing.add_done_callback(lambda _: hashed.put_nowait(None))
        try:
            while batch := await _take_hashed(hashed):
                self._hashes.chunks.update(batch)
                await self._send(upload, list(batch), [])
            fingerprint = await asyncio.shield(hashing)
        finally:
            stopped.set()
            await asyncio.wait({hashing})  # before the file is closed
            hashing.exception()  # an earlier failure is raised instead
        await asyncio.to_thread(self._source.check)
        hashes.fingerprint = fingerprint
        return await self._client.uploads.bind_fingerprint(upload.id, fingerprint)

    async def _require_matching_chunks(self, upload: Upload) -> None:
        """Compare the registered hashes with the file: another run may have registered those of another file."""
        async for chunk in self._client.uploads.list_chunks(upload.id):
            if chunk.sha256 and chunk.sha256 != self._hashes.chunks[chunk.number]:
                await self._abort(upload)
                raise _SessionLost("the upload has parts of another file")

    async def _send(self, upload: Upload, todo: list[int], signed: list[SignedPart]) -> None:
        by_number = {part.number: part for part in signed}
        numbers = iter(todo)
        while batch := list(islice(numbers, _BATCH)):
            if missing := [number for number in batch if number not in by_number]:
                by_number |= {part.number: part for part in await self._sign(upload, missing)}
            await gather(self._send_part(upload, by_number.pop(number)) for number in batch)

    async def _sign(self, upload: Upload, numbers: Iterable[int]) -> list[SignedPart]:
        hashes = {number: self._hashes.chunks[number] for number in numbers}
        return await self._client.uploads.sign_parts(upload.id, hashes)

    async def _send_part(self, upload: Upload, part: SignedPart) -> None:  # noqa: C901 - one branch for each result
        """PUT one part until the store accepts it, or the failure is permanent."""
        backoff, damaged, urls = Backoff(self._retry_window), 0, 1
        while True:
            failure: ClientError
            try:
                result = await self._put(part)
            except (Unreachable, Busy) as refusal:
                failure = await self._explain(refusal, upload, part)
            except Damaged as damage:
                failure = damage
                damaged += 1
                sha256 = await asyncio.to_thread(hash_range, self._source, part.offset_bytes, part.size_bytes)
                if sha256 != self._hashes.chunks[part.number]:
                    raise FileChanged("the content changed while it was sent") from damage
                if damaged == MAX_DAMAGED_TRIES:
                    raise
            else:
                if result is PartResult.STORED:
                    self._retry_window.renew()
                    return
                if result is PartResult.SESSION_GONE:
                    raise _SessionLost("the store does not know the upload")
                if urls == _MAX_URLS:
                    raise TransferFailed(f"the store refuses the signed URL of part {part.number}")
                urls += 1
                (part,) = await self._sign(upload, [part.number])
                continue
            pause_s = backoff.next_pause_s()
            if pause_s is None:
                raise failure
            await self._client.pause(pause_s)

    async def _explain(self, refusal: Unreachable | Busy, upload: Upload, part: SignedPart) -> ClientError:
        """Return the problem of a full store in place of its 500: the server refuses to sign while it is full."""
        if isinstance(refusal, Failing):
            try:
                await self._sign(upload, [part.number])
            except StoreFull as full:
                return full
        return refusal

    async def _put(self, part: SignedPart) -> PartResult:
        """Make one attempt; revoke its progress unless the store accepted the part."""
        reported = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal reported
            async for block in iterate_in_threads(self._source.blocks(part.offset_bytes, part.size_bytes)):
                yield block
                reported += len(block)
                self._count(len(block))

        is_stored = False
        try:
            async with self._client.transfer_slots:
                response = await self._client.transport.send(
                    "PUT", part.url, part.headers, body() if part.size_bytes else b""
                )
            result = read_result(part, response)
            is_stored = result is PartResult.STORED
            return result
        finally:
            if not is_stored:
                self._count(-reported)

    async def _complete(self, upload: Upload) -> File:
        backoff = Backoff(RetryWindow(COMPLETE_RETRY_FOR_S), cap_s=5)
        while True:
            try:
                reply = await self._client.uploads.complete(upload.id)
            except UploadCompleting:
                reply = RetryLater(1)
            if isinstance(reply, CompletedUpload):
                own = find_place(reply, self._item)
                is_elsewhere = own and own.file_id and own.file_id != reply.file.id
                return await self._client.files.get(own.file_id) if own and own.file_id and is_elsewhere else reply.file
            pause_s = backoff.next_pause_s(reply.after_s)
            if pause_s is None:
                raise TransferFailed("the server is still assembling the file; repeat the upload later")
            await self._client.pause(pause_s)

    async def _abort(self, upload: Upload) -> None:
        with contextlib.suppress(ApiError, Unreachable):  # it has ended, or it will expire
            await self._client.uploads.abort(upload.id)

    def _count(self, size_bytes: int) -> None:
        self._reported_bytes += size_bytes
        self._report.add(size_bytes)


async def _take_hashed(hashed: "asyncio.Queue[tuple[int, str] | None]") -> dict[int, str]:
    """Wait for a hashed chunk, and return all that are ready, up to a batch; none at the end."""
    batch: dict[int, str] = {}
    while len(batch) < _BATCH and (not batch or not hashed.empty()):
        entry = await hashed.get()
        if entry is None:
            hashed.put_nowait(None)  # for the next call
            break
        batch[entry[0]] = entry[1]
    return batch
