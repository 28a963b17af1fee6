"""Two folders that are kept equal: by two `dbx sync` of one account, and by other tools on the same machine.

Each tool gets the same files. syncthing and Unison copy from folder to folder, without a server between them; rclone
bisync and `dbx sync` go through the bucket, and `dbx sync` also through the API.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final
from xml.etree import ElementTree as ET

from bench import peers, processes
from bench.stack import BUCKET, Stack, count_calls
from bench.table import Row, s
from dropbox_client.client import Client
from dropbox_client.models.files import File

_FILES = int(os.environ.get("BENCH_SYNC_FILES", "10000"))
_FILES_PER_FOLDER = 50
_CALLS_PER_FILE = 0.015
_CHANGES = 20
_IDLE_S = 30
_TIMEOUT_S = 3_600
_QUIET_S = 2.0
_DBX = Path(sys.executable).with_name("dbx")


@dataclass(frozen=True, slots=True)
class _Found:
    """What was measured of one tool, in seconds and bytes; None where it does not apply."""

    first_s: float
    renamed_s: float
    changes_s: Sequence[float]
    unchanged_s: float | None = None
    idle_cpu: float | None = None
    """Share of one processor, of both processes."""
    memory_bytes: int | None = None
    """Of the larger process."""
    calls: int = 0
    """To the API, by both devices, until the other one has all files."""


def measure(stack: Stack) -> list[Row]:
    found: dict[str, _Found] = {}
    for name, (program, measure_one) in _TOOLS.items():
        if shutil.which(program):
            stack.empty_bucket()
            found[name] = measure_one(stack)
            print(f"{name}: {found[name]}", file=sys.stderr)
    stack.empty_bucket()
    return list(_rows(found))


def _rows(found: Mapping[str, _Found]) -> Iterator[Row]:
    dbx = found["dbx sync"]

    def others(show: Callable[[_Found], str]) -> str:
        return ", ".join(f"{name}: {show(one)}" for name, one in found.items() if name != "dbx sync")

    def at(share: float, times: Sequence[float]) -> float:
        return quantiles(times, n=100, method="inclusive")[round(share * 100) - 1]

    late = at(0.99, dbx.changes_s)
    yield Row(
        f"first sync of {_FILES:,} files to another device", s(dbx.first_s), others(lambda one: s(one.first_s)), "", ""
    )
    yield Row(
        "calls to the API for it, by both devices, with those that wait for events",
        f"{dbx.calls:,}",
        *("", "", f"<= {_CALLS_PER_FILE * _FILES:,.0f}", dbx.calls <= _CALLS_PER_FILE * _FILES),
    )
    yield Row(
        f"rename of a folder with {_FILES:,} files, until the other device has it",
        *(s(dbx.renamed_s), others(lambda one: s(one.renamed_s)), "", ""),
    )
    yield Row(
        "one file changed, until the other device has it: p50, p99",
        f"{s(median(dbx.changes_s))}, {s(late)}",
        others(lambda one: f"{s(median(one.changes_s))}, {s(at(0.99, one.changes_s))}"),
        *("", "<= 4 s, of which 2 s quiet", late <= 2 * _QUIET_S),
    )
    if dbx.idle_cpu is not None and dbx.memory_bytes is not None:
        yield Row(
            f"processor time of both while {_IDLE_S} s nothing changes",
            f"{dbx.idle_cpu:.2%}",
            others(lambda one: "-" if one.idle_cpu is None else f"{one.idle_cpu:.2%}"),
            *("", "< 0.2 %", dbx.idle_cpu < 0.002),
        )
        yield Row(
            "memory of one process",
            f"{dbx.memory_bytes / 2**20:.0f} MB",
            others(lambda one: "-" if one.memory_bytes is None else f"{one.memory_bytes / 2**20:.0f} MB"),
            *("", ""),
        )
    if dbx.unchanged_s is not None:
        yield Row(
            f"one run over {_FILES:,} files without a change",
            *(s(dbx.unchanged_s), others(lambda one: "-" if one.unchanged_s is None else s(one.unchanged_s)), "", ""),
        )


def _write_files(root: Path) -> None:
    for number in range(_FILES // _FILES_PER_FOLDER):
        inner = root / "all" / f"{number // 20}" / f"{number}"
        inner.mkdir(parents=True)
        for name in range(_FILES_PER_FOLDER):
            (inner / f"file {name}.txt").write_bytes(b"%d %d" % (number, name))


def _count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder)) if folder.exists() else 0


def _await(is_true: Callable[[], bool], pause_s: float = 0.02) -> float:
    """Return how long it takes until something is true."""
    began = time.perf_counter()
    while not is_true():
        if time.perf_counter() - began > _TIMEOUT_S:
            raise TimeoutError
        time.sleep(pause_s)
    return time.perf_counter() - began


def _has_content(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


# Programs that keep running


def _measure_running(
    one: Path, two: Path, start: Callable[[], Sequence[subprocess.Popen[bytes]]], count: Callable[[], int] = lambda: 0
) -> _Found:
    """Measure programs that run all the time; `count` tells how many calls they made."""
    _write_files(one)
    calls = -count()
    running = start()
    try:
        first_s = _await(lambda: _count(two / "all") == _FILES, 0.5 + _FILES / 50_000)  # a count takes time, too
        calls += count()
        time.sleep(15)  # until neither looks at anything any more
        (one / "all").rename(one / "renamed")
        renamed_s = _await(lambda: not (two / "all").exists() and _count(two / "renamed") == _FILES, 0.1)
        time.sleep(15)
        changes_s = []
        for number in range(_CHANGES):
            content = b"%d" % number * 300
            target = two / f"changed {number}"
            (one / target.name).write_bytes(content)
            changes_s.append(_await(partial(_has_content, target, content)))
        time.sleep(15)
        before = sum(processes.cpu_s(process.pid) for process in running)
        time.sleep(_IDLE_S)
        idle_cpu = (sum(processes.cpu_s(process.pid) for process in running) - before) / _IDLE_S
        memory = max(sum(processes.memory(pid, "VmRSS") for pid in processes.tree(one.pid)) for one in running)
    finally:
        for process in running:
            process.terminate()  # a shell that runs this in the background lets it ignore SIGINT
        for process in running:
            process.wait(60)
    return _Found(first_s, renamed_s, changes_s, idle_cpu=idle_cpu, memory_bytes=memory, calls=calls)


def _measure_dbx(stack: Stack) -> _Found:
    home = stack.directory / "following"
    with stack.signed_in(stack.api.url) as (client, signed_in):
        devices = []
        for name in ("one", "two"):
            (home / name).mkdir(parents=True)
            devices.append((home / name, {**signed_in, "DBX_STATE_DIR": str(home / f"state of {name}")}))

        def start() -> list[subprocess.Popen[bytes]]:
            return [
                subprocess.Popen([_DBX, "sync", folder], env=environment, stdout=subprocess.DEVNULL)
                for folder, environment in devices
            ]

        found = _measure_running(devices[0][0], devices[1][0], start, lambda: count_calls(stack.api.url))
        folder, environment = devices[0]
        unchanged_s = processes.run([_DBX, "sync", folder, "--once"], environment).wall_s
        _require_all(client)
    shutil.rmtree(home)
    return replace(found, unchanged_s=unchanged_s)


def _require_all(client: Client) -> None:
    files: Iterator[File] = client.files.list("/renamed", recursive=True)
    assert sum(1 for file in files if file.kind == "file") == _FILES


def _measure_syncthing(stack: Stack) -> _Found:
    home = stack.directory / "syncthing"
    ports = [_find_port() for _ in range(4)]
    homes = [home / "config one", home / "config two"]
    for one in homes:
        command = ["syncthing", "generate", f"--home={one}", "--no-default-folder", "--skip-port-probing"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folders = [home / "one", home / "two"]
    for folder in folders:
        folder.mkdir(parents=True)
    _connect_syncthing(homes, folders, ports)

    def start() -> list[subprocess.Popen[bytes]]:
        environment = {**os.environ, "STNORESTART": "1", "STNOUPGRADE": "1"}
        return [
            subprocess.Popen(
                ["syncthing", "serve", f"--home={one}", "--no-browser", "--no-restart"],
                env=environment,
                stdout=subprocess.DEVNULL,
            )
            for one in homes
        ]

    found = _measure_running(folders[0], folders[1], start)
    shutil.rmtree(home)
    return found


def _connect_syncthing(homes: Sequence[Path], folders: Sequence[Path], ports: Sequence[int]) -> None:
    """Let two instances know each other and one folder; everything else is as by default."""
    trees = [ET.parse(home / "config.xml") for home in homes]  # noqa: S314 - made just now
    devices = []
    for tree in trees:
        device = tree.getroot().find("device")
        assert device is not None
        devices.append(device.attrib["id"])
    for number, (tree, home, folder) in enumerate(zip(trees, homes, folders, strict=True)):
        root = tree.getroot()
        options, gui = root.find("options"), root.find("gui")
        assert options is not None
        assert gui is not None
        gui_address = gui.find("address")
        assert gui_address is not None
        gui_address.text = f"127.0.0.1:{ports[number]}"
        for name, value in {
            "globalAnnounceEnabled": "false",
            "localAnnounceEnabled": "false",
            "relaysEnabled": "false",
            "natEnabled": "false",
            "urAccepted": "-1",
        }.items():
            found = options.find(name)
            assert found is not None
            found.text = value
        for listen in options.findall("listenAddress"):
            options.remove(listen)
        ET.SubElement(options, "listenAddress").text = f"tcp://127.0.0.1:{ports[2 + number]}"
        other = ET.SubElement(root, "device", id=devices[1 - number], name="other")
        ET.SubElement(other, "address").text = f"tcp://127.0.0.1:{ports[3 - number]}"
        shared = ET.SubElement(root, "folder", id="bench", path=str(folder), fsWatcherEnabled="true")
        shared.attrib.update(rescanIntervalS="3600", fsWatcherDelayS="10", type="sendreceive")
        for device_id in devices:
            ET.SubElement(shared, "device", id=device_id)
        tree.write(home / "config.xml")


def _find_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


# Programs that are run for each comparison


Make = Callable[[Path, Path, Path], "_Runs"]


@dataclass(frozen=True, slots=True)
class _Runs:
    """The commands that make two folders equal."""

    first: Sequence[Sequence[str | Path]]
    again: Sequence[Sequence[str | Path]]


def _measure_unison(stack: Stack) -> _Found:
    return _measure_command(stack.directory / "unison", _make_unison, os.environ)


def _measure_rclone(stack: Stack) -> _Found:
    remote = f":s3,provider=Other,env_auth,endpoint='{stack.s3_config.endpoint_url}':{BUCKET}/bisync"
    environment = peers.environment(stack.s3_config, stack.directory)
    return _measure_command(
        stack.directory / "rclone", lambda home, a, b: _make_rclone(home, a, b, remote), environment
    )


def _measure_command(home: Path, make: Make, environment: Mapping[str, str]) -> _Found:
    """Measure a program that ends when both sides are equal."""
    one, two = home / "one", home / "two"
    two.mkdir(parents=True)
    _write_files(one)
    runs = make(home, one, two)
    environment = {**environment, "HOME": str(home)}

    def run(commands: Sequence[Sequence[str | Path]]) -> float:
        return sum(processes.run(command, environment).wall_s for command in commands)

    first_s = run(runs.first)
    assert _count(two / "all") == _FILES
    unchanged_s = run(runs.again) / len(runs.again)
    (one / "all").rename(one / "renamed")
    renamed_s = run(runs.again)
    changes_s = []
    for number in range(3):
        (one / f"changed {number}").write_bytes(b"%d" % number * 300)
        changes_s.append(run(runs.again))
        assert (two / f"changed {number}").exists()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(home)
    return _Found(first_s, renamed_s, changes_s, unchanged_s)


def _make_unison(_: Path, one: Path, two: Path) -> _Runs:
    command: list[str | Path] = ["unison", one, two, "-batch", "-auto", "-silent", "-confirmbigdel=false"]
    return _Runs([command], [command])


def _make_rclone(home: Path, one: Path, two: Path, remote: str) -> _Runs:
    def command(folder: Path) -> list[str | Path]:
        return ["rclone", "bisync", folder, remote, "--workdir", home / f"work {folder.name}", "--force", "-q"]

    return _Runs(
        [[*command(one), "--resync"], [*command(two), "--resync"]],
        [command(one), command(two)],
    )


_TOOLS: Final[dict[str, tuple[str, Callable[[Stack], _Found]]]] = {
    "dbx sync": (str(_DBX), _measure_dbx),
    "unison": ("unison", _measure_unison),
    "syncthing": ("syncthing", _measure_syncthing),
    "rclone bisync": ("rclone", _measure_rclone),
}
"""By name: the program that has to be there, and its measurement."""
