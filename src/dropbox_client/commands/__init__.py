"""The commands of `dbx`, a function each, and what they share.

A function takes what was typed and returns how many of the things that were named failed; it raises where nothing more
can be done. `cli` makes an exit code of either.
"""

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from dropbox_client import output
from dropbox_client.api import Client
from dropbox_client.arguments import DEFAULT_SERVER
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.places import config_dir
from dropbox_client.tokens import TokenFile

_PATIENCE_S = 5.0
"""Of a command that a person waits for; a transfer that has begun is more patient."""

T = TypeVar("T")


def connect(server: str | None = None) -> Client:
    """Return a client of the server that was named, or of the one that we are signed in to."""
    tokens = TokenFile(config_dir() / "tokens.json")
    known = tokens.load()
    server = server or os.environ.get("DBX_SERVER") or (known.server if known else DEFAULT_SERVER)
    return Client(server, tokens, patience_s=_PATIENCE_S)


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
