"""`python -m bench.big_file [--link] GIB`: one large file through `dropbox-api dev` and `dbx`, with kills on the way.

A sparse file with random MiB sprinkled in is uploaded, the client, the API and the worker are killed (SIGKILL) at
different points, the command is repeated until it succeeds, the worker verifies the content, and the download is
compared with the file by SHA-256. With --link, the file goes through an upload link. It ends only processes that it
started. Not part of the tests: it needs the disk for the file, 5 % more, and half an hour for 50 GiB.
"""

import argparse
import hashlib
import os
import pty
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench import processes
from bench.stack import count_calls
from dropbox_client.client import Client
from dropbox_client.tokens import TokenFile

GIB, MIB = 1024**3, 1024**2
_RANDOM_EVERY_BYTES = 64 * MIB
_KILLS = {"client": 0.2, "api": 0.45, "worker": 0.7}
_READY_S, _VERIFY_S = 120, 7200
_HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BIN = Path(sys.executable).parent
_PASSWORD = secrets.token_urlsafe()


@dataclass
class Watch:
    """Processor time and peak memory of the processes of each role, over all their incarnations."""

    dev_pid: int
    client_pids: set[int] = field(default_factory=set)
    _used: dict[str, dict[int, tuple[float, int]]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def find(self, role: str) -> int:
        """Return the process of a role below `dev`; wait while it is being started."""
        return wait_for(lambda: next((pid for pid in self._below_dev() if _role(pid) == role), None), _READY_S)

    def summary(self) -> list[str]:
        lines = []
        for role, by_pid in sorted(self._used.items()):
            cpu_s, peak = sum(cpu for cpu, _ in by_pid.values()), max(rss for _, rss in by_pid.values())
            lines.append(f"{role:<9} {cpu_s:7.0f} s CPU  {peak / MIB:6.0f} MiB peak  {len(by_pid)} processes")
        return lines

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            pids = {pid: _role(pid) for pid in self._below_dev()} | dict.fromkeys(self.client_pids, "client")
            for pid, role in pids.items():
                peak = processes.memory(pid, "VmHWM")
                if role and peak:
                    self._used.setdefault(role, {})[pid] = (processes.cpu_s(pid), peak)

    def _below_dev(self) -> list[int]:
        return processes.tree(self.dev_pid)[1:]


def _role(pid: int) -> str | None:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if command[1:3] == [b"-m", b"dropbox_api"]:
        return {b"serve": "api", b"worker": "worker"}.get(command[3])
    if command[0].endswith(b"/weed"):
        return "store"
    return "postgres" if command[0].endswith(b"/postgres") else None


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.big_file", description=__doc__)
    parser.add_argument("gib", type=float, help="size of the file")
    parser.add_argument("--link", action="store_true", help="upload through an upload link, without an account")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    arguments = parser.parse_args()
    size_bytes = int(arguments.gib * GIB)
    free = shutil.disk_usage(arguments.directory).free
    if free < size_bytes * 1.05:
        sys.exit(f"{free / GIB:.1f} GiB are free in {arguments.directory}: too few for a file of {arguments.gib:g} GiB")
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-big-", dir=arguments.directory))
    directory.chmod(0o711)  # the embedded Postgres runs as another user when this runs as root
    log = (directory / "dev.out").open("wb")
    command = [str(_BIN / "dropbox-api"), "dev", "--data", str(directory / "data")]
    dev = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        _transfer(directory, size_bytes, dev.pid, through_link=arguments.link)
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(60)
        shutil.rmtree(directory, ignore_errors=True)


def _transfer(directory: Path, size_bytes: int, dev_pid: int, *, through_link: bool) -> None:
    url = wait_for(lambda: _read_url(directory / "dev.out"), _READY_S)
    source = directory / "big.bin"
    say(f"making {source.name}: {size_bytes / GIB:g} GiB, 1 MiB of every {_RANDOM_EVERY_BYTES // MIB} is random")
    _make_file(source, size_bytes)
    sha256 = _hash_file(source)
    home = directory / "home"
    client = Client(url, TokenFile(home / "dbx" / "tokens.json"))
    client.account.register("big@example.com", _PASSWORD)
    client.sign_in("big@example.com", _PASSWORD)
    say(f"quota {client.account.get().quota_bytes / GIB:.1f} GiB")
    watch = Watch(dev_pid)
    watch.start()
    environment = {"PATH": os.defpath, "COLUMNS": "160", "DBX_SERVER": url} | dict.fromkeys(_HOMES, str(home))
    folder = client.files.create_folder("/in")
    targets = [url + client.links.create(folder.id, "upload").url_path] if through_link else ["/in/"]
    upload = _Upload(directory, url, watch, size_bytes, environment, targets)
    began = time.monotonic()
    upload.run(source)
    say(f"uploaded in {time.monotonic() - began:.0f} s; {upload.stored_bytes() - size_bytes:,} bytes more in the store")
    calls = upload.calls_before_kill + count_calls(url)
    began = time.monotonic()
    wait_for(lambda: client.files.get("/in/big.bin").content_status == "verified" or None, _VERIFY_S)
    say(f"verified after {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    is_equal = _hash_download(upload.environment) == sha256
    say(f"downloaded in {time.monotonic() - began:.0f} s; SHA-256 {'is equal' if is_equal else 'DIFFERS'}")
    watch.stop()
    say(f"{calls} API calls of the upload")
    for line in watch.summary():
        say(line)
    client.close()
    if not is_equal:
        sys.exit(1)


@dataclass
class _Upload:
    directory: Path
    url: str
    watch: Watch
    size_bytes: int
    environment: dict[str, str]
    targets: list[str]
    calls_before_kill: int = 0

    def stored_bytes(self) -> int:
        return sum(file.stat().st_size for file in (self.directory / "data" / "s3" / "data").glob("dropbox_*.dat"))

    def run(self, source: Path) -> None:
        """Repeat `dbx upload` until it succeeds, and kill each role once on the way."""
        kills = dict(_KILLS)
        while True:
            process, screen = self._start_client(source)
            while process.poll() is None:
                progress = self.stored_bytes() / self.size_bytes
                role = next((role for role, at in kills.items() if progress >= at), None)
                if role:
                    del kills[role]
                    self._kill(role, process, progress)
                time.sleep(0.2)
            screen.join(5)
            self.watch.client_pids.discard(process.pid)
            if process.returncode == 0:
                return
            say(f"dbx ended with {process.returncode}: the same command again")
            if process.returncode > 0:
                time.sleep(2)

    def _kill(self, role: str, client: subprocess.Popen[bytes], progress: float) -> None:
        if role == "api":
            self.calls_before_kill += count_calls(self.url)
        pid = client.pid if role == "client" else self.watch.find(role)
        os.kill(pid, signal.SIGKILL)
        say(f"killed {role} ({pid}) at {progress:.0%}")

    def _start_client(self, source: Path) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        """Start `dbx` on a terminal of its own, and print a line of its screen every 30 s."""
        control, terminal = pty.openpty()
        command = [str(_BIN / "dbx"), "upload", str(source), *self.targets]
        process = subprocess.Popen(command, env=self.environment, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.watch.client_pids.add(process.pid)
        screen = threading.Thread(target=_follow_screen, args=(control,), daemon=True)
        screen.start()
        return process, screen


def _follow_screen(control: int) -> None:
    printed_at, line = 0.0, ""
    while True:
        try:
            shown = os.read(control, 65536).decode(errors="replace")
        except OSError:  # the terminal is closed
            break
        if not shown:
            break
        rows = re.split(r"[\r\n]+", _CONTROLS.sub(" ", shown))
        line = next((" ".join(row.split()) for row in reversed(rows) if row.strip()), line)
        if time.monotonic() - printed_at > 30 and line:
            say(f"dbx: {line}")
            printed_at = time.monotonic()
    os.close(control)
    say(f"dbx, at its end: {line}")


def _read_url(path: Path) -> str | None:
    found = re.search(r"runs at +(http\S+)", path.read_text(errors="replace"))
    return found[1] if found else None


def _make_file(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for start in range(0, size_bytes - MIB, _RANDOM_EVERY_BYTES):
            file.seek(start + random.randrange(0, _RANDOM_EVERY_BYTES // 2))
            file.write(random.randbytes(MIB))
        file.truncate(size_bytes)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_download(environment: Mapping[str, str]) -> str:
    """Download without a file: the disk need not have the size twice more."""
    command = [str(_BIN / "dbx"), "cat", "/in/big.bin"]
    digest = hashlib.sha256()
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while block := process.stdout.read(MIB):
            digest.update(block)
    return digest.hexdigest() if process.returncode == 0 else f"dbx cat ended with {process.returncode}"


_T = TypeVar("_T")


def wait_for(find: Callable[[], _T | None], timeout_s: float) -> _T:
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        if (found := find()) is not None:
            return found
        time.sleep(0.5)
    raise TimeoutError(f"not within {timeout_s} s")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    main()
