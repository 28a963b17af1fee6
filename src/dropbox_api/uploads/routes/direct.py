"""`POST /v1/files` and `PUT /v1/files/{id}/content`: content through the API itself, streamed."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceWithoutBodyDep, Writer
from dropbox_api.core.body_digests import BodyDigests
from dropbox_api.deps import DIGEST_PARAMETERS, BodyDigestsDep, DirectSlotsDep, IfMatch, IfNoneMatch
from dropbox_api.files.schemas import File
from dropbox_api.responses import problem_responses
from dropbox_api.schemas import ContentType, FileTime, OnConflict
from dropbox_api.uploads.direct import content_upload, form_upload
from dropbox_api.uploads.direct.body import RequestBody, receive_body
from dropbox_api.uploads.routes.problem_sets import OWN

router = APIRouter()

_DIRECT = (
    *OWN,
    problems.BodyTooLarge,
    problems.DigestMismatch,
    problems.QuotaExceeded,
    problems.TooManyUploads,
    problems.StoreFull,
    problems.InvalidName,
    problems.NameTaken,
    problems.NotAFile,
    problems.ParentGone,
    problems.RevisionConflict,
    problems.UploadExpired,
    problems.IdempotencyMismatch,
)
_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "Its filename is the name."},
                    "name": {"type": "string", "description": "Another name than the file's own.", "maxLength": 1024},
                    "parent_id": {
                        "type": "string",
                        "format": "uuid",
                        "description": "The folder; the root when both it and folder_path are left out.",
                    },
                    "folder_path": {
                        "type": "string",
                        "maxLength": 4096,
                        "description": "The folder by path, made on the way.",
                    },
                    "file_id": {
                        "type": "string",
                        "format": "uuid",
                        "description": "The file that gets the content, instead of a name; with base_revision_id.",
                    },
                    "base_revision_id": {
                        "type": "string",
                        "format": "uuid",
                        "description": "With `replace` or file_id: only if this is still the head revision.",
                    },
                    "on_conflict": {"type": "string", "enum": ["fail", "rename", "replace"], "default": "fail"},
                    "content_type": {"type": "string", "description": "Else that of the file's part of the form."},
                    "client_modified_at": {"type": "string", "format": "date-time"},
                    "executable": {"type": "boolean", "description": "Left out: as the file is, false for a new one."},
                },
                "additionalProperties": False,
            },
            "example": {"file": "(bytes)", "name": "cat.jpg", "folder_path": "/photos/2026", "on_conflict": "rename"},
        }
    },
}
_CONTENT: dict[str, Any] = {
    "required": True,
    "description": "The content as it is; its Content-Type becomes the file's.",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "(bytes)"}},
}


def _receive(request: Request, content_type: str | None, digests: BodyDigests) -> RequestBody:
    return receive_body(request.receive, request.headers.get("content-length", ""), content_type, digests)


@router.post(
    "/files",
    operation_id="files_upload",
    status_code=201,
    responses=problem_responses(*_DIRECT, problems.NotAFolder, problems.CrossOwner, problems.TooManyFiles),
    openapi_extra={"requestBody": _FORM, "parameters": DIGEST_PARAMETERS},
)
async def send_file(
    *,
    context: Writer,
    slots: DirectSlotsDep,
    request: Request,
    response: Response,
    once: OnceWithoutBodyDep,
    digests: BodyDigestsDep,
) -> File:
    """Upload a small file as HTML forms and `curl -F` do. The fields may come before or after the file."""
    body = _receive(request, request.headers.get("content-type", ""), digests)
    async with slots.hold(context.actor_id):
        file = await form_upload.send_file(context, body, once)
    response.headers.update({"ETag": file.etag, "Location": f"/v1/files/{file.id}"})
    return file


@router.put(
    "/files/{file_id}/content",
    operation_id="files_put_content",
    responses=problem_responses(*_DIRECT, problems.PreconditionFailed, problems.ProcessingRunning),
    openapi_extra={"requestBody": _CONTENT, "parameters": DIGEST_PARAMETERS},
)
async def put_content(
    *,
    context: Writer,
    slots: DirectSlotsDep,
    request: Request,
    response: Response,
    file_id: uuid.UUID,
    once: OnceWithoutBodyDep,
    digests: BodyDigestsDep,
    base_revision_id: Annotated[
        uuid.UUID | None,
        Query(
            description="Only if this is still the head revision, or the head has this content. A deleted file whose"
            " head it is comes back."
        ),
    ] = None,
    name: Annotated[str | None, Query(max_length=1024, description="Rename the file as well.")] = None,
    on_conflict: Annotated[
        OnConflict,
        Query(
            description="When that name is taken: refuse, take `name (1).ext`, or move the other file into the trash."
        ),
    ] = "fail",
    client_modified_at: Annotated[FileTime | None, Query()] = None,
    executable: Annotated[bool | None, Query(description="Left out: as the file is.")] = None,
    content_type: Annotated[ContentType | None, Header(include_in_schema=False)] = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> File:
    """Replace the content of a file by the body: a new revision, unless it is what the file holds already.

    Without a Content-Type the file keeps its own.
    """
    for header in ("Content-Range", "Content-Encoding"):  # a range or compressed bytes are not the content
        if request.headers.get(header, "identity") != "identity":
            raise problems.InvalidRequest.at(f"/{header}", "send the whole content, not encoded")
    wanted = content_upload.NewContent(
        body=_receive(request, content_type, digests),
        name=name,
        on_conflict=on_conflict,
        client_modified_at=client_modified_at,
        executable=executable,
        base_revision_id=base_revision_id,
        if_match=if_match,
        if_none_match=if_none_match,
    )
    async with slots.hold(context.actor_id):
        file = await content_upload.put_content(context, file_id, wanted, once)
    response.headers["ETag"] = file.etag
    return file
