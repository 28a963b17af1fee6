"""The public side of links, without an account. Every token that opens nothing gets the same answer."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Request, Response

from dropbox_api import problems
from dropbox_api.core.body_digests import BodyDigests
from dropbox_api.deps import (
    COMPRESSED,
    DIGEST_PARAMETERS,
    ZIP,
    BodyDigestsDep,
    Inline,
    PageLimit,
    PublicSlotsDep,
    ServicesDep,
    limited,
    stream_zip,
)
from dropbox_api.files.schemas import DownloadUrl, WantsThumbnails
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import public
from dropbox_api.sharing.bearers import LinkContext, LinkCredentials, open_link, open_link_or_token
from dropbox_api.sharing.routes.links import LinkSecurityDep
from dropbox_api.sharing.schemas import (
    CreateLinkPass,
    LinkPass,
    PublicFileList,
    PublicLink,
    ReceivedFile,
    ThumbnailSize,
)
from dropbox_api.uploads.direct.body import RequestBody, receive_body

router = APIRouter(prefix="/public/links/{token}", dependencies=[limited("public")])

PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Headers of every answer to the bearer of a link, because the address is a secret."""

_LinkPassword = Annotated[
    str | None,
    Header(alias="X-Link-Password", max_length=1024, description="Password of the link, in UTF-8."),
]

_LinkPass = Annotated[
    str | None,
    Header(alias="X-Link-Pass", max_length=1024, description="A pass for the link, instead of its password."),
]


async def _read_credentials(
    response: Response, token: str, password: _LinkPassword = None, link_pass: _LinkPass = None
) -> LinkCredentials:
    response.headers.update(PRIVATE)
    return LinkCredentials(token, _decode_password(password), link_pass)


_Credentials = Annotated[LinkCredentials, Depends(_read_credentials)]


def _decode_password(header: str | None) -> str | None:
    """Decode the header as UTF-8; the server decoded its bytes as Latin-1."""
    try:
        return header.encode("latin-1").decode() if header is not None else None
    except UnicodeError:
        return header


async def _authenticate(services: ServicesDep, security: LinkSecurityDep, credentials: _Credentials) -> LinkContext:
    return await open_link(services, security, credentials)


async def _authenticate_sender(
    services: ServicesDep, security: LinkSecurityDep, credentials: _Credentials
) -> LinkContext:
    return await open_link_or_token(services, security, credentials)


LinkBearer = Annotated[LinkContext, Depends(_authenticate)]
UploadBearer = Annotated[LinkContext, Depends(_authenticate_sender)]
"""The bearer of a link or of an upload token."""
_REFUSED = (problems.NotFound, problems.LinkPasswordRequired, problems.RateLimited, problems.InvalidRequest)
_UNUSABLE = (problems.ContentQuarantined, problems.ContentDamaged)


@router.get("", operation_id="public_get_link", responses=problem_responses(*_REFUSED))
async def get_link(context: LinkBearer) -> PublicLink:
    """Show the file or folder of a link. A link with a password shows nothing without it."""
    return await public.describe_link(context)


@router.post("/pass", operation_id="public_create_pass", responses=problem_responses(*_REFUSED, *BODY))
async def create_pass(
    *,
    services: ServicesDep,
    security: LinkSecurityDep,
    response: Response,
    token: str,
    body: CreateLinkPass,
    link_pass: _LinkPass = None,
) -> LinkPass:
    """Exchange the password of a link for a pass of an hour, or renew a pass.

    It ends when the password changes or the link ends. Wrong passwords count as elsewhere.
    """
    response.headers.update(PRIVATE)
    password = body.password.get_secret_value() if body.password else None
    context = await open_link(services, security, LinkCredentials(token, password, link_pass))
    return public.renew_pass(context, security.tokens)


@router.get(
    "/files",
    operation_id="public_list_files",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_REFUSED, problems.NotAFolder, problems.LinkNotFor, problems.InvalidCursor),
)
async def list_files(
    *,
    context: LinkBearer,
    parent_id: uuid.UUID | None = None,
    thumbnails: Annotated[WantsThumbnails, Query()] = False,
    limit: PageLimit = 100,
    cursor: str | None = None,
) -> PublicFileList:
    """List the link's folder, or a folder below it, by name."""
    return await public.list_public_files(context, parent_id, limit=limit, cursor=cursor, with_thumbnails=thumbnails)


