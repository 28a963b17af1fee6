"""completion, and complete-path, which the scripts call.

The scripts contain all commands and options, so that only remote paths cost a process and a request.
"""

import contextlib
import os
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice

from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import SHARED, fold, is_prefixed
from dropbox_client.cli.completion.bash import render_bash
from dropbox_client.cli.completion.fish import render_fish
from dropbox_client.cli.completion.grammar import read_commands
from dropbox_client.cli.completion.zsh import render_zsh
from dropbox_client.cli.environment import connect
from dropbox_client.cli.parser import build_parser
from dropbox_client.cli.visible import make_visible

_TIMEOUT_S = 2.0
_MAX_PATHS = 500


def print_script(options: Namespace) -> None:
    """Print the completion script of a shell."""
    render = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}[options.shell]
    output.print_text(*render(read_commands(build_parser())).splitlines())


def complete_path(options: Namespace) -> None:
    """Print the remote paths with a prefix, folders with a slash; nothing on a failure or after a timeout."""
    watchdog = threading.Timer(_TIMEOUT_S, os._exit, [0])
    watchdog.daemon = True
    watchdog.start()
    with contextlib.suppress(Exception):
        for path in islice(_list_paths(options.prefix), _MAX_PATHS):
            output.print_text(path)
            sys.stdout.flush()
    watchdog.cancel()


def _list_paths(prefix: str) -> Iterator[str]:
    folder, slash, start = prefix.rpartition("/")
    with connect() as client:
        client.retry_for_s = 0
        if not slash and prefix.startswith(SHARED):
            folder, start = SHARED, prefix.removeprefix(SHARED)
            files = client.shares.list_with_me()
        elif is_prefixed(folder):
            files = client.files.list(remote.get_file(client, folder))
        else:
            files = client.files.list(fold(folder))
        for file in files:
            if file.name.startswith(start) and file.name == make_visible(file.name):  # the shell inserts it
                yield f"{folder}{slash}{file.name}{'/' if file.kind == 'folder' else ''}"
