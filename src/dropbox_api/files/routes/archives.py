"""Folders and files as zip archives, whose bytes pass through the API."""

import uuid
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import CountItemsDep, NoStore, Reader
from dropbox_api.deps import ZIP, ArchiveSlotsDep, ServicesDep, limited, stream_zip
from dropbox_api.files import archive, archive_urls
from dropbox_api.files.schemas import ArchiveUrl, CreateArchive
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


@router.get(
    "/files/{file_id}/archive",
    operation_id="files_get_archive",
    response_class=Response,
    responses={
        200: {"description": "The folder as a zip, of a length that is not known before its end.", "content": ZIP},
        **problem_responses(*_NOT_YOURS, problems.NotAFolder),
    },
)
async def get_folder_archive(
    context: Reader, slots: ArchiveSlotsDep, background: BackgroundTasks, file_id: uuid.UUID
) -> Response:
    """Stream a folder, with all below it, as a zip that is made on the way.

    Quarantined and damaged files are left out; `NOT-INCLUDED.txt`, the last entry, names them. If a file cannot be
    read, the connection is closed before the end: an archive that arrived whole is whole.
    """
    made = await archive.open_archive(context, file_id, slots)
    return stream_zip(made.filename, made.body, background, {"Cache-Control": "no-store"})


@router.post(
    "/archives",
    operation_id="archives_create",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*_NOT_YOURS, *BODY, problems.NotAFolder),
)
async def create_archive(context: Reader, body: CreateArchive, count_items: CountItemsDep) -> ArchiveUrl:
    """Give a URL of a zip of a folder, or of up to 1,000 files and folders, for a browser to save.

    It may be opened for minutes, any number of times, and ends with the sign-in or token that made it.
    """
    await count_items(len(body.ids or ()))
    return await archive_urls.create_archive(context, body)


@router.get(
    "/archives/{token}",
    operation_id="archives_get",
    response_class=Response,
    dependencies=[limited("public")],
    responses={
        200: {"description": "The zip, of a length that is not known before its end.", "content": ZIP},
        **problem_responses(problems.NotFound, problems.RateLimited, problems.InvalidRequest),
    },
)
async def get_archive(
    services: ServicesDep,
    slots: ArchiveSlotsDep,
    background: BackgroundTasks,
    token: Annotated[str, Path(max_length=64)],
) -> Response:
    """Stream the zip of a URL. Access to each file is checked again; `NOT-INCLUDED.txt` names what is left out."""
    made = await archive_urls.open_archive(services, token, slots)
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
    return stream_zip(made.filename, made.body, background, headers)
