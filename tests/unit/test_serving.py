"""The members of uvicorn that `BoundedConnection` uses: an upgrade that changes one of them fails here first."""

import asyncio
import inspect
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from dropbox_api import serving
from dropbox_api.serving import MAX_HEAD_BYTES, STOP_WAITING, BoundedConnection

METHODS = {
    "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_headers_complete": ["self"],
    "on_message_complete": ["self"],
    "send_400_response": ["self", "msg"],
    "shutdown": ["self"],
}


class MemoryTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def connect(**app_state: Any) -> tuple[BoundedConnection, MemoryTransport]:
    """Open a connection. The head's timer starts; the test ends before it does."""

    async def app(scope: object, receive: object, send: object) -> None: ...

    connection = BoundedConnection(Config(app, ws="none", log_config=None), ServerState(), app_state)
    transport = MemoryTransport()
    connection.connection_made(transport)
    return connection, transport


@pytest.mark.parametrize("name", METHODS)
def test_uvicorn_method_keeps_its_parameters(name: str) -> None:
    assert list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) == METHODS[name]


async def test_uvicorn_has_no_member_with_the_name_of_one_of_ours() -> None:
    connection, _ = connect()
    inherited = dir(HttpToolsProtocol(connection.config, ServerState(), {}))
    own = {name for name in vars(BoundedConnection) if not name.startswith("__")} - METHODS.keys()
    assert "_timer" in own
    assert not own.intersection(inherited)


async def test_shutdown_ends_waiting_requests() -> None:
    ended: list[bool] = []
    connection, transport = connect(**{STOP_WAITING: lambda: ended.append(True)})
    connection.shutdown()
    assert ended == [True]
    assert transport.closed


async def test_oversized_head_is_400_and_closes() -> None:
    connection, transport = connect()
    connection.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES)
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert transport.closed


async def test_slow_head_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.01)
    _, transport = connect()
    async with asyncio.timeout(10):
        while not transport.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
