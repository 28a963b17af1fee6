"""The upload of one file to an upload link: start -> hash, sign and send part by part -> complete. No I/O of its own.

One generator of steps for both clients, as in `exchange`. Secret and `client_ref` name the session on the server: with
the same ones an interrupted upload continues where it stopped, also in another process.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dropbox_client.call import IDLE_TIMEOUT_S
from dropbox_client.calls import public
from dropbox_client.errors import ApiError, ClientError, TransferFailed, Unreachable
from dropbox_client.exchange import Blocking, Exchange, Pause, Request, Steps
from dropbox_client.models import CreatedLinkUpload, CreateLinkUpload, LinkUpload, SignedPart
from dropbox_client.problems import FingerprintRequired, PartsMissing, UploadCompleting
from dropbox_client.retry import TRANSFER_RETRY_FOR_S, Backoff, RetryWindow
from dropbox_client.transfer.chunks import Chunks, fixed, parse_ranges
from dropbox_client.transfer.parts import MAX_DAMAGED_TRIES, Busy, Damaged, PartResult, read_result
from dropbox_client.transfer.source import Source, hash_range

_BATCH = 8
"""Parts that are hashed and signed together."""
_MAX_SESSIONS = 3
_MAX_ROUNDS = 4
_MAX_URLS = 5
_COMPLETE_RETRY_FOR_S = 3600.0
_LOST = frozenset({"upload-expired", "upload-ended", "upload-failed", "upload-completing"})
"""Problem codes after which a new session may succeed."""


@dataclass(frozen=True)
class LinkTarget:
    """A link, how it is opened, the secret of the sender, and the name that a file gets below the link's folder."""

    token: str = field(repr=False)
    password: public.Password = field(repr=False)
    secret: str = field(repr=False)
    name: str
    folder_path: str | None


