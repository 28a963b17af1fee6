"""Fetch content: redirects to the store or its CDN, and signed URLs of it."""

import uuid

from fastapi import APIRouter, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import CountItemsDep, NoStore, Reader, Writer
from dropbox_api.deps import COMPRESSED, Inline, PageLimit
from dropbox_api.files import acceptance, download, manifest
from dropbox_api.files.schemas import CreateDownloadBatch, DownloadBatch, DownloadUrl, File, Manifest
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_UNREADABLE = (*_NOT_YOURS, problems.NotAFile, problems.ContentQuarantined, problems.ContentDamaged)
_DOWNLOAD = problem_responses(*_UNREADABLE)


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


@router.get(
    "/files/{file_id}/manifest",
    operation_id="files_get_manifest",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_UNREADABLE, problems.InvalidCursor),
)
async def get_manifest(
    *,
    context: Reader,
    file_id: uuid.UUID,
    revision: uuid.UUID | None = None,
    limit: PageLimit = 1000,
    cursor: str | None = None,
) -> Manifest:
    """List the chunks of the content with their hashes: fetch by Range only those that an older version lacks."""
    return await manifest.read_manifest(context, file_id, revision, limit=limit, cursor=cursor)


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


@router.post(
    "/files/{file_id}/accept-content",
    operation_id="files_accept_content",
    responses=problem_responses(*_NOT_YOURS, problems.NotAFile, problems.NotQuarantined),
)
async def accept_content(context: Writer, file_id: uuid.UUID) -> File:
    """Accept quarantined content for what it is: its fingerprint becomes the true one."""
    return await acceptance.accept_content(context, file_id)
