"""Every problem that the API can answer with, rendered as RFC 9457 `application/problem+json` by `app`.

A problem carries only what the caller may know. Codes are stable: clients branch on them. `docs/problems.md` lists
every class; a test compares the two. This module imports nothing of FastAPI.
"""

import inspect
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """One invalid member of a request."""

    pointer: str = Field(description="JSON pointer into the request.", examples=["/size_bytes"])
    detail: str


class Problem(Exception):
    """A request that the server refuses or cannot serve; `extra` becomes members of the JSON object.

    `title` names the problem in two or three words; `detail` explains it and says what to do.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    detail: str
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without any change."""

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None, **extra: Any) -> None:
        self.detail = detail or type(self).detail
        super().__init__(self.detail)
        self.retry_after_s = 2 if retry_after_s is None and self.status == 503 else retry_after_s
        self.extra = extra

    @classmethod
    def members(cls) -> Mapping[str, Any]:
        """Return the types of the members that this problem adds to the JSON object, by name.

        The annotations of the class declare them; the values are in `extra`. One that may be None may be absent.
        """
        return {name: kind for name, kind in inspect.get_annotations(cls).items() if not hasattr(cls, name)}

    def body(self) -> dict[str, Any]:
        """Return the RFC 9457 members except `instance` and `request_id`, which `app` adds."""
        return {
            "type": f"https://dropbox-api.dev/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            **({} if self.retry_after_s is None else {"retry_after_s": self.retry_after_s}),
            **self.extra,
        }


# General


class InvalidRequest(Problem):
    """`errors` lists `{pointer, detail}`, pointer being a JSON pointer into the request."""

    code, status, title = "invalid-request", 422, "Invalid request"
    detail = "The request is not valid: correct the members that errors lists"
    errors: list[FieldError]

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """Return the problem of one member of a request."""
        return cls(errors=[{"pointer": pointer, "detail": detail}])


class MalformedJson(Problem):
    code, status, title = "malformed-json", 400, "Malformed JSON"
    detail = "The body is not valid JSON"


class BodyTooLarge(Problem):
    code, status, title = "body-too-large", 413, "Body too large"
    detail = "The body exceeds the server's limit: send smaller batches, and large files by an upload session"
    max_bytes: int


class DigestMismatch(Problem):
    """`header` names the digest that the body does not have."""

    code, status, title, retryable = "digest-mismatch", 422, "Digest mismatch", True
    detail = "The body differs from the digest in its header, and nothing was stored: send it again"
    header: str


class Unauthenticated(Problem):
    code, status, title = "unauthenticated", 401, "Not authenticated"
    detail = "A valid access token is needed: refresh yours, or sign in"


class Forbidden(Problem):
    """`role` is the caller's role on the file, `needs` the required one; or `scope` is the one that the token lacks."""

    code, status, title = "forbidden", 403, "Forbidden"
    detail = "Your role on this file does not allow the operation: ask its owner"
    role: Literal["viewer", "editor", "owner"] | None
    needs: Literal["viewer", "editor", "owner"] | None
    scope: str | None
    reason: str | None


class RateLimited(Problem):
    """`Retry-After` says when the server accepts the next request."""

    code, status, title, retryable = "rate-limited", 429, "Too many requests", True
    detail = "Too many requests of this kind: wait for the seconds of Retry-After"
    retry_after_s: int
    windows: Sequence[Any] = ()
    """State of the exceeded limit's windows (`plumbing.limits.WindowState`), for the headers of the response."""


class NotFound(Problem):
    """The answer for a missing resource and for one that the caller must not see is the same."""

    code, status, title = "not-found", 404, "Not found"
    detail = "The resource does not exist or you have no access to it"


class MethodNotAllowed(Problem):
    code, status, title = "method-not-allowed", 405, "Method not allowed"
    detail = "This path does not support the method"


class InternalError(Problem):
    code, status, title, retryable = "internal-error", 500, "Internal error", True
    detail = "The server failed: repeat later, and report the request_id"


class Unavailable(Problem):
    """The database or the store does not answer; nothing is lost."""

    code, status, title, retryable = "unavailable", 503, "Unavailable", True
    detail = "The database or the object store does not answer: repeat after the seconds of Retry-After"
    retry_after_s: int