def make_secret() -> str:
    """Return a new secret of a sender."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class _PartBody:
    """The bytes of one part, read anew for each attempt."""

    source: Source
    part: SignedPart
    content_type: str = ""

    @property
    def size_bytes(self) -> int:
        return self.part.size_bytes

    def blocks(self) -> Iterator[memoryview]:
        return self.source.blocks(self.part.offset_bytes, self.part.size_bytes)


def _make_reference(source: Source, target: LinkTarget) -> str:
    """Return the same `client_ref` for the same file under the same name; it tells nothing about the file."""
    is_path = source.modified_ns is not None
    content = [source.modified_ns, source.identity.inode] if is_path else [secrets.token_hex()]
    described = [target.name, target.folder_path, source.size_bytes, *content]
    return hashlib.sha256(json.dumps(described).encode("utf-8", "surrogatepass")).hexdigest()


def send_to_link(
    exchange: Exchange,
    target: LinkTarget,
    source: Source,
    on_bytes: Callable[[int], object],
    on_present: Callable[[int], object],
) -> Steps[LinkUpload]:
    """Send the content of an open source to an upload link; return the completed session.

    `on_bytes` is called with the number of bytes that this call has sent, `on_present` with that of bytes which were
    stored before, negative if they must be sent again.
    Raises ApiError, FileChanged, Unreadable, TransferFailed, Unreachable, Stopped.
    """
    upload = _LinkUpload(exchange, target, source, on_bytes, on_present)
    for _ in range(_MAX_SESSIONS):
        try:
            return (yield from upload.run())
        except ApiError as problem:
            if problem.code not in _LOST:
                raise
            reason = problem.detail
    raise TransferFailed(f"gave up after {_MAX_SESSIONS} upload sessions: {reason}")


class _LinkUpload:
    def __init__(
        self,
        exchange: Exchange,
        target: LinkTarget,
        source: Source,
        on_bytes: Callable[[int], object],
        on_present: Callable[[int], object],
    ) -> None:
        self._exchange = exchange
        self._target = target
        self._source = source
        self._on_bytes = on_bytes
        self._on_present = on_present
        self._stored_bytes = 0
        self._fingerprint: str | None = None
        self._client_ref = _make_reference(source, target)
        self._upload_id = ""

    def run(self) -> Steps[LinkUpload]:
        """Bring one session to its end."""
        started = yield from self._start()
        upload = started.upload
        if upload.state == "active" and not started.is_new:
            upload = yield from self._reconcile()
        if upload.state != "active":
            self._report_present(upload.size_bytes)
        for _ in range(_MAX_ROUNDS):
            if upload.state == "active":
                yield from self._send_missing(upload, {part.number: part for part in started.parts})
            yield Blocking(self._source.check)
            try:
                return (yield from self._complete())
            except PartsMissing:
                upload = yield from self._reconcile()
        raise TransferFailed(f"the store lost parts {_MAX_ROUNDS} times")

    def _start(self) -> Steps[CreatedLinkUpload]:
        """Start without the fingerprint, which a small file needs first."""
        try:
            started = yield from self._post_start()
        except FingerprintRequired:
            self._fingerprint = yield Blocking(lambda: hash_range(self._source, 0, self._source.size_bytes))
            started = yield from self._post_start()
        self._upload_id = started.upload.id
        return started

    def _post_start(self) -> Steps[CreatedLinkUpload]:
        target, size_bytes = self._target, self._source.size_bytes
        new = CreateLinkUpload(self._client_ref, target.name, size_bytes, target.folder_path, self._fingerprint)
        call = public.start_upload(target.token, target.password, target.secret, new)
        return (yield from self._exchange.send(call))

    def _reconcile(self) -> Steps[LinkUpload]:
        call = public.reconcile_upload(self._target.token, self._target.secret, self._upload_id)
        return (yield from self._exchange.send(call))

    # Send

    def _send_missing(self, upload: LinkUpload, signed: dict[int, SignedPart]) -> Steps[None]:
        """Read all chunks in order, for the fingerprint; sign and send those that the store lacks."""
        chunks = Chunks(upload.size_bytes, fixed(upload.chunk_size_bytes))
        missing = set(parse_ranges(upload.missing))
        self._report_present(upload.size_bytes - sum(map(chunks.bytes_of, missing)))
        whole = hashlib.sha256()
        batch: dict[int, str] = {}
        for number in range(1, chunks.count + 1):
            sha256 = yield from self._hash_chunk(chunks, number, whole, is_missing=number in missing)
            if number in signed and number in missing:
                yield from self._send_part(signed[number], sha256)
            elif number in missing:
                batch[number] = sha256
            if batch and (len(batch) == _BATCH or number == chunks.count):
                yield from self._send_batch(batch)
                batch = {}
        self._fingerprint = self._fingerprint or whole.hexdigest()

    def _hash_chunk(self, chunks: Chunks, number: int, whole: "hashlib._Hash", *, is_missing: bool) -> Steps[str]:
        if not is_missing and self._fingerprint:
            return ""
        offset_bytes, size_bytes = chunks.offset(number), chunks.bytes_of(number)
        digest: str = yield Blocking(lambda: _hash(self._source, offset_bytes, size_bytes, whole))
        return digest

    def _send_batch(self, hashes: dict[int, str]) -> Steps[None]:
        """Sign and send these chunks; the server may sign only the first ones at a time."""
        left = dict(hashes)
        while left:
            parts = yield from self._sign(left)
            for part in parts:
                yield from self._send_part(part, left.pop(part.number))

    def _sign(self, hashes: dict[int, str]) -> Steps[list[SignedPart]]:
        return (
            yield from self._exchange.send(
                public.sign_upload_parts(self._target.token, self._target.secret, self._upload_id, hashes)
            )
        )

    def _send_part(self, part: SignedPart, sha256: str) -> Steps[None]:
        for _ in range(_MAX_URLS):
            result = yield from self._put(part)
            if result is PartResult.STORED:
                self._stored_bytes += part.size_bytes
                self._on_bytes(part.size_bytes)
                return
            (part,) = yield from self._sign({part.number: sha256})  # refuses a session that has ended
        raise TransferFailed(f"the store refuses the signed URL of part {part.number}")

    def _put(self, part: SignedPart) -> Steps[PartResult]:
        body = _PartBody(self._source, part) if part.size_bytes else b""
        damaged = 0
        with Backoff(RetryWindow(TRANSFER_RETRY_FOR_S, waits=self._exchange.waits)) as backoff:
            while True:
                failure: ClientError
                try:
                    response = yield Request("PUT", part.url, part.headers, body, IDLE_TIMEOUT_S)
                    return read_result(part, response)
                except (Unreachable, Busy) as refusal:
                    failure = refusal
                except Damaged as damage:
                    yield Blocking(self._source.check)
                    failure, damaged = damage, damaged + 1
                    if damaged == MAX_DAMAGED_TRIES:
                        raise
                pause_s = backoff.next_pause_s(failure=failure)
                if pause_s is None:
                    raise failure
                yield Pause(pause_s)

    def _report_present(self, size_bytes: int) -> None:
        """Report that the store has so many bytes of the file."""
        self._on_present(size_bytes - self._stored_bytes)
        self._stored_bytes = size_bytes

    # Complete

    def _complete(self) -> Steps[LinkUpload]:
        assembling = TransferFailed("the server is still assembling the file; repeat the upload later")
        with Backoff(RetryWindow(_COMPLETE_RETRY_FOR_S, waits=self._exchange.waits), cap_s=5) as backoff:
            while True:
                call = public.complete_upload(
                    self._target.token, self._target.secret, self._upload_id, self._fingerprint
                )
                try:
                    upload = yield from self._exchange.send(call)
                except UploadCompleting:
                    pass
                else:
                    if upload.state == "completed":
                        return upload
                    if upload.state == "failed":
                        raise TransferFailed(upload.failure or "the upload failed")
                pause_s = backoff.next_pause_s(1, failure=assembling)
                if pause_s is None:
                    raise assembling
                yield Pause(pause_s)


def _hash(source: Source, offset_bytes: int, size_bytes: int, whole: "hashlib._Hash") -> str:
    """Return the SHA-256 of a range in hex; add its bytes to `whole`."""
    digest = hashlib.sha256()
    for block in source.blocks(offset_bytes, size_bytes):
        digest.update(block)
        whole.update(block)
    return digest.hexdigest()
