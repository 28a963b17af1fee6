"""Upload sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal

from dropbox_client.errors import ApiError
from dropbox_client.models.base import Model, read_problem, read_time
from dropbox_client.models.files import File, OnConflict

UploadState = Literal["creating", "active", "completing", "completed", "aborted", "expired", "failed"]


@dataclass(frozen=True, slots=True)
class SignedPart(Model):
    """A signed URL: PUT exactly the bytes of the chunk to `url` with `headers`."""

    _readers: ClassVar = {"expires_at": read_time}

    number: int
    url: str = field(repr=False)  # a signed URL is a secret
    headers: dict[str, str] = field(repr=False)
    offset_bytes: int
    size_bytes: int
    expires_at: datetime


@dataclass(frozen=True)
class DestinationState(Model):
    _readers: ClassVar = {"problem": read_problem}

    id: str
    parent_id: str | None
    name: str | None
    """None for a destination by `file_id`."""
    on_conflict: OnConflict
    file_id: str | None
    revision_id: str | None
    problem: ApiError | None
    base_revision_id: str | None = None


@dataclass(frozen=True)
class Upload(Model):
    """An upload session. `uploaded`, `missing` and `mismatched` are ranges such as "1-120,130"."""

    _readers: ClassVar = {
        "created_at": read_time,
        "last_activity_at": read_time,
        "expires_at": read_time,
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
    chunking: str = ""
    """`fixed:SIZE`, or `cdc1`: the content says where chunks end, and the client lists them."""
    listed_bytes: int = 0
    """The bytes that the chunks cover: less than the file while `cdc1` is listed."""
    reusing: str = ""
    """Chunks that the server makes from stored bytes now; they are not missing."""
    reused: str = ""
    """Those of the uploaded chunks that were made so."""
    reused_bytes: int = 0
    encoding: Literal["identity", "zstd"] = "identity"
    """Of what is sent; the server stores the content decoded."""
    content_bytes: int = 0
    """The size of the decoded content; `size_bytes` is what is sent."""

    def __post_init__(self) -> None:
        if not self.chunking:  # the answer of an earlier server
            object.__setattr__(self, "chunking", f"fixed:{self.chunk_size_bytes}")


@dataclass(frozen=True)
class CreatedUpload(Model):
    """Either `upload`, a session to send, or `file`: the owner already stores this content."""

    _readers: ClassVar = {
        "upload": Upload.from_json,
        "file": File.from_json,
        "parts": lambda items: [SignedPart.from_json(item) for item in items],
    }

    upload: Upload | None = None
    file: File | None = None
    parts: list[SignedPart] = field(default_factory=list)
    is_new: bool = False
    """True if this request created the session, which is empty."""


@dataclass(frozen=True)
class CreatedUploadItem(CreatedUpload):
    """The result of one item of a batch: what a single start returns, or the `problem` that it would raise."""

    _readers: ClassVar = {**CreatedUpload._readers, "problem": read_problem}  # noqa: SLF001

    problem: ApiError | None = None


@dataclass(frozen=True)
class CompletedUpload(Model):
    """A completed upload: `file` is the file of the first destination, `destinations` has the result of each."""

    _readers: ClassVar = {
        "file": File.from_json,
        "destinations": lambda items: [DestinationState.from_json(item) for item in items],
    }

    file: File
    destinations: list[DestinationState]


@dataclass(frozen=True)
class RetryLater:
    """The server is still working: repeat the request after `after_s` seconds."""

    after_s: float


@dataclass(frozen=True)
class CompletedUploadItem(Model):
    _readers: ClassVar = {"file": File.from_json, "problem": read_problem}

    upload_id: str
    file: File | None = None
    problem: ApiError | None = None


@dataclass(frozen=True, slots=True)
class Chunk(Model):
    number: int
    offset_bytes: int
    size_bytes: int
    sha256: str | None
    state: Literal["planned", "uploaded", "mismatched", "reusing", "reused"]


@dataclass(frozen=True)
class FingerprintHit(Model):
    _readers: ClassVar = {"file": File.from_json, "upload": Upload.from_json}

    file: File | None
    upload: Upload | None


@dataclass(frozen=True)
class Capabilities(Model):
    _readers: ClassVar = {"server_time": read_time}

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
    server_time: datetime
    instance_id: str
    data_epoch: str
    """Another one after a restore of the server's database: `etag`s and cursors of events are void."""
    chunkings: list[str] = field(default_factory=lambda: ["fixed"])
    cdc1_max_bytes: int = 0
    """The size of the largest file with content-defined chunks."""
    encodings: list[str] = field(default_factory=lambda: ["identity"])
    """In which contents may be sent."""
    delta: Literal["copy", "relay", "off"] = "off"
    """How chunks that the account stores are reused: copied by the store, relayed by a worker, or not."""


