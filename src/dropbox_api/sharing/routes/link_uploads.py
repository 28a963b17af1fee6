"""Upload sessions under a link: those of its bearers, who have no account, and the owner's view of them."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse

from dropbox_api import problems
from dropbox_api.accounts.auth import Sharer
from dropbox_api.deps import COMPRESSED, ServicesDep, limited
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing.bearers import open_sender, require_upload_link
from dropbox_api.sharing.routes.links import LinkSecurityDep
from dropbox_api.sharing.routes.public import PRIVATE, UploadBearer
from dropbox_api.uploads import schemas
from dropbox_api.uploads.senders import admission, completion, oversight, part_urls, sender
from dropbox_api.uploads.senders.sender import SenderContext

router = APIRouter(prefix="/public/links/{token}/uploads", dependencies=[limited("public")])
owner_router = APIRouter(prefix="/links/{link_id}/uploads")

_Secret = Annotated[
    str | None,
    Header(
        alias="X-Upload-Secret",
        max_length=1024,
        description="The secret whose SHA-256 the start of the session named; it replaces the link's password.",
    ),
]


async def _authenticate(
    services: ServicesDep, security: LinkSecurityDep, response: Response, token: str, secret: _Secret = None
) -> SenderContext:
    response.headers.update(PRIVATE)
    return open_sender(services, security, token, secret)


SecretBearer = Annotated[SenderContext, Depends(_authenticate)]
_REFUSED = (problems.NotFound, problems.RateLimited, problems.InvalidRequest)
_ENDED = (problems.UploadEnded, problems.UploadExpired, problems.UploadFailed)
_START: tuple[type[problems.Problem], ...] = (
    *_REFUSED,
    problems.LinkPasswordRequired,
    problems.LinkNotFor,
    *BODY,
    problems.SizeNotAllowed,
    problems.InvalidName,
    problems.FingerprintRequired,
    problems.ChunkMismatch,
    problems.LinkFull,
    problems.QuotaExceeded,
    problems.TooManyFiles,
    problems.TooManyUploads,
    problems.StoreFull,
    problems.IdempotencyMismatch,
)


@router.post(
    "",
    operation_id="public_create_upload",
    status_code=201,
    responses={
        200: {"model": schemas.CreatedLinkUpload, "description": "The session of the same client_ref."},
        **problem_responses(*_START),
    },
)
async def start_upload(
    context: UploadBearer, response: Response, body: schemas.CreateLinkUpload
) -> schemas.CreatedLinkUpload:
    """Start to send a file of any size to an upload link, straight to the store; it replaces nothing in the folder.

    Link, secret and `client_ref` name the session: a repeated start answers it.
    """
    answer, is_new = await admission.start_upload(require_upload_link(context, body.secret_sha256), body)
    response.status_code = 201 if is_new else 200
    return answer


@router.post(
    "/batch",
    operation_id="public_create_upload_batch",
    dependencies=[COMPRESSED],
    responses=problem_responses(
        *_REFUSED, problems.LinkPasswordRequired, problems.LinkNotFor, *BODY, problems.StoreFull
    ),
)
async def start_batch(context: UploadBearer, body: schemas.CreateLinkUploadBatch) -> schemas.CreatedLinkUploadBatch:
    """Start up to 20 uploads in one transaction; each item has its own answer or problem."""
    return await admission.start_batch(require_upload_link(context, body.secret_sha256), body.items)


@router.post(
    "/batch/complete",
    operation_id="public_complete_upload_batch",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_REFUSED, *BODY),
)
async def complete_batch(
    context: SecretBearer, body: schemas.CompleteLinkUploadBatch
) -> schemas.CompletedLinkUploadBatch:
    """Complete up to 20 uploads; each has its own outcome."""
    return await completion.complete_batch(context, body.items)


@router.get("/{upload_id}", operation_id="public_get_upload", responses=problem_responses(*_REFUSED))
async def get_upload(context: SecretBearer, upload_id: uuid.UUID) -> schemas.LinkUpload:
    """Show a session of yours as Postgres has it; `reconcile` asks S3."""
    return await sender.get_upload(context, upload_id)


@router.post(
    "/{upload_id}/parts",
    operation_id="public_sign_upload_parts",
    dependencies=[COMPRESSED],
    responses=problem_responses(
        *_REFUSED,
        *BODY,
        problems.ChunkMismatch,
        problems.UploadCompleting,
        problems.QuotaExceeded,
        problems.TooManyUploads,
        problems.StoreFull,
        *_ENDED,
    ),
)
async def sign_parts(context: SecretBearer, upload_id: uuid.UUID, body: schemas.SignParts) -> schemas.SignedParts:
    """Register chunk hashes and get signed URLs; a URL accepts exactly the bytes of its hash.

    The answer may hold fewer parts than asked for, the first ones: send them, then ask for the others.
    """
    return schemas.SignedParts(parts=await part_urls.sign_parts(context, upload_id, body.parts))


@router.post(
    "/{upload_id}/reconcile",
    operation_id="public_reconcile_upload",
    responses=problem_responses(*_REFUSED, problems.UploadExpired),
)
async def reconcile_upload(context: SecretBearer, upload_id: uuid.UUID) -> schemas.LinkUpload:
    """List the parts that S3 holds, and record them."""
    return await completion.reconcile_upload(context, upload_id)


@router.post(
    "/{upload_id}/complete",
    operation_id="public_complete_upload",
    response_model=schemas.LinkUpload,
    responses={
        202: {"model": schemas.LinkUpload, "description": "S3 is still assembling: ask again after `Retry-After`."},
        **problem_responses(
            *_REFUSED,
            *BODY,
            problems.FingerprintRequired,
            problems.FingerprintMismatch,
            problems.PartsMissing,
            problems.StoreFull,
            *_ENDED,
        ),
    },
)
async def complete_upload(
    context: SecretBearer, upload_id: uuid.UUID, body: schemas.CompleteLinkUpload
) -> schemas.LinkUpload | Response:
    """Turn the session into a file of the folder. Repeating it returns the same."""
    upload = await completion.complete_upload(context, upload_id, body.fingerprint)
    if upload.state in {"completed", "failed"}:
        return upload
    headers = {"Retry-After": "2", **PRIVATE}
    return JSONResponse(upload.model_dump(mode="json"), status_code=202, headers=headers)


@router.delete(
    "/{upload_id}",
    operation_id="public_delete_upload",
    status_code=204,
    responses=problem_responses(*_REFUSED, problems.UploadCompleting, problems.UploadEnded),
)
async def abort_upload(context: SecretBearer, upload_id: uuid.UUID) -> None:
    """Abort the upload."""
    await completion.abort_upload(context, upload_id)


# The owner

_OWN = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


@owner_router.get(
    "",
    operation_id="links_list_uploads",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_OWN, problems.InvalidCursor),
)
async def list_link_uploads(
    *,
    context: Sharer,
    link_id: uuid.UUID,
    state: schemas.State | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    cursor: str | None = None,
) -> schemas.LinkUploadList:
    """List what is being sent, and was sent lately, to an upload link of yours, newest first."""
    return await oversight.list_link_uploads(context, link_id, state=state, limit=limit, cursor=cursor)


@owner_router.delete(
    "/{upload_id}",
    operation_id="links_delete_upload",
    status_code=204,
    responses=problem_responses(*_OWN, problems.UploadCompleting, problems.UploadEnded),
)
async def abort_link_upload(context: Sharer, link_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """Abort an upload that the bearer of a link of yours has begun."""
    await oversight.abort_link_upload(context, link_id, upload_id)
