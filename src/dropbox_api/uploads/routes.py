"""`/v1/uploads`, `/v1/fingerprints`, `/v1/capabilities`: the upload journey of `docs/protocol.md`."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from dropbox_api import problems
from dropbox_api.accounts.auth import CurrentUser
from dropbox_api.deps import CapabilitiesDep, DbDep, SettingsDep, StoreDep
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.schemas import Fingerprint, ProblemDocument
from dropbox_api.uploads import finishing, rows, schemas, sending, service

router = APIRouter(prefix="/v1", tags=["uploads"])

BATCH_ITEMS = 500
Limit = Annotated[int, Query(ge=1, le=1000)]

_OWN = (problems.Unauthenticated, problems.InvalidRequest, problems.NotFound)
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
)


@router.get("/capabilities", operation_id="uploads_capabilities", responses=problem_responses(problems.Unauthenticated))
async def capabilities(actor: CurrentUser, settings: SettingsDep, found: CapabilitiesDep) -> schemas.Capabilities:  # noqa: ARG001 - a token is needed
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
    actor: CurrentUser, db: DbDep, fingerprint: Annotated[Fingerprint, Path()]
) -> schemas.FingerprintHit:
    """Tell what you have of a content. Other people's content answers as unknown content does."""
    return await service.find_fingerprint(db, actor.user_id, fingerprint)


@router.post(
    "/uploads",
    operation_id="uploads_start",
    status_code=201,
    responses={
        200: {"model": schemas.StartedUpload, "description": "The live session of this content, or the file itself."},
        **problem_responses(problems.Unauthenticated, problems.NotFound, problems.ChunkMismatch, *BODY, *_START),
    },
)
async def start(
    *,
    actor: CurrentUser,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    response: Response,
    body: schemas.StartUpload,
) -> schemas.StartedUpload:
    """Start an upload, or go on with the live one of the same content; content you store already is a file at once."""
    ((answer, is_new),) = await service.started(db, store, settings, actor.user_id, [body])
    if isinstance(answer, problems.Problem):
        raise answer
    response.status_code = 201 if is_new else 200
    return answer


@router.post(
    "/uploads/batch",
    operation_id="uploads_start_batch",
    responses=problem_responses(problems.Unauthenticated, *BODY),
)
async def start_batch(
    actor: CurrentUser, db: DbDep, store: StoreDep, settings: SettingsDep, body: schemas.StartBatch
) -> schemas.StartedBatch:
    """Start up to 500 uploads in one transaction; each item has its own answer or problem."""
    answers = await service.started(db, store, settings, actor.user_id, body.items)
    return schemas.StartedBatch(
        items=[
            schemas.StartedItem(problem=_document(answer))
            if isinstance(answer, problems.Problem)
            else schemas.StartedItem(upload=answer.upload, file=answer.file, parts=answer.parts)
            for answer, _ in answers
        ]
    )


@router.post(
    "/uploads/batch/complete",
    operation_id="uploads_complete_batch",
    responses=problem_responses(problems.Unauthenticated, *BODY),
)
async def complete_batch(
    actor: CurrentUser, db: DbDep, store: StoreDep, settings: SettingsDep, body: schemas.CompleteBatch
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
    actor: CurrentUser,
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
async def get(actor: CurrentUser, db: DbDep, upload_id: uuid.UUID) -> schemas.Upload:
    """Show a session as Postgres has it; `reconcile` asks S3."""
    return await service.get(db, actor.user_id, upload_id)


@router.get(
    "/uploads/{upload_id}/chunks",
    operation_id="uploads_list_chunks",
    responses=problem_responses(*_OWN, problems.InvalidCursor),
)
async def list_chunks(
    actor: CurrentUser, db: DbDep, upload_id: uuid.UUID, limit: Limit = 1000, cursor: str | None = None
) -> schemas.ChunkList:
    """List the status of every chunk."""
    return await sending.list_chunks(db, actor.user_id, upload_id, limit=limit, cursor=cursor)


@router.post(
    "/uploads/{upload_id}/parts",
    operation_id="uploads_sign_parts",
    responses=problem_responses(*_OWN, *BODY, problems.ChunkMismatch, problems.UploadCompleting, *_LIVE),
)
async def sign_parts(
    *,
    actor: CurrentUser,
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
        *_OWN, *BODY, problems.FingerprintMismatch, problems.DestinationRefused, problems.UploadCompleting, *_LIVE
    ),
)
async def bind_fingerprint(
    *,
    actor: CurrentUser,
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
    responses=problem_responses(*_OWN, problems.UploadExpired),
)
async def reconcile(
    actor: CurrentUser, db: DbDep, store: StoreDep, settings: SettingsDep, upload_id: uuid.UUID
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
            *_OWN, problems.FingerprintRequired, problems.PartsMissing, problems.DestinationRefused, *_LIVE
        ),
    },
)
async def complete(
    actor: CurrentUser, db: DbDep, store: StoreDep, settings: SettingsDep, upload_id: uuid.UUID
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
        problems.NameTaken,
        problems.RevisionConflict,
        problems.ParentGone,
        problems.TooManyFiles,
        problems.NothingToPlace,
        *_LIVE,
    ),
)
async def add_destination(
    actor: CurrentUser, db: DbDep, settings: SettingsDep, upload_id: uuid.UUID, body: schemas.AddDestination
) -> schemas.Upload:
    """Give the content another place; a completed session's content is placed at once."""
    return await service.add_destination(db, settings, actor.user_id, upload_id, body)


@router.delete(
    "/uploads/{upload_id}",
    operation_id="uploads_abort",
    status_code=204,
    responses=problem_responses(*_OWN, problems.UploadCompleting, problems.UploadEnded),
)
async def abort(actor: CurrentUser, db: DbDep, store: StoreDep, upload_id: uuid.UUID) -> None:
    """Abort the upload and free what it reserved."""
    await service.abort(db, store, actor.user_id, upload_id)
