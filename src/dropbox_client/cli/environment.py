"""What every command of `dbx` needs: the directories, the client of the signed-in account, and a loop over arguments.

A command takes the parsed options and returns the number of arguments that failed, or raises; `main` derives the exit
code. Directories follow the XDG Base Directory Specification; on macOS they are in ~/Library.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from dropbox_client.address import read_address
from dropbox_client.cli import output
from dropbox_client.cli.arguments import DEFAULT_SERVER, Format
from dropbox_client.cli.wait_report import start_wait_report
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable, Usage
from dropbox_client.tokens import TokenFile, TokenMemory, Tokens

RETRY_FOR_S = 5.0
"""How long requests of interactive commands are retried; transfers retry longer once they have begun."""

T = TypeVar("T")


def connect(wait_format: Format = Format.TEXT) -> Client:
    """Return a client of the server of DBX_SERVER or of the sign-in. DBX_TOKEN takes precedence over the sign-in.

    Its waits are reported on stderr, and with `wait_format` JSON on stdout as well.
    """
    stored = token_file()
    tokens = stored.load()
    server = get_server() or (tokens.server if tokens else DEFAULT_SERVER)
    token = os.environ.get("DBX_TOKEN")
    store = TokenMemory(read_access_token(server, token, "DBX_TOKEN")) if token else stored
    client = Client(server, store, retry_for_s=RETRY_FOR_S)
    start_wait_report(client, wait_format)
    return client


def get_server() -> str | None:
    """Return the address in DBX_SERVER, None if it is not set. Raises Usage."""
    address = os.environ.get("DBX_SERVER")
    try:
        return read_address(address) if address else None
    except ValueError as error:
        raise Usage(f"DBX_SERVER: {error}") from None


def read_access_token(server: str, token: str, source: str) -> Tokens:
    """Return the tokens of a personal access token from `source`. Raises Usage, which does not show it."""
    try:
        return Tokens.from_access_token(server, token)
    except ValueError as error:
        raise Usage(f"{source}: {error}") from None


def token_file() -> TokenFile:
    """Return the file with the sign-in of this user."""
    directory = os.environ.get("DBX_CONFIG_DIR")
    config = Path(directory) if directory else _directory("XDG_CONFIG_HOME", ".config", "Library/Application Support")
    return TokenFile(config / "tokens.json")


def cache_directory() -> Path:
    """Return the directory of data that may be deleted."""
    return _directory("XDG_CACHE_HOME", ".cache", "Library/Caches")


def state_directory() -> Path:
    """Return the directory of what must stay: the synchronized folders."""
    directory = os.environ.get("DBX_STATE_DIR")
    return Path(directory) if directory else _directory("XDG_STATE_HOME", ".local/state", "Library/Application Support")


def _directory(variable: str, default: str, default_on_macos: str) -> Path:
    base = os.environ.get(variable, "")
    if os.path.isabs(base):  # noqa: PTH117 - the specification says to ignore relative paths
        return Path(base) / "dbx"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry in the user database, as in some containers
        raise Usage("this user has no home directory: set HOME") from None
    return home / (default_on_macos if sys.platform == "darwin" else default) / "dbx"


def for_each(things: Iterable[T], act: Callable[[T], object]) -> int:
    """Call `act` with each thing, report failures, and return their number."""
    failed = 0
    for thing in things:
        try:
            act(thing)
        except (NotSignedIn, Stopped, Unreachable, BrokenPipeError):
            raise
        except (ClientError, OSError) as error:
            output.print_error(output.describe_error(error, str(thing)))
            failed += 1
    return failed
