"""The API, and single runs of worker jobs, as processes that a failpoint may kill."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import httpx2

from dropbox_api.storage.s3 import S3Config
from tests.support.forked import start_program
from tests.support.ports import reserve_port
from tests.support.server import NO_LIMITS, PATIENT

START_TIMEOUT_S = 60
EXIT_TIMEOUT_S = 60


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
    process: ForkServerProcess
    log: Path

    async def wait_for_exit(self) -> int:
        """Wait for the process to end; return its exit code (-9: killed)."""
        return await _wait_for_exit(self.process)


@contextlib.asynccontextmanager
async def running_process(variables: dict[str, str], failpoints: str = "") -> AsyncIterator[ApiProcess]:
    """Serve on a free port until the block ends or a failpoint kills the process."""
    with reserve_port() as port, tempfile.TemporaryDirectory() as directory:  # a directory without .env
        own = {"DROPBOX_HTTP__PORT": str(port), "DROPBOX_FAILPOINTS": failpoints}
        log = Path(directory) / "api.log"
        process = start_program(["serve"], variables | own, Path(directory), log)
        api = ApiProcess(f"http://127.0.0.1:{port}", process, log)
        try:
            await _ready(api)
            yield api
        finally:
            process.terminate()
            await api.wait_for_exit()


async def _ready(api: ApiProcess) -> None:
    async with asyncio.timeout(START_TIMEOUT_S), httpx2.AsyncClient(base_url=api.url, timeout=60) as client:
        while True:
            if api.process.exitcode is not None:
                raise RuntimeError(api.log.read_text(encoding="utf-8"))
            with contextlib.suppress(httpx2.TransportError):
                await client.get("/healthz")
                return
            await asyncio.sleep(0.02)


async def run_job(variables: dict[str, str], name: str, failpoints: str = "") -> int:
    """Run one job of the worker once as a process; return its exit code (-9: killed)."""
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["worker", "--once", name]
        variables = variables | {"DROPBOX_FAILPOINTS": failpoints}
        return await _wait_for_exit(start_program(arguments, variables, Path(directory), Path(os.devnull)))


@dataclass
class Ran:
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


async def run_program(arguments: Sequence[str], variables: dict[str, str], *, stdin: str = "") -> Ran:
    """Run `dropbox-api` with these arguments to its end."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        given, out, err = (directory / stream for stream in ("stdin", "stdout", "stderr"))
        given.write_text(stdin, encoding="utf-8")
        code = await _wait_for_exit(start_program(arguments, variables, directory, out, errors=err, stdin=given))
        return Ran(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


async def _wait_for_exit(process: ForkServerProcess) -> int:
    await asyncio.to_thread(process.join, EXIT_TIMEOUT_S)
    assert process.exitcode is not None, "the process did not end"
    return process.exitcode
