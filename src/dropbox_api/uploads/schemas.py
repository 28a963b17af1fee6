"""Requests and answers of the upload routes; `docs/protocol.md` describes the journey."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dropbox_api.core.chunks import Chunking, Strategy
from dropbox_api.files.schemas import File
from dropbox_api.schemas import (
    BATCH_ITEMS,
    Answer,
    ContentType,
    FileTime,
    Fingerprint,
    OnConflict,
    ProblemDocument,
    Ranges,
    Request,
)

ReuseMode = Literal["copy", "relay", "off"]
Encoding = Literal["identity", "zstd"]
State = Literal["creating", "active", "completing", "completed", "aborted", "expired", "failed"]
PartNumber = Annotated[int, Field(ge=1, le=10_000)]


class Destination(Request):
    """Where the content goes: a name in a folder, by id or by path (made on the way); or a file, wherever it is."""

    parent_id: Annotated[uuid.UUID | None, Field(description="The folder; the root when both are left out.")] = None
    folder_path: Annotated[str | None, Field(max_length=4096, examples=["/photos/2026"])] = None
    name: Annotated[
        str | None, Field(max_length=1024, description="Required without `file_id`.", examples=["cat.jpg"])
    ] = None
    file_id: Annotated[
        uuid.UUID | None,
        Field(
            description="The file that gets a new revision, also when it was renamed or moved meanwhile. Goes with"
            " `base_revision_id` alone. If it was deleted, and the base is its head, it comes back."
        ),
    ] = None
    on_conflict: Annotated[
        OnConflict,
        Field(description="When the name is taken: refuse, take `name (1).ext`, or add a revision to that file."),
    ] = "fail"
    base_revision_id: Annotated[
        uuid.UUID | None,
        Field(
            description="With `replace` or `file_id`: only if this is still the head revision, or has the same content."
        ),
    ] = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.parent_id is not None and self.folder_path is not None:
            raise ValueError("parent_id and folder_path exclude each other")
        if self.file_id is not None:
            if self.model_fields_set != {"file_id", "base_revision_id"} or self.base_revision_id is None:
                raise ValueError("file_id goes with base_revision_id alone")
            return self
        if self.name is None:
            raise ValueError("either name or file_id is required")
        if self.base_revision_id is not None and self.on_conflict != "replace":
            raise ValueError("base_revision_id goes with on_conflict=replace")
        return self


class ChunkHash(Request):
    number: PartNumber
    sha256: Fingerprint


class ListedChunk(Request):
    """One chunk of a file, as its client cut it."""

    sha256: Fingerprint
    size_bytes: Annotated[int, Field(ge=1, le=2**62)]


GuessedType = Annotated[
    ContentType | None,
    Field(description="Left out: that of the file, or guessed from the extension of a name.", examples=["image/jpeg"]),
]


class ContentRequest(Request):
    """The content of a new session, and how it is to be cut."""

    fingerprint: Fingerprint | None = None
    size_bytes: Annotated[int, Field(ge=0, le=2**62)]
    content_type: GuessedType = None
    chunk_size_bytes: Annotated[
        int | None, Field(ge=1, le=2**62, description="A request; the server clamps it to the limits of the store.")
    ] = None
    strategy: Strategy | None = None
    parts: Annotated[
        tuple[ChunkHash, ...],
        Field(
            max_length=1000, description="Chunk hashes that are known already: the answer carries their signed URLs."
        ),
    ] = ()


class CreateUpload(ContentRequest):
    fingerprint: Annotated[
        Fingerprint | None,
        Field(description="Left out: send while you hash, then PUT /v1/uploads/{id}/fingerprint."),
    ] = None
    destination: Destination
    client_modified_at: FileTime | None = None
    executable: Annotated[bool | None, Field(description="Left out: as the file is, false for a new one.")] = None
    encoding: Annotated[
        Encoding,
        Field(
            description="`zstd`: the chunks are those of one zstd frame, of `encoded_size_bytes`, and the server stores"
            " what it decodes to: `size_bytes` that hash to the `fingerprint`, which is required."
        ),
    ] = "identity"
    encoded_size_bytes: Annotated[int | None, Field(ge=1, le=2**62)] = None
    chunking: Annotated[
        Chunking,
        Field(
            description="`cdc1`: the client cuts where the content says, and lists the chunks; the answer may be a live"
            " session with fixed chunks. Requests with `fixed` get only sessions with fixed chunks."
        ),
    ] = "fixed"
    chunks: Annotated[
        tuple[ListedChunk, ...],
        Field(
            max_length=1000,
            description="The first chunks of the file; more by PUT /v1/uploads/{id}/chunks. The server reuses those"
            " that the account stores. With fixed chunks, name the `chunk_size_bytes` that they have.",
        ),
    ] = ()

    @model_validator(mode="after")
    def _whole_encoding(self) -> Self:
        if (self.encoding == "zstd") != (self.encoded_size_bytes is not None):
            raise ValueError("encoding zstd and encoded_size_bytes go together")
        if self.encoding == "zstd" and (self.fingerprint is None or self.chunking != "fixed" or self.chunks):
            raise ValueError("encoding zstd needs a fingerprint, and goes with fixed chunks that are not listed")
        if self.encoding == "zstd" and not self.size_bytes:
            raise ValueError("an empty file is not compressed")
        return self


class SignedPart(Answer):
    """Send exactly this: PUT the chunk's bytes to `url` with `headers` (Content-Length is among them)."""

    number: int
    url: str
    headers: dict[str, str]
    offset_bytes: int
    size_bytes: int
    expires_at: datetime


