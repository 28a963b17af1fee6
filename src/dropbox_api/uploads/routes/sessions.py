"""`/v1/uploads`: sessions, from start to complete or abort."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceDep, Reader, Writer, limited_by_user
from dropbox_api.deps import COMPRESSED, CapabilitiesDep, PageLimit, from_state
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.schemas import Fingerprint
from dropbox_api.uploads import (
    abort,
    bind,
    chunk_lists,
    complete,
    new_destination,
    parts,
    queries,
    reconcile,
    reuse,
    schemas,
    start,
)
from dropbox_api.uploads.routes.problem_sets import LIVE, OWN

router = APIRouter()


@router.post(
    "/uploads",
    operation_id="uploads_create",
    dependencies=[limited_by_user("sign")],
    status_code=201,
    responses={
        200: {"model": schemas.CreatedUpload, "description": "The live session of this content, or the file itself."},
        **problem_responses(
            problems.Unauthenticated,
            problems.NotFound,
            problems.ChunkMismatch,
            *BODY,
            problems.SizeNotAllowed,
            problems.InvalidName,
            problems.NotAFolder,
            problems.NotAFile,
            problems.NameTaken,
            problems.RevisionConflict,
            problems.QuotaExceeded,
            problems.TooManyFiles,
            problems.TooManyUploads,
            problems.StoreFull,
            problems.FingerprintRequired,
            problems.FingerprintMismatch,
            problems.ParentGone,
            problems.IdempotencyMismatch,
        ),
    },
)
async def start_upload(
    context: Writer, response: Response, once: OnceDep, bucket: CapabilitiesDep, body: schemas.CreateUpload
) -> schemas.CreatedUpload:
    """Start an upload, or go on with the live one of the same content; content you store already is a file at once.

    Signed URLs are not kept for a repetition under the same Idempotency-Key: ask `parts` for new ones.
    """
    result = await start.start_upload(context, body, once, bucket)
    response.status_code = 201 if result.is_new else 200
    return result.answer


@router.get(
    "/uploads",
    operation_id="uploads_list",
    dependencies=[COMPRESSED],
    responses=problem_responses(problems.Unauthenticated, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_uploads(
    *,
    context: Reader,
    state: schemas.State | None = None,
    fingerprint: Annotated[Fingerprint | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    cursor: str | None = None,
) -> schemas.UploadList:
    """List your sessions, newest first."""
    return await queries.list_uploads(context, state=state, fingerprint=fingerprint, limit=limit, cursor=cursor)


@router.get("/uploads/{upload_id}", operation_id="uploads_get", responses=problem_responses(*OWN))
async def get_upload(
    context: Reader,
    wakeup: Annotated[Wakeup, from_state("wakeup")],
    upload_id: uuid.UUID,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0,
) -> schemas.Upload:
    """Show a session as Postgres has it; `reconcile` asks S3. With `wait_s`, as soon as no chunk is being reused."""
    await queries.await_reuse(context, upload_id, wait_s, wakeup)
    return await queries.get_upload(context, upload_id)


@router.get(
    "/uploads/{upload_id}/chunks",
    operation_id="uploads_list_chunks",
    dependencies=[COMPRESSED],
    responses=problem_responses(*OWN, problems.InvalidCursor),
)
async def list_chunks(
    context: Reader, upload_id: uuid.UUID, limit: PageLimit = 1000, cursor: str | None = None
) -> schemas.ChunkList:
    """List the status of every chunk."""
    return await queries.list_chunks(context, upload_id, limit=limit, cursor=cursor)


@router.put(
    "/uploads/{upload_id}/chunks",
    operation_id="uploads_put_chunks",
    dependencies=[limited_by_user("sign")],
    responses=problem_responses(
        *OWN, *BODY, problems.ChunkMismatch, problems.UploadCompleting, problems.StoreFull, problems.ParentGone, *LIVE
    ),
)
async def put_chunks(
    context: Writer,
    upload_id: uuid.UUID,
    bucket: CapabilitiesDep,
    body: schemas.ListChunks,
    first: Annotated[int, Query(alias="from", ge=1, le=10_000, description="Number of the first one.")],
) -> schemas.Upload:
    """List chunks of the file, in order; those that the account stores are reused, the others are missing."""
    mode = reuse.choose_mode(context.settings, bucket)
    return await chunk_lists.list_chunks(context, upload_id, first, body.chunks, mode)


@router.post(
    "/uploads/{upload_id}/parts",
    operation_id="uploads_sign_parts",
    dependencies=[COMPRESSED, limited_by_user("sign")],
    responses=problem_responses(
        *OWN, *BODY, problems.ChunkMismatch, problems.UploadCompleting, problems.StoreFull, problems.ParentGone, *LIVE
    ),
)
async def sign_parts(context: Writer, upload_id: uuid.UUID, body: schemas.SignParts) -> schemas.SignedParts:
    """Register chunk hashes and get a signed URL for each; a URL accepts exactly the bytes of its hash."""
    return schemas.SignedParts(parts=await parts.sign_parts(context, upload_id, body.parts))


@router.put(
    "/uploads/{upload_id}/fingerprint",
    operation_id="uploads_bind_fingerprint",
    responses=problem_responses(
        *OWN,
        *BODY,
        problems.FingerprintMismatch,
        problems.DestinationRefused,
        problems.UploadCompleting,
        problems.ParentGone,
        *LIVE,
    ),
)
async def bind_fingerprint(
    context: Writer, upload_id: uuid.UUID, body: schemas.BindFingerprint
) -> schemas.CreatedUpload:
    """Bind the fingerprint that was still being computed; the answer holds the session (or the file) to go on with."""
    return await bind.bind_fingerprint(context, upload_id, body.fingerprint)


@router.post(
    "/uploads/{upload_id}/reconcile",
    operation_id="uploads_reconcile",
    responses=problem_responses(*OWN, problems.UploadExpired, problems.ParentGone),
)
async def reconcile_upload(context: Writer, upload_id: uuid.UUID) -> schemas.Upload:
    """List the parts that S3 holds, and record them."""
    await reconcile.reconcile_upload(context, upload_id)
    return await queries.get_upload(context, upload_id)


@router.post(
    "/uploads/{upload_id}/complete",
    operation_id="uploads_complete",
    response_model=schemas.CompletedUpload,
    responses={
        202: {"model": schemas.Upload, "description": "S3 is still assembling: ask again after `Retry-After`."},
        **problem_responses(
            *OWN,
            problems.FingerprintRequired,
            problems.ChunksMissing,
            problems.PartsMissing,
            problems.StoreFull,
            problems.DestinationRefused,
            problems.ParentGone,
            *LIVE,
        ),
    },
)
async def complete_upload(context: Writer, upload_id: uuid.UUID) -> schemas.CompletedUpload | Response:
    """Turn the session into a file. Repeating it returns the same file."""
    completed = await complete.complete_upload(context, upload_id)
    if completed is not None:
        return completed
    view = await queries.get_upload(context, upload_id)
    return JSONResponse(view.model_dump(mode="json"), status_code=202, headers={"Retry-After": "2"})


@router.post(
    "/uploads/{upload_id}/destinations",
    operation_id="uploads_create_destination",
    responses=problem_responses(
        *OWN,
        *BODY,
        problems.InvalidName,
        problems.NotAFolder,
        problems.NotAFile,
        problems.CrossOwner,
        problems.NameTaken,
        problems.RevisionConflict,
        problems.ParentGone,
        problems.TooManyFiles,
        problems.NothingToPlace,
        problems.IdempotencyMismatch,
        *LIVE,
    ),
)
async def add_destination(
    context: Writer, upload_id: uuid.UUID, once: OnceDep, body: schemas.AddDestination
) -> schemas.Upload:
    """Add a destination; a completed session's content is placed there at once."""
    return await new_destination.add_destination(context, upload_id, body, once)


@router.delete(
    "/uploads/{upload_id}",
    operation_id="uploads_delete",
    status_code=204,
    responses=problem_responses(*OWN, problems.UploadCompleting, problems.UploadEnded),
)
async def abort_upload(context: Writer, upload_id: uuid.UUID) -> None:
    """Abort the upload and release its reservations."""
    await abort.abort_upload(context, upload_id)
