"""Ports that are chosen before anybody listens on them."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def kept_port() -> Iterator[int]:
    """Yield a port that is nobody else's until the block ends: only who is told of it listens there, also once more.

    It is bound and not listened on: who asks for any port is not given it, and servers, which say SO_REUSEADDR as this
    does, may have it all the same. A port that was free a moment ago may be another process' now.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port: int = keeper.getsockname()[1]
        yield port
