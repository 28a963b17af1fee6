"""Look up, list and search."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader
from dropbox_api.deps import COMPRESSED, PageLimit, from_state
from dropbox_api.events.cursor import Cursors
from dropbox_api.files import entries, listing, lookup, recent, search, taken_names
from dropbox_api.files.routes.etag import add_etag
from dropbox_api.files.schemas import (
    File,
    FileList,
    FileStateList,
    FindNames,
    ListFiles,
    ListTree,
    LookUpFiles,
    NameResultList,
    SearchFiles,
    TreePage,
    WantsThumbnails,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_LIST = problem_responses(*_NOT_YOURS, problems.NotAFolder, problems.InvalidName, problems.InvalidCursor)


WantsThumbnailsQuery = Annotated[WantsThumbnails, Query()]


@router.get("/files", operation_id="files_list", dependencies=[COMPRESSED], responses=_LIST)
async def list_files(context: Reader, wanted: Annotated[ListFiles, Query()]) -> FileList:
    """List a folder by id or path (by default the root), or with `recursive` all nodes below it.

    `fingerprint`, `content_status` and `processing` make the list flat: the files that pass all of these filters, in
    the whole account or below the folder, ordered by id. `order` and `recursive` are then ignored.
    """
    return await listing.list_files(context, wanted)


@router.post(
    "/files/lookup",
    operation_id="files_lookup",
    dependencies=[COMPRESSED],
    responses=problem_responses(problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, *BODY),
)
async def look_up(context: Reader, body: LookUpFiles) -> FileStateList:
    """Tell which of many ids are live, in the trash or deleted, with their ETags.

    Deleted ids are known as long as the journal reaches back (30 days by default), then they are `unknown`.
    """
    return await lookup.look_up_states(context, body)


@router.get(
    "/files/recent",
    operation_id="files_list_recent",
    dependencies=[COMPRESSED],
    responses=problem_responses(
        problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.InvalidCursor
    ),
)
async def list_recent(
    context: Reader, limit: PageLimit = 100, cursor: str | None = None, *, thumbnails: WantsThumbnailsQuery = False
) -> FileList:
    """List your own files of all folders, last changed content first; not the trash, and nothing shared with you."""
    return await recent.list_recent(context, limit=limit, cursor=cursor, with_thumbnails=thumbnails)


@router.get(
    "/files/by-path",
    operation_id="files_get_by_path",
    responses=problem_responses(*_NOT_YOURS, problems.InvalidName),
)
async def get_by_path(
    context: Reader,
    response: Response,
    path: Annotated[str, Query(max_length=4096, examples=["/photos/cat.jpg"])],
    *,
    thumbnails: WantsThumbnailsQuery = False,
) -> File:
    """Show the file or folder at a path."""
    return add_etag(response, await lookup.get_node_by_path(context, path, with_thumbnails=thumbnails))


@router.get(
    "/files/{file_id}/by-path",
    operation_id="files_get_by_path_below",
    responses=problem_responses(*_NOT_YOURS, problems.NotAFolder, problems.InvalidName),
)
async def get_below(
    context: Reader,
    response: Response,
    file_id: uuid.UUID,
    path: Annotated[str, Query(max_length=4096, examples=["/2026/cat.jpg"])],
) -> File:
    """Show the file or folder at a path below a folder, such as a shared one; `/` is the folder itself."""
    return add_etag(response, await lookup.get_node_below(context, file_id, path))


@router.post(
    "/files/{file_id}/names",
    operation_id="files_find_names",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_NOT_YOURS, problems.NotAFolder, *BODY),
)
async def find_names(context: Reader, file_id: uuid.UUID, body: FindNames) -> NameResultList:
    """Tell which of up to 1,000 names a folder has already, and what has them.

    Names are compared as everywhere, without case. Another client may take a free name meanwhile: `on_conflict` of the
    change decides then.
    """
    return await taken_names.find_taken_names(context, file_id, body.names)


@router.get("/files/{file_id}", operation_id="files_get", responses=problem_responses(*_NOT_YOURS))
async def get(
    context: Reader, file_id: uuid.UUID, response: Response, *, thumbnails: WantsThumbnailsQuery = False
) -> File:
    """Show a file or folder."""
    return add_etag(response, await lookup.get_node(context, file_id, with_thumbnails=thumbnails))


@router.get(
    "/tree",
    operation_id="files_list_tree",
    dependencies=[COMPRESSED],
    response_model=TreePage,
    responses=problem_responses(*_NOT_YOURS, problems.NotAFolder, problems.InvalidCursor),
)
async def list_tree(
    context: Reader, cursors: Annotated[Cursors, from_state("cursors")], wanted: Annotated[ListTree, Query()]
) -> Response:
    """List everything below a folder in compact rows, ordered by id, to begin a copy of the tree.

    A page may have fewer rows than `limit`, or none: the list ends with a null `next_cursor`. Then read the events
    after `events_cursor`: they tell what changed while you read the pages.
    """
    return Response(await entries.list_entries(context, cursors, wanted), media_type="application/json")


@router.get("/search", operation_id="search_files", dependencies=[COMPRESSED], responses=_LIST)
async def search_files(context: Reader, wanted: Annotated[SearchFiles, Query()]) -> FileList:
    """Search names in the whole account or below a folder; filter by kind, type, size and time, with or without `q`.

    Every word of `q` must be part of the name. Best first: the whole name, its start, the start of a word, any part;
    then names that are only similar, which covers typos. The trash is excluded.
    """
    return await search.search_files(context, wanted)
