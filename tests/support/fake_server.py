"""An HTTP server that answers from a script; a request that the script does not expect fails the test."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dropbox_client.client import Client


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Number of the connection, from 1 in order of arrival."""


@dataclass
class Scripted:
    """One answer; instead of it, `hang` waits for the end of the test and `hang_up` drops the connection.

    `close` drops it after the answer.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False
    hang: bool = False
    hang_up: bool = False
    read_body: bool = True


@dataclass
class FakeServer:
    url: str
    script: list[Scripted] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    unexpected: list[str] = field(default_factory=list)


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    connections = iter(range(1, 10_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.number = next(connections)

        def answer(self) -> None:
            if not server.script:
                server.unexpected.append(f"{self.command} {self.path}")
                self.close_connection = True
                return
            scripted = server.script.pop(0)
            size = int(self.headers.get("content-length", 0))
            body = self.rfile.read(size) if scripted.read_body else b""
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body, self.number))
            if scripted.hang:
                server.ended.wait(60)
            if scripted.hang or scripted.hang_up:
                self.close_connection = True
                return
            self.send_response(scripted.status)
            for name, value in {**scripted.headers, "Content-Length": str(len(scripted.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(scripted.body)
            self.close_connection = scripted.close

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: Any) -> None: ...

    return Handler


@contextlib.contextmanager
def fake_server() -> Iterator[FakeServer]:
    """Run a server in a thread. At the end the requests must have used every answer of the script, and no more."""
    server = FakeServer("")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        http.shutdown()
        thread.join()
        http.server_close()
    assert not server.unexpected
    assert not server.script


def record_pauses(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the pauses of a client by a record of their lengths in seconds."""
    pauses: list[float] = []

    def wait(pause_s: float) -> bool:
        pauses.append(pause_s)
        return False

    monkeypatch.setattr(client.stopping, "wait", wait)
    return pauses
