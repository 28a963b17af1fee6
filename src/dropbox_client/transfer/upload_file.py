"""The upload of one file: start a session -> sign and send its parts -> complete it.

The session on the server is the only record of progress. After an interruption the same fingerprint finds the same
session, and parts that the store has are not sent again.

A small file is hashed first. A large file is hashed while it is sent, and its fingerprint is bound to the session
afterwards. If the server has content or a session of the same size, it requires the fingerprint first: the upload may
be a resume or a duplicate. Invariants: the stored content was read in one pass over an unchanged file; a session of
another run is completed only after all hashes registered in it were compared with those of the file.
"""

import contextlib
import threading
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from dropbox_client.client import Client
from dropbox_client.errors import (
    ApiError,
    ClientError,
    FileChanged,
    NotSignedIn,
    Stopped,
    TransferFailed,
    Unreachable,
)
from dropbox_client.models import (
    CompletedUpload,
    CreatedUpload,
    CreateUpload,
    Destination,
    DestinationState,
    File,
    RetryLater,
    SignedPart,
    Upload,
)
from dropbox_client.problems import FingerprintRequired, PartsMissing, UploadCompleting
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import (
    Chunks,
    Hashes,
    expected_chunk_bytes,
    fixed,
    parse_ranges,
    preferred_chunk_bytes,
)
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.parts import PartSender
from dropbox_client.transfer.pipeline import SessionGone, UploadPipeline
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.source import Source, hash_file

COMPLETE_RETRY_FOR_S = 3600.0
"""A store may need minutes to assemble a large file, and reports no progress meanwhile."""
MAX_SESSIONS = 4
MAX_ROUNDS = 4
SESSION_LOST = frozenset(
    {"upload-expired", "upload-ended", "upload-failed", "upload-completing", "not-found", "fingerprint-mismatch"}
)
"""Problem codes of a session that takes no parts: another start may succeed, or find what another device completes."""


@dataclass(frozen=True, slots=True)
class UploadContext:
    """The objects that all uploads of one `Uploader` share. Thread-safe."""

    client: Client
    senders: Executor
    concurrency: ConcurrencyLimit
    listener: ProgressListener
    cache: HashCache | None = None
    retry_for_s: float = TRANSFER_RETRY_FOR_S


class _SwitchSession(Exception):  # control flow: ends the pipeline early
    """The server answered with another session, or with the file."""

    def __init__(self, started: CreatedUpload) -> None:
        self.started = started


