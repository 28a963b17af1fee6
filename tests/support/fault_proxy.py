"""A proxy that fails on purpose: between API and store (HTTP), API and Postgres (bytes), client and both.

SigV4 signs the Host header, so the proxy forwards requests unchanged and clients address it as the server. Each
connection carries one request, so that a fault can happen after forwarding and before the reply.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.support.ports import reserve_port

Kind = Literal["latency", "hold", "stall", "cut", "reset", "answer", "drop-reply", "truncate", "duplicate"]
"""latency: forward after `delay_s`. hold: forward once `released` is set. stall: neither forward nor answer. cut: close
without forwarding. reset: the same, with RST. answer: reply `answer` without forwarding. drop-reply: forward, then
close instead of replying. truncate: forward, reply with half of the body. duplicate: forward twice, reply with the
second answer."""


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    head: bytes
    body: bytes


@dataclass
class Fault:
    """A fault for the next `times` requests that match."""

    kind: Kind
    matches: Callable[[Request], bool] = lambda _request: True
    times: int = 1
    delay_s: float = 0.1
    answer: bytes = b""
    hits: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)


def answer(status: int, body: str = "") -> bytes:
    """Return a whole HTTP answer."""
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()


def s3_error(status: int, code: str) -> bytes:
    """Return an error document of S3; S3 sends one with status 200 when it fails after the answer began."""
    return answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>')


def is_complete(request: Request) -> bool:
    return request.method == "POST" and "uploadId=" in request.target


def is_list_parts(request: Request) -> bool:
    return request.method == "GET" and "uploadId=" in request.target


@dataclass
class FaultProxy:
    """Listens on 127.0.0.1; `refuse` and `accept` close and open its port.

    Where it does not speak HTTP, it passes bytes while `flowing` is set, and holds them else, as a network that drops
    packets does; each block takes `delay_s`.
    """

    host: str
    port: int
    listens_on: int
    speaks_http: bool = True
    faults: list[Fault] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0

    def __post_init__(self) -> None:
        self.flowing.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listens_on}"

    def inject(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    async def accept(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.listens_on)

    async def refuse(self) -> None:
        """Refuse new connections and cut those that are open."""
        if self._server is not None:
            self._server.close()
            await self.cut()
            await self._server.wait_closed()
            self._server = None

    async def cut(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self.speaks_http:
                await self._serve_request(reader, writer)
            else:
                await self._pump_both(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read_request(reader, writer)
        fault = next((fault for fault in self.faults if fault.hits < fault.times and fault.matches(request)), None)
        if fault is None:
            writer.write(await self._forward(request))
            await writer.drain()
            return
        fault.hits += 1
        match fault.kind:
            case "latency" | "hold":
                await (asyncio.sleep(fault.delay_s) if fault.kind == "latency" else fault.released.wait())
                writer.write(await self._forward(request))
            case "stall":
                await asyncio.Event().wait()
            case "cut":
                pass
            case "reset":
                writer.transport.abort()
            case "answer":
                writer.write(fault.answer)
            case "drop-reply":
                await self._forward(request)
            case "truncate":
                head, end, body = (await self._forward(request)).partition(b"\r\n\r\n")
                writer.write(head + end + body[: len(body) // 2])
            case "duplicate":
                await self._forward(request)
                writer.write(await self._forward(request))
        await writer.drain()

    async def _forward(self, request: Request) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _pump_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(self.host, self.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upstream_writer))
                group.create_task(self._pump(upstream_reader, writer))
        finally:
            upstream_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(1 << 16):
            await self.flowing.wait()
            await asyncio.sleep(self.delay_s)
            writer.write(block)
            await writer.drain()
        writer.close()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """Read a whole request; set the unsigned header `Connection: close`, so that the reply ends the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert "transfer-encoding" not in headers, "no client of ours sends chunks"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    kept = [line for line in lines if line.partition(":")[0].lower() not in {"connection", "expect"}]
    method, target, _ = first.split(" ", 2)
    return Request(method, target, "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1"), body)


@contextlib.asynccontextmanager
async def running_proxy(host: str, port: int, *, speaks_http: bool = True) -> AsyncIterator[FaultProxy]:
    with reserve_port() as listens_on:
        proxy = FaultProxy(host, port, listens_on, speaks_http)
        await proxy.accept()
        try:
            yield proxy
        finally:
            await proxy.refuse()