class StoreFull(Problem):
    """The same request succeeds once the operator has made room."""

    code, status, title, retryable = "store-full", 507, "Store full", True
    detail = "The object store has no room for new content: repeat later, or ask the operator to make room"
    retry_after_s: int


class IdempotencyMismatch(Problem):
    code, status, title = "idempotency-mismatch", 422, "Idempotency key reused"
    detail = "This Idempotency-Key belongs to another request: use a new key"


class PreconditionFailed(Problem):
    """`etag` is the current one."""

    code, status, title = "precondition-failed", 412, "Precondition failed"
    detail = "The file changed since you read it: read it again, then decide"
    etag: str


# Accounts


class EmailTaken(Problem):
    code, status, title = "email-taken", 409, "Address taken"
    detail = "An account with this address exists: sign in, or reset its password"


class RegistrationClosed(Problem):
    code, status, title = "registration-closed", 403, "Registration closed"
    detail = "This server takes no registrations: ask its administrator for an account"


class InvalidCredentials(Problem):
    code, status, title = "invalid-credentials", 401, "Wrong credentials"
    detail = "The address or the password is wrong"


class InvalidRefreshToken(Problem):
    """A late second use of a refresh token ends the whole sign-in."""

    code, status, title = "invalid-refresh-token", 401, "Invalid refresh token"
    detail = "The refresh token expired, was revoked or was used before: sign in again"


class SecondFactorRequired(Problem):
    """`otp` is a code of the authenticator app or a recovery code."""

    code, status, title = "second-factor-required", 401, "Second factor required"
    detail = "The account has a second factor: send the same request with otp"


class WeakPassword(Problem):
    """`reason`: too-short, too-long, common, or contains-address."""

    code, status, title = "weak-password", 422, "Weak password"
    detail = "The password is too easy to guess: choose another one"
    reason: Literal["too-short", "too-long", "common", "contains-address"]


class InvalidMailToken(Problem):
    code, status, title = "invalid-mail-token", 422, "Invalid mail link"
    detail = "The link has expired, was used, or was never sent: request a new mail"


class SecondFactorState(Problem):
    code, status, title = "second-factor-state", 409, "Wrong second-factor state"
    detail = "The second factor is on, is off, or was not begun: look at GET /v1/me"


class InvalidPasskey(Problem):
    """An unknown passkey, a wrong signature and a challenge that has expired get the same answer."""

    code, status, title = "invalid-passkey", 401, "Invalid passkey"
    detail = "The server does not accept this passkey: start again, or use another way to sign in"


class PasskeysUnavailable(Problem):
    code, status, title = "passkeys-unavailable", 409, "Passkeys not available"
    detail = "Passkeys need a server with a name and https: ask its operator to set DROPBOX_HTTP__PUBLIC_URL"


class OidcFailed(Problem):
    """`reason` says at which step."""

    code, status, title = "oidc-failed", 422, "Provider sign-in failed"
    detail = "The sign-in at the identity provider failed: start again"
    reason: str


class QuotaExceeded(Problem):
    """`quota_bytes`, `used_bytes`, `reserved_bytes`, `needed_bytes`; absent where the owner is another account."""

    code, status, title = "quota-exceeded", 413, "Quota exceeded"
    detail = "Not enough space is left: abort uploads that you do not need, or ask for a larger quota"
    quota_bytes: int | None
    used_bytes: int | None
    reserved_bytes: int | None
    needed_bytes: int


class TooManyFiles(Problem):
    code, status, title = "too-many-files", 413, "Too many files"
    detail = "The account holds as many files and folders as its quota allows: ask for a larger quota"


# Files


class InvalidName(Problem):
    code, status, title = "invalid-name", 422, "Invalid name"
    detail = "The name cannot be used: choose another one"
    reason: str


class NameTaken(Problem):
    """`file_id` is the item of that name."""

    code, status, title = "name-taken", 409, "Name taken"
    detail = "The folder already contains an item of this name: choose another name or another on_conflict"
    file_id: uuid.UUID | None


