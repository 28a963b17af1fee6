"""Sending one file, from its first byte to the answer that it is stored: plan -> sign -> send -> complete.

The server's session is the only record of progress. A run that was cut off leaves nothing here that the next one needs:
the same fingerprint finds the same session, and what the store has of it is not sent again.

A small file is hashed first. A large one is sent while it is hashed, and its fingerprint bound to the session when it
is known; if the server has something of that very size it wants the fingerprint first (it may be a resume, or nothing
to send). Invariants: what is stored is what one pass over an unchanged file read; a session that was not made by this
run is completed only after every hash registered in it was compared with ours.
"""

import contextlib
import mimetypes
import threading
import unicodedata
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from dropbox_client.api import Client, RetryLater
from dropbox_client.errors import (
    ApiProblem,
    ClientError,
    FileChanged,
    NotSignedIn,
    Stopped,
    TransferFailed,
    Unreachable,
)
from dropbox_client.models import (
    Completed,
    Destination,
    DestinationState,
    File,
    NewUpload,
    SignedPart,
    StartedUpload,
    Upload,
)
from dropbox_client.retry import PATIENCE_S, Backoff, Patience
from dropbox_client.transfer.chunks import Chunks, expected_chunk_bytes, parse_ranges, wished_chunk_bytes
from dropbox_client.transfer.concurrency import Pace
from dropbox_client.transfer.hash_cache import CachedHashes, HashCache
from dropbox_client.transfer.parts import PartSender
from dropbox_client.transfer.pipeline import Hashes, Sending, SessionGone
from dropbox_client.transfer.progress import Item, Outcome, Watcher
from dropbox_client.transfer.source import Source, hash_file

_COMPLETE_PATIENCE_S = 3600.0
"""Stores may need minutes to assemble a large file, and tell nothing meanwhile."""
_SESSIONS = 4
_ROUNDS = 4
_LOST = frozenset({"upload-expired", "upload-ended", "upload-failed", "not-found", "fingerprint-mismatch"})
"""The session is of no use any more; a new one may be."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all transfers of one uploader share. Thread-safe."""

    client: Client
    senders: Executor
    pace: Pace
    watcher: Watcher
    cache: HashCache | None = None
    patience_s: float = PATIENCE_S


class _GoOn(Exception):  # not an error: ends a sending early
    """The server wants us to go on with another session, or has the file."""

    def __init__(self, started: StartedUpload) -> None:
        self.started = started


