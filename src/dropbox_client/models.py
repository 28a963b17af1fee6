"""The requests and responses of the API as frozen dataclasses. Ids are UUID strings, times are aware, hashes are hex.

Unknown members are ignored, so that an older client can talk to a newer server. Only classes with many instances have
slots, which cost time when the module is imported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Literal, Self
from unicodedata import normalize

from dropbox_client.errors import ApiError

OnConflict = Literal["fail", "rename", "replace"]
AccountKind = Literal["person", "service"]
DeliveryState = Literal["pending", "delivered", "failed"]
ProcessingState = Literal["queued", "running", "succeeded", "failed"]
Scope = Literal["files:read", "files:write", "share", "processing", "admin"]
UploadState = Literal["creating", "active", "completing", "completed", "aborted", "expired", "failed"]
Order = Literal["name", "-name", "size", "-size", "modified", "-modified"]
GrantedRole = Literal["viewer", "editor"]
LinkMode = Literal["view", "download", "upload"]
Json = Mapping[str, Any]


class Keep(Enum):
    """The type of KEEP: leave this member alone."""

    KEEP = "keep"


KEEP = Keep.KEEP


def normalize_name(name: str) -> str:
    """Return a name or path in the form in which the server compares it, without case and Unicode differences."""
    return normalize("NFC", normalize("NFC", name).casefold())


class _Model:
    """A model that is read from JSON; `_readers` convert members to types that JSON lacks."""

    __slots__ = ()
    _readers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read a JSON object. Raises TypeError or ValueError for an object of another shape."""
        members = {}
        for member in fields(cls):  # type: ignore[arg-type]
            if member.name in document:
                value, read = document[member.name], cls._readers.get(member.name)
                members[member.name] = read(value) if read and value is not None else value
        return cls(**members)


_read_time = datetime.fromisoformat


@dataclass(frozen=True)
class Processing(_Model):
    """The last state that a processor reported for a revision."""

    _readers: ClassVar = {"updated_at": _read_time}

    state: ProcessingState
    detail: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class File(_Model):
    """A file or a folder; members that only files have are None for folders."""

    _readers: ClassVar = {
        "created_at": _read_time,
        "modified_at": _read_time,
        "client_modified_at": _read_time,
        "trashed_at": _read_time,
        "processing": Processing.from_json,
    }

    id: str
    kind: Literal["file", "folder"]
    name: str
    parent_id: str | None
    path: str
    size_bytes: int | None
    fingerprint: str | None
    content_type: str | None
    revision_id: str | None
    content_status: Literal["stored", "verified", "quarantined", "damaged"] | None
    created_at: datetime
    modified_at: datetime
    client_modified_at: datetime | None
    owner: str
    role: Literal["viewer", "editor", "owner"]
    etag: str
    processing: Processing | None = None
    trashed_at: datetime | None = None
    """When it was moved to the trash, where `path` is the old path."""
    true_fingerprint: str | None = None
    """The actual hash of quarantined content."""


FileRef = File | str
"""A file or folder, its id, or its path in the caller's own tree, which starts with a slash."""


@dataclass(frozen=True)
class Revision(_Model):
    """One version of a file's content."""

    _readers: ClassVar = {
        "created_at": _read_time,
        "client_modified_at": _read_time,
        "processing": Processing.from_json,
    }

    id: str
    number: int
    is_head: bool
    size_bytes: int
    fingerprint: str
    content_type: str
    content_status: Literal["stored", "verified", "quarantined", "damaged"]
    author: str
    client_modified_at: datetime | None
    created_at: datetime
    processing: Processing | None = None


@dataclass(frozen=True, slots=True)
class SignedPart(_Model):
    """A signed URL: PUT exactly the bytes of the chunk to `url` with `headers`."""

    _readers: ClassVar = {"expires_at": _read_time}

    number: int
    url: str = field(repr=False)  # a signed URL is a secret
    headers: dict[str, str] = field(repr=False)
    offset_bytes: int
    size_bytes: int
    expires_at: datetime


def _read_problem(document: Json) -> ApiError:
    return ApiError.from_json(document, 409)


@dataclass(frozen=True)
class DestinationState(_Model):
    _readers: ClassVar = {"problem": _read_problem}

    id: str
    parent_id: str
    name: str
    on_conflict: OnConflict
    file_id: str | None
    revision_id: str | None
    problem: ApiError | None


