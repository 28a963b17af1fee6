"""What a link gives to people without an account. Every token that opens nothing is answered alike."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from dropbox_api import access, problems
from dropbox_api.accounts.auth import PasswordsDep
from dropbox_api.core.content_disposition import format_content_disposition
from dropbox_api.deps import DbDep, LimitsDep, SettingsDep, StoreDep, limited
from dropbox_api.files.archive import Archive
from dropbox_api.responses import problem_responses
from dropbox_api.sharing import public
from dropbox_api.sharing.routes.links import Limit, LinkTokensDep
from dropbox_api.sharing.schemas import PublicFileList, PublicLink, Received
from dropbox_api.uploads.direct.body import RequestBody, receive_body

router = APIRouter(prefix="/public/links/{token}", dependencies=[limited("public")])

PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Headers of every answer to the bearer of a link: its address is a secret."""

_LinkPassword = Annotated[
    str | None,
    Header(alias="X-Link-Password", max_length=1024, description="Of a link that has one; UTF-8."),
]


async def _opened(
    *,
    db: DbDep,
    passwords: PasswordsDep,
    limits: LimitsDep,
    tokens: LinkTokensDep,
    response: Response,
    token: str,
    password: _LinkPassword = None,
) -> access.LinkAccess:
    response.headers.update(PRIVATE)
    return await public.enter(db, passwords, limits, tokens, public.Key(token, _as_typed(password)))


def _as_typed(header: str | None) -> str | None:
    """Return a header's value as the UTF-8 that it is; the server read its bytes as Latin-1."""
    try:
        return header.encode("latin-1").decode() if header is not None else None
    except UnicodeError:
        return header


LinkDep = Annotated[access.LinkAccess, Depends(_opened)]
_CLOSED = (problems.NotFound, problems.LinkPasswordRequired, problems.RateLimited, problems.InvalidRequest)
_NOT_GOOD = (problems.ContentQuarantined, problems.ContentDamaged)


@router.get("", operation_id="sharing_get_public_link", responses=problem_responses(*_CLOSED))
async def get_link(link: LinkDep, db: DbDep) -> PublicLink:
    """Show what a link leads to. One with a password shows nothing without it."""
    return await public.describe(db, link)


@router.get(
    "/files",
    operation_id="sharing_list_public_files",
    responses=problem_responses(*_CLOSED, problems.NotAFolder, problems.LinkNotFor, problems.InvalidCursor),
)
async def list_files(
    link: LinkDep, db: DbDep, parent_id: uuid.UUID | None = None, limit: Limit = 100, cursor: str | None = None
) -> PublicFileList:
    """List the link's folder, or one below it, by name."""
    return await public.list_files(db, link, parent_id, limit=limit, cursor=cursor)


@router.get(
    "/files/{file_id}/content",
    operation_id="sharing_get_public_content",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "Redirect to a signed URL of the store."},
        **problem_responses(*_CLOSED, problems.NotAFile, problems.LinkNotFor, *_NOT_GOOD),
    },
)
async def get_content(
    *,
    link: LinkDep,
    db: DbDep,
    store: StoreDep,
    settings: SettingsDep,
    file_id: uuid.UUID,
    inline: Annotated[bool, Query(description="Show instead of save; only for types that cannot run script.")] = False,
) -> Response:
    """Redirect to the content; this counts as a download. By a `view` link it is always shown, never saved."""
    return redirect(await public.fetch(db, store, settings, link, file_id, inline=inline))


def redirect(url: str) -> Response:
    return Response(status_code=307, headers={"Location": url, **PRIVATE})


_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/archive",
    operation_id="sharing_get_public_archive",
    response_class=Response,
    responses={
        200: {"description": "The folder as a zip, of a length that is not known before its end.", "content": _ZIP},
        **problem_responses(*_CLOSED, problems.NotAFolder, problems.LinkNotFor),
    },
)
async def get_archive(
    *,
    link: LinkDep,
    db: DbDep,
    store: StoreDep,
    request: Request,
    background: BackgroundTasks,
    parent_id: uuid.UUID | None = None,
) -> Response:
    """Stream the link's folder, or one below it, as a zip; this counts as one download."""
    made = await public.open_archive(db, store, link, parent_id, request.app.state.public_streams)
    return zipped(made, background)


def zipped(made: Archive, background: BackgroundTasks) -> Response:
    background.add_task(made.body.aclose)  # also when the client leaves: nothing is read from the store any more
    disposition = format_content_disposition(made.filename, inline=False)
    headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff", **PRIVATE}
    return StreamingResponse(made.body, media_type="application/zip", headers=headers, background=background)


_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "Its filename is the name."},
                    "name": {"type": "string", "description": "Another name than the file's own.", "maxLength": 1024},
                },
                "additionalProperties": False,
            },
            "example": {"file": "(bytes)", "name": "application.pdf"},
        }
    },
}


@router.post(
    "/upload",
    operation_id="sharing_send_public_file",
    status_code=201,
    responses=problem_responses(
        *_CLOSED,
        problems.LinkNotFor,
        problems.BodyTooLarge,
        problems.QuotaExceeded,
        problems.TooManyFiles,
        problems.TooManyUploads,
        problems.InvalidName,
        problems.UploadExpired,
    ),
    openapi_extra={"requestBody": _FORM},
)
async def send_file(link: LinkDep, db: DbDep, store: StoreDep, settings: SettingsDep, request: Request) -> Received:
    """Send a file to an upload link. It replaces nothing; the answer tells what was asked for, not what came of it."""
    async with request.app.state.public_streams.hold(link.link_id):
        return await public.send(db, store, settings, link, incoming(request))


def incoming(request: Request) -> RequestBody:
    headers = request.headers
    return receive_body(request.receive, headers.get("content-length", ""), headers.get("content-type", ""))
