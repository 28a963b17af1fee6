"""HTTP/1.1 over pooled keep-alive connections, to the API and to the object store. Standard library only.

Each request is attempted once; the caller retries (`retry`). The exception: a pooled connection that the peer closed
while it was idle is replaced transparently. Bodies are sent in blocks, so memory use is independent of their size.
Importing an HTTP library takes longer than a whole small upload, and sending through one doubles the CPU cost (figures:
bench/RESULTS.md).
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from dropbox_client.call import IDLE_TIMEOUT_S, MAX_BODY_BYTES, Response
from dropbox_client.errors import InvalidResponse, Stopped, Unreachable
from dropbox_client.waits import Waits

CONNECT_TIMEOUT_S = 10.0
_BLOCK_BYTES = 1024 * 1024

_CLOSED_BY_PEER = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)

Body = bytes | Callable[[], Iterable[memoryview]]
"""The whole body, or a factory of an iterator over exactly Content-Length bytes, called once per attempt."""


class Limit(Protocol):
    """A bandwidth limit."""

    @property
    def piece_bytes(self) -> int:
        """The most bytes to take at a time."""
        ...

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass."""
        ...


class ResponseStream:
    """A response whose body is read piece by piece."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        explain: Callable[[Exception], Exception],
        on_bytes: Callable[[], None],
        limit: Limit | None = None,
    ) -> None:
        self._response = response
        self._explain = explain
        self._on_bytes = on_bytes
        self._limit = limit
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    def read(self) -> bytes:
        """Return the rest of the body. Raises Unreachable, InvalidResponse for one without end, Stopped."""
        blocks: list[bytes] = []
        size_bytes = 0
        try:
            while block := self._response.read(_BLOCK_BYTES):
                self._on_bytes()
                blocks.append(block)
                size_bytes += len(block)
                if size_bytes > MAX_BODY_BYTES:
                    raise InvalidResponse(f"a response has more than {MAX_BODY_BYTES} bytes")
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error
        return b"".join(blocks)

    def blocks(self) -> Iterator[memoryview]:
        """Iterate over the body; a block is valid until the next one. Raises Unreachable, Stopped."""
        buffer, received = memoryview(bytearray(_BLOCK_BYTES)), 0
        while count := self.read_into(buffer):
            received += count
            yield buffer[:count]
        if received < int(self.headers.get("content-length", 0)):
            raise self._explain(ConnectionResetError("the response ended early"))

    def read_into(self, view: memoryview) -> int:
        """Read into the start of `view` and return the number of bytes, 0 at the end. Raises Unreachable, Stopped."""
        limit = self._limit
        try:
            count = self._response.readinto(view[: limit.piece_bytes] if limit else view)
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error
        self._on_bytes()
        if limit:
            limit.take(count)  # what is not read yet slows the sender down
        return count


class Transport:
    """A pool of connections by origin. Thread-safe."""

    def __init__(self, waits: Waits | None = None) -> None:
        """`waits` shows the requests without an answer."""
        self.upload_limit: Limit | None = None
        """Of bodies from a factory: the content of files."""
        self.download_limit: Limit | None = None
        """Of responses that are read in blocks: the content of files."""
        self._waits = waits or Waits()
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def close(self) -> None:
        """Close every connection; requests in progress raise Stopped. Any thread may call it at any time."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                if connection.sock:
                    with contextlib.suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the owning thread, which closes the socket
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> Response:
        """Send one request and return its complete response, of any status.

        `headers` must include Content-Length if `body` is a factory.

        Raises: InvalidResponse for a URL or a header that cannot be sent, Unreachable if the response is missing or
        incomplete, Stopped after `close`, any exception of `body`.
        """
        with self.open(method, url, headers, body, idle_timeout_s=idle_timeout_s) as stream:
            return Response(stream.status, stream.headers, stream.read())

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> Iterator[ResponseStream]:
        """Like `send`, but yield the response before its body is read. An unread body discards the connection."""
        parts = split_url(url)
        silence = self._waits.watch(
            f"no answer from {show_host(parts)}", expected_s=idle_timeout_s - IDLE_TIMEOUT_S, timeout_s=IDLE_TIMEOUT_S
        )
        with silence:
            try:
                connection, response = self._attempt(method, parts, headers, body, idle_timeout_s)
            except (OSError, http.client.HTTPException) as error:
                raise self._explain(error, parts) from error
            try:
                yield ResponseStream(
                    response,
                    lambda error: self._explain(error, parts),
                    self._waits.record_progress,
                    self.download_limit,
                )
            except BaseException:
                self._discard(connection)
                raise
        if response.isclosed() and not response.will_close:
            self._release((parts.scheme, parts.netloc), connection)
        else:
            self._discard(connection)

    def _attempt(
        self, method: str, parts: SplitResult, headers: Mapping[str, str], body: Body, idle_timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        body = _limit_body(body, self.upload_limit)
        while True:
            connection, was_pooled = self._acquire(parts)
            connection.sock.settimeout(idle_timeout_s)
            try:
                return connection, _exchange(connection, method, parts, headers, body, self._waits.record_progress)
            except _CLOSED_BY_PEER:
                self._discard(connection)
                if not was_pooled:
                    raise
            except BaseException:
                self._discard(connection)
                raise

    def _acquire(self, parts: SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it was pooled."""
        with self._lock:
            if self._closed:
                raise Stopped("stopped")
            idle = self._idle.get((parts.scheme, parts.netloc))
            if idle:
                connection = idle.pop()
                self._busy.add(connection)
                return connection, True
        host = parts.hostname or ""
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=CONNECT_TIMEOUT_S, context=self._tls_context()
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if self._closed:  # `close` ran while this thread connected
                connection.close()
                raise Stopped("stopped")
            self._busy.add(connection)
        return connection, False

    def _release(self, origin: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if self._closed:
                connection.close()
            else:
                self._idle.setdefault(origin, []).append(connection)

    def _discard(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            self._tls = self._tls or ssl.create_default_context()  # loading the system's certificates takes 20 ms
            return self._tls

    def _explain(self, error: Exception, parts: SplitResult) -> Stopped | Unreachable:
        if self._closed:
            return Stopped("stopped")
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        return Unreachable(f"no response from {show_host(parts)}: {reason}")


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL. Raises InvalidResponse, which does not show it: a signed URL is a secret."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidResponse("the server sent an address that is not valid")
    return parts


def show_host(parts: SplitResult) -> str:
    """Return host and port, without a user name and a password."""
    return parts.netloc.rpartition("@")[2]


def _limit_body(body: Body, limit: Limit | None) -> Body:
    """Return a body whose pieces wait for the limit."""
    if limit is None or isinstance(body, bytes):
        return body

    def pieces() -> Iterator[memoryview]:
        for block in body():
            start = 0
            while start < len(block):
                piece = block[start : start + limit.piece_bytes]
                limit.take(len(piece))
                yield piece
                start += len(piece)

    return pieces


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    parts: SplitResult,
    headers: Mapping[str, str],
    body: Body,
    on_bytes: Callable[[], None],
) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    names = {name.lower() for name in headers}
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() != "host":  # putrequest sends it
                connection.putheader(name, value)
    except (ValueError, http.client.InvalidURL):  # their texts show the address or the value, which may be secrets
        raise InvalidResponse(f"the server sent an address or a header of {parts.hostname} that is not valid") from None
    if isinstance(body, bytes) and "content-length" not in names and (body or method in {"POST", "PUT"}):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body if isinstance(body, bytes) and body else None)
    if callable(body):
        try:
            for block in body():
                connection.sock.sendall(block)
                on_bytes()
        except (ConnectionResetError, BrokenPipeError) as error:
            return _read_early_response(connection, error)
    return connection.getresponse()


def _read_early_response(connection: http.client.HTTPConnection, error: OSError) -> http.client.HTTPResponse:
    """Return the response that the server sent before it closed the connection mid-body, such as for an expired URL."""
    connection.sock.settimeout(1)
    try:
        response = connection.getresponse()
    except (OSError, http.client.HTTPException):
        raise error from None
    response.will_close = True
    return response
