"""`dbx` as a process with its own configuration and cache."""

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dropbox_api.storage.s3 import S3Config
from tests.support.process import Ran
from tests.support.server import Account, RunningServer, make_settings, register_account, running_server
from tests.support.store_proxy import StoreProxy

PIPE = asyncio.subprocess.PIPE


class Done(Ran):
    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Dbx:
    """`dbx` of one account, with its own configuration and cache."""

    home: Path
    account: Account

    @property
    def environment(self) -> dict[str, str]:
        folders = {
            "DBX_CONFIG_DIR": str(self.home / "config"),
            "DBX_STATE_DIR": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }
        return {key: value for key, value in os.environ.items() if key != "DBX_SERVER"} | folders

    async def start(self, *arguments: str | Path, stdin: int = PIPE, stderr: int = PIPE) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-m", "dropbox_client", *map(str, arguments)),
            cwd=self.home,
            env=self.environment,
            stdin=stdin,
            stdout=PIPE,
            stderr=stderr,
        )

    async def __call__(self, *arguments: str | Path, stdin: str = "", code: int | None = 0) -> Done:
        """Run to the end; `code` is the expected exit code (None: any)."""
        process = await self.start(*arguments)
        return await finished(process, stdin=stdin, code=code)

    async def sign_in(self, server: RunningServer) -> None:
        login = ("login", "--server", server.url, "--email", self.account.email, "--password-stdin")
        await self(*login, stdin=f"{self.account.password}\n")

    async def remote(self, path: str) -> dict[str, Any]:
        answer = await self.account.client.get("/v1/files/by-path", params={"path": path})
        file: dict[str, Any] = answer.raise_for_status().json()
        return file

    async def live_sessions(self) -> list[dict[str, Any]]:
        items = (await self.account.client.get("/v1/uploads")).raise_for_status().json()["items"]
        return [item for item in items if item["state"] in {"creating", "active", "completing"}]

    def change_sign_in(self, **members: str) -> None:
        path = self.home / "config" / "tokens.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | members))


async def finished(process: asyncio.subprocess.Process, *, stdin: str | None = "", code: int | None = 0) -> Done:
    """Wait for the end; `stdin` None: do not write to it."""
    out, err = await process.communicate(None if stdin is None else stdin.encode())
    assert process.returncode is not None
    done = Done(process.returncode, out.decode(), (err or b"").decode())
    assert code is None or done.code == code, done
    return done


@contextlib.asynccontextmanager
async def server_behind(proxy: StoreProxy, postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """Run a server whose signed URLs name the proxy."""
    settings = make_settings(postgres_url, s3_config)
    s3 = settings.s3.model_copy(update={"public_endpoint_url": proxy.url})
    async with running_server(settings.model_copy(update={"s3": s3})) as running:
        yield running


@contextlib.asynccontextmanager
async def signed_in(server: RunningServer, home: Path) -> AsyncIterator[Dbx]:
    """Register an account and sign in with `dbx`."""
    account = await register_account(server.url)
    async with account.client:
        dbx = Dbx(home, account)
        await dbx.sign_in(server)
        yield dbx


def make_file(path: Path, size: int) -> bytes:
    data = hashlib.shake_128(path.name.encode()).digest(size)
    path.write_bytes(data)
    return data
