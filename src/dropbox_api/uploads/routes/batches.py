"""`/v1/uploads/batch`: start or complete up to 500 uploads in one request."""

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import CountItemsDep, CountSignedItemsDep, OnceDep, Writer, limited_by_user
from dropbox_api.deps import COMPRESSED, CapabilitiesDep
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.uploads import complete, schemas, start

router = APIRouter()


@router.post(
    "/uploads/batch",
    operation_id="uploads_create_batch",
    dependencies=[COMPRESSED, limited_by_user("sign")],
    responses=problem_responses(problems.Unauthenticated, *BODY, problems.StoreFull, problems.IdempotencyMismatch),
)
async def start_batch(
    context: Writer,
    once: OnceDep,
    bucket: CapabilitiesDep,
    body: schemas.CreateUploadBatch,
    count_items: CountSignedItemsDep,
) -> schemas.CreatedUploadBatch:
    """Start up to 500 uploads in one transaction; each item has its own answer or problem.

    Signed URLs are not kept for a repetition under the same Idempotency-Key: ask `parts` for new ones.
    """
    await count_items(len(body.items))
    return await start.start_batch(context, body.items, once, bucket)


@router.post(
    "/uploads/batch/complete",
    operation_id="uploads_complete_batch",
    dependencies=[COMPRESSED],
    responses=problem_responses(problems.Unauthenticated, *BODY),
)
async def complete_batch(
    context: Writer, body: schemas.CompleteUploadBatch, count_items: CountItemsDep
) -> schemas.CompletedUploadBatch:
    """Complete up to 500 uploads; each has its own file or problem.

    `upload-completing` is the problem of those that need longer than 20 s: repeat the call for them.
    """
    await count_items(len(body.upload_ids))
    return await complete.complete_batch(context, body.upload_ids)
