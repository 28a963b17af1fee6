"""What the API answers with, as frozen dataclasses. Ids are UUIDs in text, times are aware, hashes are hex.

Members that this version does not know are ignored, so that an older client talks to a newer server.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from dropbox_client.errors import ApiProblem

OnConflict = Literal["fail", "rename", "replace"]
Order = Literal["name", "-name", "size", "-size", "modified", "-modified"]
GrantedRole = Literal["viewer", "editor"]
LinkMode = Literal["view", "download", "upload"]
Json = Mapping[str, Any]


class _Answer:
    """Reads itself from JSON; `_readers` turn members into what is not JSON."""

    __slots__ = ()
    _readers: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def of(cls, document: Json) -> Self:
        """Read a JSON object. Raises KeyError or ValueError for one that is not of this shape."""
        members = {}
        for member in fields(cls):  # type: ignore[arg-type]
            if member.name in document:
                value, read = document[member.name], cls._readers.get(member.name)
                members[member.name] = read(value) if read and value is not None else value
        return cls(**members)


_time = datetime.fromisoformat


@dataclass(frozen=True, slots=True)
class Processing(_Answer):
    """What a processor behind the server last said about a revision."""

    _readers: ClassVar = {"updated_at": _time}

    state: Literal["queued", "running", "succeeded", "failed"]
    detail: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class File(_Answer):
    """A file or a folder; what only files have is None for folders."""

    _readers: ClassVar = {
        "created_at": _time,
        "modified_at": _time,
        "client_modified_at": _time,
        "trashed_at": _time,
        "processing": Processing.of,
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
    """In the trash since; `path` is then where it was."""
    true_fingerprint: str | None = None
    """What quarantined content really hashes to."""


@dataclass(frozen=True, slots=True)
class Revision(_Answer):
    """One content that a file has or had."""

    _readers: ClassVar = {"created_at": _time, "client_modified_at": _time, "processing": Processing.of}

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
class SignedPart(_Answer):
    """PUT exactly the chunk's bytes to `url` with `headers`."""

    _readers: ClassVar = {"expires_at": _time}

    number: int
    url: str
    headers: dict[str, str]
    offset_bytes: int
    size_bytes: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DestinationState(_Answer):
    _readers: ClassVar = {"problem": lambda document: ApiProblem.of(document, 409)}

    id: str
    parent_id: str
    name: str
    on_conflict: OnConflict
    file_id: str | None
    revision_id: str | None
    problem: ApiProblem | None


@dataclass(frozen=True, slots=True)
class Upload(_Answer):
    """An upload session. `uploaded`, `missing` and `mismatched` are ranges such as "1-120,130"."""

    _readers: ClassVar = {
        "created_at": _time,
        "last_activity_at": _time,
        "expires_at": _time,
        "destinations": lambda items: [DestinationState.of(item) for item in items],
    }

    id: str
    state: Literal["creating", "active", "completing", "completed", "aborted", "expired", "failed"]
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


def _file(document: Json) -> File:
    return File.of(document)


def _upload(document: Json) -> Upload:
    return Upload.of(document)


def _parts(items: list[Json]) -> list[SignedPart]:
    return [SignedPart.of(item) for item in items]


@dataclass(frozen=True, slots=True)
class StartedUpload(_Answer):
    """Either `upload`, something to send, or `file`: the owner stores this content already."""

    _readers: ClassVar = {
        "upload": _upload,
        "file": _file,
        "parts": _parts,
        "problem": lambda document: ApiProblem.of(document, 409),
    }

    upload: Upload | None = None
    file: File | None = None
    parts: list[SignedPart] = field(default_factory=list)
    problem: ApiProblem | None = None
    """Of one item of a batch; a single start raises it."""
    is_new: bool = False
    """The session was made by this request: nothing of it has been sent."""


@dataclass(frozen=True, slots=True)
class Completed(_Answer):
    """`file` is the first destination's; `destinations` says what came of each."""

    _readers: ClassVar = {
        "file": _file,
        "destinations": lambda items: [DestinationState.of(item) for item in items],
    }

    file: File
    destinations: list[DestinationState]


@dataclass(frozen=True, slots=True)
class CompletedItem(_Answer):
    _readers: ClassVar = {"file": _file, "problem": lambda document: ApiProblem.of(document, 409)}

    upload_id: str
    file: File | None = None
    problem: ApiProblem | None = None


@dataclass(frozen=True, slots=True)
class Chunk(_Answer):
    number: int
    offset_bytes: int
    size_bytes: int
    sha256: str | None
    state: Literal["planned", "uploaded", "mismatched"]


