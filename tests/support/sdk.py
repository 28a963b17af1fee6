"""Clients of the SDK that are signed in to a running server. The server shares the event loop of the tests, so the
blocking client runs in threads: `asyncio.to_thread`."""

import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import IO

from dropbox_client import AsyncClient, Client, TokenMemory, Tokens
from tests.support.server import Account, RunningServer


def stored_tokens(server: RunningServer, account: Account) -> TokenMemory:
    """Return the tokens of an account as a store that clients may share."""
    tokens = account.tokens
    return TokenMemory(Tokens(server.url, account.email, tokens["access_token"], tokens["refresh_token"]))


@contextlib.contextmanager
def blocking_client(server: RunningServer, account: Account) -> Iterator[Client]:
    with Client(server.url, stored_tokens(server, account)) as client:
        yield client


@contextlib.asynccontextmanager
async def async_client(server: RunningServer, account: Account) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, stored_tokens(server, account)) as client:
        yield client


def as_pipe(content: bytes) -> IO[bytes]:
    """Return the reading end of a pipe that a thread fills."""
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(content)

    threading.Thread(target=fill, daemon=True).start()
    return os.fdopen(reader, "rb")
