"""One exception class for each problem code of the API, with the members that the code adds.

A member of a class is read from the problem document; one whose type allows None may be absent there. A test compares
this module with openapi.yaml.
"""

from typing import Literal

from dropbox_client.errors import ApiError, FieldError


class InvalidRequest(ApiError):
    """The request is not valid: correct the members that errors lists."""

    code = "invalid-request"
    errors: list[FieldError]


class MalformedJson(ApiError):
    """The body is not valid JSON."""

    code = "malformed-json"


class BodyTooLarge(ApiError):
    """The body exceeds the server's limit: send smaller batches, and large files by an upload session."""

    code = "body-too-large"
    max_bytes: int


class DigestMismatch(ApiError):
    """The body differs from the digest in its header, and nothing was stored: send it again."""

    code = "digest-mismatch"
    header: str


class Unauthenticated(ApiError):
    """A valid access token is needed: refresh yours, or sign in."""

    code = "unauthenticated"


class Forbidden(ApiError):
    """Your role on this file does not allow the operation: ask its owner."""

    code = "forbidden"
    role: Literal["viewer", "editor", "owner"] | None
    needs: Literal["viewer", "editor", "owner"] | None
    scope: str | None
    reason: str | None


class RateLimited(ApiError):
    """Too many requests of this kind: wait for the seconds of Retry-After."""

    code = "rate-limited"


class NotFound(ApiError):
    """The resource does not exist or you have no access to it."""

    code = "not-found"


class MethodNotAllowed(ApiError):
    """This path does not support the method."""

    code = "method-not-allowed"


class InternalError(ApiError):
    """The server failed: repeat later, and report the request_id."""

    code = "internal-error"


class Unavailable(ApiError):
    """The database or the object store does not answer: repeat after the seconds of Retry-After."""

    code = "unavailable"


class StoreFull(ApiError):
    """The object store has no room for new content: repeat later, or ask the operator to make room."""

    code = "store-full"


class IdempotencyMismatch(ApiError):
    """This Idempotency-Key belongs to another request: use a new key."""

    code = "idempotency-mismatch"


class PreconditionFailed(ApiError):
    """The file changed since you read it: read it again, then decide."""

    code = "precondition-failed"
    etag: str


class EmailTaken(ApiError):
    """An account with this address exists: sign in, or reset its password."""

    code = "email-taken"


class RegistrationClosed(ApiError):
    """This server takes no registrations: ask its administrator for an account."""

    code = "registration-closed"


class InvalidCredentials(ApiError):
    """The address or the password is wrong."""

    code = "invalid-credentials"


class InvalidRefreshToken(ApiError):
    """The refresh token expired, was revoked or was used before: sign in again."""

    code = "invalid-refresh-token"


class SecondFactorRequired(ApiError):
    """The account has a second factor: send the same request with otp."""

    code = "second-factor-required"


class WeakPassword(ApiError):
    """The password is too easy to guess: choose another one."""

    code = "weak-password"
    reason: Literal["too-short", "too-long", "common", "contains-address"]


class InvalidMailToken(ApiError):
    """The link has expired, was used, or was never sent: request a new mail."""

    code = "invalid-mail-token"


class SecondFactorState(ApiError):
    """The second factor is on, is off, or was not begun: look at GET /v1/me."""

    code = "second-factor-state"


class InvalidPasskey(ApiError):
    """The server does not accept this passkey: start again, or use another way to sign in."""

    code = "invalid-passkey"


class PasskeysUnavailable(ApiError):
    """Passkeys need a server with a name and https: ask its operator to set DROPBOX_HTTP__PUBLIC_URL."""

    code = "passkeys-unavailable"


class OidcFailed(ApiError):
    """The sign-in at the identity provider failed: start again."""

    code = "oidc-failed"
    reason: str


class QuotaExceeded(ApiError):
    """Not enough space is left: abort uploads that you do not need, or ask for a larger quota."""

    code = "quota-exceeded"
    quota_bytes: int | None
    used_bytes: int | None
    reserved_bytes: int | None
    needed_bytes: int


class TooManyFiles(ApiError):
    """The account holds as many files and folders as its quota allows: ask for a larger quota."""

    code = "too-many-files"


class InvalidName(ApiError):
    """The name cannot be used: choose another one."""

    code = "invalid-name"
    reason: str


class NameTaken(ApiError):
    """The folder already contains an item of this name: choose another name or another on_conflict."""

    code = "name-taken"
    file_id: str | None


class NotAFolder(ApiError):
    """The destination is a file: name a folder."""

    code = "not-a-folder"
    file_id: str | None


class NotAFile(ApiError):
    """This is a folder: name a file."""

    code = "not-a-file"


class RevisionConflict(ApiError):
    """The file has a newer revision than base_revision_id: look at it, then decide."""

    code = "revision-conflict"
    file_id: str
    revision_id: str
    path: str | None


class TreeChanged(ApiError):
    """Something below the folder has changed: read it again."""

    code = "tree-changed"


class DependencyFailed(ApiError):
    """The item that should make the folder was refused: correct that one first."""

    code = "dependency-failed"
    item: int


class ParentGone(ApiError):
    """The destination folder no longer exists: choose another destination."""

    code = "parent-gone"


class IntoItself(ApiError):
    """A folder cannot be moved into itself or below itself: choose another destination."""

    code = "into-itself"


class RootFolder(ApiError):
    """The root folder cannot be renamed, moved, copied or deleted."""

    code = "root-folder"


class CrossOwner(ApiError):
    """The folder has another owner: copy with `Client.files.start_copy`; nothing moves to it."""

    code = "cross-owner"


