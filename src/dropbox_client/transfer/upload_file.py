"""The upload of one file: start a session -> sign and send its parts -> complete it.

The session on the server is the only record of progress. After an interruption the same fingerprint finds the same
session, and parts that the store has are not sent again.

A small file is hashed first. A large file is hashed while it is sent, and its fingerprint is bound to the session
afterwards. If the server has content or a session of the same size, it requires the fingerprint first: the upload may
be a resume, a duplicate, or an edit in place. A file of more than 16 MiB is cut where its content says, and chunks that
the account stores are left to the server, unless it is too slow.

Invariants: the stored content was read in one pass over an unchanged file; a session of another run is completed only
after all hashes registered in it were compared with those of the file.
"""

import contextlib
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
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
    Capabilities,
    CompletedUpload,
    CreatedUpload,
    CreateUpload,
    Destination,
    DestinationState,
    File,
    Manifest,
    RetryLater,
    SignedPart,
    Upload,
)
from dropbox_client.problems import (
    ChunksMissing,
    FingerprintMismatch,
    FingerprintRequired,
    NotFound,
    PartsMissing,
    UploadCompleting,
)
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer import cdc
from dropbox_client.transfer.chunks import (
    CDC1,
    Chunks,
    Hashes,
    expected_chunk_bytes,
    fixed,
    parse_ranges,
    preferred_chunk_bytes,
)
from dropbox_client.transfer.compress import CompressMode, FrameSource, compress_source, is_worth_compressing
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.parts import PartSender
from dropbox_client.transfer.pipeline import FIRST_BATCH, LARGEST_PAGE, SessionGone, UploadPipeline, list_chunks
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.source import Source, hash_file, hash_first_chunk

COMPLETE_RETRY_FOR_S = 3600.0
"""A store may need minutes to assemble a large file, and reports no progress meanwhile."""
REUSE_PATIENCE_S = 30.0
"""A server that reuses no chunk for this time is not waited for: the client sends them."""
REUSE_POLL_S = 5.0
MAX_SESSIONS = 4
MAX_ROUNDS = 4
SESSION_LOST = frozenset(
    {"upload-expired", "upload-ended", "upload-failed", "upload-completing", "not-found", "fingerprint-mismatch"}
)
"""Problem codes of a session that takes no parts: another start may succeed, or find what another device completes."""

ENDED_ELSEWHERE = frozenset({"upload-completing", "upload-ended"})


@dataclass(frozen=True, slots=True)
class UploadContext:
    """The objects that all uploads of one `Uploader` share. Thread-safe."""

    client: Client
    senders: Executor
    concurrency: ConcurrencyLimit
    listener: ProgressListener
    cache: HashCache | None = None
    retry_for_s: float = TRANSFER_RETRY_FOR_S
    compress: CompressMode = "never"
    open_source: Callable[[UploadItem], Source] = field(default=lambda item: Source(item.path))
    """Opens the file of an item. Raises FileChanged, Unreadable."""


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
        with context.open_source(item) as source:
            return _upload_compressed(context, item, source) or _FileUpload(context, item, source).run()

    return _collect_failure(item, run)


def _upload_compressed(context: UploadContext, item: UploadItem, source: Source) -> UploadResult | None:
    """Upload a file as a zstd frame; None if it is to be sent as it is. Raises as `_FileUpload.run`."""
    client = context.client
    if "zstd" not in client.uploads.get_cached_capabilities().encodings or not _should_compress(context, item, source):
        return None

    def check() -> None:
        if client.stopping.is_set():
            raise Stopped("stopped")

    frame = compress_source(source, check)
    if frame is None:
        return None
    with frame:
        try:
            return _FileUpload(replace(context, cache=None), item, frame).run()
        except FingerprintMismatch:  # another compressor has begun to send this content
            return None


