"""What the file routes take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from dropbox_api.schemas import Answer, Fingerprint

ContentStatus = Literal["stored", "verified", "quarantined", "damaged"]


class File(Answer):
    """A file or folder; members that only files have are null for folders."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: Annotated[str, Field(description="Empty for the root folder.")]
    parent_id: uuid.UUID | None
    path: Annotated[str, Field(examples=["/photos/2026/cat.jpg"])]
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
    created_at: datetime
    modified_at: datetime
    client_modified_at: datetime | None
    owner: Annotated[str, Field(description="The owner's address.")]
    role: Literal["viewer", "editor", "owner"]
    etag: str


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