@dataclass(frozen=True)
class Upload(_Model):
    """An upload session. `uploaded`, `missing` and `mismatched` are ranges such as "1-120,130"."""

    _readers: ClassVar = {
        "created_at": _read_time,
        "last_activity_at": _read_time,
        "expires_at": _read_time,
        "destinations": lambda items: [DestinationState.from_json(item) for item in items],
    }

    id: str
    state: UploadState
    fingerprint: str | None
    size_bytes: int
    strategy: Literal["single", "multipart"]
    chunk_size_bytes: int
    chunk_count: int
    uploaded: str
    missing: str
    mismatched: str
    uploaded_bytes: int
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    destinations: list[DestinationState]
    failure: str | None = None


def _read_file(document: Json) -> File:
    return File.from_json(document)


def _read_upload(document: Json) -> Upload:
    return Upload.from_json(document)


def _read_parts(items: list[Json]) -> list[SignedPart]:
    return [SignedPart.from_json(item) for item in items]


@dataclass(frozen=True)
class CreatedUpload(_Model):
    """Either `upload`, a session to send, or `file`: the owner already stores this content."""

    _readers: ClassVar = {"upload": _read_upload, "file": _read_file, "parts": _read_parts}

    upload: Upload | None = None
    file: File | None = None
    parts: list[SignedPart] = field(default_factory=list)
    is_new: bool = False
    """True if this request created the session, which is empty."""


@dataclass(frozen=True)
class CreatedUploadItem(CreatedUpload):
    """The result of one item of a batch: what a single start returns, or the `problem` that it would raise."""

    _readers: ClassVar = {**CreatedUpload._readers, "problem": _read_problem}  # noqa: SLF001

    problem: ApiError | None = None


@dataclass(frozen=True)
class CompletedUpload(_Model):
    """A completed upload: `file` is the file of the first destination, `destinations` has the result of each."""

    _readers: ClassVar = {
        "file": _read_file,
        "destinations": lambda items: [DestinationState.from_json(item) for item in items],
    }

    file: File
    destinations: list[DestinationState]


@dataclass(frozen=True)
class RetryLater:
    """The server is still working: repeat the request after `after_s` seconds."""

    after_s: float


@dataclass(frozen=True)
class CompletedUploadItem(_Model):
    _readers: ClassVar = {"file": _read_file, "problem": _read_problem}

    upload_id: str
    file: File | None = None
    problem: ApiError | None = None


@dataclass(frozen=True, slots=True)
class Chunk(_Model):
    number: int
    offset_bytes: int
    size_bytes: int
    sha256: str | None
    state: Literal["planned", "uploaded", "mismatched"]


@dataclass(frozen=True)
class FingerprintHit(_Model):
    _readers: ClassVar = {"file": _read_file, "upload": _read_upload}

    file: File | None
    upload: Upload | None


@dataclass(frozen=True)
class DownloadUrl(_Model):
    """A signed URL for content; it needs no authentication and is valid until `expires_at`."""

    _readers: ClassVar = {"expires_at": _read_time}

    url: str = field(repr=False)
    expires_at: datetime
    size_bytes: int
    fingerprint: str
    content_status: str
    revision_id: str
    etag: str


@dataclass(frozen=True)
class Capabilities(_Model):
    proof_level: Literal["A", "B"]
    single_max_bytes: int
    chunk_size_bytes: int
    min_part_bytes: int
    max_part_bytes: int
    max_parts: int
    max_file_bytes: int
    url_ttl_s: int
    session_ttl_s: int
    batch_items: int


@dataclass(frozen=True)
class Account(_Model):
    """The account of the caller, its usage and its quota."""

    _readers: ClassVar = {"created_at": _read_time, "email_verified_at": _read_time}

    id: str
    email: str
    created_at: datetime
    used_bytes: int
    reserved_bytes: int
    quota_bytes: int
    used_nodes: int
    quota_nodes: int
    kind: AccountKind = "person"
    is_admin: bool = False
    email_verified_at: datetime | None = None
    second_factor: bool = False
    has_password: bool = True


@dataclass(frozen=True)
class ManagedUser(Account):
    """An account, as administrators see it."""

    _readers: ClassVar = {**Account._readers, "disabled_at": _read_time}  # noqa: SLF001

    disabled_at: datetime | None = None


@dataclass(frozen=True)
class SecondFactorProposal(_Model):
    """The setup of an authenticator app: `secret` to type, or `otpauth_url` to open or to show as a QR code."""

    secret: str = field(repr=False)
    otpauth_url: str = field(repr=False)


@dataclass(frozen=True)
class SignInSession(_Model):
    """A sign-in of the account."""

    _readers: ClassVar = {"created_at": _read_time, "last_used_at": _read_time}

    id: str
    user_agent: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    is_current: bool


