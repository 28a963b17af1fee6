"""Limits shared by several servers in a real Redis or Valkey, which is stopped and started again."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from dropbox_api.plumbing import limits
from dropbox_api.storage.s3 import S3Config
from tests.support.ports import reserve_port
from tests.support.programs import require_program, wait_until_open
from tests.support.server import NO_LIMITS, make_settings, running_server


@dataclass
class Redis:
    """A server that can be killed and started again at its address."""

    program: str
    directory: Path
    port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        command = [self.program, "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(self.directory), "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until_open(self._process, self.port)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    found = require_program("valkey-server", "redis-server")
    with reserve_port() as port:
        server = Redis(found, tmp_path, port)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_limits_in_redis_are_shared_and_off_while_redis_is_down(
    postgres_url: str, s3_config: S3Config, redis: Redis, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_PAUSE_S", 0)
    monkeypatch.setattr(limits, "_TIMEOUT_S", 30)  # a slow Redis on a busy machine still counts
    own = NO_LIMITS | {"address": "4/hour", "storage_url": f"{scheme}://127.0.0.1:{redis.port}"}
    settings = make_settings(postgres_url, s3_config, limits=own)
    async with (
        running_server(settings) as one,
        running_server(settings) as other,
        httpx2.AsyncClient(timeout=60) as client,
    ):

        async def ask(times: int) -> list[httpx2.Response]:
            return [await client.get(f"{(one, other)[n % 2].url}/v1/me") for n in range(times)]

        answers = await ask(6)
        assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 2
        assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600
        redis.kill()
        assert [answer.status_code for answer in await ask(6)] == [401] * 6, "a limit is no reason for an outage"
        redis.start()  # empty again
        assert [answer.status_code for answer in await ask(6)] == [401] * 4 + [429] * 2
