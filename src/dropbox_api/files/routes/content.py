"""Fetch content. Downloads are redirects to the store or its CDN; only archives pass through the API."""

import uuid

from fastapi import APIRouter, BackgroundTasks, Request, Response
from fastapi.responses import StreamingResponse

from dropbox_api import problems
from dropbox_api.accounts.auth import CountItemsDep, NoStore, Reader, Writer
from dropbox_api.core.content_disposition import format_content_disposition
from dropbox_api.deps import COMPRESSED, Inline
from dropbox_api.files import acceptance, archive, download
from dropbox_api.files.schemas import CreateDownloadBatch, DownloadBatch, DownloadUrl, File
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_DOWNLOAD = problem_responses(*_NOT_YOURS, problems.NotAFile, problems.ContentQuarantined, problems.ContentDamaged)


@router.get(
    "/files/{file_id}/content",
    operation_id="files_get_content",
    status_code=307,
    response_class=Response,
    responses={307: {"description": "Redirect to a signed URL of the store."}, **_DOWNLOAD},
)
async def get_content(
    *,
    context: Reader,
    file_id: uuid.UUID,
    revision: uuid.UUID | None = None,
    inline: Inline = False,
) -> Response:
    """Redirect to the content. The URL lives for minutes; send a Range header along for a part."""
    content = await download.open_content(context, file_id, revision, inline=inline)
    signed = download.sign_content(context, content, inline=inline)
    headers = {"Location": signed.url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=307, headers=headers)


@router.get("/files/{file_id}/download", operation_id="files_get_download", name="download", responses=_DOWNLOAD)
async def get_download(
    *,
    context: Reader,
    response: Response,
    file_id: uuid.UUID,
    revision: uuid.UUID | None = None,
    inline: Inline = False,
) -> DownloadUrl:
    """Give a signed URL of the content, with what is needed to check it.

    Pages put it into `<img>` and `<video>`, and fetch text; they ask again when the store answers 403.
    """
    content = await download.open_content(context, file_id, revision, inline=inline)
    response.headers["Cache-Control"] = "no-store"
    return download.make_download_url(context, content, inline=inline)


@router.post(
    "/files/download-batch",
    operation_id="files_create_download_batch",
    dependencies=[COMPRESSED, NoStore],
    responses=problem_responses(problems.Unauthenticated, problems.Forbidden, *BODY),
)
async def create_download_batch(
    context: Reader, body: CreateDownloadBatch, count_items: CountItemsDep
) -> DownloadBatch:
    """Sign the URLs of up to 500 files; each item has its own URL or problem, in order.

    The URLs live for minutes: ask for those of the downloads that start now, and again after a 403 of the store.
    """
    await count_items(len(body.items))
    return await download.sign_batch(context, body.items)


_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/files/{file_id}/archive",
    operation_id="files_get_archive",
    response_class=Response,
    responses={
        200: {"description": "The folder as a zip, of a length that is not known before its end.", "content": _ZIP},
        **problem_responses(*_NOT_YOURS, problems.NotAFolder),
    },
)
async def get_archive(
    *,
    context: Reader,
    request: Request,
    background: BackgroundTasks,
    file_id: uuid.UUID,
) -> Response:
    """Stream a folder, with all below it, as a zip that is made on the way.

    Quarantined and damaged files are left out; `NOT-INCLUDED.txt`, the last entry, names them. If a file cannot be
    read, the connection is closed before the end: an archive that arrived whole is whole.
    """
    made = await archive.open_archive(context, file_id, request.app.state.archives)
    background.add_task(made.body.aclose)  # also after a disconnect: stops reading from the store
    headers = {
        "Content-Disposition": format_content_disposition(made.filename, inline=False),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(made.body, media_type="application/zip", headers=headers, background=background)


@router.post(
    "/files/{file_id}/accept-content",
    operation_id="files_accept_content",
    responses=problem_responses(*_NOT_YOURS, problems.NotAFile, problems.NotQuarantined),
)
async def accept_content(context: Writer, file_id: uuid.UUID) -> File:
    """Accept quarantined content for what it is: its fingerprint becomes the true one."""
    return await acceptance.accept_content(context, file_id)
