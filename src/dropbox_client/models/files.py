"""Files and folders, their revisions and their history."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal
from unicodedata import normalize

from dropbox_client.errors import ApiError
from dropbox_client.models.base import Model, read_problem, read_time

OnConflict = Literal["fail", "rename", "replace"]
Order = Literal["name", "-name", "size", "-size", "modified", "-modified"]
ProcessingState = Literal["queued", "running", "succeeded", "failed"]


def normalize_name(name: str) -> str:
    """Return a name or path in the form in which the server compares it, without case and Unicode differences."""
    return normalize("NFC", normalize("NFC", name).casefold())


@dataclass(frozen=True)
class Processing(Model):
    """The last state that a processor reported for a revision."""

    _readers: ClassVar = {"updated_at": read_time}

    state: ProcessingState
    detail: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Thumbnails(Model):
    """Signed URLs of WebP images; the same for half an hour, so that a browser caches the images."""

    _readers: ClassVar = {"expires_at": read_time}

    small_url: str
    """At most 360 pixels wide and high."""
    large_url: str
    """At most 1600 pixels wide and high."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class File(Model):
    """A file or a folder; members that only files have are None for folders."""

    _readers: ClassVar = {
        "created_at": read_time,
        "modified_at": read_time,
        "client_modified_at": read_time,
        "trashed_at": read_time,
        "purge_at": read_time,
        "processing": Processing.from_json,
        "thumbnails": Thumbnails.from_json,
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
    executable: bool | None = None
    """Whether a copy on disk may be run."""
    processing: Processing | None = None
    trashed_at: datetime | None = None
    """When it was moved to the trash, where `path` is the old path."""
    purge_at: datetime | None = None
    """In the trash: when the server deletes it permanently."""
    true_fingerprint: str | None = None
    """The actual hash of quarantined content."""
    shared: bool | None = None
    """Whether it carries a grant itself; None except for its owner, as `has_link`."""
    has_link: bool | None = None
    owner_name: str | None = None
    """The owner's display name."""
    thumbnails: Thumbnails | None = None
    """Where the call asks for them; None without any, or while the server has yet to make them."""


NodeState = Literal["live", "trashed", "deleted", "unknown"]


@dataclass(frozen=True, slots=True)
class FileState(Model):
    """What the server tells about an id; only the owner of a file learns `trashed` and `deleted`."""

    id: str
    state: NodeState
    etag: str | None
    """Of a live or trashed file or folder."""


@dataclass(frozen=True, slots=True)
class TreeEntry(Model):
    """A file or folder of a tree; members that only files have are None for folders."""

    _readers: ClassVar = {"client_modified_at": read_time}

    id: str
    parent_id: str
    kind: Literal["file", "folder"]
    name: str
    version: int
    """Grows with every change."""
    size_bytes: int | None
    revision_id: str | None
    fingerprint: str | None
    content_status: Literal["stored", "verified", "quarantined", "damaged"] | None
    client_modified_at: datetime | None
    executable: bool


FileRef = File | str
"""A file or folder, its id, or its path in the caller's own tree, which starts with a slash."""


@dataclass(frozen=True)
class Revision(Model):
    """One version of a file's content."""

    _readers: ClassVar = {
        "created_at": read_time,
        "client_modified_at": read_time,
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
    pinned: bool = False
    """Kept as long as the file, whatever its age."""
    processing: Processing | None = None
    author_name: str | None = None
    """The author's display name."""


@dataclass(frozen=True)
class DownloadUrl(Model):
    """A signed URL for content; it needs no authentication and is valid until `expires_at`."""

    _readers: ClassVar = {"expires_at": read_time}

    url: str = field(repr=False)
    expires_at: datetime
    size_bytes: int
    fingerprint: str
    content_status: str
    revision_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class ContentChunk(Model):
    """A chunk of a content, as it was uploaded; numbers begin at 1."""

    number: int
    offset_bytes: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest(Model):
    """The chunks of a content, in order and without gaps."""

    _readers: ClassVar = {"items": lambda items: [ContentChunk.from_json(item) for item in items]}

    revision_id: str
    size_bytes: int
    fingerprint: str
    chunking: str
    """How the content was cut: `fixed:SIZE`, chunks of so many bytes and a rest."""
    items: list[ContentChunk]
    next_cursor: str | None
    """None in what `get_manifest` returns: it reads all pages."""


@dataclass(frozen=True)
class ArchiveUrl(Model):
    """A URL of a zip; it needs no authentication, and downloads may begin until `expires_at`."""

    _readers: ClassVar = {"expires_at": read_time}

    url: str = field(repr=False)
    """Begins with `/` where the server does not know its own address: it is then below `Client.base_url`."""
    expires_at: datetime


@dataclass(frozen=True)
class DownloadItem:
    """A file to download: its head, or one revision."""

    file_id: str
    revision_id: str | None = None


@dataclass(frozen=True)
class DownloadResult(Model):
    """What `sign_download` returns for one item of a batch, or the `problem` that it would raise."""

    _readers: ClassVar = {"download": DownloadUrl.from_json, "problem": read_problem}

    file_id: str
    download: DownloadUrl | None = None
    problem: ApiError | None = None


@dataclass(frozen=True, slots=True)
class NamedFile(Model):
    """The file or folder that has a name; members that only files have are None for folders."""

    id: str
    kind: Literal["file", "folder"]
    name: str
    """As stored: it may differ in case from the one asked for."""
    size_bytes: int | None
    fingerprint: str | None
    content_status: Literal["stored", "verified", "quarantined", "damaged"] | None
    revision_id: str | None
    etag: str


@dataclass(frozen=True)
class NameResult(Model):
    """What has a name in a folder, or the `problem` of an invalid name; both are None for a free one."""

    _readers: ClassVar = {"existing": NamedFile.from_json, "problem": read_problem}

    existing: NamedFile | None = None
    problem: ApiError | None = None


@dataclass(frozen=True)
class CopyProgress(Model):
    """A copy into the tree of another owner."""

    _readers: ClassVar = {"problem": read_problem, "created_at": read_time, "ended_at": read_time}

    id: str
    file_id: str
    parent_id: str
    name: str
    state: Literal["running", "done", "failed", "cancelled"]
    items: int
    left_out: int
    """Files whose content is quarantined or damaged."""
    total_bytes: int
    copied_bytes: int
    copied_id: str | None
    problem: ApiError | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Activity(Model):
    """An entry of the audit trail of a file or folder."""

    _readers: ClassVar = {"created_at": read_time}

    id: str
    action: str
    actor: str | None
    address: str | None
    user_agent: str | None
    request_id: str | None
    created_at: datetime
    detail: dict[str, Any]
    actor_name: str | None = None
    """The actor's display name."""