class _Lost(Exception):
    """The session ended before it was complete; `reason` is for people."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def upload_file(shared: Shared, item: Item, *, retry_changed: bool = False) -> Outcome:
    """Store one file, or find out why it cannot be; a problem of this file is the outcome's `error`.

    With `retry_changed` a file that changed while it was read is tried once more from the start.
    Raises: NotSignedIn, Stopped, Unreachable: then nothing can be done for any file.
    """
    outcome = _attempt(shared, item)
    if retry_changed and isinstance(outcome.error, FileChanged):
        outcome = _attempt(shared, item)
    return outcome


def _attempt(shared: Shared, item: Item) -> Outcome:
    try:
        with Source(item.path) as source:
            return _FileUpload(shared, item, source).run()
    except (NotSignedIn, Stopped, Unreachable):
        raise
    except ClientError as error:
        return Outcome(item, error=error)


def new_upload(item: Item, source: Source, fingerprint: str | None, chunk_size_bytes: int | None = None) -> NewUpload:
    """Return what a session for this item is started with."""
    return NewUpload(
        size_bytes=source.size_bytes,
        destination=Destination(
            item.name,
            folder_path=None if item.parent_id else item.folder,
            parent_id=item.parent_id,
            on_conflict=item.on_conflict,
        ),
        fingerprint=fingerprint,
        content_type=_content_type(item.name),
        client_modified_at=_modified_at(source),
        chunk_size_bytes=chunk_size_bytes,
    )


class _FileUpload:
    """One file on its way. Used by one thread."""

    def __init__(self, shared: Shared, item: Item, source: Source) -> None:
        self._shared = shared
        self._client = shared.client
        self._item = item
        self._source = source
        self._hashes = Hashes(0)
        self._told = 0
        self._told_lock = threading.Lock()
        self._sent_bytes = 0
        self._session_id: str | None = None
        """The session to abort when the file turns out to have changed."""

    def run(self) -> Outcome:
        reason = ""
        for _ in range(_SESSIONS):
            self._moved(-self._told)
            try:
                return Outcome(self._item, file=self._store(), sent_bytes=self._sent_bytes)
            except _Lost as lost:
                reason = lost.reason
            except FileChanged:
                self._abort()
                raise
        raise TransferFailed(f"given up after {_SESSIONS} upload sessions: {reason}")

    # Plan

    def _store(self) -> File:
        """Take one session to its end. Raises _Lost when a new one may do better."""
        started = self._start()
        while started.file is None:
            if started.upload is None:
                raise TransferFailed("the server answered neither an upload nor a file")
            self._session_id = started.upload.id
            try:
                return self._drive(started, started.upload)
            except _GoOn as other:
                started = other.started
            except ApiProblem as problem:
                if problem.code == "chunk-mismatch":
                    self._abort()  # somebody registered a hash of other bytes: nobody can finish this session
                elif problem.code not in _LOST:
                    raise
                raise _Lost(problem.detail) from problem
        self._moved(self._source.size_bytes - self._told)
        return started.file

    def _start(self) -> StartedUpload:
        """Get a session, with the fingerprint where that is cheap or the server asks for it."""
        size = self._source.size_bytes
        limits = self._client.capabilities()
        if self._hashes.fingerprint is None and not self._recall():
            if size <= limits.single_max_bytes:
                self._hash_all(size)
            else:
                wish = wished_chunk_bytes(size, self._shared.pace.rate_bytes_s)
                try:
                    return self._client.start_upload(new_upload(self._item, self._source, None, wish))
                except ApiProblem as problem:
                    if problem.code != "fingerprint-required":
                        raise
                    unbound = [self._client.reconcile(upload_id) for upload_id in problem.extra.get("uploads", ())]
                unbound.sort(key=lambda upload: upload.uploaded_bytes, reverse=True)
                expected = expected_chunk_bytes(size, limits.chunk_size_bytes)
                self._hash_all(unbound[0].chunk_size_bytes if unbound else expected)
                self._adopt(unbound)
        return self._client.start_upload(new_upload(self._item, self._source, self._hashes.fingerprint))

    def _recall(self) -> bool:
        """Take the hashes from the cache, if they are there."""
        cached = self._shared.cache and self._shared.cache.find(self._item.path.absolute(), self._source.identity)
        if not cached:
            return False
        self._hashes = Hashes(
            cached.chunk_size_bytes, dict(enumerate(cached.chunks, start=1)), fingerprint=cached.fingerprint
        )
        return True

    def _remember(self) -> None:
        chunks = Chunks(self._source.size_bytes, self._hashes.chunk_size_bytes)
        if not self._shared.cache or chunks.count < 2 or len(self._hashes.chunks) < chunks.count:
            return
        assert self._hashes.fingerprint is not None  # noqa: S101 - for the type checker
        digests = [self._hashes.chunks[number] for number in range(1, chunks.count + 1)]
        found = CachedHashes(self._hashes.fingerprint, chunks.chunk_size_bytes, digests)
        self._shared.cache.store(self._item.path.absolute(), self._source.identity, found)

    def _hash_all(self, chunk_size_bytes: int) -> None:
        """Read the file once for its fingerprint and the hashes of its chunks, before anything is sent."""
        chunks = Chunks(self._source.size_bytes, chunk_size_bytes)
        self._hashes = Hashes(chunk_size_bytes)

        def on_chunk(number: int, sha256: str) -> None:
            if self._client.stopping.is_set():
                raise Stopped("stopped")
            self._hashes.chunks[number] = sha256
            self._shared.watcher.hashed(self._item, chunks.bytes_of(number))

        self._hashes.fingerprint = hash_file(self._source, chunks, on_chunk)
        self._source.check()
        self._remember()

    def _adopt(self, unbound: Iterable[Upload]) -> None:
        """Bind the fingerprint to the first session that a killed run of ours left without one, if there is any.

        It must have a chunk registered, and all of them must be ours: a session of another file that only has the
        same size is left alone. What is registered in it later is compared before it is completed.
        """
        assert self._hashes.fingerprint is not None  # noqa: S101 - for the type checker
        for upload in unbound:
            if upload.chunk_size_bytes != self._hashes.chunk_size_bytes or not self._is_ours(upload):
                continue
            try:
                self._client.bind_fingerprint(upload.id, self._hashes.fingerprint)
            except ApiProblem as problem:
                if problem.code not in _LOST:
                    raise
            else:
                return  # starting with this fingerprint finds it

    def _is_ours(self, upload: Upload) -> bool:
        registered = [chunk for chunk in self._client.upload_chunks(upload.id) if chunk.sha256]
        return bool(registered) and all(chunk.sha256 == self._hashes.chunks[chunk.number] for chunk in registered)

    # Send

    def _drive(self, started: StartedUpload, upload: Upload) -> File:
        """Send what is missing until the server has put the file in its place."""
        if upload.chunk_size_bytes != self._hashes.chunk_size_bytes:
            self._hashes = Hashes(upload.chunk_size_bytes, fingerprint=self._hashes.fingerprint)
        if upload.strategy == "single" and self._hashes.fingerprint:
            self._hashes.chunks[1] = self._hashes.fingerprint
        if not started.is_new:
            upload = self._reconciled(upload)
        todo, signed = parse_ranges(upload.missing), started.parts
        for _ in range(_ROUNDS):
            if upload.state == "active":
                self._moved(self._size_without(todo) - self._told)
                try:
                    self._send(upload, todo, signed, verify=not started.is_new)
                except SessionGone:
                    upload = self._reconciled(upload)
                    todo, signed = parse_ranges(upload.missing), []
                    continue
                if not started.is_new:
                    self._require_ours(upload)
            self._source.check()
            try:
                return self._complete(upload)
            except ApiProblem as problem:
                if problem.code != "parts-missing":
                    raise
                todo = parse_ranges(problem.extra["missing"]) + parse_ranges(problem.extra["mismatched"])
                signed = []
        raise TransferFailed(f"the store lost parts {_ROUNDS} times")

    def _reconciled(self, upload: Upload) -> Upload:
        upload = self._client.reconcile(upload.id)
        if upload.state in {"aborted", "expired", "failed"}:
            raise _Lost(f"the upload is {upload.state}")
        return upload

    def _send(self, upload: Upload, todo: list[int], signed: list[SignedPart], *, verify: bool) -> None:
        shared = self._shared
        patience = Patience(shared.patience_s)
        sender = PartSender(self._client.wire, self._source, patience, threading.Event(), self._moved, shared.pace)
        sending = Sending(
            client=self._client,
            senders=shared.senders,
            pace=shared.pace,
            sender=sender,
            source=self._source,
            upload=upload,
            hashes=self._hashes,
        )
        everything = range(1, upload.chunk_count + 1) if verify else ()
        try:
            sending.run(todo, signed, also_hash=everything, on_fingerprint=lambda found: self._bind(upload, found))
        finally:
            self._sent_bytes += sending.landed_bytes

    def _bind(self, upload: Upload, fingerprint: str) -> None:
        """Tell the server what the whole hashes to, now that we know. Raises _GoOn if that makes a difference."""
        self._source.check()
        self._remember()
        started = self._client.bind_fingerprint(upload.id, fingerprint)
        if started.file or (started.upload and started.upload.id != upload.id):
            raise _GoOn(started)

    def _require_ours(self, upload: Upload) -> None:
        """Compare what is registered with what we read: another run might have taken another file for this one."""
        for chunk in self._client.upload_chunks(upload.id):
            if chunk.sha256 and chunk.sha256 != self._hashes.chunks[chunk.number]:
                self._abort()
                raise _Lost("the upload holds other bytes than the file")

    # Complete

    def _complete(self, upload: Upload) -> File:
        backoff = Backoff(Patience(_COMPLETE_PATIENCE_S), cap_s=5)
        while True:
            try:
                answer = self._client.complete(upload.id)
            except ApiProblem as problem:
                if problem.code != "upload-completing":
                    raise
                answer = RetryLater(1)
            if isinstance(answer, Completed):
                return self._placed(answer)
            pause_s = backoff.next_pause_s(answer.after_s)
            if pause_s is None:
                raise TransferFailed("the server is still assembling the file; the same command finds it later")
            if self._client.stopping.wait(pause_s):
                raise Stopped("stopped")

    def _placed(self, answer: Completed) -> File:
        """Return the file at our destination: a session may have others, of other devices."""
        name = unicodedata.normalize("NFC", self._item.name)
        places = [place for place in answer.destinations if place.name == name] or answer.destinations
        ours: DestinationState | None = places[-1] if places else None
        if ours and ours.problem:
            raise ours.problem
        if ours and ours.file_id and ours.file_id != answer.file.id:
            return self._client.file(ours.file_id)
        return answer.file

    # Books

    def _abort(self) -> None:
        if self._session_id is None:
            return
        with contextlib.suppress(ApiProblem, Unreachable):  # ended already, or it will expire
            self._client.abort_upload(self._session_id)
        self._session_id = None

    def _moved(self, size_bytes: int) -> None:
        with self._told_lock:
            self._told += size_bytes
        self._shared.watcher.moved(self._item, size_bytes)

    def _size_without(self, todo: list[int]) -> int:
        chunks = Chunks(self._source.size_bytes, self._hashes.chunk_size_bytes)
        return self._source.size_bytes - sum(map(chunks.bytes_of, todo))


def _content_type(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name, strict=True)
    if encoding:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"


def _modified_at(source: Source) -> datetime | None:
    try:
        return datetime.fromtimestamp(source.identity.mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):  # a time stamp from before year 1 or after 9999
        return None
