"""The options of uvicorn, and a connection class that limits the time and size of request heads."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dropbox_api.settings import Settings

HEAD_S = 20.0
"""Time limit of a request's head, from the opening of the connection or from the head's first byte."""
MAX_HEAD_BYTES = 64 * 1024
STOP_WAITING = "stop_waiting"
"""Key in the lifespan's state of the function that ends long polls and streams when the server shuts down."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's HTTP connection, closed when a request's head is too slow or too large.

    uvicorn has no such limits and no public hook for them. It also waits for all responses before it ends the lifespan,
    so this class ends the waiting requests at shutdown. `tests/unit/test_serving.py` lists the members of uvicorn that
    this class uses; pyproject.toml pins the minor version.
    """

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def shutdown(self) -> None:
        super().shutdown()
        if stop_waiting := self.app_state.get(STOP_WAITING):
            stop_waiting()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._close)

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of uvicorn's Config except application and address.

    Only the proxies of the settings may set X-Forwarded-For; uvicorn's default would trust 127.0.0.1.
    """
    return {
        "http": BoundedConnection,
        "ws": "none",
        "log_config": None,
        "access_log": False,  # `middleware.RequestLog` logs route templates: paths contain tokens
        "server_header": False,
        "proxy_headers": bool(settings.http.trusted_proxies),
        "forwarded_allow_ips": list(settings.http.trusted_proxies),
        "timeout_keep_alive": settings.http.idle_timeout_s,
        "timeout_graceful_shutdown": 30,
    }
