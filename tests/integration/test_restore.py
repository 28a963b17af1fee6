"""A database that was restored from a backup: a new data epoch, in which no ETag or cursor from before matches."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.files import etags
from dropbox_api.plumbing.epoch import read_instance
from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.epoch import note_restore
from tests.conftest import Register
from tests.support.process import environment, run_program
from tests.support.server import Account, RunningServer, make_settings, problem, running_server, until, upload_file

RECOVER = """
restore_command = 'false'
recovery_target_action = 'promote'
"""
"""Recovery with an empty archive: Postgres ends it on a new timeline, as after a restore to a point in time."""


@dataclass
class RestorablePostgres:
    postgres: EmbeddedPostgres

    @property
    def _cluster(self) -> Path:
        return self.postgres.data_dir / "data"

    def back_up(self) -> None:
        self.postgres.stop()
        self._copy(self._cluster, self.postgres.data_dir / "backup")
        self.postgres.start()

    def restore(self, recovery: str | None) -> None:
        """Replace the cluster by the backup; with `recovery`, its settings, Postgres begins a new timeline."""
        self.postgres.stop()
        self._copy(self.postgres.data_dir / "backup", self._cluster)
        if recovery is not None:
            with (self._cluster / "postgresql.auto.conf").open("a") as settings:
                settings.write(recovery)
            (self._cluster / "recovery.signal").touch()
        self.postgres.start()

    def restart(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    def _copy(self, source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[RestorablePostgres]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    directory.chmod(0o711)
    with EmbeddedPostgres(directory / "postgres", fsync=False) as server:
        yield RestorablePostgres(server)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
async def server(own_postgres: RestorablePostgres, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with running_server(make_settings(own_postgres.postgres.url, s3_config)) as running:
        yield running


async def ask(account: Account, method: str, path: str, **more: Any) -> httpx2.Response:
    """Send a request, again while the server's connections to the old database fail."""
    answers: list[httpx2.Response] = []

    async def is_answered() -> bool:
        answers.append(await account.client.request(method, path, **more))
        return answers[-1].status_code != 503

    await until(is_answered)
    return answers[-1]


async def read_epoch(account: Account) -> tuple[str, str]:
    """Return the ids of the installation and of its data epoch, as clients see them."""
    found = (await ask(account, "GET", "/v1/capabilities")).raise_for_status().json()
    return found["instance_id"], found["data_epoch"]


async def cursor_of(account: Account) -> str:
    return str((await ask(account, "GET", "/v1/events/cursor")).raise_for_status().json()["cursor"])


async def rename(account: Account, file: dict[str, Any], name: str) -> dict[str, Any]:
    renamed: dict[str, Any] = (await ask(account, "PATCH", f"/v1/files/{file['id']}", json={"name": name})).json()
    return renamed


Restore = Callable[[RestorablePostgres, S3Config], Awaitable[None]]


async def by_recovery(own: RestorablePostgres, _: S3Config) -> None:
    own.restore(RECOVER)


async def by_copy_and_command(own: RestorablePostgres, s3: S3Config) -> None:
    own.restore(None)
    ran = await run_program(["restored"], environment(own.postgres.url, s3))
    assert (ran.code, "data epoch" in ran.out) == (0, True), ran