def _should_compress(context: UploadContext, item: UploadItem, source: Source) -> bool:
    """Return whether to compress a file; `auto` leaves a file alone of which the server has a version."""
    if context.compress != "auto":
        return context.compress == "always" and source.size_bytes > 0
    if item.file_id or item.base_revision_id or not is_worth_compressing(source, context.concurrency.rate_bytes_s):
        return False
    try:
        find_named(context.client, item)
    except NotFound:
        return True
    return False


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
    item: UploadItem,
    source: Source,
    fingerprint: str | None,
    chunk_size_bytes: int | None = None,
    listed: Hashes | None = None,
) -> CreateUpload:
    """Return the request that starts a session for an item; it lists the known chunks of `listed`."""
    named = Destination(
        item.name,
        folder_path=None if item.parent_id else item.folder,
        parent_id=item.parent_id,
        on_conflict=item.on_conflict,
        base_revision_id=item.base_revision_id,
    )
    of_file = Destination(file_id=item.file_id, base_revision_id=item.base_revision_id)
    new = CreateUpload(
        size_bytes=source.size_bytes,
        destination=of_file if item.file_id else named,
        fingerprint=fingerprint,
        client_modified_at=_get_modified_at(source),
        chunk_size_bytes=chunk_size_bytes,
        executable=source.executable if item.executable is None else item.executable,
    )
    if isinstance(source, FrameSource):
        return replace(new, size_bytes=source.content_bytes, encoding="zstd", encoded_size_bytes=source.size_bytes)
    if listed is None:
        return new
    numbers = range(1, min(listed.count_known(1), LARGEST_PAGE) + 1)
    return replace(
        new,
        chunking="cdc1" if listed.plan.chunking == CDC1 else "fixed",
        chunks=list_chunks(listed, numbers),
        parts={number: listed.chunks[number] for number in numbers[:FIRST_BATCH]},
    )


def find_named(client: Client, item: UploadItem) -> File:
    """Return the file at the name that an item is for. Raises NotFound."""
    if item.parent_id:
        return client.files.get_below(item.parent_id, item.name)
    return client.files.get(f"{item.folder.rstrip('/')}/{item.name}")


def choose_chunking(size_bytes: int, limits: Capabilities) -> str:
    """Return how to cut a new file of more than one chunk."""
    if cdc.is_available() and cdc.MAX_BYTES < size_bytes <= limits.cdc1_max_bytes:
        return CDC1
    return fixed(expected_chunk_bytes(size_bytes, limits.chunk_size_bytes))


def is_edited_in_place(manifest: Manifest, size_bytes: int) -> bool:
    """Return whether a new content of this size is cut best as the one that it replaces."""
    return manifest.size_bytes == size_bytes and manifest.chunking != CDC1 and cdc.is_known(manifest.chunking)


