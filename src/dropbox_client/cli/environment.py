"""The commands of `dbx`, a function each, and what they share.

A function takes what was typed and returns how many of the things that were named failed; it raises where nothing more
can be done. `cli` makes an exit code of either.
"""

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from dropbox_client.api import Client
from dropbox_client.cli import output
from dropbox_client.cli.arguments import DEFAULT_SERVER
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.places import config_dir
from dropbox_client.tokens import TokenFile, TokenMemory, Tokens

PATIENCE_S = 5.0
"""Of a command that a person waits for; a transfer that has begun is more patient."""

T = TypeVar("T")


def connect() -> Client:
    """Return a client of the server that we are signed in to, or that DBX_SERVER names.

    A token in DBX_TOKEN comes before the sign-in.
    """
    kept = token_file()
    known = kept.load()
    server = os.environ.get("DBX_SERVER") or (known.server if known else DEFAULT_SERVER)
    token = os.environ.get("DBX_TOKEN")
    given = TokenMemory(Tokens(server.rstrip("/"), "", token, "")) if token else kept
    return Client(server, given, patience_s=PATIENCE_S)


def token_file() -> TokenFile:
    """Return where the sign-in of this person is kept."""
    return TokenFile(config_dir() / "tokens.json")


def for_each(things: Iterable[T], act: Callable[[T], object]) -> int:
    """Do something with each; tell of those where it failed, and return how many these are."""
    failed = 0
    for thing in things:
        try:
            act(thing)
        except (NotSignedIn, Stopped, Unreachable, BrokenPipeError):
            raise
        except (ClientError, OSError) as error:
            output.complain(f"{thing}: {output.explain(error)}")
            failed += 1
    return failed
