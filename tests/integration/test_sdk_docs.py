"""The examples of docs/sdk.md run in order against a real server."""

import re
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest

from dropbox_client import Client
from tests.support.sdk import stored_tokens
from tests.support.server import RunningServer

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
README = Path(__file__).parents[2] / "README.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[str]:
    return EXAMPLE.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [PAGE, README], ids=lambda page: page.name)
async def test_examples_of_a_page_run(
    server: RunningServer, register: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    account = await register(password="correct horse battery")
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    monkeypatch.chdir(tmp_path)

    def run() -> None:
        with Client(server.url, stored_tokens(server, account)) as client:
            token = client.account.create_token("docs", ["files:read", "files:write"]).token
            assert token
            names: dict[str, Any] = {"client": client}
            for example in examples(page):
                names["client"] = client  # an example may have closed its own one
                program = example.replace("https://files.example.org", server.url)
                program = program.replace("dbx_pat_...", token).replace("ada@example.org", account.email)
                exec(compile(program, f"{page.name}: {example[:60]!r}", "exec"), names)  # noqa: S102

    assert examples(page)
    await to_thread(run)
