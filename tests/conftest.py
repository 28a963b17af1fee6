"""Fixtures for all tests: Postgres, S3 and the API, each started once per session at first use."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from hypothesis import HealthCheck, settings

from dropbox_api.db import Db
from dropbox_api.storage.s3 import S3Config, S3Store
from tests.support.server import (
    Account,
    RunningServer,
    assert_invariants,
    make_settings,
    register_account,
    running_server,
)
from tests.support.stack import Stack, prepare_bucket, running_stack

# Servers, clients and tests share a process with many objects: frequent collections take a tenth of the time.
gc.set_threshold(10_000)

Register = Callable[..., Awaitable[Account]]

# The time of an example depends on the machine, not on the server.
settings.register_profile(
    "busy machine",
    settings(),
    deadline=None,
    suppress_health_check={*settings().suppress_health_check, HealthCheck.too_slow},
)
settings.load_profile("busy machine")


@pytest.fixture(scope="session", autouse=True)
async def threads() -> None:
    """Give the loop of tests and servers many threads: with as few as asyncio has on a small machine, clients that
    wait in all of them for a server keep it from its own.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(100, "test"))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url(stack: Stack) -> str:
    """SQLAlchemy URL of an empty Postgres database, as a superuser."""
    return stack.postgres.url


@pytest.fixture(scope="session")
async def s3_config(stack: Stack) -> S3Config:
    """A bucket in SeaweedFS, shared by the session: each test uses its own keys."""
    return await prepare_bucket(stack.s3_config)


@pytest.fixture(scope="session")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """The API on a real socket, shared by the session: each test uses its own accounts (see `register`)."""
    async with running_server(make_settings(postgres_url, s3_config)) as running:
        yield running


@pytest.fixture(scope="module")
async def invariants_hold(server: RunningServer) -> AsyncIterator[None]:
    """Check every invariant after the last test of a module; modules name it in `pytest.mark.usefixtures`."""
    yield
    await assert_invariants(server.db, server.store)


@pytest.fixture
def db(server: RunningServer) -> Db:
    return server.db


@pytest.fixture
def store(server: RunningServer) -> S3Store:
    return server.store


@pytest.fixture
async def api(server: RunningServer) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that is not signed in."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
async def register(server: RunningServer) -> AsyncIterator[Register]:
    """Return a function that registers an account and signs in."""
    async with contextlib.AsyncExitStack() as clients:

        async def make(email: str | None = None, password: str | None = None) -> Account:
            account = await register_account(server.url, email, password)
            await clients.enter_async_context(account.client)
            return account

        yield make


@pytest.fixture
async def account(register: Register) -> Account:
    return await register()


@pytest.fixture(scope="module")
async def visitor(server: RunningServer) -> AsyncIterator[Account]:
    """One account for the tests of a module that leave nothing in it: signing in costs more than such a test."""
    account = await register_account(server.url)
    async with account.client:
        yield account
