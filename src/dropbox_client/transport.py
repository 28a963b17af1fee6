"""HTTP/1.1 over kept-alive connections, with nothing but the standard library: to the API and to the object store.

One request is one attempt; who asks decides about trying again (`retry`). Only a kept connection that the other side
closed while it was idle is replaced without a word. Bodies are sent in blocks, so memory does not grow with them.
Why not a library: importing one takes longer than a whole small upload, and sending through one costs twice the CPU.
Figures: bench/RESULTS.md.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from dropbox_client.errors import Stopped, Unreachable

CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0
"""Without a single byte moving; the API may think for 20 s before it answers."""

_IDEMPOTENT_LOSSES = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)

Body = bytes | Callable[[], Iterable[memoryview]]
"""Either all of it, or what makes an iterator over exactly Content-Length bytes; made anew when sent anew."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def retry_after_s(self) -> float | None:
        """Return what Retry-After says in seconds; its form as a date is not used by anybody we talk to."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else None


class Answer:
    """An answer whose body is still on its way."""

    def __init__(self, response: http.client.HTTPResponse, explain: Callable[[Exception], Exception]) -> None:
        self._response = response
        self._explain = explain
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    def read(self) -> bytes:
        """Return the rest. Raises Unreachable, Stopped."""
        try:
            return self._response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error

    def read_into(self, view: memoryview) -> int:
        """Fill `view` from its start and return how many bytes came, 0 at the end. Raises Unreachable, Stopped."""
        try:
            return self._response.readinto(view)
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error) from error


class Wire:
    """Connections by origin, taken and given back by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def close(self) -> None:
        """Close every connection; requests under way end with Stopped. Any thread may call it, at any time."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                if connection.sock:
                    with contextlib.suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that owns it; it will close
            for kept in self._idle.values():
                for connection in kept:
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
    ) -> Reply:
        """Send one request and read its whole answer, whatever its status.

        With a body that is not bytes, `headers` must carry Content-Length.

        Raises: Unreachable when there is no whole answer, Stopped after `close`, and what `body` raises.
        """
        with self.open(method, url, headers, body, idle_timeout_s=idle_timeout_s) as answer:
            return Reply(answer.status, answer.headers, answer.read())

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> Iterator[Answer]:
        """Like `send`, but hand out the answer to be read piece by piece. Left unread, it costs the connection."""
        parts = urlsplit(url)
        try:
            connection, response = self._attempt(method, parts, headers, body, idle_timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error, parts.netloc) from error
        try:
            yield Answer(response, lambda error: self._explain(error, parts.netloc))
        except BaseException:
            self._discard(connection)
            raise
        if response.isclosed() and not response.will_close:
            self._give_back((parts.scheme, parts.netloc), connection)
        else:
            self._discard(connection)

    def _attempt(
        self, method: str, parts: SplitResult, headers: Mapping[str, str], body: Body, idle_timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            connection, was_idle = self._take(parts)
            connection.sock.settimeout(idle_timeout_s)
            try:
                return connection, _exchange(connection, method, parts, headers, body)
            except _IDEMPOTENT_LOSSES:
                self._discard(connection)
                if not was_idle:
                    raise
            except BaseException:
                self._discard(connection)
                raise

    def _take(self, parts: SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it was used before."""
        with self._lock:
            if self._closed:
                raise Stopped("stopped")
            kept = self._idle.get((parts.scheme, parts.netloc))
            if kept:
                connection = kept.pop()
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
            if self._closed:  # while we connected: nobody would wake us any more
                connection.close()
                raise Stopped("stopped")
            self._busy.add(connection)
        return connection, False

    def _give_back(self, origin: tuple[str, str], connection: http.client.HTTPConnection) -> None:
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
            self._tls = self._tls or ssl.create_default_context()  # reading the system's certificates takes 20 ms
            return self._tls

    def _explain(self, error: Exception, netloc: str) -> Stopped | Unreachable:
        if self._closed:
            return Stopped("stopped")
        return Unreachable(f"no answer from {netloc}: {str(error) or type(error).__name__}")


def _exchange(
    connection: http.client.HTTPConnection, method: str, parts: SplitResult, headers: Mapping[str, str], body: Body
) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.putrequest(method, target, skip_accept_encoding=True)
    names = {name.lower() for name in headers}
    for name, value in headers.items():
        if name.lower() != "host":  # putrequest sends it
            connection.putheader(name, value)
    if isinstance(body, bytes) and "content-length" not in names and (body or method in {"POST", "PUT"}):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body if isinstance(body, bytes) and body else None)
    if callable(body):
        try:
            for block in body():
                connection.sock.sendall(block)
        except (ConnectionResetError, BrokenPipeError) as error:
            return _early_answer(connection, error)
    return connection.getresponse()


def _early_answer(connection: http.client.HTTPConnection, error: OSError) -> http.client.HTTPResponse:
    """Return what a server said before it hung up in the middle of our body: an expired URL, for instance."""
    connection.sock.settimeout(1)
    try:
        response = connection.getresponse()
    except (OSError, http.client.HTTPException):
        raise error from None
    response.will_close = True
    return response