class _SessionLost(Exception):
    """The session ended before it was complete; `reason` is for the user."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def upload_file(context: UploadContext, item: UploadItem, *, retry_changed: bool = False) -> UploadResult:
    """Upload one file; a failure that concerns only this file is the `error` of the result.

    `retry_changed` retries a file once that changed while it was read.
    Raises: NotSignedIn, Stopped, Unreachable: failures that concern all files.
    """
    result = _attempt(context, item)
    if retry_changed and isinstance(result.error, FileChanged):
        result = _attempt(context, item)
    return result


def upload_stream(context: UploadContext, item: UploadItem, source: Source) -> UploadResult:
    """Upload the content of an open source, which belongs to no path; otherwise as `upload_file`."""
    return _collect_failure(item, lambda: _FileUpload(replace(context, cache=None), item, source).run())


def _attempt(context: UploadContext, item: UploadItem) -> UploadResult:
    def run() -> UploadResult:
        with Source(item.path) as source:
            return _FileUpload(context, item, source).run()

    return _collect_failure(item, run)


def _collect_failure(item: UploadItem, run: Callable[[], UploadResult]) -> UploadResult:
    try:
        return run()
    except (NotSignedIn, Stopped, Unreachable):
        raise
    except ClientError as error:
        return UploadResult(item, error=error)


def upload_source(context: UploadContext, item: UploadItem, source: Source) -> File:
    """Upload the content of an open source; `item` names its destination. Raises ClientError."""
    file = _FileUpload(context, item, source).run().file
    assert file is not None  # noqa: S101 - for the type checker
    return file


def new_upload(
    item: UploadItem, source: Source, fingerprint: str | None, chunk_size_bytes: int | None = None
) -> CreateUpload:
    """Return the request that starts a session for an item."""
    named = Destination(
        item.name,
        folder_path=None if item.parent_id else item.folder,
        parent_id=item.parent_id,
        on_conflict=item.on_conflict,
        base_revision_id=item.base_revision_id,
    )
    of_file = Destination(file_id=item.file_id, base_revision_id=item.base_revision_id)
    return CreateUpload(
        size_bytes=source.size_bytes,
        destination=of_file if item.file_id else named,
        fingerprint=fingerprint,
        client_modified_at=_get_modified_at(source),
        chunk_size_bytes=chunk_size_bytes,
        executable=source.executable if item.executable is None else item.executable,
    )


class _FileUpload:
    """The upload of one file. Used by one thread."""

    def __init__(self, context: UploadContext, item: UploadItem, source: Source) -> None:
        self._context = context
        self._client = context.client
        self._item = item
        self._source = source
        self._hashes = Hashes(self._plan(fixed(0)))
        self._reported_bytes = 0
        self._reported_lock = threading.Lock()
        self._sent_bytes = 0
        self._session_id: str | None = None
        """The session to abort if the file changed."""

    def run(self) -> UploadResult:
        reason = ""
        for _ in range(MAX_SESSIONS):
            self._report_bytes(-self._reported_bytes)
            try:
                return UploadResult(self._item, file=self._store(), sent_bytes=self._sent_bytes)
            except _SessionLost as lost:
                reason = lost.reason
            except FileChanged:
                self._abort()
                raise
        raise TransferFailed(f"gave up after {MAX_SESSIONS} upload sessions: {reason}")

    # Plan

    def _store(self) -> File:
        """Run one session to its end. Raises _SessionLost if a new session may succeed."""
        started = self._start()
        while started.file is None:
            if started.upload is None:
                raise TransferFailed("the server sent neither an upload nor a file")
            self._session_id = started.upload.id
            try:
                return self._send_and_complete(started, started.upload)
            except _SwitchSession as switch:
                started = switch.started
            except ApiError as problem:
                if problem.code == "chunk-mismatch":
                    self._abort()  # a hash of other bytes is registered: this session can never complete
                elif problem.code not in SESSION_LOST:
                    raise
                raise _SessionLost(problem.detail) from problem
        self._report_bytes(self._source.size_bytes - self._reported_bytes)
        return started.file

    def _start(self) -> CreatedUpload:
        """Start a session, with the fingerprint if it is cheap to compute or the server requires it."""
        size = self._source.size_bytes
        limits = self._client.uploads.get_cached_capabilities()
        if self._hashes.fingerprint is None and not self._load_cached_hashes():
            if size <= limits.single_max_bytes:
                self._hash_all(fixed(size))
            else:
                preferred = preferred_chunk_bytes(size, self._context.concurrency.rate_bytes_s)
                try:
                    return self._client.uploads.start(new_upload(self._item, self._source, None, preferred))
                except FingerprintRequired as error:
                    unbound = [self._client.uploads.reconcile(upload_id) for upload_id in error.uploads]
                unbound.sort(key=lambda upload: upload.uploaded_bytes, reverse=True)
                expected = fixed(expected_chunk_bytes(size, limits.chunk_size_bytes))
                self._hash_all(unbound[0].chunking if unbound else expected)
                self._adopt_session(unbound)
        return self._client.uploads.start(new_upload(self._item, self._source, self._hashes.fingerprint))

    def _load_cached_hashes(self) -> bool:
        """Load the hashes from the cache; return False if it has none."""
        cached = self._context.cache and self._context.cache.find(self._item.path.absolute(), self._source.identity)
        if not cached:
            return False
        self._hashes = cached
        return True

    def _cache_hashes(self) -> None:
        if self._context.cache and self._hashes.plan.count > 1 and self._hashes.is_complete:
            self._context.cache.store(self._item.path.absolute(), self._source.identity, self._hashes)

    def _plan(self, chunking: str) -> Chunks:
        return Chunks(self._source.size_bytes, chunking)

    def _hash_all(self, chunking: str) -> None:
        """Compute the fingerprint and the chunk hashes in one pass, before sending."""
        plan = self._plan(chunking)
        self._hashes = Hashes(plan)

        def on_chunk(number: int, sha256: str) -> None:
            if self._client.stopping.is_set():
                raise Stopped("stopped")
            self._hashes.chunks[number] = sha256
            self._context.listener.on_hashed(self._item, plan.bytes_of(number))

        self._hashes.fingerprint = hash_file(self._source, plan, on_chunk)
        self._source.check()
        self._cache_hashes()

    def _adopt_session(self, unbound: Iterable[Upload]) -> None:
        """Bind the fingerprint to the first session that an interrupted upload of this file left unbound, if any.

        All hashes registered in it, at least one, must match the file: a session of another file of the same size is
        left alone. Hashes registered later are compared before the session is completed.
        """
        assert self._hashes.fingerprint is not None  # noqa: S101 - for the type checker
        for upload in unbound:
            if upload.chunking != self._hashes.plan.chunking or not self._has_matching_chunks(upload):
                continue
            try:
                self._client.uploads.bind_fingerprint(upload.id, self._hashes.fingerprint)
            except ApiError as problem:
                if problem.code not in SESSION_LOST:
                    raise
            else:
                return  # a start with this fingerprint joins the session

    def _has_matching_chunks(self, upload: Upload) -> bool:
        registered = [chunk for chunk in self._client.uploads.list_chunks(upload.id) if chunk.sha256]
        return bool(registered) and all(chunk.sha256 == self._hashes.chunks[chunk.number] for chunk in registered)

    # Send

    def _send_and_complete(self, started: CreatedUpload, upload: Upload) -> File:
        """Send missing parts until the server has completed the file."""
        if upload.chunking != self._hashes.plan.chunking:
            self._hashes = Hashes(self._plan(upload.chunking), fingerprint=self._hashes.fingerprint)
        if upload.strategy == "single" and self._hashes.fingerprint:
            self._hashes.chunks[1] = self._hashes.fingerprint
        if not started.is_new:
            upload = self._reconcile(upload)
        todo, signed = parse_ranges(upload.missing), started.parts
        for _ in range(MAX_ROUNDS):
            if upload.state == "active":
                self._report_bytes(self._count_bytes_without(todo) - self._reported_bytes)
                try:
                    self._send(upload, todo, signed, hash_all=not started.is_new)
                except SessionGone:
                    upload = self._reconcile(upload)
                    todo, signed = parse_ranges(upload.missing), []
                    continue
                if not started.is_new:
                    self._require_matching_chunks(upload)
            self._source.check()
            try:
                return self._complete(upload)
            except PartsMissing as error:
                todo = parse_ranges(error.missing) + parse_ranges(error.mismatched)
                signed = []
        raise TransferFailed(f"the store lost parts {MAX_ROUNDS} times")

    def _reconcile(self, upload: Upload) -> Upload:
        upload = self._client.uploads.reconcile(upload.id)
        if upload.state in {"aborted", "expired", "failed"}:
            raise _SessionLost(f"the upload is {upload.state}")
        return upload

    def _send(self, upload: Upload, todo: list[int], signed: list[SignedPart], *, hash_all: bool) -> None:
        context = self._context
        retry_window = RetryWindow(context.retry_for_s, waits=self._client.exchange.waits)
        sender = PartSender(
            self._client.transport,
            self._source,
            retry_window,
            threading.Event(),
            self._report_bytes,
            lambda number, sha256: self._client.uploads.sign_parts(upload.id, {number: sha256}),
            context.concurrency,
        )
        pipeline = UploadPipeline(
            client=self._client,
            senders=context.senders,
            concurrency=context.concurrency,
            sender=sender,
            source=self._source,
            upload=upload,
            hashes=self._hashes,
        )
        verified = range(1, upload.chunk_count + 1) if hash_all else ()
        try:
            pipeline.run(todo, signed, also_hash=verified, on_fingerprint=partial(self._bind, upload))
        finally:
            self._sent_bytes += pipeline.stored_bytes

    def _bind(self, upload: Upload, fingerprint: str) -> None:
        """Bind the fingerprint. Raises _SwitchSession if the server answers with another session or a file."""
        self._source.check()
        self._cache_hashes()
        started = self._client.uploads.bind_fingerprint(upload.id, fingerprint)
        if started.file or (started.upload and started.upload.id != upload.id):
            raise _SwitchSession(started)

    def _require_matching_chunks(self, upload: Upload) -> None:
        """Compare the registered hashes with the file: another run may have registered those of another file."""
        for chunk in self._client.uploads.list_chunks(upload.id):
            if chunk.sha256 and chunk.sha256 != self._hashes.chunks[chunk.number]:
                self._abort()
                raise _SessionLost("the upload has parts of another file")

    # Complete

    def _complete(self, upload: Upload) -> File:
        window = RetryWindow(COMPLETE_RETRY_FOR_S, waits=self._client.exchange.waits)
        with Backoff(window, cap_s=5) as backoff:
            return self._complete_when_assembled(upload, backoff)

    def _complete_when_assembled(self, upload: Upload, backoff: Backoff) -> File:
        assembling = TransferFailed(f"{self._item.name}: the server is still assembling the file")
        while True:
            try:
                reply = self._client.uploads.complete(upload.id)
            except UploadCompleting:
                reply = RetryLater(1)
            if isinstance(reply, CompletedUpload):
                return self._get_placed_file(reply)
            pause_s = backoff.next_pause_s(reply.after_s, failure=assembling)
            if pause_s is None:
                raise TransferFailed(f"{assembling}; run the same command again later")
            if self._client.stopping.wait(pause_s):
                raise Stopped("stopped")

    def _get_placed_file(self, reply: CompletedUpload) -> File:
        """Return the file at the destination of this item; a session may have destinations of other devices."""
        own = find_place(reply, self._item)
        if own and own.file_id and own.file_id != reply.file.id:
            return self._client.files.get(own.file_id)
        return reply.file

    # Bookkeeping

    def _abort(self) -> None:
        if self._session_id is None:
            return
        with contextlib.suppress(ApiError, Unreachable):  # it has ended, or it will expire
            self._client.uploads.abort(self._session_id)
        self._session_id = None

    def _report_bytes(self, size_bytes: int) -> None:
        with self._reported_lock:
            self._reported_bytes += size_bytes
        self._context.listener.on_bytes(self._item, size_bytes)

    def _count_bytes_without(self, todo: list[int]) -> int:
        return self._source.size_bytes - sum(map(self._hashes.plan.bytes_of, todo))


def find_place(reply: CompletedUpload, item: UploadItem) -> DestinationState | None:
    """Return the destination of an item in a completed session. Raises its problem."""
    wanted = (item.file_id, None) if item.file_id else (None, unicodedata.normalize("NFC", item.name))
    places = [
        place for place in reply.destinations if wanted in {(None, place.name), (place.file_id, place.name)}
    ] or reply.destinations
    if places and places[-1].problem:
        raise places[-1].problem
    return places[-1] if places else None


def _get_modified_at(source: Source) -> datetime | None:
    if source.modified_ns is None:
        return None
    try:
        return datetime.fromtimestamp(source.modified_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):  # a time stamp outside of the years 1 to 9999
        return None
