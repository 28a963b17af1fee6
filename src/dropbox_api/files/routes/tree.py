"""Change the tree: folders, names, copies, trash, revisions; processing reports and activity of a file."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import CountItemsDep, OnceDep, Processor, Reader, Writer
from dropbox_api.deps import COMPRESSED, IfMatch, PageLimit
from dropbox_api.files import activity, batch, processing, revisions, trash, tree
from dropbox_api.files.routes.etag import add_etag
from dropbox_api.files.schemas import (
    ActivityList,
    BatchResults,
    CopyFile,
    CreateFolder,
    File,
    FileList,
    RestoreFile,
    Revision,
    RevisionList,
    RunBatch,
    UpdateFile,
    UpdateProcessing,
    UpdateRevision,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_NAMES = (problems.NotAFolder, problems.InvalidName, problems.NameTaken)
_GUARDED = (*_NOT_YOURS, problems.PreconditionFailed)


@router.post(
    "/folders",
    operation_id="files_create_folder",
    status_code=201,
    responses=problem_responses(*_NOT_YOURS, *BODY, *_NAMES, problems.TooManyFiles, problems.IdempotencyMismatch),
)
async def create_folder(context: Writer, response: Response, once: OnceDep, body: CreateFolder) -> File:
    """Make a folder by its name in another folder, or every missing folder of a path."""
    return add_etag(response, await tree.create_folder(context, body, once))


@router.patch(
    "/files/{file_id}",
    operation_id="files_update",
    responses=problem_responses(
        *_GUARDED,
        *BODY,
        *_NAMES,
        problems.RootFolder,
        problems.CrossOwner,
        problems.IntoItself,
        problems.NotAFile,
        problems.ProcessingRunning,
    ),
)
async def update(
    *, context: Writer, response: Response, file_id: uuid.UUID, body: UpdateFile, if_match: IfMatch = None
) -> File:
    """Rename and move; set the content type and the client's time. Costs the same for a folder of any size."""
    return add_etag(response, await tree.change_node(context, file_id, body, if_match))


@router.delete(
    "/files/{file_id}",
    operation_id="files_delete",
    status_code=204,
    responses=problem_responses(*_GUARDED, problems.RootFolder, problems.ProcessingRunning),
)
async def delete(
    *,
    context: Writer,
    file_id: uuid.UUID,
    force: Annotated[bool, Query(description="Delete even while a processor works on it.")] = False,
    if_match: IfMatch = None,
) -> None:
    """Move a file, or a folder with all its content, to the trash."""
    await trash.delete_node(context, file_id, if_match=if_match, force=force)


@router.post(
    "/files/{file_id}/copy",
    operation_id="files_copy",
    status_code=201,
    responses=problem_responses(
        *_GUARDED,
        *BODY,
        *_NAMES,
        problems.RootFolder,
        problems.CrossOwner,
        problems.ParentGone,
        problems.TooManyFiles,
        problems.IdempotencyMismatch,
    ),
)
async def copy(
    *,
    context: Writer,
    response: Response,
    file_id: uuid.UUID,
    once: OnceDep,
    body: CopyFile,
    if_match: IfMatch = None,
) -> File:
    """Copy a file, or a folder with all its content. The server copies no bytes and charges none."""
    return add_etag(response, await tree.copy_node(context, file_id, body, if_match, once))


@router.post(
    "/files/batch",
    operation_id="files_run_batch",
    dependencies=[COMPRESSED],
    responses=problem_responses(
        problems.Unauthenticated,
        problems.Forbidden,
        *BODY,
        problems.IdempotencyMismatch,
        problems.TreeChanged,  # of an item, as the problems of the single operations
        problems.DependencyFailed,
    ),
)
async def run_batch(context: Writer, once: OnceDep, body: RunBatch, count_items: CountItemsDep) -> BatchResults:
    """Move, copy, trash, restore and create up to 500 files and folders; each item has its own answer, in order.

    Later items see the changes of earlier ones; a refused item changes nothing, and the others go on.
    """
    await count_items(len(body.operations))
    return await batch.run_batch(context, body.operations, once)


# The trash


