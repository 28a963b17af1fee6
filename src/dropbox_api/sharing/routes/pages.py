"""The pages at `/s/{token}` and the targets of their buttons. Problems are rendered as pages too."""

import functools
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from dropbox_api import problems
from dropbox_api.deps import BodyDigestsDep, PublicSlotsDep, ServicesDep, limited, stream_zip
from dropbox_api.plumbing.page_policies import format_link_policy
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.sharing import pages, public
from dropbox_api.sharing.bearers import LinkContext, LinkCredentials, LinkSecurity, open_link
from dropbox_api.sharing.link_tokens import PASS_TTL_S
from dropbox_api.sharing.routes.links import LinkSecurityDep
from dropbox_api.sharing.routes.public import PRIVATE, read_request_body, redirect
from dropbox_api.sharing.schemas import PublicLink, ReceivedFile
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads.plans import max_direct_bytes

_PAGE_SIZE = 200


class _PageRoute(APIRoute):
    """Renders problems as pages; a malformed request gets the page of an unknown link."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def render_problems(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                return _problem(request, problems.NotFound())
            except problems.Problem as problem:
                return _problem(request, problem)
            except StoreError as error:
                return _problem(request, to_problem(error))

        return render_problems


router = APIRouter(prefix="/s", route_class=_PageRoute, include_in_schema=False, dependencies=[limited("public")])


def _page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    levels = request.scope["route"].path.count("/") - 2  # below /s/{token}
    html = pages.render(template, up="../" * levels, token=request.path_params["token"], **values)
    return HTMLResponse(html, status, PRIVATE)


def _link_page(
    request: Request, context: LinkContext, security: LinkSecurity, link: PublicLink, template: str, **values: Any
) -> HTMLResponse:
    """Return the page of an open link: with thumbnails, and with the script where the server has its build.

    The script gets a pass for its own requests: it cannot read the cookie.
    """
    link_pass = public.renew_pass(context, security.tokens) if link.needs_password else None
    data = {
        "token": request.path_params["token"],
        "mode": link.mode,
        "pass": link_pass and link_pass.model_dump(mode="json"),
    }
    script = data if request.app.state.has_link_script else None
    page = _page(request, template, link=link, script=script, **values)
    page.headers["Content-Security-Policy"] = format_link_policy(context.store)
    return page


def _problem(request: Request, problem: problems.Problem, sent: Sequence[ReceivedFile] = ()) -> Response:
    if isinstance(problem, problems.LinkPasswordRequired):
        return _page(request, "password.html", 401, is_wrong=request.method == "POST")
    if isinstance(problem, problems.NotFound):
        return _page(request, "gone.html", 404)
    response = _page(request, "problem.html", problem.status, title=problem.title, detail=problem.detail, sent=sent)
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


@router.get("/links.css")
async def style() -> Response:
    return Response(pages.STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def _cookie(request: Request) -> str:
    """Return the cookie's name: for this prefix browsers require a secure connection. `__Host-` forbids a path."""
    return "__Secure-link-pass" if request.url.scheme == "https" else "link-pass"


async def _authenticate(request: Request, services: ServicesDep, security: LinkSecurityDep, token: str) -> LinkContext:
    return await open_link(services, security, LinkCredentials(token, link_pass=request.cookies.get(_cookie(request))))


LinkBearer = Annotated[LinkContext, Depends(_authenticate)]


@router.get("/{token}")
async def show(
    *,
    request: Request,
    context: LinkBearer,
    security: LinkSecurityDep,
    folder: uuid.UUID | None = None,
    cursor: str | None = None,
    sent: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Show a file, the list of a folder, or a form that sends files; `sent` files have just arrived."""
    link = await public.describe_link(context)
    show_page = functools.partial(_link_page, request, context, security, link)
    if link.mode == "upload":
        return show_page("upload.html", sent=sent, max_bytes=max_direct_bytes(context.settings))
    if link.kind == "file":
        return show_page("file.html", file=await public.describe_file(context))
    listed = await public.list_public_files(context, folder, limit=_PAGE_SIZE, cursor=cursor, with_thumbnails=True)
    path = await public.list_path(context, folder or link.id)
    return show_page("folder.html", folder=folder, path=path, listed=listed)


@router.post("/{token}/password")
async def give_password(
    request: Request,
    services: ServicesDep,
    security: LinkSecurityDep,
    token: str,
    password: Annotated[str, Form(max_length=1024)],
) -> Response:
    """Check the password, and give the browser a pass for an hour, for this link only."""
    link = (await open_link(services, security, LinkCredentials(token, password))).link
    response = RedirectResponse(f"../{token}", 303, PRIVATE)
    if link.password_hash is not None:
        response.set_cookie(
            _cookie(request),
            security.tokens.issue_pass(link.link_id, link.password_hash).text,
            max_age=PASS_TTL_S,
            path=f"{request.scope.get('root_path', '')}/s/{token}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response


@router.get("/{token}/files/{file_id}/content")
async def get_content(context: LinkBearer, file_id: uuid.UUID, *, inline: bool = False) -> Response:
    return redirect((await public.sign_public_download(context, file_id, inline=inline)).url)


@router.get("/{token}/files/{file_id}/thumbnail")
async def get_thumbnail(context: LinkBearer, file_id: uuid.UUID) -> Response:
    """Redirect to the large thumbnail, for previews; this counts as a download."""
    return redirect(await public.sign_public_thumbnail(context, file_id, "large"))


@router.get("/{token}/archive")
async def get_archive(
    context: LinkBearer, slots: PublicSlotsDep, background: BackgroundTasks, folder: uuid.UUID | None = None
) -> Response:
    opened = await public.open_public_archive(context, folder, slots)
    return stream_zip(opened.filename, opened.body, background, PRIVATE)


@router.get("/{token}/password")
@router.get("/{token}/upload")
async def show_form(token: str) -> Response:
    """Send a browser that reopens the address of a form's POST back to the form."""
    return RedirectResponse(f"../{token}", 303, PRIVATE)


@router.post("/{token}/upload")
async def send_files(
    context: LinkBearer, slots: PublicSlotsDep, request: Request, digests: BodyDigestsDep, token: str
) -> Response:
    """Store the files of a form, and send the browser back to the form, so that a reload sends nothing again."""
    sent: list[ReceivedFile] = []
    try:
        async with slots.hold(context.link.link_id):
            async for file in public.receive_files(context, read_request_body(request, digests)):
                sent.append(file)  # noqa: PERF401 - when a later file fails, those before it are told
    except problems.Problem as problem:
        return _problem(request, problem, sent)
    except StoreError as error:
        return _problem(request, to_problem(error), sent)
    return RedirectResponse(f"../{token}?sent={len(sent)}", 303, PRIVATE)
