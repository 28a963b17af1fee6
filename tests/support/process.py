"""The API, and single runs of worker jobs, as processes that a failpoint may kill."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from dropbox_api.storage.s3 import S3Config
from tests.support.ports import reserve_port
from tests.support.server import NO_LIMITS, PATIENT

START_TIMEOUT_S = 60


def environment(postgres_url: str, s3: S3Config, **variables: str) -> dict[str, str]:
    """Return the environment of a server in dev mode; `variables` are settings without the prefix `DROPBOX_`."""
    settings = {
        "MODE": "dev",
        "LOG_LEVEL": "WARNING",
        "DATABASE__URL": postgres_url,
        "S3__ENDPOINT_URL": s3.endpoint_url or "",
        "S3__BUCKET": s3.bucket,
        "S3__ACCESS_KEY_ID": s3.access_key_id or "",
        "S3__SECRET_ACCESS_KEY": s3.secret_access_key or "",
        **{f"LIMITS__{name.upper()}": text for name, text in NO_LIMITS.items()},
        **{f"DATABASE__{name.upper()}": str(number) for name, number in PATIENT.items()},
        **variables,
    }
    return {"PATH": os.defpath} | {f"DROPBOX_{name}": value for name, value in settings.items()}


@dataclass
class ApiProcess:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    async def wait_for_exit(self) -> int:
        """Wait for the process to end; return its exit code (-9: killed)."""
        return await asyncio.to_thread(self.process.wait, 30)


@contextlib.asynccontextmanager
async def running_process(variables: dict[str, str], failpoints: str = "") -> AsyncIterator[ApiProcess]:
    """Serve on a free port until the block ends or a failpoint kills the process."""
    with reserve_port() as port, tempfile.TemporaryDirectory() as directory:  # a directory without .env
        own = {"DROPBOX_HTTP__PORT": str(port), "DROPBOX_FAILPOINTS": failpoints}
        log = Path(directory) / "api.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "dropbox_api", "serve"]
            process = subprocess.Popen(  # noqa: ASYNC220 - starting is quick
                command, env=variables | own, cwd=directory, stdout=output, stderr=subprocess.STDOUT
            )
        api = ApiProcess(f"http://127.0.0.1:{port}", process, log)
        try:
            await _ready(api)
            yield api
        finally:
            process.send_signal(signal.SIGTERM)
            await api.wait_for_exit()


async def _ready(api: ApiProcess) -> None:
    async with asyncio.timeout(START_TIMEOUT_S), httpx2.AsyncClient(base_url=api.url, timeout=60) as client:
        while True:
            if api.process.poll() is not None:
                raise RuntimeError(api.log.read_text(encoding="utf-8"))
            with contextlib.suppress(httpx2.TransportError):
                await client.get("/healthz")
                return
            await asyncio.sleep(0.02)


async def run_job(variables: dict[str, str], name: str, failpoints: str = "") -> int:
    """Run one job of the worker once as a process; return its exit code (-9: killed)."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "dropbox_api", "worker", "--once", name]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=variables | {"DROPBOX_FAILPOINTS": failpoints},
            cwd=directory,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()
