"""Requests and responses of the file routes."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from dropbox_api.access import NodeState
from dropbox_api.core import names
from dropbox_api.schemas import (
    BATCH_ITEMS,
    Answer,
    ContentType,
    FileTime,
    FilterTime,
    Fingerprint,
    OnConflict,
    ProblemDocument,
    Request,
)

ContentStatus = Literal["stored", "verified", "quarantined", "damaged"]
Order = Literal["name", "-name", "size", "-size", "modified", "-modified"]
ProcessingState = Literal["queued", "running", "succeeded", "failed"]

Name = Annotated[str, Field(max_length=1024, examples=["report.pdf"])]
ParentId = Annotated[uuid.UUID | None, Field(description="The folder, by id.")]
ParentPath = Annotated[
    str | None, Field(max_length=4096, description="The folder, by path; it must exist.", examples=["/photos"])
]

WantsThumbnails = Annotated[bool, Field(description="Answer the URLs of thumbnails, too.")]


class Processing(Answer):
    """What a downstream processor last reported about the head revision."""

    state: ProcessingState
    detail: str | None
    updated_at: datetime


class Thumbnails(Answer):
    """Signed URLs of WebP images, for `img` elements; the same for half an hour, so that a browser caches them."""

    small_url: Annotated[str, Field(description="At most 360 pixels wide and high.")]
    large_url: Annotated[str, Field(description="At most 1600 pixels wide and high.")]
    expires_at: Annotated[datetime, Field(description="At least an hour away: ask again after it, or after a 403.")]


class File(Answer):
    """A file or folder; members that only files have are null for folders."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: Annotated[str, Field(description="Empty for the root folder.")]
    parent_id: uuid.UUID | None
    path: Annotated[str, Field(description="In the trash: the old path.", examples=["/photos/2026/cat.jpg"])]
    size_bytes: int | None
    fingerprint: Fingerprint | None
    content_type: str | None
    revision_id: uuid.UUID | None
    content_status: Annotated[
        ContentStatus | None,
        Field(description="`stored`: every chunk proven; `verified`: the whole proven; `quarantined`: not as claimed."),
    ]
    true_fingerprint: Annotated[
        str | None, Field(description="The true hash of quarantined content; only its owner sees it.")
    ] = None
    processing: Processing | None
    created_at: datetime
    modified_at: datetime
    client_modified_at: datetime | None
    executable: Annotated[bool | None, Field(description="Whether a copy on disk may be run.")]
    trashed_at: Annotated[datetime | None, Field(description="In the trash since.")] = None
    purge_at: Annotated[
        datetime | None, Field(description="In the trash: the server deletes it for good from this time on.")
    ] = None
    owner: Annotated[str, Field(description="The owner's address.")]
    owner_name: Annotated[str | None, Field(description="The owner's display name.")]
    role: Literal["viewer", "editor", "owner"]
    shared: Annotated[
        bool | None, Field(description="Whether a grant is on it itself, a pending one too; only its owner sees it.")
    ]
    has_link: Annotated[
        bool | None, Field(description="Whether a link leads to it itself that works; only its owner sees it.")
    ]
    etag: Annotated[str, Field(description="Send it as If-Match with a change.", examples=['"5f0c2a9d41be.3"'])]
    thumbnails: Annotated[
        Thumbnails | None,
        Field(
            description="Where the request asks for them; null without any, or while the server has yet to make them."
        ),
    ] = None


class FileList(Answer):
    items: list[File]
    next_cursor: Annotated[str | None, Field(description="Pass it back for the next page; null at the end.")]
    total: Annotated[
        int | None, Field(description="Entries of all pages, where the request asks for it; counted up to 200,000.")
    ] = None


