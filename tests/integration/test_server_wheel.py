"""Wheel and source archive of the server, with its web app. They need the package registry and `make web`."""

import asyncio
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.database import fresh_database
from tests.support.ports import reserve_port
from tests.support.process import environment

ROOT = Path(__file__).parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
BUILT = ROOT / "src" / "dropbox_api" / "_web" / "index.html"
APP = "dropbox_api/_web/"
START_S = 120


def run(*command: str | Path, **variables: str) -> None:
    own = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own | variables, cwd="/")
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the source archive builds."""
    if not (UV.exists() and BUILT.exists()):
        reason = "needs uv and `make web`"
        pytest.fail(reason) if os.environ.get("CI") in {"1", "true"} else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
async def installed(
    wheel: Path, tmp_path: Path, postgres_url: str, s3_config: S3Config
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the server that runs from the wheel in an environment of its own, with an empty database."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    program = tmp_path / "venv" / "bin"
    run(UV, "pip", "install", "--quiet", "--python", program / "python", f"{wheel}[server]")
    async with fresh_database(postgres_url) as database:
        with reserve_port() as port:
            variables = environment(database, s3_config, HTTP__PORT=str(port))
            run(program / "dropbox-api", "migrate", **variables)
            server = await asyncio.create_subprocess_exec(
                program / "dropbox-api", "serve", env=variables, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL
            )
            try:
                async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    await wait_until_ready(client, server)
                    yield client
            finally:
                server.terminate()
                await server.wait()


async def wait_until_ready(client: httpx2.AsyncClient, server: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S):
        while True:
            assert server.returncode is None, "the server ended"
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)


async def test_server_of_the_wheel_serves_its_web_app(installed: httpx2.AsyncClient) -> None:
    page = await installed.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    parts = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert any(part.endswith(".js") for part in parts)
    answers = [await installed.get(part) for part in [*parts, "/sw.js", "/offline.html", "/assets/link.js"]]
    assert {answer.status_code for answer in answers} == {200}


def test_wheel_that_is_built_without_the_web_app_contains_none(wheel: Path, tmp_path: Path) -> None:
    run(UV, "build", "--wheel", "--quiet", "--out-dir", tmp_path, ROOT, DROPBOX_BUILD_WEB="0")
    (without,) = tmp_path.glob("*.whl")
    names = [zipfile.ZipFile(path).namelist() for path in (wheel, without)]
    assert [any(name.startswith(APP) for name in each) for each in names] == [True, False]
