"""Every problem that the API can answer with, rendered as RFC 9457 `application/problem+json` by `app`.

A problem is raised where it is found and carries only what the caller may know. Codes are stable: clients branch on
them. `docs/problems.md` lists every class here, and a test keeps it so. Nothing of FastAPI here.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """Something the caller asked for that cannot be done; `extra` becomes members of the JSON object."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without any change."""

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """Return the RFC 9457 members, without those that only the request knows."""
        return {
            "type": f"https://dropbox-api.dev/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            **self.extra,
        }


# What every operation can answer


class InvalidRequest(Problem):
    """`errors` lists `{pointer, detail}`, pointer being a JSON pointer into the request."""

    code, status, title = "invalid-request", 422, "The request is not valid"


class MalformedJson(Problem):
    code, status, title = "malformed-json", 400, "The body is not JSON"


class BodyTooLarge(Problem):
    code, status, title = "body-too-large", 413, "The body is too large"


class Unauthenticated(Problem):
    code, status, title = "unauthenticated", 401, "A valid access token is needed"


class Forbidden(Problem):
    """`role` is what you are to it, `needs` what you would have to be; or `scope` is what your token lacks."""

    code, status, title = "forbidden", 403, "You may see this, but not do that"


class RateLimited(Problem):
    """Too many requests of this kind; `Retry-After` says when the next one is taken."""

    code, status, title, retryable = "rate-limited", 429, "Too many requests", True


class NotFound(Problem):
    """Also what exists but is not the caller's to see."""

    code, status, title = "not-found", 404, "There is no such thing, or it is not yours to see"


class MethodNotAllowed(Problem):
    code, status, title = "method-not-allowed", 405, "This address does not take that method"


class InternalError(Problem):
    code, status, title, retryable = "internal-error", 500, "Something went wrong on our side", True


class Unavailable(Problem):
    """The database or the store does not answer; nothing is lost, ask again after `Retry-After`."""

    code, status, title, retryable = "unavailable", 503, "A part of the service does not answer", True


class IdempotencyMismatch(Problem):
    code, status, title = "idempotency-mismatch", 422, "This Idempotency-Key was used for another request"


class PreconditionFailed(Problem):
    """`etag` is what it is now."""

    code, status, title = "precondition-failed", 412, "It has changed since you looked: If-Match names another ETag"


# Accounts


class EmailTaken(Problem):
    code, status, title = "email-taken", 409, "There is an account with this address"


class RegistrationClosed(Problem):
    code, status, title = "registration-closed", 403, "New accounts are made by the administrator"


class InvalidCredentials(Problem):
    code, status, title = "invalid-credentials", 401, "The address or the password is wrong"


class InvalidRefreshToken(Problem):
    """Expired, revoked, or used before; a second use ends the whole sign-in."""

    code, status, title = "invalid-refresh-token", 401, "The refresh token is not valid any more"


class SecondFactorRequired(Problem):
    """Address and password are right: send them once more with `otp`, a code of the app or a recovery code."""

    code, status, title = "second-factor-required", 401, "A code of your second factor is needed"


class WeakPassword(Problem):
    """`reason`: too-short, too-long, common, or contains-address."""

    code, status, title = "weak-password", 422, "The password is too easy to guess"


class InvalidMailToken(Problem):
    code, status, title = "invalid-mail-token", 422, "The link has expired, was used, or was never sent"


class SecondFactorState(Problem):
    code, status, title = "second-factor-state", 409, "The second factor is not in a state to do that"


class OidcFailed(Problem):
    """`reason` says at which step."""

    code, status, title = "oidc-failed", 422, "The sign-in at the identity provider did not work out"


class QuotaExceeded(Problem):
    """`quota_bytes`, `used_bytes`, `reserved_bytes`, `needed_bytes` say how much is missing."""

    code, status, title = "quota-exceeded", 413, "There is not enough space left"


class TooManyFiles(Problem):
    code, status, title = "too-many-files", 413, "The account holds as many files and folders as it may"


# Files


class InvalidName(Problem):
    code, status, title = "invalid-name", 422, "The name cannot be used"


class NameTaken(Problem):
    """`file_id` is what stands there."""

    code, status, title = "name-taken", 409, "There is something of that name already"


class NotAFolder(Problem):
    code, status, title = "not-a-folder", 409, "The destination is a file, not a folder"


class NotAFile(Problem):
    code, status, title = "not-a-file", 409, "This is a folder, not a file"