@pytest.mark.parametrize("restore", [by_recovery, by_copy_and_command])
async def test_restore_under_a_running_server_matches_no_etag_or_cursor_from_before(
    restore: Restore,
    own_postgres: RestorablePostgres,
    s3_config: S3Config,
    server: RunningServer,
    register: Register,
) -> None:
    account = await register()
    file = await upload_file(account, b"content", "a")
    instance_id, epoch = await read_epoch(account)
    kept = await cursor_of(account)
    own_postgres.back_up()
    undone = await rename(account, file, "undone")
    undone_cursor = await cursor_of(account)
    address = f"/v1/files/{file['id']}"

    await restore(own_postgres, s3_config)
    other = await rename(account, file, "other")  # as many changes as before: only the epoch tells the two apart
    assert other["etag"].rpartition(".")[2] == undone["etag"].rpartition(".")[2]
    for stale in (file["etag"], undone["etag"], f"W/{undone['etag']}"):
        for method, path, more in (
            ("PATCH", address, {"json": {"name": "lost"}}),
            ("DELETE", address, {}),
            ("POST", f"{address}/copy", {"json": {"name": "b"}}),
            ("PUT", f"{address}/content", {"content": b"lost"}),
        ):
            refused = await ask(account, method, path, headers={"If-Match": stale}, **more)
            assert problem(refused) == (412, "precondition-failed"), (method, stale)
            assert refused.json()["etag"] == other["etag"]
    for path in ("/v1/events", "/v1/events/stream"):
        for cursor in (kept, undone_cursor):
            expired = await ask(account, "GET", path, params={"cursor": cursor})
            assert problem(expired) == (410, "cursor-expired")
            assert expired.json()["reason"] == "restored"
    after = await read_epoch(account)
    assert after[0] == instance_id
    assert after[1] != epoch
    assert other["etag"].startswith(f'"{after[1]}.')
    current = await cursor_of(account)
    assert (await ask(account, "GET", "/v1/events", params={"cursor": current})).status_code == 200
    assert (await ask(account, "PATCH", address, json={"name": "c"}, headers={"If-Match": other["etag"]})).is_success

    await note_restore(server.services)
    own_postgres.restart()
    assert await read_epoch(account) == after
    assert (await note_restore(server.services)).done == 0
    assert (await ask(account, "GET", "/v1/events", params={"cursor": current})).status_code == 200


@pytest.mark.parametrize(
    ("identity", "is_new"),
    [
        ({"system_identifier": "'7'"}, True),
        ({"timeline": "'0000000F'"}, True),
        ({"system_identifier": "NULL", "timeline": "NULL"}, False),
        ({}, False),
    ],
    ids=["another cluster", "another timeline", "unknown until now", "the same"],
)
async def test_epoch_is_new_when_the_identity_of_the_database_differs(
    identity: dict[str, str], is_new: bool, register: Register, db: Db, server: RunningServer
) -> None:
    account = await register()
    before, cursor = await read_epoch(account), await cursor_of(account)
    values = ", ".join(f"{column} = {value}" for column, value in {"is_only": "true", **identity}.items())
    async with db.begin() as tx:
        await tx.execute(text(f"UPDATE instance SET {values}"))
    assert (await read_epoch(account) != before) is is_new
    seen = await read_epoch(account)
    assert (await note_restore(server.services)).done == is_new
    assert await read_epoch(account) == seen, "the stored epoch is the one that clients have seen"
    read = await account.client.get("/v1/events", params={"cursor": cursor})
    assert read.status_code == (410 if is_new else 200)


async def test_cursor_without_epoch_is_valid_in_the_first_epoch_only(
    register: Register, db: Db, server: RunningServer
) -> None:
    account = await register()
    me = (await account.me())["id"]
    await upload_file(account, b"content", "a")
    cursors = server.app.state.cursors
    decoded = cursors.decode(uuid.UUID(me), await cursor_of(account))
    old = cursors.encode(uuid.UUID(me), decoded._replace(epoch=""))
    async with db.begin() as tx:
        await tx.execute(text("UPDATE instance SET first_epoch = data_epoch"))
    assert len(old) == 40
    assert (await account.client.get("/v1/events", params={"cursor": old})).status_code == 200
    async with db.begin() as tx:
        await tx.execute(text("UPDATE instance SET first_epoch = '000000000000'"))
    expired = await account.client.get("/v1/events", params={"cursor": old})
    assert (problem(expired), expired.json()["reason"]) == ((410, "cursor-expired"), "restored")
    assert (await read_instance(db)).is_restored


@pytest.mark.parametrize("text_of", [str, lambda etag: etag.strip('"')])
def test_if_match_of_a_body_may_lack_its_quotes(text_of: Callable[[str], str]) -> None:
    etag = etags.format_etag("5f0c2a9d41be", 3)
    assert etags.add_quotes(text_of(etag)) == etag
    assert etags.add_quotes("*") == "*"
