"""An HTTP proxy between clients and the real store that delays, damages or drops chosen requests.

Give a server `s3.public_endpoint_url = proxy.url`: signed URLs then name the proxy, which forwards the Host header
unchanged, so that signatures stay valid. The proxy records all requests; those not chosen pass unchanged.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum, auto
from urllib.parse import parse_qs, urlsplit


class Do(Enum):
    PASS = auto()
    HOLD = auto()
    """Wait for `released` before forwarding."""
    FLIP = auto()
    """Damage one byte of the body: of the request if it has one, else of the answer."""
    SPOIL = auto()
    """Damage the signature, so that the store itself refuses the URL."""
    BUSY = auto()
    """Answer 503 without forwarding."""
    CUT = auto()
    """Close the connection in the middle of the body."""
    LOSE = auto()
    """Forward, then close instead of replying."""


@dataclass
class Request:
    method: str
    path: str
    part: int
    """Part number; 1 of a plain object."""
    tries: int
    """Number of earlier requests for this part or object."""
    status: int | None = None
    """The status that the client received; None without an answer."""


@dataclass
class StoreProxy:
    url: str = ""
    decide: Callable[[Request], Do] = lambda _: Do.PASS
    requests: list[Request] = field(default_factory=list)
    held: int = 0
    ahead_s: float = 0
    """Offset of the clock of the store in its answers, in seconds."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        self.decide = lambda _: Do.PASS
        self.requests.clear()
        self.held = 0
        self.ahead_s = 0
        self.released = asyncio.Event()

    def sent(self, method: str = "PUT") -> list[int]:
        """Return the part numbers that the store accepted, ascending."""
        return sorted(r.part for r in self.requests if r.method == method and r.status in {200, 206})

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - any condition on what was seen so far
                await asyncio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while head := await _head(reader):
                upstream = upstream or await asyncio.open_connection(host, port)
                if not await self._exchange(head, reader, writer, *upstream):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one side hung up; the other connection is closed below
        finally:
            streams = (writer, *(upstream[1:] if upstream else ()))
            for stream in streams:
                stream.close()
            for stream in streams:
                with contextlib.suppress(ConnectionError):
                    await stream.wait_closed()

    async def _exchange(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Handle one request; return whether the connection stays open."""
        request = self._note(head)
        do = self.decide(request)
        if do is Do.HOLD:
            self.held += 1
            await self.released.wait()
        if do is Do.SPOIL:
            head = re.sub(rb"(X-Amz-Signature=)(.{8})", rb"\g<1>00000000", head, count=1)
        size = _length(head)
        if do is Do.BUSY:
            await reader.readexactly(size)
            request.status = 503
            writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return True
        up_writer.write(head)
        await _pump(reader, up_writer, size // 2 if do is Do.CUT and size else size, flip=do is Do.FLIP)
        if do is Do.CUT and size:
            return False
        answer = await _head(up_reader)
        if do is Do.LOSE:
            await up_reader.readexactly(_length(answer))
            return False
        if self.ahead_s:
            date = formatdate(time.time() + self.ahead_s, usegmt=True).encode()
            answer = re.sub(rb"(\r\ndate: )[^\r]*", rb"\g<1>" + date, answer, flags=re.IGNORECASE)
        length = 0 if request.method == "HEAD" else _length(answer)
        writer.write(answer)
        await _pump(up_reader, writer, length // 2 if do is Do.CUT else length, flip=do is Do.FLIP and not size)
        request.status = int(answer.split(b" ", 2)[1])
        return do is not Do.CUT

    def _note(self, head: bytes) -> Request:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        url = urlsplit(target)
        asked = re.search(rb"\r\nrange: bytes=(\d+)-", head, re.IGNORECASE)
        part = int(asked[1]) if asked else int(parse_qs(url.query).get("partNumber", ["1"])[0])
        before = sum(r.part == part and r.path == url.path and r.method == method for r in self.requests)
        request = Request(method, url.path, part, before)
        self.requests.append(request)
        return request


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int, *, flip: bool) -> None:
    while size:
        data = await reader.read(min(size, 65536))
        if not data:
            raise ConnectionResetError
        if flip:
            data, flip = bytes([data[0] ^ 1]) + data[1:], False
        size -= len(data)
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def store_proxy(store_url: str) -> AsyncIterator[StoreProxy]:
    """Run a proxy to the store at `store_url`; the end of the block cuts every connection."""
    target = urlsplit(store_url)
    assert target.hostname
    assert target.port
    host, port = target.hostname, target.port
    proxy = StoreProxy()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer, host, port))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
