"""The pages at `/s/{token}`, and what their buttons lead to. Problems are pages here, too."""

import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from dropbox_api import access, problems
from dropbox_api.accounts.auth import PasswordsDep
from dropbox_api.deps import DbDep, LimitsDep, SettingsDep, StoreDep, limited
from dropbox_api.files.download import SAFE_INLINE
from dropbox_api.sharing import pages, public
from dropbox_api.sharing.link_tokens import PASS_TTL_S
from dropbox_api.sharing.routes.links import LinkTokensDep
from dropbox_api.sharing.routes.public import PRIVATE, incoming, redirect, zipped

_PAGE_SIZE = 200


class _PageRoute(APIRoute):
    """Answers problems as pages; what is malformed leads nowhere."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                return _problem(request, problems.NotFound())
            except problems.Problem as problem:
                return _problem(request, problem)

        return handle_with_pages


router = APIRouter(prefix="/s", route_class=_PageRoute, include_in_schema=False, dependencies=[limited("public")])


def _page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    levels = request.scope["route"].path.count("/") - 2  # below /s/{token}
    html = pages.render(template, up="../" * levels, token=request.path_params["token"], **values)
    return HTMLResponse(html, status, PRIVATE)


def _problem(request: Request, problem: problems.Problem) -> Response:
    if isinstance(problem, problems.LinkPasswordRequired):
        return _page(request, "password.html", 401, is_wrong=request.method == "POST")
    if isinstance(problem, problems.NotFound):
        return _page(request, "gone.html", 404)
    response = _page(request, "problem.html", problem.status, title=problem.title, detail=problem.detail)
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


@router.get("/links.css")
async def style() -> Response:
    return Response(pages.STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def _cookie(request: Request) -> str:
    """Return its name: with this prefix browsers let no plain connection set it. `__Host-` would forbid its path."""
    return "__Secure-link-pass" if request.url.scheme == "https" else "link-pass"


async def _opened(
    request: Request, db: DbDep, passwords: PasswordsDep, limits: LimitsDep, tokens: LinkTokensDep, token: str
) -> access.LinkAccess:
    key = public.Key(token, browser_pass=request.cookies.get(_cookie(request)))
    return await public.enter(db, passwords, limits, tokens, key)


LinkDep = Annotated[access.LinkAccess, Depends(_opened)]


@router.get("/{token}")
async def show(
    request: Request, link: LinkDep, db: DbDep, folder: uuid.UUID | None = None, cursor: str | None = None
) -> Response:
    """Show what the link leads to: a file, a folder's list, or a form to send files with."""
    top = await public.describe(db, link)
    if link.mode == "upload":
        return _page(request, "upload.html", link=top, sent=None)
    if top.kind == "file":
        return _page(request, "file.html", link=top, is_shown=top.content_type in SAFE_INLINE)
    listed = await public.list_files(db, link, folder, limit=_PAGE_SIZE, cursor=cursor)
    way = await public.folders_down(db, link, folder or top.id)
    return _page(request, "folder.html", link=top, folder=folder, way=way, listed=listed, shown=SAFE_INLINE)


@router.post("/{token}/password")
async def give_password(
    *,
    request: Request,
    db: DbDep,
    passwords: PasswordsDep,
    limits: LimitsDep,
    tokens: LinkTokensDep,
    token: str,
    password: Annotated[str, Form(max_length=1024)],
) -> Response:
    """Take the password, and give the browser a pass for an hour, for this link alone."""
    link = await public.enter(db, passwords, limits, tokens, public.Key(token, password))
    response = RedirectResponse(f"../{token}", 303, PRIVATE)
    if link.password_hash is not None:
        response.set_cookie(
            _cookie(request),
            tokens.issue_pass(link.link_id, link.password_hash),
            max_age=PASS_TTL_S,
            path=f"{request.scope.get('root_path', '')}/s/{token}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response


@router.get("/{token}/files/{file_id}/content")
async def get_content(
    *, link: LinkDep, db: DbDep, store: StoreDep, settings: SettingsDep, file_id: uuid.UUID, inline: bool = False
) -> Response:
    return redirect(await public.fetch(db, store, settings, link, file_id, inline=inline))


@router.get("/{token}/archive")
async def get_archive(
    *,
    link: LinkDep,
    db: DbDep,
    store: StoreDep,
    request: Request,
    background: BackgroundTasks,
    folder: uuid.UUID | None = None,
) -> Response:
    return zipped(await public.open_archive(db, store, link, folder, request.app.state.public_streams), background)


@router.post("/{token}/upload")
async def send_file(link: LinkDep, db: DbDep, store: StoreDep, settings: SettingsDep, request: Request) -> Response:
    """Take a file, and show the form again for the next one."""
    async with request.app.state.public_streams.hold(link.link_id):
        sent = await public.send(db, store, settings, link, incoming(request))
    return _page(request, "upload.html", 201, link=await public.describe(db, link), sent=sent)
