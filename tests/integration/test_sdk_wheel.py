"""The wheel in an empty environment: what it installs, what it imports, and its types. Needs the package registry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
PROGRAM = """
import asyncio
import io
from pathlib import Path

from dropbox_client import ApiError, AsyncClient, Client, File, NameTaken, Revision, TokenMemory, Tokens


def use(client: Client) -> File:
    try:
        file = client.upload(Path("cat.jpg"), to="/photos/cat.jpg", progress=lambda done, total: print(done / total))
    except NameTaken as error:
        taken: str | None = error.file_id
        print(taken)
        file = client.files.get("/photos/cat.jpg")
    except ApiError as error:
        print(error.code, error.retryable)
        raise
    revisions: list[Revision] = list(client.revisions.list(file))
    print(len(revisions), client.uploads.get_capabilities().batch_items)
    return client.download(file, to=io.BytesIO())


async def use_async(client: AsyncClient) -> list[File]:
    await client.upload(b"x", to="/x", on_conflict="rename")
    return [file async for file in client.files.list("/photos")]


if __name__ == "__main__":
    store = TokenMemory(Tokens("http://127.0.0.1:1", "", "token", ""))
    with Client("http://127.0.0.1:1", store) as client:
        print(client.base_url)
    asyncio.run(AsyncClient("http://127.0.0.1:1", token="token").close())
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment["DROPBOX_BUILD_WEB"] = "0"  # these tests are about the client
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")


def succeed(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not UV.exists():
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    succeed(UV, "build", "--wheel", "--quiet", "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter without packages."""
    succeed(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    return tmp_path / "venv" / "bin" / "python"


def test_wheel_without_extras_has_the_blocking_client_only(wheel: Path, python: Path) -> None:
    succeed(UV, "pip", "install", "--quiet", "--python", python, wheel)
    assert "https" in succeed(
        python, "-c", "import dropbox_client as d; print(d.Client('https://example.org').base_url)"
    )
    failed = run(python, "-c", "from dropbox_client import AsyncClient")
    assert "pip install 'dropbox-api[async]'" in failed.stderr
    failed = run(python, "-m", "dropbox_client", "status")
    assert "pip install 'dropbox-api[sync]'" in failed.stderr


def test_program_with_both_clients_passes_strict_type_checks(wheel: Path, python: Path, tmp_path: Path) -> None:
    succeed(UV, "pip", "install", "--quiet", "--python", python, f"{wheel}[async]", "mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    succeed(python, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", program)
    assert succeed(python, program) == "http://127.0.0.1:1\n"
    program.write_text(PROGRAM.replace("taken: str | None", "taken: int"))
    assert "Incompatible types" in run(python, "-m", "mypy", "--strict", program).stdout