class ContentQuarantined(ApiError):
    """The content differs from its announced fingerprint: only the owner can download it."""

    code = "content-quarantined"


class ContentDamaged(ApiError):
    """The object store damaged the content: send it again, or wait for the repair."""

    code = "content-damaged"


class CannotShareWith(ApiError):
    """The file cannot be shared with this address."""

    code = "cannot-share-with"
    reason: Literal["yourself", "owner"]


class LinkPasswordRequired(ApiError):
    """The link has a password: send it as X-Link-Password."""

    code = "link-password-required"


class LinkNotFor(ApiError):
    """The mode of the link does not allow this operation."""

    code = "link-not-for"
    mode: Literal["view", "download", "upload"]


class LinkFull(ApiError):
    """The upload link takes no more: `limit` is the limit that its owner set and that is reached."""

    code = "link-full"
    limit: Literal["max_bytes", "max_files"]


class ProcessingRunning(ApiError):
    """A processor is working on the content: wait, or repeat with force=true."""

    code = "processing-running"
    file_ids: list[str]


class NotQuarantined(ApiError):
    """The content is not in quarantine: there is nothing to accept."""

    code = "not-quarantined"


class InvalidCursor(ApiError):
    """The cursor was not made for this list: list from the start."""

    code = "invalid-cursor"


class CursorExpired(ApiError):
    """The journal begins after the cursor: take a new cursor, list everything, then read events from it."""

    code = "cursor-expired"
    reason: Literal["retention", "restored"]


class AddressRefused(ApiError):
    """The server calls only public addresses: choose one, or ask the operator to allow your network."""

    code = "address-refused"
    reason: Literal["scheme", "address", "name", "credentials"]


class TooManyWebhooks(ApiError):
    """You have as many webhooks as the server allows: delete one."""

    code = "too-many-webhooks"
    max: int


class TooManyDevices(ApiError):
    """As many devices report to your account as the server allows: remove one that is not used any more."""

    code = "too-many-devices"
    max: int
    oldest_id: str


class SizeNotAllowed(ApiError):
    """No file of this size can be stored."""

    code = "size-not-allowed"
    reason: str
    max_bytes: int


class TooManyUploads(ApiError):
    """The account has as many open uploads as the server allows: complete or abort some."""

    code = "too-many-uploads"


class FingerprintRequired(ApiError):
    """The fingerprint is needed first: hash the file, then start again or bind the fingerprint."""

    code = "fingerprint-required"
    uploads: list[str]


class FingerprintMismatch(ApiError):
    """The session is bound to another fingerprint: hash the file again."""

    code = "fingerprint-mismatch"


class ChunkMismatch(ApiError):
    """The chunk is registered with another hash: the file changed, so abort the session and start again."""

    code = "chunk-mismatch"
    numbers: list[int]


class ChunksMissing(ApiError):
    """The list of chunks does not cover the file yet: list the others, then complete again."""

    code = "chunks-missing"
    listed_bytes: int
    next_number: int


class PartsMissing(ApiError):
    """The object store lacks parts: send those in missing, then complete again."""

    code = "parts-missing"
    missing: str
    mismatched: str


class UploadCompleting(ApiError):
    """The upload is being completed: repeat after the seconds of Retry-After."""

    code = "upload-completing"


class UploadEnded(ApiError):
    """The upload was completed or aborted: look at the file, or start again."""

    code = "upload-ended"
    state: Literal["completed", "aborted", "expired", "failed"]


class UploadExpired(ApiError):
    """The upload was idle too long, or its parts are gone: start again."""

    code = "upload-expired"


class UploadFailed(ApiError):
    """The object store refused to assemble the parts, or lost them: start again."""

    code = "upload-failed"
    reason: str


class DestinationRefused(ApiError):
    """The content is stored, but no destination accepted it: name another one within 7 days."""

    code = "destination-refused"
    problems: list[ApiError]


class NothingToPlace(ApiError):
    """The session holds no content that waits for a destination: upload again."""

    code = "nothing-to-place"


PROBLEMS: dict[str, type[ApiError]] = {
    problem.code: problem
    for problem in (
        InvalidRequest,
        MalformedJson,
        BodyTooLarge,
        DigestMismatch,
        Unauthenticated,
        Forbidden,
        RateLimited,
        NotFound,
        MethodNotAllowed,
        InternalError,
        Unavailable,
        StoreFull,
        IdempotencyMismatch,
        PreconditionFailed,
        TreeChanged,
        DependencyFailed,
        EmailTaken,
        RegistrationClosed,
        InvalidCredentials,
        InvalidRefreshToken,
        SecondFactorRequired,
        WeakPassword,
        InvalidMailToken,
        SecondFactorState,
        InvalidPasskey,
        PasskeysUnavailable,
        OidcFailed,
        QuotaExceeded,
        TooManyFiles,
        InvalidName,
        NameTaken,
        NotAFolder,
        NotAFile,
        RevisionConflict,
        ParentGone,
        IntoItself,
        RootFolder,
        CrossOwner,
        ContentQuarantined,
        ContentDamaged,
        CannotShareWith,
        LinkPasswordRequired,
        LinkNotFor,
        LinkFull,
        ProcessingRunning,
        NotQuarantined,
        InvalidCursor,
        CursorExpired,
        AddressRefused,
        TooManyWebhooks,
        TooManyDevices,
        SizeNotAllowed,
        TooManyUploads,
        FingerprintRequired,
        FingerprintMismatch,
        ChunkMismatch,
        ChunksMissing,
        PartsMissing,
        UploadCompleting,
        UploadEnded,
        UploadExpired,
        UploadFailed,
        DestinationRefused,
        NothingToPlace,
    )
}
"""The class of each code."""
