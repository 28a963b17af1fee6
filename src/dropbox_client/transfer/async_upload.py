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
from dropbox_client.models import CompletedUpload, CreatedUpload, CreateUpload, File, RetryLater, SignedPart, Upload
from dropbox_client.problems import ChunksMissing, FingerprintRequired, PartsMissing, StoreFull, UploadCompleting
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer import cdc
from dropbox_client.transfer.chunks import CDC1, Chunks, Hashes, fixed, parse_ranges
from dropbox_client.transfer.parts import MAX_DAMAGED_TRIES, Busy, Damaged, Failing, PartResult, read_result
from dropbox_client.transfer.pipeline import LARGEST_PAGE, list_chunks
from dropbox_client.transfer.progress import ProgressReport, UploadItem
from dropbox_client.transfer.source import Source, hash_file, hash_first_chunk, hash_range
from dropbox_client.transfer.upload_file import (
    COMPLETE_RETRY_FOR_S,
    ENDED_ELSEWHERE,
    MAX_ROUNDS,
    MAX_SESSIONS,
    REUSE_POLL_S,
    SESSION_LOST,
    ReusePatience,
    choose_chunking,
    find_place,
    find_unmade,
    is_edited_in_place,
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
        self._is_edit_in_place = False
        self._listed = 0
        """How many chunks of the session the server knows."""
        self._missing: set[int] = set()
        """Those of them that it lacks."""
        self._left: set[int] = set()
        """Those of them that it is to make from stored bytes."""
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
                elif error.code in ENDED_ELSEWHERE and await self._is_completed_elsewhere(started.upload):
                    return await self._complete(started.upload)
                reason = error.detail
        raise TransferFailed(f"gave up after {MAX_SESSIONS} upload sessions: {reason}")

    async def _start(self) -> CreatedUpload:
        """Start a session, with the fingerprint if it is cheap to compute or the server requires it."""
        if self._hashes.fingerprint is None:
            limits, size = await self._client.uploads.get_cached_capabilities(), self._source.size_bytes
            chunking = choose_chunking(size, limits)
            if size <= limits.single_max_bytes:
                await self._hash_all(fixed(size))
            else:
                try:
                    return await self._start_unhashed(chunking)
                except FingerprintRequired as error:
                    unbound = [await self._client.uploads.reconcile(upload_id) for upload_id in error.uploads]
                unbound = [upload for upload in unbound if cdc.is_known(upload.chunking)]
                unbound.sort(key=lambda upload: upload.uploaded_bytes, reverse=True)
                await self._hash_all(
                    unbound[0].chunking if unbound else await self._find_replaced_chunking() or chunking
                )
                await self._adopt_session(unbound)
        return await self._client.uploads.start(self._describe())

    async def _start_unhashed(self, chunking: str) -> CreatedUpload:
        self._hashes = Hashes(self._plan(chunking))
        if chunking == CDC1:
            self._hashes.chunks[1] = await asyncio.to_thread(hash_first_chunk, self._source, self._hashes.plan)
        return await self._client.uploads.start(self._describe())

    def _describe(self) -> CreateUpload:
        plan = self._hashes.plan
        chunk_size_bytes = plan.bytes_of(1) if self._is_edit_in_place else None
        listed = self._hashes if self._is_edit_in_place or plan.chunking == CDC1 else None
        return new_upload(self._item, self._source, self._hashes.fingerprint, chunk_size_bytes, listed)

    async def _find_replaced_chunking(self) -> str | None:
        item, files = self._item, self._client.files
        try:
            if item.file_id:
                manifest = await files.get_manifest(item.file_id, item.base_revision_id)
            elif item.on_conflict == "replace":
                path = item.name if item.parent_id else f"{item.folder.rstrip('/')}/{item.name}"
                manifest = await files.get_manifest(
                    await files.get_below(item.parent_id, path) if item.parent_id else path
                )
            else:
                return None
        except ApiError:
            return None
        self._is_edit_in_place = is_edited_in_place(manifest, self._source.size_bytes)
        return manifest.chunking if self._is_edit_in_place else None

    async def _adopt_session(self, unbound: Iterable[Upload]) -> None:
        """Bind the fingerprint to the first session of this file that an interrupted upload left unbound, if any."""
        assert self._hashes.fingerprint is not None  # noqa: S101 - for the type checker
        for upload in unbound:
            if upload.chunking != self._hashes.plan.chunking:
                continue
            chunks = [chunk async for chunk in self._client.uploads.list_chunks(upload.id) if chunk.sha256]
            if not chunks or any(chunk.sha256 != self._hashes.chunks.get(chunk.number) for chunk in chunks):
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
            if upload.chunking != self._hashes.plan.chunking:
                self._hashes = Hashes(self._plan(upload.chunking))
            self._begin(upload, is_new=started.is_new)
            bound = await self._send_unbound(upload, started.parts)
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
        self._begin(upload, is_new=started.is_new)
        return await self._complete_sent(upload, await self._list(upload, self._list_numbers()), started.parts)

    def _begin(self, upload: Upload, *, is_new: bool) -> None:
        """Take what the server knows of a session."""
        self._listed = upload.chunk_count
        if upload.chunking != CDC1 and self._is_edit_in_place and self._hashes.is_complete:
            self._listed = min(LARGEST_PAGE, upload.chunk_count) if is_new else 0
        self._missing = {number for number in parse_ranges(upload.missing) if number <= self._listed}
        self._left = set(parse_ranges(upload.reusing))

    def _list_numbers(self) -> range:
        return range(1, self._hashes.plan.count + 1)

    async def _list(self, upload: Upload, numbers: Iterable[int]) -> list[int]:
        """List those of the chunks that the server does not know; return those that it lacks, for sending."""
        wanted = list(numbers)
        unlisted = iter([number for number in wanted if number > self._listed])
        while page := list(islice(unlisted, LARGEST_PAGE)):
            chunks = list_chunks(self._hashes, page)
            upload = await self._client.uploads.add_chunks(upload.id, page[0], chunks)
            self._listed = page[-1]
            self._missing |= set(parse_ranges(upload.missing)).intersection(page)
            self._left |= set(parse_ranges(upload.reusing)).intersection(page)
        return [number for number in wanted if number in self._missing]

    async def _wait_for_reuse(self, upload: Upload) -> list[int]:
        """Wait until the server has made the chunks that are left to it; return those that it has not."""
        left, self._left = self._left, set()
        patience = ReusePatience()
        while left:
            upload = await self._client.uploads.get(upload.id, wait_s=REUSE_POLL_S)
            if not patience.lasts(upload):
                return find_unmade(upload, left)
        return []

    async def _complete_sent(self, upload: Upload, todo: list[int], signed: list[SignedPart]) -> File:
        """Send the chunks `todo`, and what the store loses, until the server has completed the file."""
        for _ in range(MAX_ROUNDS):
            while upload.state == "active":
                todo_bytes = sum(map(self._hashes.plan.bytes_of, todo))
                self._count(self._source.size_bytes - todo_bytes - self._reported_bytes)
                await self._send(upload, todo, signed)
                todo, signed = await self._wait_for_reuse(upload), []
                if not todo:
                    break
            await asyncio.to_thread(self._source.check)
            try:
                return await self._complete(upload)
            except PartsMissing as error:
                todo, signed = parse_ranges(error.missing) + parse_ranges(error.mismatched), []
            except ChunksMissing:
                upload = await self._client.uploads.reconcile(upload.id)
                self._begin(upload, is_new=False)
                todo = await self._list(upload, self._list_numbers())
        raise TransferFailed(f"the store lost parts {MAX_ROUNDS} times")

    async def _send_unbound(self, upload: Upload, signed: list[SignedPart]) -> CreatedUpload:
        """Send what the server lacks while a thread hashes the content, then bind its fingerprint.

        Returns the session to complete, which may be another one, or the file.
        """
        hashed: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def on_chunk(number: int, sha256: str) -> None:
            if stopped.is_set():
                raise Stopped("stopped")
            loop.call_soon_threadsafe(hashed.put_nowait, (number, sha256))

        hashes = self._hashes
        hashing = asyncio.create_task(asyncio.to_thread(hash_file, self._source, hashes.plan, on_chunk))
        hashing.add_done_callback(lambda _: hashed.put_nowait(None))
        try:
            while batch := await _take_hashed(hashed):
                hashes.chunks.update(batch)
                todo = await self._list(upload, batch)
                self._count(sum(map(hashes.plan.bytes_of, batch.keys() - todo)))
                await self._send(upload, todo, signed)
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
            if chunk.sha256 and chunk.sha256 != self._hashes.chunks.get(chunk.number):
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

    async def _is_completed_elsewhere(self, upload: Upload) -> bool:
        upload = await self._client.uploads.get(upload.id)
        if upload.state not in {"completing", "completed"}:
            return False
        if self._hashes.fingerprint is None:
            await self._hash_all(upload.chunking)
        return upload.fingerprint == self._hashes.fingerprint

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