class DestinationState(Answer):
    id: uuid.UUID
    parent_id: Annotated[uuid.UUID | None, Field(description="Null for a destination by `file_id`.")]
    name: Annotated[str | None, Field(description="Null for a destination by `file_id`.")]
    on_conflict: OnConflict
    base_revision_id: uuid.UUID | None = None
    file_id: Annotated[
        uuid.UUID | None,
        Field(description="The file that has the content; of a destination by `file_id` from the start."),
    ]
    revision_id: Annotated[uuid.UUID | None, Field(description="Set once the file has the content.")]
    problem: ProblemDocument | None


class UploadProgress(Answer):
    """What every upload session tells: its plan, and how far it is."""

    id: uuid.UUID
    state: State
    fingerprint: Fingerprint | None
    size_bytes: int
    strategy: Strategy
    chunk_size_bytes: Annotated[
        int,
        Field(
            description="Chunk n of fixed chunks covers [(n-1) * chunk_size_bytes, n * chunk_size_bytes) of the file;"
            " of `cdc1` the largest possible size."
        ),
    ]
    chunk_count: Annotated[int, Field(description="Of `cdc1`: the chunks that are listed so far.")]
    uploaded: Annotated[Ranges, Field(description="Chunks that S3 holds, reused ones included.")]
    missing: Annotated[Ranges, Field(description="Chunks still to be sent, mismatched ones included.")]
    mismatched: Annotated[Ranges, Field(description="Chunks that S3 holds with other bytes; send them again.")]
    uploaded_bytes: int
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    failure: str | None = None


class Upload(UploadProgress):
    """An upload session."""

    encoding: Annotated[Encoding, Field(description="Of what is sent; the server stores the content decoded.")]
    content_bytes: Annotated[int, Field(description="Size of the decoded content; `size_bytes` is what is sent.")]
    chunking: Annotated[
        str, Field(description="`fixed:<chunk_size_bytes>`, or `cdc1`: content-defined.", examples=["fixed:8388608"])
    ]
    listed_bytes: Annotated[int, Field(description="What the chunks cover: less than the file while `cdc1` is listed.")]
    reusing: Annotated[
        Ranges, Field(description="Chunks that the server makes from stored bytes now; they are not missing.")
    ]
    reused: Annotated[Ranges, Field(description="Those of the uploaded chunks that were made from stored bytes.")]
    reused_bytes: int
    destinations: list[DestinationState]


class CreatedUpload(Answer):
    """Either `upload` (content to send) or `file` (the owner stores this content already)."""

    upload: Upload | None
    file: File | None
    parts: list[SignedPart] = Field(default=[])


class UploadList(Answer):
    items: list[Upload]
    next_cursor: str | None


class FingerprintHit(Answer):
    """What the caller has of this content."""

    file: File | None
    upload: Upload | None


class SignParts(Request):
    parts: Annotated[list[ChunkHash], Field(min_length=1, max_length=1000)]


class SignedParts(Answer):
    parts: list[SignedPart]


class ListChunks(Request):
    chunks: Annotated[list[ListedChunk], Field(min_length=1, max_length=1000)]


class Chunk(Answer):
    number: int
    offset_bytes: int
    size_bytes: int
    sha256: Fingerprint | None
    state: Literal["planned", "uploaded", "mismatched", "reusing", "reused"]
    etag: str | None


class ChunkList(Answer):
    items: list[Chunk]
    next_cursor: str | None


class BindFingerprint(Request):
    fingerprint: Fingerprint


class CreateUploadBatch(Request):
    items: Annotated[list[CreateUpload], Field(min_length=1, max_length=BATCH_ITEMS)]


class CreatedUploadItem(Answer):
    """The answer to one item: what a single start would answer, or its problem."""

    upload: Upload | None = None
    file: File | None = None
    parts: list[SignedPart] = Field(default=[])
    problem: ProblemDocument | None = None


class CreatedUploadBatch(Answer):
    items: Annotated[list[CreatedUploadItem], Field(description="In the order of the request.")]