_TreeRow = tuple[
    Annotated[uuid.UUID, Field(description="id")],
    Annotated[uuid.UUID, Field(description="parent_id")],
    Annotated[Literal["file", "folder"], Field(description="kind")],
    Annotated[str, Field(description="name")],
    Annotated[int, Field(description="version: grows with every change")],
    Annotated[int | None, Field(description="size_bytes")],
    Annotated[uuid.UUID | None, Field(description="revision_id of the head")],
    Annotated[Fingerprint | None, Field(description="fingerprint")],
    Annotated[ContentStatus | None, Field(description="content_status")],
    Annotated[datetime | None, Field(description="client_modified_at")],
    Annotated[bool, Field(description="executable")],
]


class LookUpFiles(Request):
    ids: Annotated[list[uuid.UUID], Field(min_length=1, max_length=1000, description="In any order; twice is fine.")]


class FileState(Answer):
    id: uuid.UUID
    state: Annotated[
        NodeState,
        Field(
            description="`trashed`: in the trash, or below a folder in it; `deleted`: for good. Only its owner learns"
            " these two; other callers get `unknown`, as for an id that never existed."
        ),
    ]
    etag: Annotated[
        str | None, Field(description="Of a live or trashed file or folder.", examples=['"5f0c2a9d41be.3"'])
    ]


class FileStateList(Answer):
    items: Annotated[list[FileState], Field(description="One for each id of the request, in its order.")]


class TreeEntry(RootModel[_TreeRow]):
    """A file or folder, as a row; `columns` of the answer names its values. Values that only files have are null."""


TREE_COLUMNS = (
    "id",
    "parent_id",
    "kind",
    "name",
    "version",
    "size_bytes",
    "revision_id",
    "fingerprint",
    "content_status",
    "client_modified_at",
    "executable",
)
"""The names of the values of a `TreeEntry`: those of `File`."""


class TreePage(Answer):
    columns: Annotated[
        list[str], Field(description="Names of the values of a row, in order. A newer server may append more.")
    ]
    items: list[TreeEntry]
    epoch: Annotated[
        str,
        Field(
            description='The ETag of a row is `"EPOCH.VERSION"`, in quotes, with its `version`.',
            examples=["5f0c2a9d41be"],
        ),
    ]
    events_cursor: Annotated[
        str,
        Field(description="The same in all pages: read the events after it when you have read the last page."),
    ]
    next_cursor: Annotated[
        str | None, Field(description="Pass it back for the next page, also after an empty one; null at the end.")
    ]


class ListTree(BaseModel):
    model_config = ConfigDict(frozen=True)

    root_id: Annotated[uuid.UUID | None, Field(description="A folder; your root folder when left out.")] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before, of the same folder.")] = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class FindNames(Request):
    names: Annotated[
        list[Annotated[str, Field(examples=["report.pdf"])]],
        Field(min_length=1, max_length=1000, description="In any order; twice is fine."),
    ]


