"""Ports that are chosen before a server listens on them."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserve_port() -> Iterator[int]:
    """Reserve a port until the block ends: only servers that are given it listen there, and may listen again.

    The port is bound without listening: the kernel gives it to no other process that wants any port, while a server
    with SO_REUSEADDR may still listen on it. A port that was merely free a moment ago may be taken by now.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port: int = keeper.getsockname()[1]
        yield port
