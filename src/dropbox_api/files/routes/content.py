"""Fetch content. Bytes never pass here: downloads are redirects to the store."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import CurrentUser
from dropbox_api.deps import DbDep, SettingsDep, StoreDep
from dropbox_api.files import service
from dropbox_api.files.schemas import Download, File
from dropbox_api.responses import problem_responses

router = APIRouter()

_NOT_YOURS = (problems.Unauthenticated, problems.InvalidRequest, problems.NotFound)
_DOWNLOAD = problem_responses(*_NOT_YOURS, problems.NotAFile)


@router.get(
    "/files/{file_id}/content",
    operation_id="files_get_content",
    status_code=307,
    response_class=Response,
    responses={307: {"description": "Redirect to a signed URL of the store."}, **_DOWNLOAD},
)
@router.head("/files/{file_id}/content", operation_id="files_head_content", status_code=307, include_in_schema=False)
async def get_content(
    *,
    actor: CurrentUser,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    request: Request,
    file_id: uuid.UUID,
    revision: uuid.UUID | None = None,
    inline: Annotated[bool, Query(description="Show instead of save; only for types that cannot run script.")] = False,
) -> Response:
    """Redirect to the content. The URL lives for minutes; send a Range header along for a part."""
    content = await service.get_content(db, actor.user_id, file_id, revision)
    signed = store.sign_get(
        content.storage_key,
        method=request.method,
        filename=content.name,
        content_type=content.content_type,
        inline=inline and content.content_type in SAFE_INLINE,
        ttl_s=settings.uploads.download_url_ttl_s,
    )
    headers = {"Location": signed.url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=307, headers=headers)


SAFE_INLINE = frozenset(
    {
        "application/pdf",
        "audio/mpeg",
        "audio/ogg",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)
"""Types that a browser shows without running anything; HTML and SVG are not among them."""


@router.get("/files/{file_id}/download", operation_id="files_download", responses=_DOWNLOAD)
async def download(
    *,
    actor: CurrentUser,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    response: Response,
    file_id: uuid.UUID,
    revision: uuid.UUID | None = None,
) -> Download:
    """Give a signed URL of the content, with what is needed to check it."""
    content = await service.get_content(db, actor.user_id, file_id, revision)
    signed = store.sign_get(
        content.storage_key,
        method="GET",
        filename=content.name,
        content_type=content.content_type,
        inline=False,
        ttl_s=settings.uploads.download_url_ttl_s,
    )
    response.headers["Cache-Control"] = "no-store"
    return Download.model_validate(
        {
            "url": signed.url,
            "expires_at": signed.expires_at,
            "size_bytes": content.size_bytes,
            "fingerprint": content.fingerprint.hex(),
            "content_status": content.content_status,
            "encoding": "identity",
            "revision_id": content.revision_id,
            "etag": content.etag,
        }
    )


@router.post(
    "/files/{file_id}/accept-content",
    operation_id="files_accept_content",
    responses=problem_responses(*_NOT_YOURS, problems.NotAFile, problems.NotQuarantined),
)
async def accept_content(actor: CurrentUser, db: DbDep, file_id: uuid.UUID) -> File:
    """Accept quarantined content for what it is: its fingerprint becomes the true one."""
    return await service.accept_content(db, actor.user_id, file_id)