@router.get(
    "/trash",
    operation_id="trash_list",
    dependencies=[COMPRESSED],
    responses=problem_responses(problems.Unauthenticated, problems.InvalidRequest, problems.InvalidCursor),
)
async def list_trash(context: Reader, limit: PageLimit = 100, cursor: str | None = None) -> FileList:
    """List the trash, last deleted first. Deleted files stay for 30 days by default."""
    return await trash.list_trash(context, limit=limit, cursor=cursor)


@router.delete("/trash", operation_id="trash_empty", status_code=204, responses=problem_responses(*_NOT_YOURS))
async def empty_trash(context: Writer) -> None:
    """Delete everything in the trash for good. A worker then frees its space."""
    await trash.empty_trash(context)


@router.delete("/trash/{file_id}", operation_id="trash_delete", status_code=204, responses=problem_responses(*_GUARDED))
async def purge(context: Writer, file_id: uuid.UUID, if_match: IfMatch = None) -> None:
    """Delete one file or folder in the trash for good, with all its content."""
    await trash.purge_node(context, file_id, if_match=if_match)


@router.post(
    "/files/{file_id}/restore",
    operation_id="trash_restore",
    responses=problem_responses(
        *_GUARDED, *BODY, *_NAMES, problems.ParentGone, problems.IntoItself, problems.IdempotencyMismatch
    ),
)
async def restore(
    *,
    context: Writer,
    response: Response,
    file_id: uuid.UUID,
    once: OnceDep,
    body: RestoreFile | None = None,
    if_match: IfMatch = None,
) -> File:
    """Restore a file or folder from the trash to its old folder and name, or to those in the body.

    By default a taken name becomes `name (1)`. Editors restore what they deleted themselves, while still editors of its
    folder.
    """
    return add_etag(response, await trash.restore_node(context, file_id, body or RestoreFile(), if_match, once))


# Revisions


@router.get(
    "/files/{file_id}/revisions",
    operation_id="revisions_list",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_NOT_YOURS, problems.NotAFile, problems.InvalidCursor),
)
async def list_revisions(
    context: Reader, file_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> RevisionList:
    """List the revisions of a file, newest first. `GET .../content?revision=` fetches one."""
    return await revisions.list_revisions(context, file_id, limit=limit, cursor=cursor)


@router.patch(
    "/files/{file_id}/revisions/{revision_id}",
    operation_id="revisions_update",
    responses=problem_responses(*_NOT_YOURS, *BODY, problems.NotAFile),
)
async def update_revision(
    context: Writer, file_id: uuid.UUID, revision_id: uuid.UUID, body: UpdateRevision
) -> Revision:
    """Pin a revision, or unpin it: a pinned one is neither thinned nor pruned, and counts on the quota."""
    return await revisions.pin_revision(context, file_id, revision_id, body)


@router.post(
    "/files/{file_id}/revisions/{revision_id}/restore",
    operation_id="revisions_restore",
    responses=problem_responses(*_GUARDED, problems.NotAFile, problems.IdempotencyMismatch),
)
async def restore_revision(
    *,
    context: Writer,
    response: Response,
    file_id: uuid.UUID,
    revision_id: uuid.UUID,
    once: OnceDep,
    if_match: IfMatch = None,
) -> File:
    """Make a new revision with the content of an older one. The other revisions stay."""
    file = await revisions.restore_revision(context, file_id, revision_id, if_match=if_match, once=once)
    return add_etag(response, file)


# Processing and activity


@router.put(
    "/files/{file_id}/processing",
    operation_id="files_update_processing",
    responses=problem_responses(*_GUARDED, *BODY, problems.NotAFile),
)
async def report_processing(
    *,
    context: Processor,
    response: Response,
    file_id: uuid.UUID,
    body: UpdateProcessing,
    if_match: IfMatch = None,
) -> File:
    """Report the state of a downstream processor for a revision. While it is `running`, a delete needs `force`."""
    return add_etag(response, await processing.report_processing(context, file_id, body, if_match))


@router.get(
    "/files/{file_id}/activity",
    operation_id="files_list_activity",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_NOT_YOURS, problems.InvalidCursor),
)
async def list_activity(
    context: Reader, file_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> ActivityList:
    """List the changes of a file with their actors and addresses, newest first."""
    return await activity.list_activity(context, file_id, limit=limit, cursor=cursor)
