"""Fixtures of the ObjectStore suite: every test runs once per store."""

import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from dropbox_api.storage.s3 import S3Store
from tests.support.aws import AwsSimulation
from tests.support.contract import KNOWN_DIFFERENCES, Client, Peer
from tests.support.ministack import Ministack
from tests.support.moto import Moto
from tests.support.stack import Stack, prepare_bucket


@pytest.fixture(scope="session")
def ministack(stack: Stack) -> Iterator[Ministack]:
    with Ministack(stack.directory / "ministack") as server:
        yield server


@pytest.fixture(scope="session")
def moto(stack: Stack) -> Iterator[Moto]:
    with Moto(stack.directory / "moto") as server:
        yield server


@pytest.fixture(scope="session", params=sorted(KNOWN_DIFFERENCES))
async def peer(request: pytest.FixtureRequest, stack: Stack) -> Peer:
    name: str = request.param
    if name == "seaweedfs":
        return Peer(name, await prepare_bucket(stack.s3_config))
    server: AwsSimulation = request.getfixturevalue(name)
    return Peer(name, await prepare_bucket(server.s3_config))


@pytest.fixture(scope="session")
async def store(peer: Peer) -> AsyncIterator[S3Store]:
    async with S3Store.open(peer.config) as opened:
        yield opened


@pytest.fixture(scope="session")
async def store_an_hour_ago(peer: Peer) -> AsyncIterator[S3Store]:
    """The same store with a clock that is one hour behind: its URLs have expired."""
    async with S3Store.open(peer.config, clock=lambda: datetime.now(UTC) - timedelta(hours=1)) as opened:
        yield opened


@pytest.fixture
def key() -> str:
    return f"contract/{secrets.token_hex(8)}"


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture(scope="session")
def client(http: aiohttp.ClientSession) -> Client:
    return Client(http)
