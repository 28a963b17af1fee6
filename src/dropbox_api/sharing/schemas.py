"""Requests and answers of the sharing routes."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dropbox_api.accounts.schemas import Address
from dropbox_api.files.schemas import File
from dropbox_api.schemas import Answer, ExpiryTime, Request, Secret

NO_UPLOAD_BUDGET = "an upload link has no downloads to count"
UPLOAD_LIMITS = dict.fromkeys(("max_bytes", "max_file_bytes", "max_files"), "only an upload link takes files")
"""The limits that only upload links have, and why others do not."""

GrantedRole = Literal["viewer", "editor"]
Mode = Literal["view", "download", "upload"]


# Grants


class CreateGrant(Request):
    """Either `email` or `user_id`."""

    email: Address | None = None
    user_id: uuid.UUID | None = None
    role: GrantedRole

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.email is None) == (self.user_id is None):
            raise ValueError("name either email or user_id")
        return self


class UpdateGrant(Request):
    role: GrantedRole


class Grant(Answer):
    id: uuid.UUID
    node_id: Annotated[uuid.UUID, Field(description="The shared file or folder: this one, or a folder above it.")]
    inherited: Annotated[bool, Field(description="The grant is on a folder above: change it there.")]
    email: Annotated[str | None, Field(description="Null where the account was named by its id.")]
    user_id: uuid.UUID | None
    display_name: Annotated[
        str | None, Field(description="Of the account; null while the grant is pending, and beside a null `email`.")
    ]
    role: GrantedRole
    pending: Annotated[bool, Field(description="The grant waits for an account that verifies this address.")]
    created_at: datetime


class GrantList(Answer):
    items: list[Grant]
    next_cursor: str | None


class Contact(Answer):
    """A person with whom you share now, in either direction."""

    email: Annotated[str | None, Field(description="Null for an account that you know by its id only.")]
    user_id: Annotated[uuid.UUID | None, Field(description="Null while no account has verified the address.")]
    display_name: str | None
    shared_at: Annotated[datetime, Field(description="When the newest grant between you was made.")]


class ContactList(Answer):
    items: list[Contact]
    next_cursor: str | None


class OwnShare(Answer):
    """A file or folder of yours that you share; grants and links below or above it do not count."""

    file: File
    shared_at: Annotated[datetime, Field(description="When the newest of its grants and links was created.")]
    grant_count: Annotated[int, Field(description="Grants, pending ones too.")]
    link_count: Annotated[int, Field(description="Links that work.")]


class OwnShareList(Answer):
    items: list[OwnShare]
    next_cursor: str | None


# Links


def _require_header_value(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if text != text.strip() or not text.isprintable():
        raise ValueError("must be printable, without white space around it: visitors send it in a header")
    return password


LinkPassword = Annotated[
    Secret, Field(min_length=4, max_length=128, examples=["open sesame"]), AfterValidator(_require_header_value)
]
MaxDownloads = Annotated[
    int, Field(ge=1, le=2**53, description="Number of downloads, views and archives after which the link is used up.")
]


MaxBytes = Annotated[int, Field(ge=1, le=2**53, description="Of an upload link: how many bytes it takes in all.")]
MaxFileBytes = Annotated[
    int, Field(ge=1, le=2**53, description="Of an upload link: the size of the largest file that it takes, in bytes.")
]
MaxFiles = Annotated[int, Field(ge=1, le=2**53, description="Of an upload link: how many files it takes in all.")]


class CreateLink(Request):
    mode: Annotated[
        Mode,
        Field(
            description="`view`: show content that a browser can show safely; `download`: also download everything; "
            "`upload`: send files into the folder without seeing its content."
        ),
    ]
    password: LinkPassword | None = None
    expires_at: ExpiryTime | None = None
    max_downloads: MaxDownloads | None = None
    max_bytes: MaxBytes | None = None
    max_file_bytes: MaxFileBytes | None = None
    max_files: MaxFiles | None = None

    @model_validator(mode="after")
    def _limits_fit_the_mode(self) -> Self:
        if self.mode == "upload" and self.max_downloads is not None:
            raise ValueError(NO_UPLOAD_BUDGET)
        for name, refusal in UPLOAD_LIMITS.items():
            if self.mode != "upload" and getattr(self, name) is not None:
                raise ValueError(f"{name}: {refusal}")
        return self


class UpdateLink(Request):
    """A missing member stays as it is; null removes it."""

    password: LinkPassword | None = None
    expires_at: ExpiryTime | None = None
    max_downloads: MaxDownloads | None = None
    max_bytes: MaxBytes | None = None
    max_file_bytes: MaxFileBytes | None = None
    max_files: MaxFiles | None = None


class Link(Answer):
    id: uuid.UUID
    node_id: uuid.UUID
    token: Annotated[str, Field(description="A secret: its bearer can use the link.")]
    url_path: Annotated[str, Field(examples=["/s/AZ8k..."], description="Path of the link's page on this server.")]
    mode: Mode
    has_password: bool
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int
    created_at: datetime
    max_bytes: int | None
    max_file_bytes: int | None
    max_files: int | None
    received_bytes: Annotated[int, Field(description="What an upload link has taken so far; 0 for other links.")]
    received_files: int


class LinkList(Answer):
    items: list[Link]
    next_cursor: str | None


# Upload tokens

MAX_UPLOAD_TOKEN_S = 86_400


class CreateUploadToken(Request):
    parent_id: Annotated[uuid.UUID, Field(description="The folder that receives the files.")]
    max_bytes: Annotated[int, Field(ge=1, le=2**53, description="How many bytes the token takes in all.")]
    expires_in_s: Annotated[
        int,
        Field(ge=1, le=MAX_UPLOAD_TOKEN_S, description="How long uploads may begin; those that have begun may finish."),
    ]


class UploadToken(Answer):
    id: uuid.UUID
    parent_id: uuid.UUID
    max_bytes: int
    received_bytes: Annotated[int, Field(description="What has arrived so far.")]
    received_files: int
    created_at: datetime
    expires_at: datetime


class CreatedUploadToken(UploadToken):
    token: Annotated[str, Field(description="A secret, shown once: its bearer may send files into the folder.")]


class UploadTokenList(Answer):
    items: list[UploadToken]
    next_cursor: str | None


# The public side


class PublicLink(Answer):
    """The file or folder of a link, without its owner."""

    id: Annotated[uuid.UUID, Field(description="Id of the file or folder.")]
    name: str
    kind: Literal["file", "folder"]
    size_bytes: Annotated[int | None, Field(description="Size of a file; null for a folder.")]
    content_type: str | None
    mode: Mode
    needs_password: bool
    expires_at: datetime | None
    max_file_bytes: Annotated[
        int | None, Field(description="Size of the largest file that an upload link takes; null: any.")
    ] = None


class CreateLinkPass(Request):
    """Without a password, the `X-Link-Pass` of the request is renewed."""

    password: Annotated[Secret, Field(max_length=1024, examples=["open sesame"])] | None = None


class LinkPass(Answer):
    link_pass: Annotated[str, Field(description="Send it as `X-Link-Pass` instead of the password.")]
    expires_at: Annotated[
        datetime, Field(description="It ends earlier when the password of the link changes, or the link ends.")
    ]


ThumbnailSize = Literal["small", "large"]


class PublicFile(Answer):
    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: str
    path: Annotated[str, Field(description="Path below the link's folder.", examples=["/2026/cat.jpg"])]
    size_bytes: int | None
    content_type: str | None
    modified_at: datetime
    thumbnail_url: Annotated[
        str | None,
        Field(description="Where the request asks for it: a WebP image of at most 360 pixels; null without any."),
    ] = None


class PublicFileList(Answer):
    items: list[PublicFile]
    next_cursor: str | None


class ReceivedFile(Answer):
    """The received file as the sender knows it, whatever name it got in the folder."""

    name: str
    size_bytes: int