class RevisionConflict(Problem):
    """Somebody replaced the file since; `revision_id` is what it is now."""

    code, status, title = "revision-conflict", 409, "The file has changed since base_revision_id"


class ParentGone(Problem):
    code, status, title = "parent-gone", 409, "The destination folder is not there any more"


class IntoItself(Problem):
    code, status, title = "into-itself", 409, "A folder cannot be moved into itself or below itself"


class RootFolder(Problem):
    code, status, title = "root-folder", 409, "The root folder stays what and where it is"


class CrossOwner(Problem):
    code, status, title = "cross-owner", 409, "A file cannot be moved into somebody else's tree: copy it there"


class ContentQuarantined(Problem):
    code, status, title = "content-quarantined", 409, "The content is not what was announced: only its owner gets it"


class ContentDamaged(Problem):
    """Nobody gets it until it is repaired: from equal bytes, or because its owner sends it again."""

    code, status, title = "content-damaged", 409, "The content was damaged in the store"


class CannotShareWith(Problem):
    """`reason`: yourself, or owner."""

    code, status, title = "cannot-share-with", 409, "It cannot be shared with this address"


class LinkPasswordRequired(Problem):
    """Send it as `X-Link-Password`."""

    code, status, title = "link-password-required", 401, "This link has a password"


class LinkNotFor(Problem):
    """`mode` is what the link is for: view, download or upload."""

    code, status, title = "link-not-for", 403, "This link is not for that"


class ProcessingRunning(Problem):
    """`file_ids` are being processed (up to 10 of them); `force` deletes them all the same."""

    code, status, title = "processing-running", 409, "A processor is working on it"


class NotQuarantined(Problem):
    code, status, title = "not-quarantined", 409, "The content is not in quarantine"


class InvalidCursor(Problem):
    code, status, title = "invalid-cursor", 422, "The cursor is not one of ours for this list"


# Events and webhooks


class CursorExpired(Problem):
    """The journal does not reach back that far: list everything again, then go on from `GET /v1/events/cursor`."""

    code, status, title = "cursor-expired", 410, "The journal does not reach back to this cursor"


class AddressRefused(Problem):
    """`reason`: scheme, address, name or credentials."""

    code, status, title = "address-refused", 422, "This address is not called from here"


class TooManyWebhooks(Problem):
    code, status, title = "too-many-webhooks", 409, "You have as many webhooks as you may have"


# Uploads


class SizeNotAllowed(Problem):
    """`max_bytes` is the largest file that can be stored."""

    code, status, title = "size-not-allowed", 422, "No file of this size can be stored"


class TooManyUploads(Problem):
    code, status, title, retryable = "too-many-uploads", 429, "Too many uploads are open", True


class FingerprintRequired(Problem):
    """Hash the file first: it may be a resume, or nothing to send. `uploads`: your unbound sessions of that size."""

    code, status, title = "fingerprint-required", 409, "The fingerprint of the file is needed"


class FingerprintMismatch(Problem):
    code, status, title = "fingerprint-mismatch", 409, "The session is bound to another fingerprint"


class ChunkMismatch(Problem):
    """`numbers` of chunks registered with another hash: the file changed. DELETE the session and start again."""

    code, status, title = "chunk-mismatch", 409, "The chunk was registered with another hash"


class PartsMissing(Problem):
    """`missing` and `mismatched` are ranges of part numbers, such as "1-120,130"."""

    code, status, title = "parts-missing", 409, "The store does not hold every part"


class UploadCompleting(Problem):
    code, status, title, retryable = "upload-completing", 409, "The upload is being completed", True


class UploadEnded(Problem):
    """`state` says how it ended."""

    code, status, title = "upload-ended", 409, "The upload has ended"


class UploadExpired(Problem):
    """Start again: what was sent is gone."""

    code, status, title = "upload-expired", 409, "The upload expired or its parts are gone"


class UploadFailed(Problem):
    """Start again; `reason` is what the store said."""

    code, status, title = "upload-failed", 409, "The store refused to assemble the upload"


class DestinationRefused(Problem):
    """`problems` holds one problem a destination; the bytes are kept for a week: give them another destination."""

    code, status, title = "destination-refused", 409, "The content is stored, but no destination took it"


class NothingToPlace(Problem):
    code, status, title = "nothing-to-place", 409, "The session holds no content that waits for a place"


def all_problems() -> Mapping[str, type[Problem]]:
    """Return every problem class by its code."""
    return {cls.code: cls for cls in Problem.__subclasses__()}
