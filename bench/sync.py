"""The sync client: scans of a folder that did not change, each in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.table import Row, Section, s
from dropbox_client.sync.disk import Disk
from dropbox_client.sync.guard import RootFolder
from dropbox_client.sync.scan import Scanner
from dropbox_client.sync.state import State

if TYPE_CHECKING:  # or the process that scans would import the server
    from bench.stack import Stack

_FILES = int(os.environ.get("BENCH_FILES", "100000"))
_FILES_PER_FOLDER = 20


def measure(stack: "Stack", runs: int) -> Section:
    from bench import following  # noqa: PLC0415 - see above

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        for number in range(_FILES // _FILES_PER_FOLDER):
            inner = root / f"{number // 100}" / f"{number}"
            inner.mkdir(parents=True)
            for name in range(_FILES_PER_FOLDER):
                (inner / f"file {name}.txt").write_bytes(b"%d" % name)
        first, *again = [_scan_apart(Path(folder)) for _ in range(runs + 1)]
    took_s, peak_mb = median(one["took_s"] for one in again), max(one["peak_mb"] for one in again)
    rows = [
        Row(f"first scan of {_FILES:,} files, with hashes", s(first["took_s"]), "", "", ""),
        Row(f"scan of {_FILES:,} files without change", s(took_s), "", "", "<= 1.5 s", took_s <= 1.5),
        Row("memory of that process", f"{peak_mb:.0f} MB", "", "", "<= 80 MB", peak_mb <= 80),
    ]
    rows += following.measure(stack)
    return Section("The sync client", rows, [f"{_FILES_PER_FOLDER} files in a folder, in the cache of the system."])


def _scan_apart(folder: Path) -> dict[str, float]:
    ran = subprocess.run([sys.executable, "-m", "bench.sync", folder], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _scan(folder: Path) -> dict[str, float]:
    """Scan until all files have a hash; the time without that of waiting."""
    with RootFolder(folder / "root") as root, State(folder / "state.sqlite") as state:
        if state.root_id is None:
            state.set_root("root")
        took_s = 0.0
        scanner = Scanner(state, Disk(root.fd), root.device)
        while not scanner.is_settled:
            time.sleep(scanner.next_look_s() or 0)
            began = time.perf_counter()
            scanner.run()
            took_s += time.perf_counter() - began
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"took_s": took_s, "peak_mb": int(peak.split()[1]) / 1024}


if __name__ == "__main__":
    print(json.dumps(_scan(Path(sys.argv[1]))))
