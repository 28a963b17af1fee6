"""The object store as the rest of the server sees it: one Protocol, its value types, its errors.

Every method sends one request to the store, or one per page, and either completes or raises a `StoreError`:

- `ObjectNotFound` and `StoreRejected` are permanent: the same request fails again.
- `StoreThrottled`, `NoSpace` and `StoreConflict` mean that nothing was done; the caller may retry later.
- `StoreUnavailable` leaves the outcome unknown; every method that states `Idempotent` may be retried.

Each method may raise `StoreRejected`, `StoreThrottled` and `StoreUnavailable`, and each that writes `NoSpace`; its
docstring lists further errors, and codes that its callers handle. Implementations keep no state of the server and retry
at most three times. The server alone makes keys and upload ids; clients never do.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dropbox_api.core.content_disposition import format_content_disposition


class StoreError(Exception):
    """A failed request to the store; `detail` is for operators, never for clients."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ObjectNotFound(StoreError):
    """Permanent: the key or multipart upload does not exist (never created, completed, aborted or deleted)."""


class StoreConflict(StoreError):
    """Not done: a precondition failed, or another operation on the same key is running."""


class StoreRejected(StoreError):
    """Permanent: the store refused the request for its part list, digest, size or signature.

    `code` is S3's error code ("InvalidPart", "EntityTooSmall", "BadDigest", ...).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class StoreThrottled(StoreError):
    """Not done: the store limits the rate of requests (503 SlowDown, 429). Retry later."""


class NoSpace(StoreError):
    """Not done: the store has no room for new content. Retry once there is room."""


class StoreUnavailable(StoreError):
    """Unknown outcome: the store is unreachable, timed out, or answered 5xx. Retry.

    `code` is S3's error code, "" without an answer.
    """

    def __init__(self, detail: str, code: str = "") -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload, as the store reports it."""

    number: int
    """1-based part number."""
    size_bytes: int
    etag: str
    """Opaque, without quotes."""
    sha256: bytes | None
    """Raw 32 bytes where the store reports checksums (level A), else None."""


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """One entry of the part list of CompleteMultipartUpload."""

    number: int
    etag: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The metadata of an object, from HEAD."""

    size_bytes: int
    etag: str
    checksum_sha256: str | None
    """As stored: base64 of the SHA-256 (single PUT), base64 + "-N" (composite of N parts), or None."""
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object in a listing."""

    key: str
    size_bytes: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class MultipartRef:
    """One open multipart upload in a listing."""

    key: str
    s3_upload_id: str
    initiated_at: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A presigned request; the client sends it with exactly these headers."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PartToSign:
    """One part to presign; `sha256` is the raw 32 bytes."""

    number: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    """Headers that the store sends with a download."""

    filename: str
    content_type: str
    inline: bool
    """Whether browsers show the content or save it."""

    @property
    def content_disposition(self) -> str:
        return format_content_disposition(self.filename, inline=self.inline)


