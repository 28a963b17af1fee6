"""A receiver of webhooks: an HTTP server that answers as a test decides, and records every request."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message

    def is_signed_with(self, secret: str) -> bool:
        """Verify the signature as Standard Webhooks specifies."""
        scheme, _, encoded = secret.partition("_")
        assert scheme == "whsec"
        signed = ".".join((self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body.decode()))
        digest = hmac.new(base64.b64decode(encoded), signed.encode(), hashlib.sha256).digest()
        return self.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


Answer = int | bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""A status, the bytes of an answer, or a function that writes the answer."""


@dataclass
class Receiver:
    url: str
    answer: Callable[[Call], Answer] = lambda _: 200
    calls: list[Call] = field(default_factory=list)
    connections: int = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [call.message for call in self.calls]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(head[0].split(" ")[1], headers, body)
        self.calls.append(call)
        answer = self.answer(call)
        if callable(answer):
            await answer(writer)
            return False
        if isinstance(answer, int):
            answer = f"HTTP/1.1 {answer} Status\r\nContent-Length: 0\r\n\r\n".encode()
        writer.write(answer)
        await writer.drain()
        return True


@contextlib.asynccontextmanager
async def running_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Listen on a free local port until the block ends; an exception raised by `answer` is raised then."""
    receiver = Receiver("")
    tasks: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    def finish(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            failures.append(failure)

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(finish)

    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]