@dataclass(frozen=True)
class PersonalToken(_Model):
    """A personal access token, without the token itself."""

    _readers: ClassVar = {"created_at": _read_time, "last_used_at": _read_time, "expires_at": _read_time}

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class CreatedPersonalToken(PersonalToken):
    """A new personal access token: `token` is shown only here."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Grant(_Model):
    """The access of one account to a file or folder; if `inherited`, through its ancestor `node_id`."""

    _readers: ClassVar = {"created_at": _read_time}

    id: str
    node_id: str
    inherited: bool
    email: str | None
    """None if the grant names the account by its id."""
    user_id: str | None
    role: GrantedRole
    pending: bool
    """True until an account with this confirmed address exists."""
    created_at: datetime


@dataclass(frozen=True)
class Link(_Model):
    """A public link; its `token` is all that a visitor needs, and its page is at `url_path` of the server."""

    _readers: ClassVar = {"created_at": _read_time, "expires_at": _read_time}

    id: str
    node_id: str
    token: str = field(repr=False)
    url_path: str = field(repr=False)
    mode: LinkMode
    has_password: bool
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int
    created_at: datetime


@dataclass(frozen=True)
class Activity(_Model):
    """An entry of the audit trail of a file or folder."""

    _readers: ClassVar = {"created_at": _read_time}

    id: str
    action: str
    actor: str | None
    address: str | None
    user_agent: str | None
    request_id: str | None
    created_at: datetime
    detail: dict[str, Any]


@dataclass(frozen=True)
class Webhook(_Model):
    """A webhook, without its secret."""

    _readers: ClassVar = {"created_at": _read_time, "failing_since": _read_time, "disabled_at": _read_time}

    id: str
    url: str
    kinds: list[str]
    """Empty for all kinds of events."""
    description: str
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: Literal["user", "gone", "failing", "secret"] | None


@dataclass(frozen=True)
class CreatedWebhook(Webhook):
    """A new webhook: `secret` is shown only here."""

    secret: str = field(repr=False)


@dataclass(frozen=True)
class Delivery(_Model):
    """The delivery of one event to one webhook."""

    _readers: ClassVar = {"next_attempt_at": _read_time, "created_at": _read_time, "delivered_at": _read_time}

    id: str
    webhook_id: str
    event_id: str
    kind: str
    file_id: str | None
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Event(_Model):
    """A change of a file or folder that the caller sees, or saw until this change."""

    _readers: ClassVar = {"at": _read_time, "file": _read_file}

    id: str
    """The same for all receivers, including webhooks."""
    kind: str
    """Such as "file.created"; a newer server may send kinds that this version does not know."""
    file_id: str
    at: datetime
    file: File | None
    """The file as of the request, not of the event; None if it is deleted or no longer visible to the caller."""
    detail: dict[str, Any]
    cursor: str | None = None
    """The cursor to resume from once this event and all before it are processed. Events arrive in pages: the last event
    has the cursor after the page, all others the cursor before it (None: where reading began)."""


@dataclass(frozen=True)
class EventList(_Model):
    """Events in the order of their occurrence; `cursor` resumes after the last one."""

    _readers: ClassVar = {"events": lambda items: [Event.from_json(item) for item in items]}

    events: list[Event]
    cursor: str
    has_more: bool
    backoff_s: float | None = None
    """The pause that the server requests before the next poll."""


@dataclass(frozen=True)
class Destination:
    """A name in the folder `parent_id`, in `folder_path` (created if missing), or else in the root folder.

    With `replace`, `base_revision_id` is a precondition: the revision must still be the head.
    """

    name: str
    folder_path: str | None = None
    parent_id: str | None = None
    on_conflict: OnConflict = "fail"
    base_revision_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {member.name: value for member in fields(self) if (value := getattr(self, member.name)) is not None}


@dataclass(frozen=True)
class CreateUpload:
    """A request for an upload session; see `Client.uploads.start`."""

    size_bytes: int
    destination: Destination
    fingerprint: str | None = None
    content_type: str = "application/octet-stream"
    client_modified_at: datetime | None = None
    chunk_size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "size_bytes": self.size_bytes,
            "destination": self.destination.to_json(),
            "content_type": self.content_type,
        }
        if self.fingerprint is not None:
            members["fingerprint"] = self.fingerprint
        if self.client_modified_at is not None:
            members["client_modified_at"] = self.client_modified_at.isoformat()
        if self.chunk_size_bytes is not None:
            members["chunk_size_bytes"] = self.chunk_size_bytes
        return members
