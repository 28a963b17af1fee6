"""The object store as the rest of the server sees it: one Protocol, its values, its errors.

Every method is one request to the store (or one per page). A method either did what it says, or raises a
`StoreError`; after `StoreUnavailable` or `StoreThrottled` the outcome is unknown and the call may be repeated: every
method is idempotent as far as S3 allows, and says where it is not. Implementations hold no state of ours and never
retry beyond their stated budget. Keys and upload ids come from the server only, never from a client.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class StoreError(Exception):
    """Something the object store said or failed to say; `detail` is for operators, never for clients."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ObjectNotFound(StoreError):
    """No such key, or no such multipart upload (never created, completed, or aborted)."""


class StoreConflict(StoreError):
    """A precondition failed, or another operation on the same key is running."""


class StoreRejected(StoreError):
    """The store understood and refused: bad part list, digest, size, signature. Repeating it cannot help.

    `code` is S3's error code ("InvalidPart", "EntityTooSmall", "BadDigest", ...).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class StoreThrottled(StoreError):
    """Slow down (503 SlowDown, 429). Outcome: not done."""


class StoreUnavailable(StoreError):
    """Unreachable, timed out, or 5xx. Outcome: unknown."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part as ListParts reports it."""

    number: int
    """1-based part number."""
    size_bytes: int
    etag: str
    """Opaque, without quotes."""
    sha256: bytes | None
    """Raw 32 bytes where the store lists checksums (level A), else None."""


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """One line of the list that CompleteMultipartUpload carries."""

    number: int
    etag: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What HEAD says of an object."""

    size_bytes: int
    etag: str
    checksum_sha256: str | None
    """As stored: base64 of the SHA-256 (single PUT), base64 + "-N" (composite of N parts), or None."""
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of a listing."""

    key: str
    size_bytes: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class MultipartRef:
    """One open multipart upload of a listing."""

    key: str
    upload_id: str
    initiated_at: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A presigned request: send it with exactly these headers."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PartToSign:
    number: int
    size_bytes: int
    sha256: bytes


class ObjectStore(Protocol):
    """Source: the S3 API reference; behaviours that differ between stores are in `docs/stores.md`."""

    async def create_multipart(self, key: str) -> str:
        """Open a multipart upload with SHA-256 composite checksums; return S3's upload id.

        Not idempotent: each call opens another one (the sweep aborts what nobody recorded).
        """
        ...

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, sha256: bytes) -> Part:
        """Store one part, its SHA-256 (raw 32 bytes) checked by the store; `sha256` is what it says, if it says.

        Raises ObjectNotFound when the upload is gone, StoreRejected (BadDigest, ...) when the bytes do not hash to it.
        """
        ...

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return every part, all pages read, one row per number (the newest), ordered by number.

        Raises ObjectNotFound when the upload is gone.
        """
        ...

    async def complete_multipart(
        self, key: str, upload_id: str, parts: Sequence[CompletedPart], size_bytes: int
    ) -> None:
        """Assemble the object from exactly these parts, dense from 1.

        Raises ObjectNotFound (gone: perhaps already completed, so HEAD the key), StoreRejected (InvalidPart,
        EntityTooSmall, BadDigest, InvalidPartOrder), StoreUnavailable (outcome unknown: HEAD the key). A 200 with an
        error body counts as the error it holds.
        """
        ...

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Discard an open upload and its parts; gone already is success.

        A part in flight may still land: call again until `list_parts` raises ObjectNotFound.
        """
        ...

    async def copy_part(
        self, key: str, upload_id: str, number: int, source_key: str, *, start: int, size_bytes: int
    ) -> Part:
        """Make a part of a range of another object (UploadPartCopy); `sha256` is what the store computed, if it says.

        Raises ObjectNotFound when the source or the upload is gone (`list_parts` tells which).
        """
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[MultipartRef]:
        """Iterate over all open multipart uploads under a prefix."""
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Return size, ETag and checksum. Raises ObjectNotFound."""
        ...

    async def put(self, key: str, body: bytes) -> None:
        """Store a small object, its SHA-256 checked by the store."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """Stream an object (or a range of it) in blocks of at most 1 MiB. The first block may raise ObjectNotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object; gone already is success."""
        ...

    def list_objects(self, prefix: str) -> AsyncIterator[ObjectRef]:
        """Iterate over all objects under a prefix."""
        ...

    async def clock_skew_s(self) -> float:
        """Ask the store something cheap; return the server's clock minus the store's, within half a second.

        Raises StoreError when the store does not answer, or refuses the request.
        """
        ...

    def sign_parts(self, key: str, upload_id: str, parts: Sequence[PartToSign], ttl_s: int) -> list[SignedRequest]:
        """Presign one UploadPart per entry, in order; content-length and x-amz-checksum-sha256 are signed. No I/O."""
        ...

    def sign_put(self, key: str, size_bytes: int, sha256: bytes, ttl_s: int) -> SignedRequest:
        """Presign the PUT of a whole object with signed content-length and x-amz-checksum-sha256. No I/O."""
        ...

    def sign_get(
        self, key: str, *, method: str, filename: str, content_type: str, inline: bool, ttl_s: int
    ) -> SignedRequest:
        """Presign a GET or HEAD; the answer's Content-Disposition (RFC 6266) and Content-Type are signed in. No I/O."""
        ...

    def sign_download(
        self,
        key: str,
        *,
        method: str,
        filename: str,
        content_type: str,
        inline: bool,
        ttl_s: int,
        size_bytes: int,
        address: str | None,
    ) -> SignedRequest:
        """Sign as `sign_get` does, but through the CDN where there is one: what is handed to clients. No I/O.

        `address` is the client's; a CDN may be told to let nobody else have it.
        """
        ...
