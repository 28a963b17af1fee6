"""Copies into the tree of another owner."""

import uuid

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceDep, Reader, Writer
from dropbox_api.files import copies
from dropbox_api.files.schemas import CopyProgress, StartCopy
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/copies")

_PROBLEMS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


@router.post(
    "",
    operation_id="files_start_copy",
    status_code=202,
    responses=problem_responses(
        *_PROBLEMS,
        *BODY,
        problems.RootFolder,
        problems.NotAFolder,
        problems.InvalidName,
        problems.QuotaExceeded,
        problems.TooManyFiles,
        problems.TooManyUploads,
        problems.ContentQuarantined,
        problems.ContentDamaged,
        problems.IdempotencyMismatch,
    ),
)
async def start(context: Writer, body: StartCopy, once: OnceDep) -> CopyProgress:
    """Copy a file or folder of another owner into your tree, or into a folder that you may edit.

    A worker copies the content at the store, charged to the folder's owner, and then makes all items at once. Follow it
    with `GET /v1/copies/{copy_id}`.
    """
    return await copies.start_copy(context, body, once)


@router.get("/{copy_id}", operation_id="files_get_copy", responses=problem_responses(*_PROBLEMS))
async def get(context: Reader, copy_id: uuid.UUID) -> CopyProgress:
    """Show a copy that you started, up to 30 days after its end."""
    return await copies.get_copy(context, copy_id)


@router.delete("/{copy_id}", operation_id="files_cancel_copy", status_code=204, responses=problem_responses(*_PROBLEMS))
async def cancel(context: Writer, copy_id: uuid.UUID) -> None:
    """End a copy that still runs: it makes nothing. One that has ended stays as it is."""
    await copies.cancel_copy(context, copy_id)