class NotAFolder(Problem):
    code, status, title = "not-a-folder", 409, "Not a folder"
    detail = "The destination is a file: name a folder"
    file_id: uuid.UUID | None


class NotAFile(Problem):
    code, status, title = "not-a-file", 409, "Not a file"
    detail = "This is a folder: name a file"


class RevisionConflict(Problem):
    """`revision_id` is the current head of `file_id`, and `path` where the file is now."""

    code, status, title = "revision-conflict", 409, "Revision conflict"
    detail = "The file has a newer revision than base_revision_id: look at it, then decide"
    file_id: uuid.UUID
    revision_id: uuid.UUID
    path: str | None


class TreeChanged(Problem):
    """A node below the folder was added, removed or changed since the caller computed `if_tree`."""

    code, status, title = "tree-changed", 412, "Tree changed"
    detail = "Something below the folder has changed: read it again"


class DependencyFailed(Problem):
    """`item` is the number of the item, counted from 0, on which this one depends."""

    code, status, title = "dependency-failed", 424, "Dependency failed"
    detail = "The item that should make the folder was refused: correct that one first"
    item: int


class ParentGone(Problem):
    code, status, title = "parent-gone", 409, "Folder gone"
    detail = "The destination folder no longer exists: choose another destination"


class IntoItself(Problem):
    code, status, title = "into-itself", 409, "Folder into itself"
    detail = "A folder cannot be moved into itself or below itself: choose another destination"


class RootFolder(Problem):
    code, status, title = "root-folder", 409, "Root folder"
    detail = "The root folder cannot be renamed, moved, copied or deleted"


class CrossOwner(Problem):
    code, status, title = "cross-owner", 409, "Another owner"
    detail = "The folder has another owner: POST /v1/copies copies to it, and nothing moves to it"


class ContentQuarantined(Problem):
    code, status, title = "content-quarantined", 409, "Content quarantined"
    detail = "The content differs from its announced fingerprint: only the owner can download it"


class ContentDamaged(Problem):
    """Every download is refused until the content is repaired, from equal stored bytes or by a new upload."""

    code, status, title = "content-damaged", 409, "Content damaged"
    detail = "The object store damaged the content: send it again, or wait for the repair"


class CannotShareWith(Problem):
    """`reason`: yourself, or owner."""

    code, status, title = "cannot-share-with", 409, "Cannot share"
    detail = "The file cannot be shared with this address"
    reason: Literal["yourself", "owner"]


class LinkPasswordRequired(Problem):
    code, status, title = "link-password-required", 401, "Link password required"
    detail = "The link has a password: send it as X-Link-Password, or its pass as X-Link-Pass"


class LinkNotFor(Problem):
    """`mode` is the mode of the link: view, download or upload."""

    code, status, title = "link-not-for", 403, "Wrong link mode"
    detail = "The mode of the link does not allow this operation"
    mode: Literal["view", "download", "upload"]


class LinkFull(Problem):
    """`limit` is the limit of the link that is reached; the numbers are the owner's."""

    code, status, title = "link-full", 413, "Link full"
    detail = "The upload link takes no more: ask its owner to raise the limit"
    limit: Literal["max_bytes", "max_files"]


class ProcessingRunning(Problem):
    """`file_ids` lists up to 10 files that a processor works on."""

    code, status, title = "processing-running", 409, "Processing running"
    detail = "A processor is working on the content: wait, or repeat with force=true"
    file_ids: list[uuid.UUID]


class NotQuarantined(Problem):
    code, status, title = "not-quarantined", 409, "Not quarantined"
    detail = "The content is not in quarantine: there is nothing to accept"


class InvalidCursor(Problem):
    code, status, title = "invalid-cursor", 422, "Invalid cursor"
    detail = "The cursor was not made for this list: list from the start"


# Events and webhooks


class CursorExpired(Problem):
    """`reason`: events were deleted by retention, or the server's data was restored from a backup.

    `GET /v1/events/cursor` returns a new cursor.
    """

    code, status, title = "cursor-expired", 410, "Cursor expired"
    detail = (
        "The journal no longer reaches back to the cursor: take a new cursor, list everything, then read events from it"
    )
    reason: Literal["retention", "restored"]