@router.get(
    "/files/{file_id}/content",
    operation_id="public_get_content",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "Redirect to a signed URL of the store."},
        **problem_responses(*_REFUSED, problems.NotAFile, problems.LinkNotFor, *_UNUSABLE),
    },
)
async def get_content(
    context: LinkBearer,
    file_id: uuid.UUID,
    inline: Inline = False,
) -> Response:
    """Redirect to the content; this counts as a download. A `view` link always shows it and never saves it."""
    return redirect((await public.sign_public_download(context, file_id, inline=inline)).url)


def redirect(url: str) -> Response:
    """Redirect to content; pages of other origins may embed it."""
    headers = {"Location": url, "Cross-Origin-Resource-Policy": "cross-origin", **PRIVATE}
    return Response(status_code=307, headers=headers)


@router.get(
    "/files/{file_id}/download",
    operation_id="public_get_download",
    responses=problem_responses(*_REFUSED, problems.NotAFile, problems.LinkNotFor, *_UNUSABLE),
)
async def get_download(context: LinkBearer, file_id: uuid.UUID, inline: Inline = False) -> DownloadUrl:
    """Give a signed URL of the content, with what is needed to check it; this counts as a download."""
    return await public.sign_public_download(context, file_id, inline=inline)


@router.get(
    "/files/{file_id}/thumbnail",
    operation_id="public_get_thumbnail",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "Redirect to a signed URL of a WebP image."},
        **problem_responses(*_REFUSED, problems.NotAFile, problems.LinkNotFor, *_UNUSABLE),
    },
)
async def get_thumbnail(
    context: LinkBearer,
    file_id: uuid.UUID,
    size: Annotated[
        ThumbnailSize, Query(description="`small`: at most 360 pixels wide and high; `large`: at most 1600.")
    ] = "small",
) -> Response:
    """Redirect to a thumbnail: a large one counts as a download, a small one does not. Without any: 404."""
    return redirect(await public.sign_public_thumbnail(context, file_id, size))


@router.get(
    "/archive",
    operation_id="public_get_archive",
    response_class=Response,
    responses={
        200: {"description": "The folder as a zip of unknown length.", "content": ZIP},
        **problem_responses(*_REFUSED, problems.NotAFolder, problems.LinkNotFor),
    },
)
async def get_archive(
    context: LinkBearer, slots: PublicSlotsDep, background: BackgroundTasks, parent_id: uuid.UUID | None = None
) -> Response:
    """Stream the link's folder, or a folder below it, as a zip; this counts as one download."""
    opened = await public.open_public_archive(context, parent_id, slots)
    return stream_zip(opened.filename, opened.body, background, PRIVATE)


_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "Its filename is the default name."},
                    "name": {"type": "string", "description": "Name instead of the filename.", "maxLength": 1024},
                },
                "additionalProperties": False,
            },
            "example": {"file": "(bytes)", "name": "application.pdf"},
        }
    },
}


@router.post(
    "/upload",
    operation_id="public_upload_file",
    status_code=201,
    responses=problem_responses(
        *_REFUSED,
        problems.LinkNotFor,
        problems.BodyTooLarge,
        problems.DigestMismatch,
        problems.QuotaExceeded,
        problems.TooManyFiles,
        problems.TooManyUploads,
        problems.StoreFull,
        problems.InvalidName,
        problems.UploadExpired,
    ),
    openapi_extra={"requestBody": _FORM, "parameters": DIGEST_PARAMETERS},
)
async def send_file(
    context: LinkBearer, slots: PublicSlotsDep, request: Request, digests: BodyDigestsDep
) -> ReceivedFile:
    """Send a file to an upload link. It replaces nothing; the answer has the requested name, not the stored one."""
    async with slots.hold(context.link.link_id):
        return await public.receive_file(context, read_request_body(request, digests))


def read_request_body(request: Request, digests: BodyDigests) -> RequestBody:
    headers = request.headers
    return receive_body(request.receive, headers.get("content-length", ""), headers.get("content-type", ""), digests)