class NamedFile(Answer):
    """The file or folder that has a name; members that only files have are null for folders."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: Annotated[str, Field(description="As stored: it may differ in case from the one asked for.")]
    size_bytes: int | None
    fingerprint: Fingerprint | None
    content_status: ContentStatus | None
    revision_id: Annotated[uuid.UUID | None, Field(description="The `base_revision_id` of an upload that replaces it.")]
    etag: Annotated[str, Field(examples=['"5f0c2a9d41be.3"'])]


class NameResult(Answer):
    """Both members are null for a free name; `problem` says why a name is invalid."""

    existing: NamedFile | None
    problem: ProblemDocument | None


class NameResultList(Answer):
    items: Annotated[list[NameResult], Field(description="One for each name of the request, in its order.")]


class DownloadUrl(Answer):
    url: Annotated[str, Field(description="Grants access to its holder until it expires.")]
    expires_at: datetime
    size_bytes: int
    fingerprint: Fingerprint
    content_status: ContentStatus
    encoding: Literal["identity"]
    revision_id: uuid.UUID
    etag: Annotated[str, Field(description="The store's ETag, for If-Range; not an MD5 to rely on.")]


class ContentChunk(Answer):
    """A chunk of a content, as it was uploaded."""

    number: int
    offset_bytes: int
    size_bytes: int
    sha256: Fingerprint


class Manifest(Answer):
    """The chunks of a content, or a page of them: they cover it without gaps, in the order of their numbers, from 1."""

    revision_id: uuid.UUID
    size_bytes: int
    fingerprint: Fingerprint
    encoding: Literal["identity"]
    chunking: Annotated[
        str,
        Field(
            description="How the content was cut: `fixed:SIZE`, chunks of so many bytes and a rest.",
            examples=["fixed:8388608"],
        ),
    ]
    items: list[ContentChunk]
    next_cursor: str | None


class DownloadItem(Request):
    """A file to download."""

    file_id: uuid.UUID
    revision_id: Annotated[uuid.UUID | None, Field(description="The head when left out.")] = None


class CreateDownloadBatch(Request):
    items: Annotated[tuple[DownloadItem, ...], Field(min_length=1, max_length=BATCH_ITEMS)]


class DownloadResult(Answer):
    """Either `download` or `problem`."""

    file_id: uuid.UUID
    download: DownloadUrl | None
    problem: ProblemDocument | None


class DownloadBatch(Answer):
    items: Annotated[list[DownloadResult], Field(description="In the order of the request.")]


class CreateArchive(Request):
    """Either `ids` or `folder_id`."""

    ids: Annotated[
        tuple[uuid.UUID, ...] | None,
        Field(min_length=1, max_length=1000, description="Files and folders, side by side in the zip."),
    ] = None
    folder_id: uuid.UUID | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.ids is None) == (self.folder_id is None):
            raise ValueError("name either ids or folder_id")
        return self


class ArchiveUrl(Answer):
    """Where a zip can be fetched without a token."""

    url: Annotated[
        str,
        Field(
            examples=["https://files.example.org/v1/archives/AZ8k..."],
            description="A secret; begins with `/` where the server does not know its own address.",
        ),
    ]
    expires_at: Annotated[datetime, Field(description="Until then downloads may begin.")]


# Lists and search


class _Find(BaseModel):
    """Query parameters of a list; unknown ones are ignored, as by every operation."""

    model_config = ConfigDict(frozen=True)

    parent_id: ParentId = None
    path: Annotated[str | None, Field(max_length=4096, description="The folder, by path.", examples=["/photos"])] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before, of the same list.")] = None

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if self.parent_id is not None and self.path is not None:
            raise ValueError("parent_id and path exclude each other")
        return self


class ListFiles(_Find):
    order: Annotated[
        Order,
        Field(
            description="`-` is descending. Names are in natural order: `file2` before `file10`, `Äpfel` beside `apfel`"
            ". Folders count as 0 bytes; equal sizes and times are ordered by id.",
            examples=["-modified"],
        ),
    ] = "name"
    kind: Annotated[
        Literal["file", "folder"] | None,
        Field(description="Only the files or the folders of one folder.", examples=["folder"]),
    ] = None
    recursive: Annotated[
        bool,
        Field(
            description="All nodes below the folder, depth-first, each folder before its content. Only in the order"
            " `name`, here by the characters of the names without case."
        ),
    ] = False
    fingerprint: Annotated[Fingerprint | None, Field(description="Files with this content now.")] = None
    content_status: Annotated[
        ContentStatus | None, Field(description="Files with this content status.", examples=["quarantined"])
    ] = None
    processing: Annotated[
        ProcessingState | None,
        Field(description="Files whose newest revision has this last report of a processor.", examples=["failed"]),
    ] = None
    thumbnails: WantsThumbnails = False
    count: Annotated[
        bool, Field(description="Include `total`, the number of entries of the folder: for the first page.")
    ] = False
    limit: Annotated[int, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.recursive and self.order != "name" and not self.is_filtered:
            raise ValueError("a recursive list is ordered by name")
        if self.kind and (self.recursive or self.is_filtered):
            raise ValueError("kind goes with the list of one folder")
        if self.count and (self.recursive or self.is_filtered):
            raise ValueError("count goes with the list of one folder")
        return self

    @property
    def is_filtered(self) -> bool:
        return bool(self.fingerprint or self.content_status or self.processing)


def _searchable(q: str) -> str:
    key = names.make_key(q).strip()
    if not 1 <= len(key) <= names.MAX_BYTES or "\0" in key:
        raise PydanticCustomError("query", "should be 1 to 255 characters, blanks around them not counted, without NUL")
    return key


class SearchFiles(_Find):
    """`q` is stored as the key of a name, so case and the encoding of accents do not matter."""

    q: Annotated[
        str | None,
        Field(
            max_length=4 * names.MAX_BYTES,
            description="Words, each part of the name, with or without accents, or nearly (a typo). No syntax.",
            examples=["quarterly report"],
        ),
        AfterValidator(lambda q: None if q is None else _searchable(q)),
    ] = None
    kind: Annotated[Literal["file", "folder"] | None, Field(examples=["file"])] = None
    content_type: Annotated[
        str | None,
        StringConstraints(
            max_length=200, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+(;[ -~]*)?)?$", to_lower=True
        ),
        Field(description="Files of this type, or of all types that begin so (`image/`).", examples=["image/"]),
    ] = None
    min_bytes: Annotated[int | None, Field(ge=0, lt=2**63, description="Files of this size or larger.")] = None
    max_bytes: Annotated[int | None, Field(ge=0, lt=2**63, description="Files of this size or smaller.")] = None
    modified_after: Annotated[
        FilterTime | None, Field(description="Changed then or later.", examples=["2026-01-01T00:00:00Z"])
    ] = None
    modified_before: Annotated[
        FilterTime | None, Field(description="Changed before.", examples=["2027-01-01T00:00:00Z"])
    ] = None
    thumbnails: WantsThumbnails = False
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    @model_validator(mode="after")
    def _something(self) -> Self:
        filters = (self.kind, self.content_type, self.min_bytes, self.max_bytes)
        if all(wanted is None for wanted in (self.q, *filters, self.modified_after, self.modified_before)):
            raise ValueError("q or a filter is required")
        return self


# Storage


class StorageUsage(Answer):
    """Each stored content counts once: for a live file, else for an older revision, else for the trash."""

    image_bytes: int = 0
    video_bytes: int = 0
    audio_bytes: int = 0
    document_bytes: Annotated[int, Field(description="Text, PDF, office documents.")] = 0
    archive_bytes: Annotated[int, Field(description="Compressed and archive files.")] = 0
    other_bytes: Annotated[int, Field(description="Live files of all other types.")] = 0
    revision_bytes: Annotated[int, Field(description="Older revisions of live files.")] = 0
    trash_bytes: Annotated[int, Field(description="What only the trash holds, until it is deleted for good.")] = 0
    unplaced_bytes: Annotated[int, Field(description="Uploads that no destination accepted.")] = 0
    used_bytes: Annotated[int, Field(description="Stored bytes now; at `computed_at` the sum of all others.")]
    quota_bytes: int
    computed_at: datetime


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


FolderConflict = Literal["fail", "rename", "reuse"]


class CreateFolder(_Place):
    """One folder by its name in another (by default the root), or every missing folder of a path."""

    name: Name | None = None
    path: Annotated[str | None, Field(max_length=4096, examples=["/photos/2026/rome"])] = None
    on_conflict: Annotated[
        FolderConflict,
        Field(description="When the name is taken: refuse, take `name (1)`, or return the existing folder."),
    ] = "fail"

    @model_validator(mode="after")
    def _name_or_path(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError("either name or path")
        if self.path is not None and (self.parent_id or self.parent_path):
            raise ValueError("a path begins at the root: it goes with neither parent_id nor parent_path")
        return self


class UpdateFile(_Place):
    """Rename (name), move (parent), set the content type, the client's time or `executable`. Omitted members stay."""

    name: Name | None = None
    content_type: ContentType | None = None
    client_modified_at: FileTime | None = None
    executable: bool | None = None
    on_conflict: Annotated[
        OnConflict,
        Field(
            description="When the name is taken there: refuse, take `name (1).ext`, or (a file by a file only) put the"
            " existing file into the trash."
        ),
    ] = "fail"

    @model_validator(mode="after")
    def _something(self) -> Self:
        place = (self.name, self.parent_id, self.parent_path)
        if all(given is None for given in (*place, self.content_type, self.client_modified_at, self.executable)):
            raise ValueError("nothing to change")
        return self


