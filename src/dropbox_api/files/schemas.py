"""What the file routes take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dropbox_api.schemas import Answer, ContentType, Fingerprint, OnConflict, Request

ContentStatus = Literal["stored", "verified", "quarantined", "damaged"]
Order = Literal["name", "-name", "size", "-size", "modified", "-modified"]
ProcessingState = Literal["queued", "running", "succeeded", "failed"]

Name = Annotated[str, Field(max_length=1024, examples=["report.pdf"])]
ParentId = Annotated[uuid.UUID | None, Field(description="The folder, by id.")]
ParentPath = Annotated[
    str | None, Field(max_length=4096, description="The folder, by path; it must exist.", examples=["/photos"])
]


class Processing(Answer):
    """What a downstream processor last reported about the head revision."""

    state: ProcessingState
    detail: str | None
    updated_at: datetime


class File(Answer):
    """A file or folder; members that only files have are null for folders."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: Annotated[str, Field(description="Empty for the root folder.")]
    parent_id: uuid.UUID | None
    path: Annotated[str, Field(description="In the trash: where it was.", examples=["/photos/2026/cat.jpg"])]
    size_bytes: int | None
    fingerprint: Fingerprint | None
    content_type: str | None
    revision_id: uuid.UUID | None
    content_status: Annotated[
        ContentStatus | None,
        Field(description="`stored`: every chunk proven; `verified`: the whole proven; `quarantined`: not as claimed."),
    ]
    true_fingerprint: Annotated[
        str | None, Field(description="What quarantined content really hashes to; shown to its owner only.")
    ] = None
    processing: Processing | None
    created_at: datetime
    modified_at: datetime
    client_modified_at: datetime | None
    trashed_at: Annotated[datetime | None, Field(description="In the trash since.")] = None
    owner: Annotated[str, Field(description="The owner's address.")]
    role: Literal["viewer", "editor", "owner"]
    etag: Annotated[str, Field(description="Send it as If-Match with a change.", examples=['"3"'])]


class FileList(Answer):
    items: list[File]
    next_cursor: Annotated[str | None, Field(description="Pass it back for the next page; null at the end.")]


class Download(Answer):
    url: Annotated[str, Field(description="Anyone who has it may read the content until it expires.")]
    expires_at: datetime
    size_bytes: int
    fingerprint: Fingerprint
    content_status: ContentStatus
    encoding: Literal["identity"]
    revision_id: uuid.UUID
    etag: Annotated[str, Field(description="The store's ETag, for If-Range; not an MD5 to rely on.")]


# Changes of the tree


class _Place(Request):
    """A folder by id or by path."""

    parent_id: ParentId = None
    parent_path: ParentPath = None

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if self.parent_id is not None and self.parent_path is not None:
            raise ValueError("parent_id and parent_path exclude each other")
        return self


class CreateFolder(_Place):
    """One folder by its name in another (the root when none is given), or a whole path with all that is missing."""

    name: Name | None = None
    path: Annotated[str | None, Field(max_length=4096, examples=["/photos/2026/rome"])] = None
    on_conflict: Annotated[
        Literal["fail", "rename", "reuse"],
        Field(description="When the name is taken: refuse, take `name (1)`, or answer the folder that is there."),
    ] = "fail"

    @model_validator(mode="after")
    def _name_or_path(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError("either name or path")
        if self.path is not None and (self.parent_id or self.parent_path):
            raise ValueError("a path begins at the root: it goes with neither parent_id nor parent_path")
        return self


class ChangeFile(_Place):
    """Rename (name), move (parent), or both at once; or another content type. What is left out stays."""

    name: Name | None = None
    content_type: ContentType | None = None
    on_conflict: Annotated[
        OnConflict,
        Field(
            description="When the name is taken there: refuse, take `name (1).ext`, or (a file by a file only) put what"
            " is there into the trash."
        ),
    ] = "fail"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"on_conflict"}:
            raise ValueError("nothing to change")
        return self


class CopyFile(_Place):
    """Where the copy goes: the same folder and name unless said otherwise. No bytes move."""

    name: Name | None = None
    on_conflict: Annotated[
        OnConflict,
        Field(
            description="When the name is taken: refuse, take `name (1).ext`, or (a file by a file only) add a revision"
            " to what is there."
        ),
    ] = "fail"


class RestoreFile(_Place):
    """Where it goes: to its old folder and name unless said otherwise."""

    name: Name | None = None
    on_conflict: Annotated[
        Literal["fail", "rename"], Field(description="When the name is taken: refuse, or take `name (1).ext`.")
    ] = "rename"


# Revisions, processing, activity


class Revision(Answer):
    id: uuid.UUID
    number: Annotated[int, Field(description="Grows by one with each revision of the file.")]
    is_head: bool
    size_bytes: int
    fingerprint: Fingerprint
    content_type: str
    content_status: ContentStatus
    author: Annotated[str, Field(description="Address of who made it.")]
    client_modified_at: datetime | None
    created_at: datetime
    processing: Processing | None


class RevisionList(Answer):
    items: list[Revision]
    next_cursor: str | None


class ReportProcessing(Request):
    state: ProcessingState
    detail: Annotated[str | None, Field(max_length=2000, examples=["thumbnail made"])] = None
    revision_id: Annotated[
        uuid.UUID | None, Field(description="The revision that was worked on; the head when left out.")
    ] = None


class Activity(Answer):
    id: uuid.UUID
    action: Annotated[str, Field(examples=["renamed"])]
    actor: Annotated[str | None, Field(description="Address of who did it; null: the server itself.")]
    address: Annotated[str | None, Field(description="Network address that the request came from.")]
    user_agent: str | None
    request_id: str | None
    created_at: datetime
    detail: dict[str, Any]


class ActivityList(Answer):
    items: list[Activity]
    next_cursor: str | None
