"""Time, processor time and memory of processes, read from /proc (Linux)."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Time and memory of one run of a program."""

    wall_s: float
    cpu_s: float
    """User and system time of the program and of the children that it waited for."""
    peak_bytes: int
    """Peak resident memory (VmHWM) of the process without children."""
    tree_peak_bytes: int
    """Peak of the sum of the resident memory of the process and its descendants, twice a second."""


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Usage:
    """Run a program to its end. Raises RuntimeError with its output when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    peaks, sums = [0], [0]
    said: list[bytes] = []
    ended = threading.Event()

    def watch() -> None:
        ticks = 0
        while not ended.wait(0.05):
            peaks.append(memory(process.pid, "VmHWM"))
            ticks += 1
            if ticks % 10 == 0:  # it reads all of /proc
                sums.append(sum(memory(pid, "VmRSS") for pid in tree(process.pid)))

    def listen() -> None:
        assert process.stdout is not None
        said.append(process.stdout.read())

    threads = [threading.Thread(target=work) for work in (watch, listen)]
    for thread in threads:
        thread.start()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    for thread in threads:
        thread.join()
    if process.returncode:
        words = b"".join(said).decode(errors="replace")[-2000:]
        raise RuntimeError(f"{Path(command[0]).name} ended with code {process.returncode}:\n{words}")
    return Usage(wall_s, used.ru_utime + used.ru_stime, max(peaks), max(sums))


def memory(pid: int, field: str) -> int:
    """Return VmRSS or VmHWM of a process in bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def forget_peak(pid: int) -> int:
    """Reset VmHWM of a process; return its present value in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmHWM")


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and of all its descendants, including those that ended."""
    ticks = 0
    for member in tree(pid):
        ticks += sum(map(int, _stat(member)[11:15]))
    return ticks / _TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
