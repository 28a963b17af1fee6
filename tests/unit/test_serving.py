"""The start of the server, and the members of uvicorn that `BoundedConnection` uses.

An upgrade of uvicorn that changes one of them fails here first.
"""

import asyncio
import inspect
import os
import subprocess
import sys
from pathlib import Path
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


@pytest.mark.parametrize(
    "store",
    [{}, {"DROPBOX_S3__ACCESS_KEY_ID": "x", "DROPBOX_S3__SECRET_ACCESS_KEY": "x"}],
    ids=["no credentials", "no store"],
)
def test_serve_without_a_usable_store_logs_one_line_with_the_reason(store: dict[str, str], tmp_path: Path) -> None:
    # AWS_EC2_METADATA_DISABLED: no search for the credentials of a machine
    variables = {"DROPBOX_MODE": "dev", "DROPBOX_S3__ENDPOINT_URL": "http://127.0.0.1:1", "PATH": os.defpath}
    run = subprocess.run(
        [sys.executable, "-m", "dropbox_api", "serve"],
        env=variables | store | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 3
    assert "the server cannot start: " in output
    assert "Traceback" not in output
