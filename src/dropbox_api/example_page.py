"""`/examples/upload` in `dev`: the example page of the JavaScript client, with the client of the same working copy.

An installed server has neither; without the build of the client (`make client`) the page is missing, too.
"""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from dropbox_api import problems
from dropbox_api.plumbing.page_policies import format_example_policy, format_worker_policy

ROOT = Path(__file__).parents[2]


def add_example(app: FastAPI, root: Path = ROOT) -> None:
    """Serve the page and the client of a working copy at their paths in it."""
    example = _Example(root / "examples" / "upload.html", root / "clients" / "js" / "dist")
    if example.page.is_file() and (example.client / "upload.js").is_file():
        app.add_api_route("/examples/upload", example.show_page, include_in_schema=False)
        app.add_api_route("/clients/js/dist/{name}", example.send_script, include_in_schema=False)


class _Example:
    def __init__(self, page: Path, client: Path) -> None:
        self.page = page
        self.client = client

    async def show_page(self, request: Request) -> HTMLResponse:
        page = self.page.read_text("utf-8")
        policy = format_example_policy(request.app.state.store, page)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    async def send_script(self, request: Request, name: str) -> Response:
        """Answer a script of the client, one of which is the worker. Raises NotFound."""
        if name not in {path.name for path in self.client.glob("*.js")}:
            raise problems.NotFound
        policy = format_worker_policy(request.app.state.store)
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
        return FileResponse(self.client / name, headers=headers, media_type="text/javascript; charset=utf-8")
