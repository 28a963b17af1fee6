"""`/v1/uploads`, `/v1/fingerprints`, `/v1/capabilities`: the upload journey of `docs/protocol.md`.

And `POST /v1/files`, `PUT /v1/files/{id}/content`, whose bodies are content and are streamed.
"""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceDep, OnceStreamedDep, ReaderActor, WriterActor, limited_by_user
from dropbox_api.deps import CapabilitiesDep, DbDep, IfMatch, SettingsDep, StoreDep
from dropbox_api.files.schemas import File
from dropbox_api.plumbing import idempotency
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.schemas import ContentType, Fingerprint, OnConflict, ProblemDocument
from dropbox_api.uploads import finishing, rows, schemas, sending, service, streaming

router = APIRouter(prefix="/v1", tags=["uploads"])

BATCH_ITEMS = 500
Limit = Annotated[int, Query(ge=1, le=1000)]

_OWN = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_LIVE = (problems.UploadEnded, problems.UploadExpired, problems.UploadFailed)
_START = (
    problems.SizeNotAllowed,
    problems.InvalidName,
    problems.NotAFolder,
    problems.NameTaken,
    problems.RevisionConflict,
    problems.QuotaExceeded,
    problems.TooManyFiles,
    problems.TooManyUploads,
    problems.FingerprintRequired,
    problems.FingerprintMismatch,
    problems.ParentGone,
    problems.IdempotencyMismatch,
)


@router.get("/capabilities", operation_id="uploads_capabilities", responses=problem_responses(problems.Unauthenticated))
async def capabilities(actor: ReaderActor, settings: SettingsDep, found: CapabilitiesDep) -> schemas.Capabilities:  # noqa: ARG001 - a token is needed
    """Tell what this server and its store can do, as probed at start."""
    limits = rows.store_limits(settings)
    return schemas.Capabilities(
        proof_level=found.level or "B",
        behaviours=dict(found.behaviours),
        strategies=["single", "multipart"],
        single_max_bytes=settings.uploads.single_max_bytes,
        chunk_size_bytes=settings.uploads.chunk_size_bytes,
        min_part_bytes=limits.min_part_bytes,
        max_part_bytes=limits.max_part_bytes,
        max_parts=limits.max_parts,
        max_file_bytes=limits.largest_plan_bytes,
        url_ttl_s=settings.uploads.url_ttl_s,
        session_ttl_s=settings.uploads.session_ttl_s,
        batch_items=BATCH_ITEMS,
    )


@router.get("/fingerprints/{fingerprint}", operation_id="uploads_find_fingerprint", responses=problem_responses(*_OWN))
async def find_fingerprint(
    actor: ReaderActor, db: DbDep, fingerprint: Annotated[Fingerprint, Path()]
) -> schemas.FingerprintHit:
    """Tell what you have of a content. Other people's content answers as unknown content does."""
    return await service.find_fingerprint(db, actor.user_id, fingerprint)


@router.post(
    "/uploads",
    operation_id="uploads_start",
    dependencies=[limited_by_user("sign")],
    status_code=201,
    responses={
        200: {"model": schemas.StartedUpload, "description": "The live session of this content, or the file itself."},
        **problem_responses(problems.Unauthenticated, problems.NotFound, problems.ChunkMismatch, *BODY, *_START),
    },
)
async def start(
    *,
    actor: WriterActor,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    response: Response,
    once: OnceDep,
    body: schemas.StartUpload,
) -> schemas.StartedUpload:
    """Start an upload, or go on with the live one of the same content; content you store already is a file at once.

    Signed URLs are not kept for a repetition under the same Idempotency-Key: ask `parts` for new ones.
    """
    ((answer, is_new),) = await service.started(db, store, settings, actor.user_id, [body], once, alone=True)
    if isinstance(answer, problems.Problem):
        raise answer
    response.status_code = 201 if is_new else 200
    await idempotency.record_answer(db, once, response.status_code, answer.model_copy(update={"parts": []}))
    return answer


@router.post(
    "/uploads/batch",
    operation_id="uploads_start_batch",
    dependencies=[limited_by_user("sign")],
    responses=problem_responses(problems.Unauthenticated, *BODY, problems.IdempotencyMismatch),
)
async def start_batch(
    *, actor: WriterActor, db: DbDep, store: StoreDep, settings: SettingsDep, once: OnceDep, body: schemas.StartBatch
) -> schemas.StartedBatch:
    """Start up to 500 uploads in one transaction; each item has its own answer or problem.

    Signed URLs are not kept for a repetition under the same Idempotency-Key: ask `parts` for new ones.
    """
    answers = await service.started(db, store, settings, actor.user_id, body.items, once)
    items = [
        schemas.StartedItem(problem=_document(answer))
        if isinstance(answer, problems.Problem)
        else schemas.StartedItem(upload=answer.upload, file=answer.file, parts=answer.parts)
        for answer, _ in answers
    ]
    if once:
        kept = [item.model_copy(update={"parts": []}) for item in items]
        await idempotency.record_answer(db, once, 200, schemas.StartedBatch(items=kept))
    return schemas.StartedBatch(items=items)


