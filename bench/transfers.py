"""Transfers: `dbx` beside tools that copy files to S3, all to the same bucket.

In each round all tools send the same file, one after the other, in an order that rotates; before each transfer the
bucket is empty and all writes are on disk. `dbx` uses a new account each time.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import peers, processes
from bench.peers import Peer
from bench.processes import Usage
from bench.proxy import Proxy
from bench.stack import Stack
from bench.table import GIB, MIB, Row, Section, fastest, interleaved, markdown_table, mib, s, times
from dropbox_client.client import Client

_SMALL_FILES, _SMALL_BYTES = 1_000, 64 * 1024
_LINKED_BYTES = int(os.environ.get("BENCH_LINK_MIB", "1024")) * MIB
_DBX = Path(sys.executable).with_name("dbx")

_SDK = """
import sys, time
from pathlib import Path
from dropbox_client.client import Client
from dropbox_client.transfer.progress import UploadItem
from dropbox_client.tokens import TokenFile
from dropbox_client.transfer.upload import Uploader
url, home, path = sys.argv[1:]
client = Client(url, TokenFile(Path(home) / "dbx" / "tokens.json"))
item = UploadItem(Path(path), "/", "file", Path(path).stat().st_size)
with Uploader(client) as uploader:
    print(time.monotonic(), flush=True)
    list(uploader.upload([item]))