@dataclass(frozen=True)
class Destination:
    """A name in the folder `parent_id`, in `folder_path` (created if missing), or else in the root folder.

    With `replace`, `base_revision_id` is a precondition: the revision must still be the head. Without a name the
    destination is the file `file_id`, wherever it is, and needs `base_revision_id`.
    """

    name: str | None = None
    folder_path: str | None = None
    parent_id: str | None = None
    on_conflict: OnConflict = "fail"
    base_revision_id: str | None = None
    file_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        members = {member.name: value for member in fields(self) if (value := getattr(self, member.name)) is not None}
        if self.file_id is not None:
            del members["on_conflict"]
        return members


@dataclass(frozen=True, slots=True)
class ListedChunk:
    """A chunk of a file, as the client cut it; `sha256` has 64 hex digits."""

    sha256: str
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "size_bytes": self.size_bytes}


@dataclass(frozen=True)
class CreateUpload:
    """A request for an upload session; see `Client.uploads.start`."""

    size_bytes: int
    destination: Destination
    fingerprint: str | None = None
    content_type: str | None = None
    """None: the server guesses it from the name; a file named by its id keeps its own."""
    client_modified_at: datetime | None = None
    chunk_size_bytes: int | None = None
    executable: bool | None = None
    chunking: Literal["fixed", "cdc1"] = "fixed"
    chunks: list[ListedChunk] = field(default_factory=list)
    """The first chunks of the file, at most 1,000; more by `add_chunks`. Fixed ones need their `chunk_size_bytes`."""
    parts: Mapping[int, str] = field(default_factory=dict)
    """The SHA-256 (hex) of chunks, by number, that the answer signs unless they are reused."""
    encoding: Literal["identity", "zstd"] = "identity"
    """`zstd`: what is sent is one zstd frame of `encoded_size_bytes`; needs the fingerprint of the content."""
    encoded_size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "size_bytes": self.size_bytes,
            "destination": self.destination.to_json(),
        }
        if self.chunking != "fixed":
            members["chunking"] = self.chunking
        if self.chunks:
            members["chunks"] = [chunk.to_json() for chunk in self.chunks]
        if self.parts:
            members["parts"] = [{"number": number, "sha256": sha256} for number, sha256 in self.parts.items()]
        if self.encoding != "identity":
            members |= {"encoding": self.encoding, "encoded_size_bytes": self.encoded_size_bytes}
        if self.content_type is not None:
            members["content_type"] = self.content_type
        if self.fingerprint is not None:
            members["fingerprint"] = self.fingerprint
        if self.client_modified_at is not None:
            members["client_modified_at"] = self.client_modified_at.isoformat()
        if self.executable is not None:
            members["executable"] = self.executable
        if self.chunk_size_bytes is not None:
            members["chunk_size_bytes"] = self.chunk_size_bytes
        return members


# Sessions under an upload link


@dataclass(frozen=True)
class LinkUpload(Model):
    """An upload session under an upload link, as its sender and the owner of the link see it."""

    _readers: ClassVar = {"created_at": read_time, "last_activity_at": read_time, "expires_at": read_time}

    id: str
    client_ref: str
    """The sender's own name of the session."""
    state: UploadState
    name: str
    """As the sender named it; the file may have another name in the folder."""
    folder_path: str | None
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
    failure: str | None = None


@dataclass(frozen=True)
class CreatedLinkUpload(Model):
    """A session under an upload link, and the parts that are signed already."""

    _readers: ClassVar = {
        "upload": LinkUpload.from_json,
        "parts": lambda items: [SignedPart.from_json(item) for item in items],
    }

    upload: LinkUpload
    parts: list[SignedPart] = field(default_factory=list)
    is_new: bool = False
    """True if this request created the session, which is empty."""


@dataclass(frozen=True)
class UploadToken(Model):
    """A token with which a page of another site sends files into one folder; its value is shown only once."""

    _readers: ClassVar = {"created_at": read_time, "expires_at": read_time}

    id: str
    parent_id: str
    max_bytes: int
    received_bytes: int
    """What has arrived so far."""
    received_files: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class CreatedUploadToken(UploadToken):
    """A new upload token, with its value."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class CreateLinkUpload:
    """A request for a session under an upload link; see `Client.public.start_upload`."""

    client_ref: str
    name: str
    size_bytes: int
    folder_path: str | None = None
    """Folders below that of the link."""
    fingerprint: str | None = None
    """None: named when the session completes. A small file needs it from the start."""
    content_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {member.name: value for member in fields(self) if (value := getattr(self, member.name)) is not None}
