"""What the sharing routes take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dropbox_api.accounts.schemas import Address
from dropbox_api.schemas import Answer, ClientTime, Request

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


class ChangeGrant(Request):
    role: GrantedRole


class Grant(Answer):
    id: uuid.UUID
    node_id: Annotated[uuid.UUID, Field(description="What is shared: the file or folder itself, or a folder above it.")]
    inherited: Annotated[bool, Field(description="It is on a folder above: change it there.")]
    email: Annotated[str | None, Field(description="Null where the account was named by its id.")]
    user_id: uuid.UUID | None
    role: GrantedRole
    pending: Annotated[bool, Field(description="It waits for an account that has proven to own this address.")]
    created_at: datetime


class GrantList(Answer):
    items: list[Grant]
    next_cursor: str | None


# Links


def _printable(secret: SecretStr) -> SecretStr:
    """Refuse halves of surrogate pairs: JSON can spell them, UTF-8 cannot."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("must consist of Unicode characters") from None  # not the error itself, which quotes it
    return secret


LinkPassword = Annotated[
    SecretStr, AfterValidator(_printable), Field(min_length=4, max_length=128, examples=["open sesame"])
]
MaxDownloads = Annotated[
    int, Field(ge=1, le=2**53, description="The link is used up after so many downloads, views, and archives.")
]


class CreateLink(Request):
    mode: Annotated[
        Mode,
        Field(
            description="`view`: what a browser can show, shown and not saved; `download`: everything; `upload`: "
            "people send files into the folder, and see nothing of it."
        ),
    ]
    password: LinkPassword | None = None
    expires_at: ClientTime | None = None
    max_downloads: MaxDownloads | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.mode == "upload" and self.max_downloads is not None:
            raise ValueError("nothing is downloaded by an upload link")
        return self


class ChangeLink(Request):
    """What is left out stays; null takes it away."""

    password: LinkPassword | None = None
    expires_at: ClientTime | None = None
    max_downloads: MaxDownloads | None = None


class Link(Answer):
    id: uuid.UUID
    node_id: uuid.UUID
    token: Annotated[str, Field(description="Whoever has it may use the link.")]
    url_path: Annotated[str, Field(examples=["/s/AZ8k..."], description="The page of the link, on this server.")]
    mode: Mode
    has_password: bool
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int
    created_at: datetime


class LinkList(Answer):
    items: list[Link]
    next_cursor: str | None


# The public side


class PublicLink(Answer):
    """What a link leads to; nothing of whose it is."""

    id: Annotated[uuid.UUID, Field(description="Of the file or folder.")]
    name: str
    kind: Literal["file", "folder"]
    size_bytes: Annotated[int | None, Field(description="Of a file; null for folders.")]
    content_type: str | None
    mode: Mode
    needs_password: bool
    expires_at: datetime | None


class PublicFile(Answer):
    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: str
    path: Annotated[str, Field(description="Below the link's folder.", examples=["/2026/cat.jpg"])]
    size_bytes: int | None
    content_type: str | None
    modified_at: datetime


class PublicFileList(Answer):
    items: list[PublicFile]
    next_cursor: str | None


class Received(Answer):
    """What was sent, as whoever sent it knows it."""

    name: str
    size_bytes: int