class CopyFile(_Place):
    """The target of a copy: by default the same folder and name. The server copies no bytes."""

    name: Name | None = None
    on_conflict: Annotated[
        OnConflict,
        Field(
            description="When the name is taken: refuse, take `name (1).ext`, or (a file by a file only) add a revision"
            " to the existing file."
        ),
    ] = "fail"


CopyState = Literal["running", "done", "failed", "cancelled"]


class StartCopy(_Place):
    """A file or folder, and the folder of another owner that gets a copy; by default the caller's root folder."""

    file_id: Annotated[uuid.UUID, Field(description="The file or folder to copy.")]
    name: Annotated[Name | None, Field(description="By default the name of the original.")] = None
    on_conflict: Annotated[
        OnConflict,
        Field(description="When the name is taken at the end: fail, take `name (1).ext`, or replace a file by a file."),
    ] = "rename"


class CopyProgress(Answer):
    """A copy into the tree of another owner."""

    id: uuid.UUID
    file_id: Annotated[uuid.UUID, Field(description="The original.")]
    parent_id: Annotated[uuid.UUID, Field(description="The folder that gets the copy.")]
    name: str
    state: CopyState
    items: Annotated[int, Field(description="Files and folders to copy.")]
    left_out: Annotated[int, Field(description="Files whose content is quarantined or damaged; they are not copied.")]
    total_bytes: Annotated[int, Field(description="Of all different contents.")]
    copied_bytes: int
    copied_id: Annotated[uuid.UUID | None, Field(description="The copy, once it is `done`.")]
    problem: Annotated[ProblemDocument | None, Field(description="Why it has `failed`.")]
    created_at: datetime
    ended_at: datetime | None


