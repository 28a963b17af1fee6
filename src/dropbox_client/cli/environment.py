"""What every command of `dbx` needs: the directories, the client of the signed-in account, and a loop over arguments.

A command takes the parsed options and returns the number of arguments that failed, or raises; `main` derives the exit
code. Directories follow the XDG Base Directory Specification; on macOS they are in ~/Library.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from dropbox_client.cli import output
from dropbox_client.cli.arguments import DEFAULT_SERVER
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.tokens import TokenFile, TokenMemory, Tokens

RETRY_FOR_S = 5.0
"""How long requests of interactive commands are retried; transfers retry longer once they have begun."""

T = TypeVar("T")


def connect() -> Client:
    """Return a client of the server of DBX_SERVER or of the sign-in. DBX_TOKEN takes precedence over the sign-in."""
    stored = token_file()
    tokens = stored.load()
    server = os.environ.get("DBX_SERVER") or (tokens.server if tokens else DEFAULT_SERVER)
    token = os.environ.get("DBX_TOKEN")
    store = TokenMemory(Tokens(server.rstrip("/"), "", token, "")) if token else stored
    return Client(server, store, retry_for_s=RETRY_FOR_S)


def token_file() -> TokenFile:
    """Return the file with the sign-in of this user."""
    directory = os.environ.get("DBX_CONFIG_DIR")
    config = Path(directory) if directory else _directory("XDG_CONFIG_HOME", ".config", "Library/Application Support")
    return TokenFile(config / "tokens.json")


def cache_directory() -> Path:
    """Return the directory of data that may be deleted."""
    return _directory("XDG_CACHE_HOME", ".cache", "Library/Caches")


def _directory(variable: str, default: str, default_on_macos: str) -> Path:
    base = os.environ.get(variable, "")
    if os.path.isabs(base):  # noqa: PTH117 - the specification says to ignore relative paths
        return Path(base) / "dbx"
    return Path.home() / (default_on_macos if sys.platform == "darwin" else default) / "dbx"


def for_each(things: Iterable[T], act: Callable[[T], object]) -> int:
    """Call `act` with each thing, report failures, and return their number."""
    failed = 0
    for thing in things:
        try:
            act(thing)
        except (NotSignedIn, Stopped, Unreachable, BrokenPipeError):
            raise
        except (ClientError, OSError) as error:
            output.print_error(f"{thing}: {output.describe_error(error)}")
            failed += 1
    return failed
