"""How uvicorn serves the application: whose forwarded headers it believes, and how long it listens to a slow client."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dropbox_api.settings import Settings

HEAD_S = 20.0
"""The head of a request must be there so long after the connection was opened, or after its first byte."""
MAX_HEAD_BYTES = 64 * 1024
LET_GO = "let_go"
"""Name under which the lifespan leaves what is called when the server is to end: whoever waits must not keep it."""


class Connection(HttpToolsProtocol):
    """uvicorn's own, with bounds on the head of a request, which it lacks: neither time nor memory is the client's.

    And with word of the end: uvicorn waits for all answers before it tells the lifespan.
    """

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def shutdown(self) -> None:
        super().shutdown()
        if let_go := self.app_state.get(LET_GO):
            let_go()

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def _head_is_here(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of uvicorn's Config but for application and address.

    Nobody's X-Forwarded-For is believed unless the settings name them: uvicorn by itself believes 127.0.0.1.
    """
    return {
        "http": Connection,
        "ws": "none",
        "log_config": None,
        "access_log": False,  # `middleware` writes it, with templates for paths: those hold tokens
        "server_header": False,
        "proxy_headers": bool(settings.http.trusted_proxies),
        "forwarded_allow_ips": list(settings.http.trusted_proxies),
        "timeout_keep_alive": settings.http.idle_timeout_s,
        "timeout_graceful_shutdown": 30,
    }