class RestoreFile(_Place):
    """The target of a restore: by default the old folder and name."""

    name: Name | None = None
    on_conflict: Annotated[
        Literal["fail", "rename"], Field(description="When the name is taken: refuse, or take `name (1).ext`.")
    ] = "rename"


# Batches of changes

IfMatch = Annotated[
    str | None,
    Field(
        max_length=1000,
        description="As the header `If-Match`; the quotes may be left out.",
        examples=["5f0c2a9d41be.3"],
    ),
]
ParentItem = Annotated[
    int | None,
    Field(
        ge=0,
        lt=BATCH_ITEMS,
        description="Instead of `parent_id`: the folder that this earlier `create_folder` made; items count from 0.",
    ),
]


class _BatchPlace(Request):
    """A folder by id, or the one that an earlier item makes."""

    parent_id: ParentId = None
    parent_item: ParentItem = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if self.parent_id is not None and self.parent_item is not None:
            raise ValueError("parent_id and parent_item exclude each other")
        return self


class MoveOperation(_BatchPlace):
    """As PATCH of a file: rename, move, or both."""

    op: Literal["move"]
    file_id: uuid.UUID
    if_match: IfMatch = None
    on_conflict: OnConflict = "fail"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.name is None and self.parent_id is None and self.parent_item is None:
            raise ValueError("nothing to change")
        return self