class ObjectStore(Protocol):
    """Source: the S3 API reference; `docs/stores.md` lists behaviours that differ between stores."""

    async def create_multipart(self, key: str) -> str:
        """Open a multipart upload with SHA-256 composite checksums; return S3's upload id.

        Not idempotent: each call opens another upload. The sweep aborts uploads that no session records.
        """
        ...

    async def put_part(self, key: str, s3_upload_id: str, number: int, body: bytes, sha256: bytes) -> Part:
        """Store one part; the store checks its SHA-256 (raw 32 bytes) and may report it in the returned part.

        Idempotent: a repeated part replaces the earlier one. Raises ObjectNotFound when the upload is gone,
        StoreRejected (BadDigest, ...) when the bytes do not match the hash.
        """
        ...

    async def list_parts(self, key: str, s3_upload_id: str) -> list[Part]:
        """Return every part from all pages, the newest per number, ordered by number.

        Idempotent. Raises ObjectNotFound when the upload is gone.
        """
        ...

    async def complete_multipart(
        self, key: str, s3_upload_id: str, parts: Sequence[CompletedPart], size_bytes: int
    ) -> None:
        """Assemble the object from exactly these parts, numbered densely from 1. An error inside a 200 is an error.

        Sent once, never retried here. Not idempotent: after success the upload is gone, so after ObjectNotFound,
        StoreConflict or StoreUnavailable the caller checks the key with `head`. Raises ObjectNotFound, StoreConflict,
        StoreRejected (InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest).
        """
        ...

    async def abort_multipart(self, key: str, s3_upload_id: str) -> None:
        """Discard an open upload and its parts. Idempotent: an absent upload is success.

        A part in flight may still arrive: repeat the call until `list_parts` raises ObjectNotFound.
        """
        ...

    async def copy_part(
        self,
        key: str,
        s3_upload_id: str,
        number: int,
        source_key: str,
        *,
        start: int,
        size_bytes: int,
        if_match: str | None = None,
        is_whole: bool = False,
    ) -> Part:
        """Copy a range of another object into a part (UploadPartCopy); `sha256` is the store's, if it reports one.

        `if_match`: the ETag that the source must have. `is_whole`: the range is the whole source, which S3 demands of
        sources up to 5 MiB. An error inside a 200 is an error.
        Idempotent. Raises ObjectNotFound when the source or the upload is gone (`list_parts` tells which),
        StoreConflict when the source has another ETag.
        """
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[MultipartRef]:
        """Iterate over all open multipart uploads under a prefix. Idempotent."""
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Return size, ETag and checksum. Idempotent. Raises ObjectNotFound."""
        ...

    async def put(self, key: str, body: bytes) -> None:
        """Store a small object; the store checks its SHA-256. Idempotent."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """Stream an object, or a range of it, in blocks of at most 1 MiB. Idempotent.

        Raises ObjectNotFound at the first block. An interrupted stream raises StoreUnavailable.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete an object. Idempotent: an absent object is success."""
        ...

    def list_objects(self, prefix: str) -> AsyncIterator[ObjectRef]:
        """Iterate over all objects under a prefix. Idempotent."""
        ...

    async def require_space(self) -> None:
        """Raise NoSpace when the store has no room for new content, as far as it tells. Idempotent.

        The answer is some seconds old. A store that does not answer is no full store: no error.
        """
        ...

    async def clock_skew_s(self) -> float:
        """Send a cheap request; return the server's clock minus the store's, within half a second. Idempotent."""
        ...

    async def find_blocked_origins(self, origins: Sequence[str]) -> tuple[str, ...]:
        """Return the web origins whose pages cannot send parts, by the CORS rule of the bucket. Idempotent."""
        ...

    def sign_parts(self, key: str, s3_upload_id: str, parts: Sequence[PartToSign], ttl_s: int) -> list[SignedRequest]:
        """Presign one UploadPart per entry, in order; content-length and x-amz-checksum-sha256 are signed. No I/O."""
        ...

    def sign_put(self, key: str, size_bytes: int, sha256: bytes, ttl_s: int) -> SignedRequest:
        """Presign the PUT of a whole object; content-length and x-amz-checksum-sha256 are signed. No I/O."""
        ...

    def sign_get(self, key: str, response: ResponseHeaders, *, method: str, ttl_s: int) -> SignedRequest:
        """Presign a GET or HEAD; the response's Content-Disposition and Content-Type are signed. No I/O."""
        ...

    def list_address_prefixes(self) -> tuple[str, ...]:
        """Return how the signed URLs begin, the CDN's too, each with a slash at its end."""
        ...

    def sign_cacheable(self, keys: Sequence[str], content_type: str, *, address: str | None) -> list[SignedRequest]:
        """Sign GETs whose URLs stay the same for `thumbnails.WINDOW_S`, so that a browser's cache holds the answers.

        Through the CDN where one is configured, as `sign_download`. No I/O.
        """
        ...

    def sign_download(
        self, key: str, response: ResponseHeaders, *, method: str, ttl_s: int, size_bytes: int, address: str | None
    ) -> SignedRequest:
        """Sign as `sign_get` does, through the CDN where one is configured: the URL for clients. No I/O.

        `address` is the client's; a CDN may accept the URL from that address only.
        """
        ...
