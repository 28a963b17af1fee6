"""The program `dropbox-api` as a process that was forked after its imports, which take longer than most tests."""

import os
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from dropbox_api import __main__ as program

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "dropbox_api.app", "dropbox_api.workers.runner"])


def start_program(
    arguments: Sequence[str],
    variables: dict[str, str],
    directory: Path,
    output: Path,
    *,
    errors: Path | None = None,
    stdin: Path = Path(os.devnull),
) -> ForkServerProcess:
    """Start `dropbox-api` with these arguments and environment in a directory; it prints into `output` and `errors`."""
    files = (stdin, output, errors or output)
    process = _CONTEXT.Process(target=_run, args=(arguments, variables, directory, files), daemon=True)
    process.start()
    return process


def _run(arguments: Sequence[str], variables: dict[str, str], directory: Path, files: tuple[Path, Path, Path]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)
    for number, path in enumerate(files):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    program.cli(arguments)
