"""The example page of `dev`: the page and the client of a working copy, under the policy that they need."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from dropbox_api import problems
from dropbox_api.example_page import ROOT, add_example
from dropbox_api.plumbing.page_policies import format_worker_policy
from dropbox_api.storage.s3 import S3Store


@pytest.fixture
async def visitor(store: S3Store, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a visitor of a working copy whose client is built."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "upload.html").write_bytes((ROOT / "examples" / "upload.html").read_bytes())
    client = tmp_path / "clients" / "js" / "dist"
    client.mkdir(parents=True)
    for name in ("index.js", "upload.js", "worker.js", "notes.txt"):
        (client / name).write_text(name)
    app = FastAPI()
    app.state.store = store
    add_example(app, tmp_path)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as visitor:
        yield visitor


async def test_example_page_finds_its_scripts_and_may_run_its_own(visitor: httpx2.AsyncClient, store: S3Store) -> None:
    page = await visitor.get("/examples/upload")
    assert page.content == (ROOT / "examples" / "upload.html").read_bytes()
    policy = page.headers["content-security-policy"]
    assert re.search(
        r"script-src 'self' 'sha256-[A-Za-z0-9+/]{43}='; worker-src 'self'; connect-src 'self' http", policy
    )
    assert "unsafe" not in policy
    for address in [*re.findall(r'from "([^"]+)"', page.text), "../clients/js/dist/worker.js"]:
        script = await visitor.get(str(page.url.join(address)))
        assert script.text == address.rpartition("/")[2]
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["content-security-policy"] == format_worker_policy(store)


@pytest.mark.parametrize("name", ["notes.txt", "missing.js"])
async def test_other_files_of_a_working_copy_are_not_served(visitor: httpx2.AsyncClient, name: str) -> None:
    with pytest.raises(problems.NotFound):
        await visitor.get(f"/clients/js/dist/{name}")


async def test_copy_without_a_build_has_no_example_page(tmp_path: Path) -> None:
    app = FastAPI()
    add_example(app, tmp_path)
    assert not [route for route in app.routes if getattr(route, "path", "").startswith("/examples")]
