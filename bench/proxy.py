"""A TCP proxy in front of the object store that counts bytes and records the time of the first part."""

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_BLOCK_BYTES = 512 * 1024


class Proxy:
    """Use as a context manager; clients connect to `url`."""

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        assert parts.hostname
        assert parts.port
        self._target = parts.hostname, parts.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.reset()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def reset(self) -> None:
        """Reset the counters."""
        self.sent_bytes = 0
        """Bytes sent by clients, headers included."""
        self.received_bytes = 0
        """Bytes sent to clients, headers included."""
        self.first_put = threading.Event()
        self.first_put_s = 0.0
        """Time of the first PUT by `time.monotonic`, a clock shared by all processes."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for end in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                store = socket.create_connection(self._target)
                self._open += [client, store]
                for source, drain, counted in ((client, store, True), (store, client, False)):
                    threading.Thread(target=self._pump, args=(source, drain, counted), daemon=True).start()

    def _pump(self, source: socket.socket, drain: socket.socket, counted: bool) -> None:
        block = bytearray(_BLOCK_BYTES)
        view = memoryview(block)
        with contextlib.suppress(OSError):
            while size := source.recv_into(block):
                if counted:
                    self._count(size, is_put=block.startswith(b"PUT "))
                else:
                    with self._lock:
                        self.received_bytes += size
                drain.sendall(view[:size])
        with contextlib.suppress(OSError):
            drain.shutdown(socket.SHUT_WR)

    def _count(self, size_bytes: int, *, is_put: bool) -> None:
        with self._lock:
            self.sent_bytes += size_bytes
            if is_put and not self.first_put.is_set():
                self.first_put_s = time.monotonic()
                self.first_put.set()