class _FileUpload:
    """The upload of one file. Used by one thread."""

    def __init__(self, context: UploadContext, item: UploadItem, source: Source) -> None:
        self._context = context
        self._client = context.client
        self._item = item
        self._source = source
        fingerprint = source.fingerprint if isinstance(source, FrameSource) else None
        self._hashes = Hashes(self._plan(fixed(0)), fingerprint=fingerprint)
        self._reported_bytes = 0
        self._reported_lock = threading.Lock()
        self._sent_bytes = 0
        self._reused: set[int] = set()
        """Chunks of the session that the server made, or is to make."""
        self._is_edit_in_place = False
        self._session_id: str | None = None
        """The session to abort if the file changed."""

    def run(self) -> UploadResult:
        reason = ""
        for _ in range(MAX_SESSIONS):
            self._report_bytes(-self._reported_bytes)
            try:
                file = self._store()
                saved_bytes = 0
                if isinstance(self._source, FrameSource) and self._sent_bytes:
                    saved_bytes = self._source.content_bytes - self._source.size_bytes
                self._report_bytes(saved_bytes)
                reused_bytes = sum(map(self._hashes.plan.bytes_of, self._reused))
                return UploadResult(self._item, file, None, self._sent_bytes, reused_bytes, saved_bytes)
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
            upload = started.upload
            if upload is None:
                raise TransferFailed("the server sent neither an upload nor a file")
            self._session_id = upload.id
            try:
                return self._send_and_complete(started, upload)
            except _SwitchSession as switch:
                started = switch.started
            except ApiError as problem:
                if problem.code == "chunk-mismatch":
                    self._abort()  # a hash of other bytes is registered: this session can never complete
                elif problem.code not in SESSION_LOST:
                    raise
                elif problem.code in ENDED_ELSEWHERE and self._is_completed_elsewhere(upload):
                    return self._complete(upload)
                raise _SessionLost(problem.detail) from problem
        self._report_bytes(self._source.size_bytes - self._reported_bytes)
        return started.file

    def _start(self) -> CreatedUpload:
        """Start a session, with the fingerprint if it is cheap to compute or the server requires it."""
        size = self._source.size_bytes
        limits = self._client.uploads.get_cached_capabilities()
        if self._hashes.fingerprint is None and not self._load_cached_hashes(limits):
            chunking = choose_chunking(size, limits)
            if size <= limits.single_max_bytes:
                self._hash_all(fixed(size))
            else:
                try:
                    return self._start_unhashed(chunking)
                except FingerprintRequired as error:
                    unbound = [self._client.uploads.reconcile(upload_id) for upload_id in error.uploads]
                unbound = [upload for upload in unbound if cdc.is_known(upload.chunking)]
                unbound.sort(key=lambda upload: upload.uploaded_bytes, reverse=True)
                self._hash_all(unbound[0].chunking if unbound else self._find_replaced_chunking() or chunking)
                self._adopt_session(unbound)
        return self._client.uploads.start(self._describe(None))

    def _start_unhashed(self, chunking: str) -> CreatedUpload:
        """Start a session before the file is hashed; where content is cut, the first chunk goes along."""
        self._hashes = Hashes(self._plan(chunking))
        if chunking == CDC1:
            self._hashes.chunks[1] = hash_first_chunk(self._source, self._hashes.plan)
        preferred = preferred_chunk_bytes(self._source.size_bytes, self._context.concurrency.rate_bytes_s)
        return self._client.uploads.start(self._describe(preferred))

    def _describe(self, preferred_chunk_bytes: int | None) -> CreateUpload:
        plan = self._hashes.plan
        if self._is_edit_in_place:
            preferred_chunk_bytes = plan.bytes_of(1)
        is_listed = self._is_edit_in_place or plan.chunking == CDC1
        listed = self._hashes if is_listed else None
        return new_upload(self._item, self._source, self._hashes.fingerprint, preferred_chunk_bytes, listed)

    def _find_replaced_chunking(self) -> str | None:
        """Return how the content was cut that this file replaces, if it was edited in place; None otherwise.

        The same cuts find the chunks that are unchanged in it, whatever client sent it.
        """
        item = self._item
        try:
            if item.file_id:
                manifest = self._client.files.get_manifest(item.file_id, item.base_revision_id)
            elif item.on_conflict == "replace":
                manifest = self._client.files.get_manifest(find_named(self._client, item))
            else:
                return None
        except ApiError:  # there is none, or not for this client
            return None
        self._is_edit_in_place = is_edited_in_place(manifest, self._source.size_bytes)
        return manifest.chunking if self._is_edit_in_place else None

    def _load_cached_hashes(self, limits: Capabilities) -> bool:
        """Load the hashes from the cache; return False if it has none."""
        cached = self._context.cache and self._context.cache.find(self._item.path.absolute(), self._source.identity)
        if not cached:
            return False
        if cached.plan.chunking == CDC1 != choose_chunking(self._source.size_bytes, limits):
            cached = Hashes(self._plan(fixed(0)), fingerprint=cached.fingerprint)  # from an upload to another server
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
        return bool(registered) and all(chunk.sha256 == self._hashes.chunks.get(chunk.number) for chunk in registered)

    # Send

    def _send_and_complete(self, started: CreatedUpload, upload: Upload) -> File:
        """Send missing parts until the server has completed the file."""
        if upload.chunking != self._hashes.plan.chunking:
            self._hashes = Hashes(self._plan(upload.chunking), fingerprint=self._hashes.fingerprint)
        if upload.strategy == "single" and self._hashes.fingerprint:
            self._hashes.chunks[1] = self._hashes.fingerprint
        self._reused = set()
        if not started.is_new:
            upload = self._reconcile(upload)
            if upload.chunking == CDC1:
                self._require_matching_chunks(upload)
        listed = self._count_listed(upload, is_new=started.is_new)
        todo, signed = parse_ranges(upload.missing), started.parts
        for _ in range(MAX_ROUNDS):
            try:
                if upload.state == "active":
                    listed = self._send(upload, listed, todo, signed, hash_all=not started.is_new)
                    if not started.is_new:
                        self._require_matching_chunks(upload)
                self._source.check()
                return self._complete(upload)
            except (SessionGone, ChunksMissing):
                upload = self._reconcile(upload)
                listed = self._count_listed(upload, is_new=False)
                todo, signed = parse_ranges(upload.missing), []
            except PartsMissing as error:
                todo, signed = parse_ranges(error.missing) + parse_ranges(error.mismatched), []
        raise TransferFailed(f"the store lost parts {MAX_ROUNDS} times")

    def _count_listed(self, upload: Upload, *, is_new: bool) -> int:
        """Return how many chunks the server knows: the client need not list those of a fixed plan."""
        if upload.chunking == CDC1 or not self._is_edit_in_place or not self._hashes.is_complete:
            return upload.chunk_count
        return min(LARGEST_PAGE, upload.chunk_count) if is_new else 0

    def _reconcile(self, upload: Upload) -> Upload:
        upload = self._client.uploads.reconcile(upload.id)
        _require_live(upload)
        return upload

    def _send(self, upload: Upload, listed: int, todo: list[int], signed: list[SignedPart], *, hash_all: bool) -> int:
        """Send the chunks `todo`, and those after the `listed` ones that are not reused; return how many are listed."""
        while True:
            missing = [number for number in todo if number <= listed]
            present_bytes = self._hashes.plan.end(listed) if listed else 0
            present_bytes -= sum(map(self._hashes.plan.bytes_of, missing))
            self._report_bytes(present_bytes - self._reported_bytes)
            pipeline = self._make_pipeline(upload, listed)
            verified = range(1, listed + 1) if hash_all else ()
            try:
                pipeline.run(missing, signed, also_hash=verified, on_fingerprint=partial(self._bind, upload))
            finally:
                self._sent_bytes += pipeline.stored_bytes
            upload, listed = pipeline.upload, pipeline.listed
            upload, todo = self._wait_for_reuse(upload, pipeline.left)
            signed = []
            self._reused = (self._reused | pipeline.left) - {*missing, *todo}
            if not todo:
                return listed

    def _make_pipeline(self, upload: Upload, listed: int) -> UploadPipeline:
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
        return UploadPipeline(
            client=self._client,
            senders=context.senders,
            concurrency=context.concurrency,
            sender=sender,
            source=self._source,
            upload=upload,
            hashes=self._hashes,
            listed=listed,
            on_present=self._report_bytes,
        )

    def _wait_for_reuse(self, upload: Upload, left: set[int]) -> tuple[Upload, list[int]]:
        """Wait until the server has made the chunks that are left to it; return those that it has not."""
        if not left:
            return upload, []
        patience = ReusePatience()
        while True:
            upload = self._client.uploads.get(upload.id, wait_s=REUSE_POLL_S)
            _require_live(upload)
            if not patience.lasts(upload):
                return upload, find_unmade(upload, left)

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
            if chunk.sha256 and chunk.sha256 != self._hashes.chunks.get(chunk.number):
                self._abort()
                raise _SessionLost("the upload has parts of another file")

    # Complete

    def _is_completed_elsewhere(self, upload: Upload) -> bool:
        """Return whether another device completes the session, which has this destination, with this content."""
        upload = self._client.uploads.get(upload.id)
        if upload.state not in {"completing", "completed"}:
            return False
        if self._hashes.fingerprint is None:
            self._hash_all(upload.chunking)
        return upload.fingerprint == self._hashes.fingerprint

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


def _require_live(upload: Upload) -> None:
    if upload.state in {"aborted", "expired", "failed"}:
        raise _SessionLost(f"the upload is {upload.state}")


class ReusePatience:
    """How long a client waits for the server to reuse chunks: `REUSE_PATIENCE_S` after the last progress."""

    def __init__(self) -> None:
        self._reusing: str | None = None
        self._ends_at = 0.0

    def lasts(self, upload: Upload) -> bool:
        """Return whether to ask again after this answer."""
        if upload.reusing != self._reusing:
            self._reusing, self._ends_at = upload.reusing, time.monotonic() + REUSE_PATIENCE_S
        return upload.state == "active" and bool(upload.reusing) and time.monotonic() < self._ends_at


def find_unmade(upload: Upload, left: set[int]) -> list[int]:
    """Return those of the chunks `left` to the server that the client has to send; to sign them ends their reuse."""
    if upload.state != "active":
        return []
    return sorted(left.intersection(parse_ranges(upload.missing) + parse_ranges(upload.reusing)))


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