@router.post(
    "/uploads/batch/complete",
    operation_id="uploads_complete_batch",
    responses=problem_responses(problems.Unauthenticated, *BODY),
)
async def complete_batch(
    actor: WriterActor, db: DbDep, store: StoreDep, settings: SettingsDep, body: schemas.CompleteBatch
) -> schemas.CompletedBatch:
    """Complete up to 500 uploads; each has its own file or problem."""
    answers = await finishing.complete_batch(db, store, settings, actor.user_id, body.upload_ids)
    return schemas.CompletedBatch(
        items=[
            schemas.CompletedItem(upload_id=upload_id, problem=_document(answer))
            if isinstance(answer, problems.Problem)
            else schemas.CompletedItem(upload_id=upload_id, file=answer.file)
            for upload_id, answer in zip(body.upload_ids, answers, strict=True)
        ]
    )


def _document(problem: problems.Problem) -> ProblemDocument:
    return ProblemDocument.model_validate(problem.body())


@router.get(
    "/uploads",
    operation_id="uploads_list",
    responses=problem_responses(problems.Unauthenticated, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_uploads(
    *,
    actor: ReaderActor,
    db: DbDep,
    state: schemas.State | None = None,
    fingerprint: Annotated[Fingerprint | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    cursor: str | None = None,
) -> schemas.UploadList:
    """List your sessions, newest first."""
    return await service.list_uploads(
        db, actor.user_id, state=state, fingerprint=fingerprint, limit=limit, cursor=cursor
    )


@router.get("/uploads/{upload_id}", operation_id="uploads_get", responses=problem_responses(*_OWN))
async def get(actor: ReaderActor, db: DbDep, upload_id: uuid.UUID) -> schemas.Upload:
    """Show a session as Postgres has it; `reconcile` asks S3."""
    return await service.get(db, actor.user_id, upload_id)


@router.get(
    "/uploads/{upload_id}/chunks",
    operation_id="uploads_list_chunks",
    responses=problem_responses(*_OWN, problems.InvalidCursor),
)
async def list_chunks(
    actor: ReaderActor, db: DbDep, upload_id: uuid.UUID, limit: Limit = 1000, cursor: str | None = None
) -> schemas.ChunkList:
    """List the status of every chunk."""
    return await sending.list_chunks(db, actor.user_id, upload_id, limit=limit, cursor=cursor)


@router.post(
    "/uploads/{upload_id}/parts",
    operation_id="uploads_sign_parts",
    dependencies=[limited_by_user("sign")],
    responses=problem_responses(
        *_OWN, *BODY, problems.ChunkMismatch, problems.UploadCompleting, problems.ParentGone, *_LIVE
    ),
)
async def sign_parts(
    *,
    actor: WriterActor,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    upload_id: uuid.UUID,
    body: schemas.SignParts,
) -> schemas.SignedParts:
    """Register chunk hashes and get a signed URL for each; a URL accepts exactly the bytes of its hash."""
    signed = await sending.sign_parts(db, store, settings, actor.user_id, upload_id, body.parts)
    return schemas.SignedParts(parts=signed)


@router.put(
    "/uploads/{upload_id}/fingerprint",
    operation_id="uploads_bind_fingerprint",
    responses=problem_responses(
        *_OWN,
        *BODY,
        problems.FingerprintMismatch,
        problems.DestinationRefused,
        problems.UploadCompleting,
        problems.ParentGone,
        *_LIVE,
    ),
)
async def bind_fingerprint(
    *,
    actor: WriterActor,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    upload_id: uuid.UUID,
    body: schemas.BindFingerprint,
) -> schemas.StartedUpload:
    """Bind the fingerprint that was still being computed; the answer says which session (or file) to go on with."""
    return await service.bind_fingerprint(db, store, settings, actor.user_id, upload_id, body.fingerprint)


@router.post(
    "/uploads/{upload_id}/reconcile",
    operation_id="uploads_reconcile",
    responses=problem_responses(*_OWN, problems.UploadExpired, problems.ParentGone),
)
async def reconcile(
    actor: WriterActor, db: DbDep, store: StoreDep, settings: SettingsDep, upload_id: uuid.UUID
) -> schemas.Upload:
    """Ask S3 which parts it holds, and record that."""
    await sending.reconcile(db, store, settings, actor.user_id, upload_id)
    return await service.get(db, actor.user_id, upload_id)


@router.post(
    "/uploads/{upload_id}/complete",
    operation_id="uploads_complete",
    response_model=schemas.Completed,
    responses={
        202: {"model": schemas.Upload, "description": "S3 is still at it: ask again after `Retry-After`."},
        **problem_responses(
            *_OWN,
            problems.FingerprintRequired,
            problems.PartsMissing,
            problems.DestinationRefused,
            problems.ParentGone,
            *_LIVE,
        ),
    },
)
async def complete(
    actor: WriterActor, db: DbDep, store: StoreDep, settings: SettingsDep, upload_id: uuid.UUID
) -> schemas.Completed | Response:
    """Turn the session into a file. Repeating it returns the same file."""
    done = await finishing.complete(db, store, settings, actor.user_id, upload_id)
    if done is not None:
        return done
    view = await service.get(db, actor.user_id, upload_id)
    return JSONResponse(view.model_dump(mode="json"), status_code=202, headers={"Retry-After": "2"})


@router.post(
    "/uploads/{upload_id}/destinations",
    operation_id="uploads_add_destination",
    responses=problem_responses(
        *_OWN,
        *BODY,
        problems.InvalidName,
        problems.NotAFolder,
        problems.CrossOwner,
        problems.NameTaken,
        problems.RevisionConflict,
        problems.ParentGone,
        problems.TooManyFiles,
        problems.NothingToPlace,
        problems.IdempotencyMismatch,
        *_LIVE,
    ),
)
async def add_destination(
    *,
    actor: WriterActor,
    db: DbDep,
    settings: SettingsDep,
    upload_id: uuid.UUID,
    once: OnceDep,
    body: schemas.AddDestination,
) -> schemas.Upload:
    """Give the content another place; a completed session's content is placed at once."""
    return await service.add_destination(db, settings, actor.user_id, upload_id, body, once)


@router.delete(
    "/uploads/{upload_id}",
    operation_id="uploads_abort",
    status_code=204,
    responses=problem_responses(*_OWN, problems.UploadCompleting, problems.UploadEnded),
)
async def abort(actor: WriterActor, db: DbDep, store: StoreDep, upload_id: uuid.UUID) -> None:
    """Abort the upload and free what it reserved."""
    await service.abort(db, store, actor.user_id, upload_id)


# Content through the API itself

_STREAMED = (
    *_OWN,
    problems.BodyTooLarge,
    problems.QuotaExceeded,
    problems.TooManyUploads,
    problems.InvalidName,
    problems.NameTaken,
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
                        "description": "The folder; the root when it is left out and folder_path, too.",
                    },
                    "folder_path": {
                        "type": "string",
                        "maxLength": 4096,
                        "description": "The folder by path, made on the way.",
                    },
                    "on_conflict": {"type": "string", "enum": ["fail", "rename", "replace"], "default": "fail"},
                    "content_type": {"type": "string", "description": "Else that of the file's part of the form."},
                    "client_modified_at": {"type": "string", "format": "date-time"},
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


def _incoming(request: Request, content_type: str | None) -> streaming.Body:
    return streaming.incoming(request.receive, request.headers.get("content-length", ""), content_type)


@router.post(
    "/files",
    operation_id="uploads_send_file",
    status_code=201,
    responses=problem_responses(*_STREAMED, problems.NotAFolder, problems.CrossOwner, problems.TooManyFiles),
    openapi_extra={"requestBody": _FORM},
)
async def send_file(
    *,
    actor: WriterActor,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    request: Request,
    response: Response,
    once: OnceStreamedDep,
) -> File:
    """Upload a small file as HTML forms and `curl -F` do. The fields may stand before or after the file."""
    body = _incoming(request, request.headers.get("content-type", ""))
    async with request.app.state.streams.hold(actor.user_id):
        file = await streaming.send_file(db, store, settings, actor.user_id, body, once)
    response.headers.update({"ETag": file.etag, "Location": f"/v1/files/{file.id}"})
    return file


@router.put(
    "/files/{file_id}/content",
    operation_id="uploads_put_content",
    responses=problem_responses(*_STREAMED, problems.PreconditionFailed, problems.NotAFile, problems.ProcessingRunning),
    openapi_extra={"requestBody": _CONTENT},
)
async def put_content(
    *,
    actor: WriterActor,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    request: Request,
    response: Response,
    file_id: uuid.UUID,
    once: OnceStreamedDep,
    name: Annotated[str | None, Query(max_length=1024, description="Rename the file as well.")] = None,
    on_conflict: Annotated[
        OnConflict,
        Query(description="When that name is taken: refuse, take `name (1).ext`, or put what is there into the trash."),
    ] = "fail",
    content_type: Annotated[ContentType | None, Header(include_in_schema=False)] = None,
    if_match: IfMatch = None,
) -> File:
    """Replace the content of a file by the body: a new revision, unless it is what the file holds already.

    Without a Content-Type the file keeps its own.
    """
    for header in ("Content-Range", "Content-Encoding"):  # a part, or something packed, is not the content
        if request.headers.get(header, "identity") != "identity":
            raise problems.InvalidRequest(
                errors=[{"pointer": f"/{header}", "detail": "the content as it is is wanted"}]
            )
    wanted = streaming.PutContent(_incoming(request, content_type), name, on_conflict, if_match)
    async with request.app.state.streams.hold(actor.user_id):
        file = await streaming.put_content(db, store, settings, actor.user_id, file_id, wanted, once=once)
    response.headers["ETag"] = file.etag
    return file
