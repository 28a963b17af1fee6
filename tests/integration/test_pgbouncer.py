"""The server behind PgBouncer in transaction mode (docs/operations.md): each transaction may use another connection."""

import asyncio
import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import make_url

from dropbox_api import migrations
from dropbox_api.events.wakeup import can_listen
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import jobs, runner
from tests.support.ports import reserve_port
from tests.support.process import environment, running_process
from tests.support.programs import require_program, wait_until_open
from tests.support.server import (
    PATIENT,
    SMALLEST_CHUNK,
    assert_invariants,
    download,
    make_settings,
    migrated_database,
    register_account,
    upload_file,
)
from tests.support.stack import prepare_bucket

UNPRIVILEGED_UID = 65534
CONFIG = """
[databases]
dropbox = host={host} port={port} dbname={database} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout
{more}
"""


def knows_prepared_statements(pgbouncer: str) -> bool:
    """Return whether this PgBouncer tracks prepared statements per client (since 1.21)."""
    said = subprocess.run([pgbouncer, "--version"], check=True, capture_output=True, text=True).stdout
    version = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    assert version, said
    return (int(version[1]), int(version[2])) >= (1, 21)


@pytest.fixture
async def own_url(postgres_url: str) -> AsyncIterator[str]:
    async with migrated_database(postgres_url) as url:
        yield url


@pytest.fixture
async def own_s3(s3_config: S3Config) -> S3Config:
    return await prepare_bucket(replace(s3_config, bucket="pgbouncer"))


@pytest.fixture
def listen_port() -> Iterator[int]:
    with reserve_port() as port:
        yield port


@pytest.fixture
def directory() -> Iterator[Path]:
    """A world-readable directory: PgBouncer does not run as root."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def database(own_url: str, listen_port: int, directory: Path) -> Iterator[dict[str, Any]]:
    """Database settings that go through PgBouncer to a database of this test."""
    pgbouncer = require_program("pgbouncer")
    direct = make_url(own_url)
    is_new = knows_prepared_statements(pgbouncer)
    config = directory / "pgbouncer.ini"
    config.write_text(
        CONFIG.format(
            host=direct.host,
            port=direct.port,
            database=direct.database,
            user=direct.username,
            password=direct.password,
            listen_port=listen_port,
            more="max_prepared_statements = 200" if is_new else "",
        )
    )
    config.chmod(0o644)
    as_user = ["-u", pwd.getpwuid(UNPRIVILEGED_UID).pw_name] if os.geteuid() == 0 else []
    process = subprocess.Popen([pgbouncer, "-q", *as_user, str(config)])
    try:
        wait_until_open(process, listen_port)
        pooled = direct.set(host="127.0.0.1", port=listen_port, database="dropbox")
        yield {
            "url": pooled.render_as_string(hide_password=False),
            "listen_url": own_url,
            "prepared_statements": is_new,
        }
    finally:
        process.terminate()
        process.wait()


async def run_journey(here: str, there: str, number: int) -> None:
    """Upload, rename, list and download at one process, and long-poll at the other."""
    account = await register_account(here)
    async with account.client:
        cursor = (await account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"]
        poll = account.client.get(f"{there}/v1/events", params={"cursor": cursor, "wait_s": 60})
        heard = asyncio.create_task(poll)
        data = f"behind a pool {number}".encode() * 400_000
        multi = {"strategy": "multipart", "chunk_size_bytes": SMALLEST_CHUNK}
        file = await upload_file(account, data, "large", **multi)
        assert (await heard).raise_for_status().json()["events"]
        small = await upload_file(account, data[: number + 1000], "small")
        assert await download(account, file["id"]) == data
        (await account.client.patch(f"/v1/files/{small['id']}", json={"name": "renamed"})).raise_for_status()
        lists = [f"{url}/v1/{what}" for url in (here, there) for what in ("files", "search?q=renamed", "me")] * 20
        answers = await asyncio.gather(*(account.client.get(url) for url in lists))
        assert {answer.status_code for answer in answers} == {200}
        found = {tuple(item["name"] for item in one.json().get("items", ())) for one in answers}
        assert found == {("large", "renamed"), ("renamed",), ()}


async def test_server_and_jobs_behind_pgbouncer_in_transaction_mode_work(
    own_url: str, own_s3: S3Config, database: dict[str, Any]
) -> None:
    settings = make_settings(own_url, own_s3, database=PATIENT | database)
    assert await migrations.current(settings.database) == migrations.head()
    assert await can_listen(settings.database)
    named = {f"DATABASE__{name.upper()}": str(value) for name, value in database.items()}
    variables = environment(own_url, own_s3, **named)
    async with running_process(variables) as one, running_process(variables) as other:
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await client.get(f"{one.url}/readyz")).json()["status"] == "ready"
        pairs = [(one.url, other.url), (other.url, one.url)]
        await asyncio.gather(*(run_journey(*pairs[number % 2], number) for number in range(8)))
    async with runner.open_services(settings) as services:
        for job in jobs.JOBS.values():
            report = await job.run(services)
            assert not report.failed, (job, report)
        await assert_invariants(services.db, services.store)