class CopyOperation(_BatchPlace):
    """As `POST /v1/files/{id}/copy`."""

    op: Literal["copy"]
    file_id: uuid.UUID
    if_match: IfMatch = None
    on_conflict: OnConflict = "fail"


class TrashOperation(Request):
    """As DELETE of a file."""

    op: Literal["trash"]
    file_id: uuid.UUID
    if_match: IfMatch = None
    if_tree: Annotated[
        Fingerprint | None,
        Field(
            description="SHA-256, in hex, of the line `id etag` and a newline for each live node below, in the order of"
            " the ids: another one is `tree-changed`, for the ETag of a folder ignores its content."
        ),
    ] = None
    force: Annotated[bool, Field(description="Delete even while a processor works on it.")] = False


class RestoreOperation(_BatchPlace):
    """As `POST /v1/files/{id}/restore`."""

    op: Literal["restore"]
    file_id: uuid.UUID
    if_match: IfMatch = None
    on_conflict: Literal["fail", "rename"] = "rename"


class CreateFolderOperation(_BatchPlace):
    """As `POST /v1/folders`, by name; without a folder in the caller's root."""

    op: Literal["create_folder"]
    name: Name
    on_conflict: FolderConflict = "fail"


PlacedOperation = MoveOperation | CopyOperation | RestoreOperation | CreateFolderOperation
Operation = Annotated[PlacedOperation | TrashOperation, Field(discriminator="op")]


class RunBatch(Request):
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=BATCH_ITEMS)]

    @model_validator(mode="after")
    def _earlier_folders(self) -> Self:
        for number, operation in enumerate(self.operations):
            folder = None if isinstance(operation, TrashOperation) else operation.parent_item
            if folder is not None and (folder >= number or self.operations[folder].op != "create_folder"):
                raise ValueError(f"parent_item of item {number} should be the number of an earlier create_folder")
        return self


class BatchResult(Answer):
    """Either `file` or `problem`; neither for `trash`."""

    status: Annotated[int, Field(description="What the single operation answers.", examples=[200])]
    file: Annotated[File | None, Field(description="As it is after the whole batch.")]
    problem: ProblemDocument | None


class BatchResults(Answer):
    items: Annotated[list[BatchResult], Field(description="In the order of the request.")]


# Revisions, processing, activity


class Revision(Answer):
    id: uuid.UUID
    number: Annotated[int, Field(description="Grows by one with each revision of the file.")]
    is_head: bool
    pinned: Annotated[bool, Field(description="Whether the server keeps it as long as the file.")]
    size_bytes: int
    fingerprint: Fingerprint
    content_type: str
    content_status: ContentStatus
    author: Annotated[str, Field(description="Address of the account that made it.")]
    author_name: Annotated[str | None, Field(description="Display name of that account.")]
    client_modified_at: datetime | None
    created_at: datetime
    processing: Processing | None


class UpdateRevision(Request):
    pinned: Annotated[bool, Field(description="Keep the revision as long as the file, whatever its age.")]


class RevisionList(Answer):
    items: list[Revision]
    next_cursor: str | None


class UpdateProcessing(Request):
    state: ProcessingState
    detail: Annotated[str | None, Field(max_length=2000, pattern=r"^[^\x00]*$", examples=["thumbnail made"])] = None
    revision_id: Annotated[
        uuid.UUID | None, Field(description="The revision that was worked on; the head when left out.")
    ] = None


class Activity(Answer):
    id: uuid.UUID
    action: Annotated[str, Field(examples=["renamed"])]
    actor: Annotated[str | None, Field(description="Address of the account; null: the server itself.")]
    actor_name: Annotated[str | None, Field(description="Display name of the account.")]
    address: Annotated[str | None, Field(description="Network address that the request came from.")]
    user_agent: str | None
    request_id: str | None
    created_at: datetime
    detail: dict[str, Any]


class ActivityList(Answer):
    items: list[Activity]
    next_cursor: str | None
