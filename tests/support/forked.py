"""The program `dropbox-api` as a process that was forked after its imports, which take longer than most tests."""

import os
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from dropbox_api import __main__ as program

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "dropbox_api.app", "dropbox_api.workers.runner"])


def start_program(
    arguments: Sequence[str], variables: dict[str, str], directory: Path, output: Path
) -> ForkServerProcess:
    """Start `dropbox-api` with these arguments and environment in a directory; it prints into `output`."""
    process = _CONTEXT.Process(target=_run, args=(arguments, variables, directory, output), daemon=True)
    process.start()
    return process


def _run(arguments: Sequence[str], variables: dict[str, str], directory: Path, output: Path) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    program.cli(arguments)
