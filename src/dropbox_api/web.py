"""The web app: its page at the paths of the app, and its files, which the build has named and compressed.

`make web` builds `_web`. Its page answers at the paths of `core.client_paths` alone: every other unknown path remains a
problem. A server without the build has only a page at `/` that says so. The files are listed at the start: a new build
needs a new start.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from dropbox_api import problems
from dropbox_api.compression import choose_coding
from dropbox_api.core.client_paths import CLIENT_PREFIXES
from dropbox_api.plumbing.page_policies import format_fixed_policy, format_page_policy, format_worker_policy
from dropbox_api.sharing import pages

FOLDER = Path(__file__).with_name("_web")
LINK_SCRIPT = FOLDER / "assets" / "link.js"
"""The script of the pages of links, which `sharing` renders."""
_SHARE_TARGET = "/share-target"
"""Where other apps of the device send files: the service worker takes them before they reach the server."""
_PAGE = "index.html"
_NONCE = "NONCE-OF-THE-ANSWER"
"""Stands in the built page where each answer gets its nonce (`html.cspNonce` in vite.config.ts)."""
_HASHED = "assets/hashed/"
"""The files whose names contain the hash of their content."""
_CODINGS = {"br": ".br", "gzip": ".gz"}
"""The content codings that the build prepares, the smallest first, and the ends of their files' names."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_PERMISSIONS = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=(), clipboard-write=(self), fullscreen=(self), "
    "picture-in-picture=(self), publickey-credentials-create=(self), publickey-credentials-get=(self), "
    "screen-wake-lock=(self)"
)


def add_web(app: FastAPI) -> None:
    """Serve the web app; without a build, the page at `/` that says so."""
    app.add_api_route("/.well-known/change-password", _redirect_to_password, include_in_schema=False)
    if not (FOLDER / _PAGE).is_file():
        app.add_api_route("/", _show_absence, include_in_schema=False)
        return
    web = _WebApp(FOLDER)
    for path in ("/", *CLIENT_PREFIXES, *(f"{prefix}/{{rest:path}}" for prefix in CLIENT_PREFIXES)):
        app.add_api_route(path, web.show_page, include_in_schema=False)
    app.add_api_route("/assets/{name:path}", web.send_file, include_in_schema=False)
    app.add_api_route(_SHARE_TARGET, _refuse_share, methods=["POST"], include_in_schema=False)
    for name in web.names_at_root:
        app.add_api_route(f"/{name}", web.send_file, include_in_schema=False)


async def _redirect_to_password() -> RedirectResponse:
    """Send password managers to the page that changes the password (W3C, "A Well-Known URL for Changing Passwords")."""
    return RedirectResponse("/account/security", 302)


async def _refuse_share() -> RedirectResponse:
    """Send a browser without the service worker to the page that says so: the server takes no content."""
    return RedirectResponse(f"{_SHARE_TARGET}?failed=1", 303)


async def _show_absence() -> HTMLResponse:
    """Tell a person who opened the server's address what it is."""
    return HTMLResponse(pages.render("home.html", up="s/"))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    media_type: str
    codings: Mapping[str, Path]
    """The prepared representations."""
    is_hashed: bool


class _WebApp:
    def __init__(self, folder: Path) -> None:
        self._page = (folder / _PAGE).read_text("utf-8")
        self._files = _list_files(folder)

    @property
    def names_at_root(self) -> list[str]:
        return [name for name in self._files if "/" not in name]

    async def show_page(self, request: Request) -> HTMLResponse:
        """Answer the page; its script reads the address and shows what belongs to it."""
        nonce = secrets.token_urlsafe(16)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": format_page_policy(request.app.state.store, nonce),
            "Permissions-Policy": _PERMISSIONS,
        }
        return HTMLResponse(self._page.replace(_NONCE, nonce), headers=headers)

    async def send_file(self, request: Request) -> Response:
        """Answer a built file as the client accepts it. Raises NotFound."""
        file = self._files.get(request.url.path.removeprefix("/"))
        if file is None or not file.path.is_file():  # a build under the running server replaces the files
            raise problems.NotFound("The server has another build of the web app: reload the page, or start it again")
        coding = choose_coding(request.headers.get("accept-encoding", ""), file.codings)
        digest = file.path.stem if file.is_hashed else _hash(file.path)
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if file.is_hashed else "no-cache",
            "ETag": f'"{digest}{f"-{coding}" if coding else ""}"',
            "Vary": "Accept-Encoding",
        }
        if file.media_type.startswith("text/javascript"):
            headers["Content-Security-Policy"] = format_worker_policy(request.app.state.store)
        elif file.media_type.startswith("text/html"):
            headers["Content-Security-Policy"] = format_fixed_policy(file.path.read_text("utf-8"))
        if _matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if coding is None:
            return FileResponse(file.path, headers=headers, media_type=file.media_type)
        headers["Content-Encoding"] = coding
        return FileResponse(file.codings[coding], headers=headers, media_type=file.media_type)


def _matches(if_none_match: str, etag: str) -> bool:
    return etag in {value.strip().removeprefix("W/") for value in if_none_match.split(",")}


@cache
def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _list_files(folder: Path) -> dict[str, _File]:
    """Return the files of a build by their path below `/`, except the page and what the build notes for itself."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in _TYPES or name == _PAGE or name.startswith("."):
            continue
        prepared = {coding: path.with_name(path.name + end) for coding, end in _CODINGS.items()}
        files[name] = _File(
            path=path,
            media_type=_TYPES[path.suffix],
            codings={coding: compressed for coding, compressed in prepared.items() if compressed.is_file()},
            is_hashed=name.startswith(_HASHED),
        )
    return files