@dataclass(frozen=True, slots=True)
class FingerprintHit(_Answer):
    _readers: ClassVar = {"file": _file, "upload": _upload}

    file: File | None
    upload: Upload | None


@dataclass(frozen=True, slots=True)
class Download(_Answer):
    """Anyone who has `url` may read the content until it expires."""

    _readers: ClassVar = {"expires_at": _time}

    url: str
    expires_at: datetime
    size_bytes: int
    fingerprint: str
    content_status: str
    revision_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Capabilities(_Answer):
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


@dataclass(frozen=True, slots=True)
class Me(_Answer):
    _readers: ClassVar = {"created_at": _time, "email_verified_at": _time}

    id: str
    email: str
    created_at: datetime
    used_bytes: int
    reserved_bytes: int
    quota_bytes: int
    used_nodes: int
    quota_nodes: int
    kind: Literal["person", "service"] = "person"
    is_admin: bool = False
    email_verified_at: datetime | None = None
    second_factor: bool = False
    has_password: bool = True


@dataclass(frozen=True, slots=True)
class SecondFactorProposal(_Answer):
    """For an authenticator app: `secret` to type, `otpauth_url` to open or to show as a QR code."""

    secret: str
    otpauth_url: str


@dataclass(frozen=True, slots=True)
class SignIn(_Answer):
    """Where the account is signed in."""

    _readers: ClassVar = {"created_at": _time, "last_used_at": _time}

    id: str
    user_agent: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class ApiToken(_Answer):
    """A personal access token; `token` itself is there when it was just made."""

    _readers: ClassVar = {"created_at": _time, "last_used_at": _time, "expires_at": _time}

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Grant(_Answer):
    """With whom something is shared; `inherited`: with the folder `node_id` above it."""

    _readers: ClassVar = {"created_at": _time}

    id: str
    node_id: str
    inherited: bool
    email: str | None
    """None where the account was named by its id."""
    user_id: str | None
    role: GrantedRole
    pending: bool
    """Nobody with an account has proven yet to own that address."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Link(_Answer):
    """Whoever has the `token` of a link may use it; its page is at `url_path` of the server."""

    _readers: ClassVar = {"created_at": _time, "expires_at": _time}

    id: str
    node_id: str
    token: str
    url_path: str
    mode: LinkMode
    has_password: bool
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Event(_Answer):
    """Something that happened to a file or folder that the caller sees, or saw until then."""

    _readers: ClassVar = {"at": _time, "file": _file}

    id: str
    """The same for everybody who is told, in webhooks, too."""
    kind: str
    """One of `arguments.EVENT_KINDS`, or one that a newer server knows."""
    file_id: str
    at: datetime
    file: File | None
    """As it was when the server was asked, not as it was then; None when it is gone, or not the caller's to see."""
    detail: dict[str, Any]
    cursor: str | None = None
    """Where to go on when all up to this event was dealt with: nothing is missed. Events come in pages, and only the
    last of one has a place of its own; from those before it the page begins anew (None: where reading began)."""


@dataclass(frozen=True, slots=True)
class EventPage(_Answer):
    """Events in the order in which they happened; `cursor` goes on after the last of them."""

    _readers: ClassVar = {"events": lambda items: [Event.of(item) for item in items]}

    events: list[Event]
    cursor: str
    has_more: bool
    backoff_s: float | None = None
    """The server asks for so much time before the next question."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where content goes: a name in a folder, given by `parent_id` or `folder_path` (made on the way); else the root.

    With `replace`, `base_revision_id` asks for it only if that is still the head revision.
    """

    name: str
    folder_path: str | None = None
    parent_id: str | None = None
    on_conflict: OnConflict = "fail"
    base_revision_id: str | None = None

    def json(self) -> dict[str, Any]:
        return {member.name: value for member in fields(self) if (value := getattr(self, member.name)) is not None}


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a session is started with; see `Client.start_upload`."""

    size_bytes: int
    destination: Destination
    fingerprint: str | None = None
    content_type: str = "application/octet-stream"
    client_modified_at: datetime | None = None
    chunk_size_bytes: int | None = None

    def json(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "size_bytes": self.size_bytes,
            "destination": self.destination.json(),
            "content_type": self.content_type,
        }
        if self.fingerprint is not None:
            members["fingerprint"] = self.fingerprint
        if self.client_modified_at is not None:
            members["client_modified_at"] = self.client_modified_at.isoformat()
        if self.chunk_size_bytes is not None:
            members["chunk_size_bytes"] = self.chunk_size_bytes
        return members
