"""Fixtures of the integration tests.

`dbx` with a real server whose store is behind a proxy that injects faults, a server that writes mails, and two devices
of an account.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.dbx import Dbx, server_behind, signed_in
from tests.support.post import PUBLIC_URL, Post
from tests.support.server import Account, RunningServer, make_settings, running_server
from tests.support.store_proxy import StoreProxy, store_proxy
from tests.support.sync_device import Device


@pytest.fixture(scope="module")
async def proxy(s3_config: S3Config) -> AsyncIterator[StoreProxy]:
    assert s3_config.endpoint_url
    async with store_proxy(s3_config.endpoint_url) as running:
        yield running


@pytest.fixture(scope="module")
async def behind_proxy(postgres_url: str, s3_config: S3Config, proxy: StoreProxy) -> AsyncIterator[RunningServer]:
    async with server_behind(proxy, postgres_url, s3_config) as running:
        yield running


@pytest.fixture
async def dbx(behind_proxy: RunningServer, proxy: StoreProxy, tmp_path: Path) -> AsyncIterator[Dbx]:
    proxy.reset()
    async with signed_in(behind_proxy, tmp_path) as person:
        yield person
        proxy.released.set()


@pytest.fixture(scope="session")
async def post(postgres_url: str, s3_config: S3Config, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Post]:
    folder = tmp_path_factory.mktemp("mail")
    settings = make_settings(
        postgres_url, s3_config, mail={"file_dir": str(folder)}, http={"public_url": f"{PUBLIC_URL}/"}
    )
    async with running_server(settings) as server:
        post = Post(server, folder)
        async with post.api:
            yield post


@pytest.fixture
def one(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "laptop")


@pytest.fixture
def two(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "desktop")
