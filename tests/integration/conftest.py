"""Fixtures of the integration tests: `dbx` with a real server whose store is behind a proxy that injects faults."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.dbx import Dbx, server_behind, signed_in
from tests.support.server import RunningServer
from tests.support.store_proxy import StoreProxy, store_proxy


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
