"""The embedded servers keep their data after every kind of exit, and end with the process that started them.

Each test has its own directory, and ends only processes that it started.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from dropbox_api.storage.embedded.guard import EmbeddedError, GuardedServer
from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3
from dropbox_api.storage.object_store import ObjectNotFound
from dropbox_api.storage.s3 import S3Config, S3Store
from tests.support.ports import reserve_port

ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test-secret"


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dropbox-api-tests-") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


def postgres(directory: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(directory / "postgres", fsync=False)


def seaweedfs(directory: Path) -> EmbeddedS3:
    return EmbeddedS3(directory / "s3", access_key_id=ACCESS_KEY_ID, secret_access_key=SECRET_ACCESS_KEY)


MAKERS: dict[str, Callable[[Path], GuardedServer]] = {"postgres": postgres, "seaweedfs": seaweedfs}


def server_pids(server: GuardedServer) -> list[int]:
    """Return the server below the guard, without the children of Postgres, which look like it when they start."""
    found = server._find_leftovers()
    return [pid for pid in found if parent(pid) not in found]


def parent(pid: int) -> int:
    """Return the id of the parent of a process, 0 when the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return int(status.partition("PPid:")[2].split()[0])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not true within 20 s"
        time.sleep(0.02)


async def query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_after_stop_and_kill_keeps_data_and_address(directory: Path) -> None:
    server = postgres(directory)
    with server:
        url = server.url
        await query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with server:
        assert server.url == url
        assert await query(url, "SELECT answer FROM kept") == 42
        assert server.process is not None
        for pid in server_pids(server):
            os.kill(pid, signal.SIGKILL)
        assert server.process.wait(20) == 128 + signal.SIGKILL  # visible to a supervisor

        server.start()

        assert server.url == url
        assert await query(url, "SELECT answer FROM kept") == 42


async def test_postgres_with_a_wrong_password_refuses(directory: Path) -> None:
    with postgres(directory) as server:
        scheme, _, address = server.url.partition("://app:")
        address = address.partition("@")[2]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await query(f"{scheme}://app:wrong@{address}", "SELECT 1")
        assert (server.data_dir / "password").stat().st_mode & 0o077 == 0


async def test_seaweedfs_after_a_kill_keeps_objects_and_open_uploads(directory: Path) -> None:
    server = seaweedfs(directory)
    with server:
        config = S3Config(
            bucket="kept",
            endpoint_url=server.endpoint_url,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
        )
        async with S3Store.open(config) as store:
            await store.ensure_bucket(["http://localhost"])
            await store.put("object", b"kept")
            upload_id = await store.create_multipart("open")
        for pid in server_pids(server):
            os.kill(pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait(20)

        server.start()

        assert server.endpoint_url == config.endpoint_url
        async with S3Store.open(config) as store:
            assert b"".join([block async for block in store.read("object")]) == b"kept"
            assert await store.list_parts("open", upload_id) == []
            with pytest.raises(ObjectNotFound):
                await store.head("other")


@pytest.mark.parametrize("kind", MAKERS)
def test_start_with_an_orphaned_server_stops_it_first(directory: Path, kind: str) -> None:
    first = MAKERS[kind](directory)
    with first:
        assert first.process is not None
        (orphan,) = server_pids(first)
        first.process.kill()
        first.process.wait()
        assert server_pids(first) == [orphan]

        first.start()

        (successor,) = server_pids(first)
        assert successor != orphan
    assert server_pids(first) == []


PARENT = """
import sys, time
from pathlib import Path
from tests.faults.test_embedded import MAKERS
server = MAKERS[sys.argv[1]](Path(sys.argv[2]))
server.start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_server_ends_when_its_parent_dies(directory: Path, kind: str, death: signal.Signals) -> None:
    server = MAKERS[kind](directory)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, kind, str(directory)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root}/src:{root}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert server_pids(server)
        with pytest.raises(EmbeddedError, match=f"in use by process {parent.pid}"):
            server.start()

        parent.send_signal(death)
        parent.wait(20)

    wait_until(lambda: not server_pids(server))
    with server:  # the directory is free again
        pass


@pytest.mark.parametrize("kind", MAKERS)
def test_server_runs_in_its_own_session_away_from_terminal_interrupts(directory: Path, kind: str) -> None:
    with MAKERS[kind](directory) as server:
        assert server.process is not None
        session = os.getsid(server.process.pid)
        assert session != os.getsid(0)
        assert {os.getsid(pid) for pid in server_pids(server)} == {session}


@pytest.mark.parametrize("kind", MAKERS)
def test_start_on_a_taken_port_moves_and_keeps_the_new_port(directory: Path, kind: str) -> None:
    server = MAKERS[kind](directory)
    with server:
        pass
    memory = server.data_dir / "port"
    taken = int(memory.read_text())
    with socket.socket() as occupant:
        occupant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupant.bind(("127.0.0.1", taken))
        occupant.listen()
        with server:
            moved = int(memory.read_text())
            assert moved != taken
    with server:
        assert int(memory.read_text()) == moved


async def test_start_on_a_given_free_port_uses_it(directory: Path) -> None:
    with reserve_port() as free, EmbeddedPostgres(directory / "postgres", port=free, fsync=False) as server:
        assert f"@127.0.0.1:{free}/" in server.url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user to run Postgres")
async def test_postgres_of_root_in_a_private_directory_moves_its_cluster(directory: Path) -> None:
    private = directory / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "postgres", fsync=False)
    with server:
        await query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    moved = Path((private / "postgres" / "moved-to").read_text().strip())
    try:
        assert mode(moved) == 0o711
        assert mode(moved / "data") == 0o700
        with server:
            assert await query(server.url, "SELECT answer FROM kept") == 42
    finally:
        shutil.rmtree(moved)


def test_failed_start_shows_the_log_and_frees_the_directory(directory: Path) -> None:
    server = postgres(directory)
    with server:
        pass
    version = server.data_dir / "data" / "PG_VERSION"
    original = version.read_text()
    version.write_text("12\n")

    with pytest.raises(EmbeddedError, match="initialized by PostgreSQL version 12"):
        server.start()

    version.write_text(original)
    with server:
        pass


def test_start_after_a_half_finished_initialization_starts_afresh(directory: Path) -> None:
    half = directory / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (directory / "postgres").chmod(0o711)
    with postgres(directory) as server:
        assert server_pids(server)
    assert not half.exists()
