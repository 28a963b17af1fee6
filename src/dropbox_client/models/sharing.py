"""Grants and public links."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar, Literal

from dropbox_client.models.base import Model, read_time
from dropbox_client.models.files import File

GrantedRole = Literal["viewer", "editor"]
LinkMode = Literal["view", "download", "upload"]


class Keep(Enum):
    """The type of KEEP: leave this member alone."""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass(frozen=True)
class Grant(Model):
    """The access of one account to a file or folder; if `inherited`, through its ancestor `node_id`."""

    _readers: ClassVar = {"created_at": read_time}

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
    display_name: str | None = None
    """Of the account, once it is not pending."""


@dataclass(frozen=True)
class Contact(Model):
    """A person with whom the caller shares now, in either direction."""

    _readers: ClassVar = {"shared_at": read_time}

    email: str | None
    """None for an account that the caller knows by its id only."""
    user_id: str | None
    display_name: str | None
    shared_at: datetime
    """When the newest grant between the two was made."""


@dataclass(frozen=True)
class OwnShare(Model):
    """A file or folder that the caller shares, with the numbers of its own grants and working links."""

    _readers: ClassVar = {"file": File.from_json, "shared_at": read_time}

    file: File
    shared_at: datetime
    """When the newest of its grants and links was created."""
    grant_count: int
    link_count: int


@dataclass(frozen=True)
class Link(Model):
    """A public link; its `token` is all that a visitor needs, and its page is at `url_path` of the server."""

    _readers: ClassVar = {"created_at": read_time, "expires_at": read_time}

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
    max_bytes: int | None = None
    """How many bytes an upload link takes."""
    max_file_bytes: int | None = None
    max_files: int | None = None
    received_bytes: int = 0
    """What an upload link has taken so far."""
    received_files: int = 0


@dataclass(frozen=True)
class PublicLink(Model):
    """The file or folder of a public link, as its visitors see it."""

    _readers: ClassVar = {"expires_at": read_time}

    id: str
    """The id of the file or folder."""
    name: str
    kind: Literal["file", "folder"]
    size_bytes: int | None
    content_type: str | None
    mode: LinkMode
    needs_password: bool
    expires_at: datetime | None
    max_file_bytes: int | None = None
    """The size of the largest file that an upload link takes."""


@dataclass(frozen=True)
class LinkPass(Model):
    """A pass for a public link: it replaces the password of the link for an hour."""

    _readers: ClassVar = {"expires_at": read_time}

    link_pass: str = field(repr=False)
    expires_at: datetime
    """It ends earlier when the password of the link changes, or the link ends."""


@dataclass(frozen=True)
class PublicFile(Model):
    """A file or folder below a public link, at `path` below the folder of the link."""

    _readers: ClassVar = {"modified_at": read_time}

    id: str
    kind: Literal["file", "folder"]
    name: str
    path: str
    size_bytes: int | None
    content_type: str | None
    modified_at: datetime
    thumbnail_url: str | None = None
    """Where the call asks for it: a WebP image of at most 360 pixels; None without any."""


@dataclass(frozen=True)
class ReceivedFile(Model):
    """A file that an upload link received, whatever name it got in the folder."""

    name: str
    size_bytes: int