class AddressRefused(Problem):
    """`reason`: scheme, address, name or credentials."""

    code, status, title = "address-refused", 422, "Address refused"
    detail = "The server calls only public addresses: choose one, or ask the operator to allow your network"
    reason: Literal["scheme", "address", "name", "credentials"]


class TooManyWebhooks(Problem):
    code, status, title = "too-many-webhooks", 409, "Too many webhooks"
    detail = "You have as many webhooks as the server allows: delete one"
    max: int


class TooManyDevices(Problem):
    """`oldest_id` is the device without a report for the longest time."""

    code, status, title = "too-many-devices", 409, "Too many devices"
    detail = "As many devices report to your account as the server allows: remove one that is not used any more"
    max: int
    oldest_id: str


# Uploads


class SizeNotAllowed(Problem):
    """`max_bytes` is the largest file that can be stored."""

    code, status, title = "size-not-allowed", 422, "Size not allowed"
    detail = "No file of this size can be stored"
    reason: str
    max_bytes: int


class TooManyUploads(Problem):
    code, status, title, retryable = "too-many-uploads", 429, "Too many uploads", True
    detail = "The account has as many open uploads as the server allows: complete or abort some"
    retry_after_s: int


class FingerprintRequired(Problem):
    """The upload may be a resume or need no transfer. `uploads`: the caller's unbound sessions of that size."""

    code, status, title = "fingerprint-required", 409, "Fingerprint required"
    detail = "The fingerprint is needed first: hash the file, then start again or bind the fingerprint"
    uploads: list[uuid.UUID]


class FingerprintMismatch(Problem):
    code, status, title = "fingerprint-mismatch", 409, "Fingerprint mismatch"
    detail = "The session is bound to another fingerprint: hash the file again"


class ChunkMismatch(Problem):
    """`numbers` of the chunks that are registered with another hash."""

    code, status, title = "chunk-mismatch", 409, "Chunk mismatch"
    detail = "The chunk is registered with another hash: the file changed, so abort the session and start again"
    numbers: list[int]


class PartsMissing(Problem):
    """`missing` and `mismatched` are ranges of part numbers, such as "1-120,130"."""

    code, status, title = "parts-missing", 409, "Parts missing"
    detail = "The object store lacks parts: send those in missing, then complete again"
    missing: str
    mismatched: str


class ChunksMissing(Problem):
    """`listed_bytes` of the file are listed; the next chunk is number `next_number`."""

    code, status, title = "chunks-missing", 409, "Chunks missing"
    detail = "The list of chunks does not cover the file yet: list the others, then complete again"
    listed_bytes: int
    next_number: int


class UploadCompleting(Problem):
    code, status, title, retryable = "upload-completing", 409, "Upload completing", True
    detail = "The upload is being completed: repeat after the seconds of Retry-After"
    retry_after_s: int


class UploadEnded(Problem):
    """`state` says how it ended."""

    code, status, title = "upload-ended", 409, "Upload ended"
    detail = "The upload was completed or aborted: look at the file, or start again"
    state: Literal["completed", "aborted", "expired", "failed"]


class UploadExpired(Problem):
    code, status, title = "upload-expired", 409, "Upload expired"
    detail = "The upload was idle too long, or its parts are gone: start again"


class UploadFailed(Problem):
    """`reason` is the error of the store."""

    code, status, title = "upload-failed", 409, "Upload failed"
    detail = "The object store refused to assemble the parts, or lost them: start again"
    reason: str


class DestinationRefused(Problem):
    """`problems` holds one problem per destination; the content is kept for 7 days."""

    code, status, title = "destination-refused", 409, "Destination refused"
    detail = "The content is stored, but no destination accepted it: name another one within 7 days"
    problems: list[Problem]


class NothingToPlace(Problem):
    code, status, title = "nothing-to-place", 409, "Nothing to place"
    detail = "The session holds no content that waits for a destination: upload again"


def all_problems() -> Mapping[str, type[Problem]]:
    """Return every problem class by its code."""
    return {cls.code: cls for cls in Problem.__subclasses__()}