class CompleteUploadBatch(Request):
    upload_ids: Annotated[list[uuid.UUID], Field(min_length=1, max_length=BATCH_ITEMS)]


class CompletedUploadItem(Answer):
    upload_id: uuid.UUID
    file: File | None = None
    problem: ProblemDocument | None = None


class CompletedUploadBatch(Answer):
    items: Annotated[list[CompletedUploadItem], Field(description="In the order of the request.")]


class CompletedUpload(Answer):
    """`file` is the first destination's; `destinations` holds the outcome of each."""

    file: File
    destinations: list[DestinationState]


class AddDestination(Request):
    destination: Destination
    content_type: GuessedType = None
    client_modified_at: FileTime | None = None
    executable: Annotated[bool | None, Field(description="Left out: as the file is, false for a new one.")] = None


class Capabilities(Answer):
    """What this server and its store can do."""

    proof_level: Annotated[
        Literal["A", "B"],
        Field(description="A: the store lists the hash of every part; B: it enforces them on write, unlisted."),
    ]
    behaviours: Annotated[dict[str, bool | None], Field(description="The results of the probe of the bucket at start.")]
    strategies: list[Strategy]
    chunkings: Annotated[list[Chunking], Field(description="`cdc1`: content-defined chunks, listed by the client.")]
    cdc1_max_bytes: Annotated[int, Field(description="The largest file with such chunks; 0: there are none.")]
    encodings: Annotated[list[Encoding], Field(description="In which contents may be sent.")]
    delta: Annotated[
        ReuseMode,
        Field(description="How listed chunks that the account stores become parts: by the store, by a worker, or not."),
    ]
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
    instance_id: Annotated[uuid.UUID, Field(description="The same over restores; another server has another one.")]
    data_epoch: Annotated[
        str,
        Field(
            description="Changes when the server's data was restored from a backup, or its database failed over: "
            "ETags and cursors of events are void, so list all files again.",
            examples=["5f0c2a9d41be"],
        ),
    ]


# Sessions under a link

SENDER_BATCH_ITEMS = 20
"""As many as may be open under one link."""
ClientRef = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="The sender's own name of the upload: a repeated start with it answers the same session.",
        examples=["cat.jpg 1785000000 20211"],
    ),
]
SecretHash = Annotated[
    Fingerprint,
    Field(
        description="SHA-256 of the secret that the sender made, as 64 lower-case hex digits. The secret itself goes"
        " with later requests, as X-Upload-Secret."
    ),
]


class LinkUploadItem(ContentRequest):
    """A file for an upload link."""

    client_ref: ClientRef
    fingerprint: Annotated[
        Fingerprint | None, Field(description="Left out: send while you hash, then name it in the request to complete.")
    ] = None
    name: Annotated[str, Field(max_length=1024, examples=["cat.jpg"])]
    folder_path: Annotated[
        str | None,
        Field(
            max_length=4096,
            description="Folders below that of the link, at most 20 levels; made when the file has arrived.",
            examples=["photos/2026"],
        ),
    ] = None


class CreateLinkUpload(LinkUploadItem):
    secret_sha256: SecretHash


class CreateLinkUploadBatch(Request):
    secret_sha256: SecretHash
    items: Annotated[list[LinkUploadItem], Field(min_length=1, max_length=SENDER_BATCH_ITEMS)]


class LinkUpload(UploadProgress):
    """An upload session under a link: what its sender knows already, and how far it is."""

    client_ref: str
    name: Annotated[str, Field(description="As the sender named it; the file may have another name in the folder.")]
    folder_path: str | None


class CreatedLinkUpload(Answer):
    upload: LinkUpload
    parts: list[SignedPart] = Field(default=[])


class CreatedLinkUploadItem(Answer):
    """The answer to one item: what a single start would answer, or its problem."""

    upload: LinkUpload | None = None
    parts: list[SignedPart] = Field(default=[])
    problem: ProblemDocument | None = None


class CreatedLinkUploadBatch(Answer):
    items: Annotated[list[CreatedLinkUploadItem], Field(description="In the order of the request.")]


class CompleteLinkUpload(Request):
    fingerprint: Annotated[Fingerprint | None, Field(description="Required where the start did not name it.")] = None


class CompleteLinkUploadItem(CompleteLinkUpload):
    upload_id: uuid.UUID


class CompleteLinkUploadBatch(Request):
    items: Annotated[list[CompleteLinkUploadItem], Field(min_length=1, max_length=SENDER_BATCH_ITEMS)]


class CompletedLinkUploadItem(Answer):
    upload_id: uuid.UUID
    upload: LinkUpload | None = None
    problem: ProblemDocument | None = None


class CompletedLinkUploadBatch(Answer):
    items: Annotated[list[CompletedLinkUploadItem], Field(description="In the order of the request.")]


class LinkUploadList(Answer):
    items: list[LinkUpload]
    next_cursor: str | None
