"""The bandwidth limit, for any sequence of transfers."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_client.client import Client
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.limits import TokenBucket, limit_client
from dropbox_client.transport import Transport

steps = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 5000)), max_size=60)


@given(st.integers(1, 10_000), steps)
def test_bucket_never_lets_more_through_than_its_rate_and_wastes_nothing(
    rate: int, steps: list[tuple[float, int]]
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    bucket = TokenBucket(rate, clock=lambda: now, sleep=sleep)
    passed: list[tuple[float, int]] = []
    for pause_s, size in steps:
        now += pause_s
        asked_at, before = now, sum(one for _, one in passed)
        bucket.take(size)
        passed.append((now, size))
        assert now <= max(asked_at, before / rate + sum(pause for pause, _ in steps)) + 1e-6
    for first in range(len(passed)):
        for last in range(first + 1, len(passed)):
            span_s = passed[last][0] - passed[first][0]
            between = sum(size for _, size in passed[first + 1 : last])
            assert between <= rate * (span_s + 1) + 1e-6


@given(st.integers(1, 10_000), st.integers(2, 8))
def test_threads_share_the_rate_in_the_order_in_which_they_come(rate: int, count: int) -> None:
    waits: list[float] = []
    bucket = TokenBucket(rate, clock=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=bucket.take, args=(rate,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx(range(1, count))


class Counter:
    """A limit that only counts."""

    piece_bytes = 1000

    def __init__(self) -> None:
        self.pieces: list[int] = []

    def take(self, size_bytes: int) -> None:
        self.pieces.append(size_bytes)


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the body of the request."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def echo_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_transport_takes_every_byte_of_content_from_the_limits_in_small_pieces(echo_url: str) -> None:
    content = bytes(range(256)) * 30
    transport = Transport()
    up, down = transport.upload_limit, transport.download_limit = Counter(), Counter()
    headers = {"Content-Length": str(len(content))}
    with transport.open("PUT", echo_url, headers, lambda: [memoryview(content)]) as response:
        assert b"".join(bytes(block) for block in response.blocks()) == content
    for limit in (up, down):
        assert sum(limit.pieces) == len(content)
        assert max(limit.pieces) <= 1000
    with transport.open("PUT", echo_url, {}, b"a call of the API") as response:
        response.read()
    assert sum(up.pieces) == sum(down.pieces) == len(content)
    transport.close()


def test_limits_of_a_root_apply_to_their_directions(tmp_path: Path) -> None:
    config = RootConfig("one", tmp_path, "http://localhost:1", "d", "laptop")
    with Client(config.server, token="x") as client:
        limit_client(client, config)
        assert (client.transport.upload_limit, client.transport.download_limit) == (None, None)
        limit_client(client, replace(config, upload_bytes_s=4_000, download_bytes_s=40_000))
        assert client.transport.upload_limit
        assert client.transport.download_limit
        assert [client.transport.upload_limit.piece_bytes, client.transport.download_limit.piece_bytes] == [
            1024,
            10_000,
        ]
        client.transport.upload_limit.take(10**9)
        waiting = threading.Thread(target=client.transport.upload_limit.take, args=(1,))
        waiting.start()
    waiting.join()  # `close` ends the wait