"""


def _random_file(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(random.randbytes(MIB))
    return path


# 1 GiB up and down


def copies(stack: Stack, tools: Sequence[Peer], missing: Sequence[str], runs: int) -> Section:
    """Measure `dbx upload` and `dbx download` of 1 GiB against every tool."""
    file = _random_file(stack.directory / "1GiB", GIB)
    fetched = stack.directory / "fetched"
    fetched.mkdir()
    back = fetched / file.name
    up: dict[str, list[Usage]] = {name: [] for name in ("dbx", *(tool.name for tool in tools))}
    down: dict[str, list[Usage]] = {name: [] for name in up}
    store_cpu: dict[str, list[float]] = {name: [] for name in up}
    environment = peers.environment(stack.s3_config, stack.directory)

    def upload(tool: str, command: peers.Command, variables: Mapping[str, str]) -> None:
        assert stack.s3.process
        before = processes.cpu_s(stack.s3.process.pid)
        up[tool].append(processes.run(command, variables))
        store_cpu[tool].append(processes.cpu_s(stack.s3.process.pid) - before)
        os.sync()

    def check(tool: str) -> None:
        assert back.stat().st_size == GIB, f"{tool} fetched something else"
        back.unlink()
        os.sync()

    def dbx() -> float:
        stack.empty_bucket()
        with stack.signed_in(stack.api.url) as (_, signed_in):
            upload("dbx", [_DBX, "upload", file], signed_in)
            down["dbx"].append(processes.run([_DBX, "download", f"/{file.name}", back], signed_in))
        check("dbx")
        return 0

    def peer(tool: Peer) -> float:
        stack.empty_bucket()
        upload(tool.name, tool.put(stack.s3.endpoint_url, file), environment)
        down[tool.name].append(processes.run(tool.get(stack.s3.endpoint_url, back), environment))
        check(tool.name)
        return 0

    interleaved(runs, {"dbx": dbx} | {tool.name: lambda tool=tool: peer(tool) for tool in tools})
    stack.empty_bucket()
    file.unlink()
    return Section(
        "One file of 1 GiB",
        _copy_rows(up, down),
        [
            "Every tool with its own defaults for part size and parallelism; the only other option is rclone's "
            "--s3-no-check-bucket.",
            "dbx hashes the whole file and every part, and the store checks each part's SHA-256; on the way back dbx "
            "hashes again before the file gets its name. The other tools make their default checks.",
            "The store itself needs most of the machine, and uses the time that a client saves. Page cache: "
            "files are warm for all; dirty pages are flushed before each run.",
            *([f"Not installable here, so not measured: {', '.join(missing)}."] if missing else []),
        ],
        _detail(up, down, store_cpu, tools),
    )


def _copy_rows(up: Mapping[str, list[Usage]], down: Mapping[str, list[Usage]]) -> list[Row]:
    rows = []
    for title, found in (("upload 1 GiB, all of it", up), ("download 1 GiB, verified", down)):
        walls = {tool: [usage.wall_s for usage in usages] for tool, usages in found.items()}
        ours = median(walls["dbx"])
        name, other = fastest(walls, but="dbx")
        rows.append(
            Row(title, s(ours), f"fastest, {name}: {s(other)}", times(ours / other), "<= 1.05x", ours / other <= 1.05)
        )
    if "awscli" in up:
        ours, other = _cpu(up["dbx"]), _cpu(up["awscli"])
        ratio = ours / other
        rows.insert(
            1,
            Row(
                "processor time of the uploading client",
                s(ours),
                f"awscli: {s(other)}",
                times(ratio),
                "<= 0.5x",
                ratio <= 0.5,
            ),
        )
    return rows


def _cpu(usages: Sequence[Usage]) -> float:
    return median(usage.cpu_s for usage in usages)


def _detail(
    up: Mapping[str, list[Usage]],
    down: Mapping[str, list[Usage]],
    store_cpu: Mapping[str, list[float]],
    tools: Sequence[Peer],
) -> str:
    about = {"dbx": ("", "8 MiB, 2 to 16 at once")} | {tool.name: (tool.version, tool.defaults) for tool in tools}

    def cells(usages: Sequence[Usage]) -> list[str]:
        walls = sorted(usage.wall_s for usage in usages)
        peak = max(usage.peak_bytes for usage in usages)
        return [f"{median(walls):.2f} ({walls[0]:.2f}-{walls[-1]:.2f})", f"{_cpu(usages):.2f}", mib(peak)]

    body = [
        [
            f"{name} {about[name][0]}".strip(),
            about[name][1],
            *cells(up[name]),
            f"{median(store_cpu[name]):.2f}",
            *cells(down[name]),
        ]
        for name in up
    ]
    columns = ("wall s (range)", "CPU s", "peak memory")
    head = [
        "tool",
        "its defaults",
        *(f"up: {name}" for name in columns),
        "up: store's CPU s",
        *(f"down: {name}" for name in columns),
    ]
    return markdown_table(head, body)


# Through a link


def link(stack: Stack, runs: int) -> Section:
    """Measure `dbx upload` of a large file to an upload link, beside the same by its owner."""
    file = _random_file(stack.directory / "linked", _LINKED_BYTES)
    used: dict[str, list[Usage]] = {"link": [], "own": []}

    def send(name: str, destination: Callable[[Client], str]) -> float:
        stack.empty_bucket()
        with stack.signed_in(stack.api.url) as (client, signed_in):
            used[name].append(processes.run([_DBX, "upload", file, destination(client)], signed_in))
        return used[name][-1].wall_s

    def make_address(client: Client) -> str:
        return client.base_url + client.links.create(client.files.create_folder("/in").id, "upload").url_path

    found = interleaved(runs, {"link": lambda: send("link", make_address), "own": lambda: send("own", lambda _: "/in")})
    file.unlink()
    stack.empty_bucket()
    by_link, own = median(found["link"]), median(found["own"])
    return Section(
        "Through an upload link",
        [
            Row(
                f"upload {mib(_LINKED_BYTES)} to a link",
                s(by_link),
                f"its owner, to a folder: {s(own)}",
                times(by_link / own),
                "<= 1.5x",
                by_link / own <= 1.5,
            ),
            Row(
                "processor time of the sending client",
                s(_cpu(used["link"])),
                f"its owner's: {s(_cpu(used['own']))}",
                times(_cpu(used["link"]) / _cpu(used["own"])),
                "",
            ),
        ],
        ["`dbx upload` for both. To a link it sends one part after the other, to a folder 2 to 16 at once."],
    )


# Many small files


def small_files(stack: Stack, tools: Sequence[Peer], runs: int) -> Section:
    """Measure `dbx upload` of a folder of 1,000 x 64 KiB."""
    folder = stack.directory / "small"
    folder.mkdir()
    for number in range(_SMALL_FILES):
        (folder / f"{number:04}").write_bytes(random.randbytes(_SMALL_BYTES))
    environment = peers.environment(stack.s3_config, stack.directory)
    cpu: dict[str, list[float]] = {"dbx": [], "API": [], "Postgres": [], "s5cmd": []}
    assert stack.postgres.process
    servers = stack.api.server_pid, stack.postgres.process.pid

    def dbx() -> float:
        stack.empty_bucket()
        with stack.signed_in(stack.api.url) as (_, signed_in):
            before = [processes.cpu_s(pid) for pid in servers]
            usage = processes.run([_DBX, "upload", folder], signed_in)
        cpu["dbx"].append(usage.cpu_s)
        cpu["API"].append(processes.cpu_s(servers[0]) - before[0])
        cpu["Postgres"].append(processes.cpu_s(servers[1]) - before[1])
        return usage.wall_s

    def s5cmd() -> float:
        stack.empty_bucket()
        command: list[str | Path] = [
            peers.s5cmd(),
            "--endpoint-url",
            stack.s3.endpoint_url,
            "cp",
            f"{folder}/",
            "s3://dropbox/small/",
        ]
        usage = processes.run(command, environment)
        cpu["s5cmd"].append(usage.cpu_s)
        return usage.wall_s

    there = any(tool.name == "s5cmd" for tool in tools)
    found = interleaved(runs, {"dbx": dbx} | ({"s5cmd": s5cmd} if there else {}))
    ours = median(found["dbx"])
    other = median(found["s5cmd"]) if there else 0
    stack.empty_bucket()
    return Section(
        "Many small files",
        [
            Row(
                f"upload {_SMALL_FILES:,} x 64 KiB",
                s(ours),
                f"s5cmd (256 workers): {s(other)}" if there else "",
                times(ours / other) if there else "",
                "<= 1x",
                ours <= other if there else None,
            )
        ],
        ["Processor time: " + ", ".join(f"{name} {s(median(values))}" for name, values in cpu.items() if values) + "."],
    )


# The first byte


def first_byte(stack: Stack, tools: Sequence[Peer], runs: int, size_bytes: int) -> Section:
    """Measure the time from start to the first PUT of a large file, seen by a proxy in front of the store."""
    sparse = _sparse(stack, size_bytes)
    known = {tool.name: tool for tool in tools if tool.name in {"s5cmd", "awscli"}}
    environment = peers.environment(stack.s3_config, stack.directory)
    with Proxy(stack.s3.endpoint_url) as proxy, stack.api_behind(proxy.url) as api:

        def watched(command: Sequence[str | Path], variables: Mapping[str, str], *, tells_start: bool = False) -> float:
            proxy.reset()
            began = time.monotonic()
            process = subprocess.Popen(
                command, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            with process:
                if tells_start:
                    assert process.stdout
                    began = float(process.stdout.readline())
                assert proxy.first_put.wait(60), "nothing was sent"
                process.kill()
            return proxy.first_put_s - began

        def dbx(command: Sequence[str | Path], *, tells_start: bool = False) -> float:
            with stack.signed_in(api.url) as (client, signed_in):
                arguments = [str(part).format(home=signed_in["HOME"]) for part in command]
                found = watched(arguments, signed_in, tells_start=tells_start)
                _abandon(client)
            return found

        def peer(tool: Peer) -> float:
            return watched(tool.put(proxy.url, sparse), environment)

        works = {
            "dbx": lambda: dbx([_DBX, "upload", sparse]),
            "sdk": lambda: dbx([sys.executable, "-c", _SDK, api.url, "{home}", sparse], tells_start=True),
            **{name: lambda tool=tool: peer(tool) for name, tool in known.items()},  # type: ignore[misc]
        }
        found = {name: median(values) for name, values in interleaved(runs, works).items()}
    sparse.unlink()
    stack.empty_bucket()
    others = ", ".join(f"{name}: {found[name] * 1e3:.0f} ms" for name in known)
    return Section(
        "First byte on the wire",
        [
            Row(
                f"`dbx upload` of {size_bytes // GIB} GiB, start of Python included",
                f"{found['dbx'] * 1e3:.0f} ms",
                others,
                times(found["dbx"] / min(found[name] for name in known)) if known else "",
                "",
            ),
            Row(
                "from the call of the SDK to the first PUT",
                f"{found['sdk'] * 1e3:.0f} ms",
                "",
                "",
                "<= 100 ms",
                found["sdk"] <= 0.1,
            ),
        ],
    )


def _abandon(client: Client) -> None:
    for upload in client.uploads.list(state="active"):
        client.uploads.abort(upload.id)


def _sparse(stack: Stack, size_bytes: int) -> Path:
    path = stack.directory / "sparse"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


# Resumption and deduplication


def again(stack: Stack) -> Section:
    """Measure what is sent after a kill half way through 1 GiB, and when the same file is uploaded again."""
    file = _random_file(stack.directory / "1GiB", GIB)
    with Proxy(stack.s3.endpoint_url) as proxy, stack.api_behind(proxy.url) as api, stack.signed_in(api.url) as who:
        client, signed_in = who
        process = subprocess.Popen(
            [_DBX, "upload", file], env=signed_in, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while proxy.sent_bytes < GIB // 2:
            assert process.poll() is None, "the upload ended early"
            time.sleep(0.005)
        process.kill()
        process.wait()
        (session,) = client.uploads.list(state="active")
        stored_bytes = client.uploads.reconcile(session.id).uploaded_bytes
        in_flight_bytes = proxy.sent_bytes - stored_bytes
        proxy.reset()
        began = time.monotonic()
        resumed = processes.run([_DBX, "upload", file], signed_in)
        resent_bytes = proxy.sent_bytes - (GIB - stored_bytes)
        first_s = proxy.first_put_s - began
        hash_s = _time_of_hashing(file)
        began = time.monotonic()
        stack.verify()
        verify_s = time.monotonic() - began

        proxy.reset()
        same = processes.run([_DBX, "upload", file], signed_in)
        same_bytes = proxy.sent_bytes
        renamed = file.rename(file.with_name("renamed"))
        proxy.reset()
        processes.run([_DBX, "upload", renamed], signed_in)
        renamed_bytes = proxy.sent_bytes
    renamed.unlink()
    stack.empty_bucket()
    return Section(
        "Resumption and deduplication",
        [
            Row(
                f"killed half way through 1 GiB, then resumed: finished chunks sent again ({mib(stored_bytes)} stored)",
                "0" if resent_bytes < MIB else mib(resent_bytes),
                "",
                "",
                "0",
                resent_bytes < MIB,
            ),
            Row(
                "first byte after the resume",
                s(first_s),
                f"hashing 1 GiB: {s(hash_s)} (none when the hashes are in its cache)",
                "",
                "<= 1 s + hashing",
                first_s <= 1 + hash_s,
            ),
            Row("the same file again: bytes sent to the store", str(same_bytes), "", "", "0", same_bytes == 0),
            Row("the same file, renamed: bytes sent to the store", str(renamed_bytes), "", "", "0", renamed_bytes == 0),
        ],
        [
            f"Counted by a proxy in front of the store, in one run. The kill cut off {mib(in_flight_bytes)} of "
            f"chunks under way, which are sent again; the resume took {s(resumed.wall_s)}, "
            f"the same file again {s(same.wall_s)}. Before that the worker had read the file and verified its "
            f"fingerprint ({s(verify_s)}): clients send unverified content again.",
            "`aws s3 cp`, `s5cmd cp` and `rclone copy` start such a file again by design (not measured).",
        ],
    )


def _time_of_hashing(file: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


# Memory


def memory(stack: Stack, size_bytes: int) -> Section:
    """Measure the memory of client and API while a large file is sent."""
    sparse = _sparse(stack, size_bytes)
    stack.empty_bucket()
    with stack.signed_in(stack.api.url) as (_, signed_in):
        resting = processes.forget_peak(stack.api.server_pid)
        usage = processes.run([_DBX, "upload", sparse], signed_in)
    grown = max(0, processes.memory(stack.api.server_pid, "VmHWM") - resting)
    sparse.unlink()
    stack.empty_bucket()
    size = f"{size_bytes // GIB} GiB"
    return Section(
        "Memory",
        [
            Row(
                f"`dbx upload` of {size}: peak",
                mib(usage.peak_bytes),
                "at 1 GiB: see above",
                "",
                "<= 200 MB",
                usage.peak_bytes <= 200e6,
            ),
            Row("the API's growth while it is sent", mib(grown), "", "", "<= 20 MB", grown <= 20e6),
        ],
        [f"A sparse file, of which the store writes every byte; {s(usage.wall_s)} in all. BENCH_LONG=1 takes 12 GiB."],
    )
