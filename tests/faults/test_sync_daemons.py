"""Three devices with real processes: changes, kills and network cuts at random. In the end all trees are equal, and no
content is lost.

A failure prints the seed; SEED repeats the operations (not the moments at which the engines see them).
"""

import asyncio
import contextlib
import itertools
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.fault_proxy import FaultProxy, running_proxy
from tests.support.server import (
    Account,
    RunningServer,
    assert_invariants,
    make_settings,
    migrated_database,
    register_account,
    running_server,
)
from tests.support.sync_daemons import (
    Content,
    Daemon,
    Ledger,
    Person,
    daemon,
    list_revisions,
    make_token,
    read_folder,
    read_server,
)

LONG = os.environ.get("FAULTS") == "long"
OPERATIONS = 1_000 if LONG else 25
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2, 3] if LONG else [1]
SETTLE_S = 600 if LONG else 120
NAMES = ("Ada", "Ben", "Cy")


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


@dataclass
class Machine:
    """A device, its network and its person."""

    daemon: Daemon
    network: FaultProxy
    person: Person
    rng: random.Random

    async def work(self) -> None:
        """Do all operations of the person. The pauses let the engine see states in between."""
        for _ in range(OPERATIONS):
            await asyncio.to_thread(self.person.act)
            await asyncio.sleep(self.rng.choice((0, 0.05, 0.3, 0.8)))
        await asyncio.to_thread(self.person.close)

    async def trouble(self) -> None:
        """Kill the engine and cut its network again and again."""
        troubles = itertools.chain(["kill"], iter(lambda: self.rng.choice(("kill", "refuse", "stall", "cut")), None))
        for trouble in troubles:
            await asyncio.sleep(self.rng.uniform(1, 6))
            match trouble:
                case "kill":
                    await self.daemon.kill()
                    await asyncio.sleep(self.rng.choice((0, 2)))
                    await self.daemon.start()
                case "refuse":
                    await self.network.refuse()
                    await asyncio.sleep(self.rng.uniform(0.2, 4))
                    await self.network.accept()
                case "stall":
                    self.network.flowing.clear()
                    await asyncio.sleep(self.rng.uniform(0.2, 4))
                    await self.network.cut()
                    self.network.flowing.set()
                case "cut":
                    await self.network.cut()

    def read(self) -> Content:
        return read_folder(self.daemon.root, self.daemon.state)

    async def recover(self) -> None:
        """End all trouble."""
        self.network.flowing.set()
        await self.network.refuse()
        await self.network.accept()
        if self.daemon.process is None or self.daemon.process.returncode is not None:
            await self.daemon.start()


async def slow_down(store: FaultProxy, rng: random.Random) -> None:
    """Let transfers take longer, now and then, than the time between two operations."""
    while True:
        store.delay_s = rng.choice((0, 0.1, 1))
        await asyncio.sleep(rng.uniform(1, 4))


@pytest.fixture(scope="module")
async def store_network(s3_config: S3Config) -> AsyncIterator[FaultProxy]:
    """The way of the devices to the store."""
    async with running_proxy(*address_of(s3_config.endpoint_url or ""), speaks_http=False) as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config, store_network: FaultProxy) -> AsyncIterator[RunningServer]:
    async with migrated_database(postgres_url) as url:
        settings = make_settings(url, s3_config)
        behind = settings.s3.model_copy(update={"public_endpoint_url": store_network.url})
        async with running_server(settings.model_copy(update={"s3": behind})) as running:
            yield running


@contextlib.asynccontextmanager
async def machines(
    server: RunningServer, account: Account, home: Path, ledger: Ledger, seed: int
) -> AsyncIterator[list[Machine]]:
    async with contextlib.AsyncExitStack() as running:
        made = []
        for name in NAMES:
            network = await running.enter_async_context(running_proxy(*address_of(server.url), speaks_http=False))
            token = (await make_token(account, name))["token"]
            one = await running.enter_async_context(daemon(name, home, network.url, token))
            person = Person(name, one.root, ledger, random.Random(f"{seed} {name}"))
            made.append(Machine(one, network, person, random.Random(f"{seed} trouble of {name}")))
        await asyncio.gather(*(machine.daemon.start() for machine in made))
        yield made


async def settle(machines: list[Machine], account: Account) -> tuple[Content, list[Content], list[Any]]:
    """Wait until all engines are up to date and all trees equal; return the last that was seen."""
    until = asyncio.get_running_loop().time() + SETTLE_S
    while True:
        snapshots = await asyncio.gather(*(machine.daemon.ask() for machine in machines))
        for machine, snapshot in zip(machines, snapshots, strict=True):
            assert snapshot is not None, f"the engine ended by itself: {machine.daemon.read_log()}"
            if snapshot["questions"]:
                await machine.daemon.ask("confirmed")
        there = await read_server(account)
        folders = [await asyncio.to_thread(machine.read) for machine in machines]
        is_done = all(one and one["phase"] == "up-to-date" and not one["pending"] for one in snapshots)
        if (is_done and all(one == there for one in folders)) or asyncio.get_running_loop().time() > until:
            return there, folders, snapshots
        await asyncio.sleep(0.3)


@pytest.mark.timeout(7200 if LONG else 300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_devices_with_kills_and_cuts_end_equal_and_lose_nothing(
    seed: int, server: RunningServer, store_network: FaultProxy, tmp_path: Path
) -> None:
    ledger, problems = Ledger(), []
    account = await register_account(server.url)
    async with account.client, machines(server, account, tmp_path, ledger, seed) as devices:
        troubles = [asyncio.create_task(machine.trouble()) for machine in devices]
        troubles.append(asyncio.create_task(slow_down(store_network, random.Random(seed))))
        try:
            await asyncio.gather(*(machine.work() for machine in devices))
        finally:
            for task in troubles:
                task.cancel()
            await asyncio.gather(*troubles, return_exceptions=True)
        store_network.delay_s = 0
        await asyncio.gather(*(machine.recover() for machine in devices))
        there, folders, snapshots = await settle(devices, account)
        for machine, folder, snapshot in zip(devices, folders, snapshots, strict=True):
            name = machine.daemon.name
            if snapshot["phase"] != "up-to-date" or snapshot["pending"] or snapshot["held"]:
                problems.append(f"{name} is not up to date: {snapshot}")
            problems += [f"{name} has {entry}, the server not" for entry in sorted(folder.items() - there.items())]
            problems += [f"the server has {entry}, {name} not" for entry in sorted(there.items() - folder.items())]
        revisions = await list_revisions(server.db, account)
        roots = [machine.daemon.root for machine in devices]
        problems += [f"lost {one}" for one in await asyncio.to_thread(ledger.find_lost, revisions, roots)]
        problems += [f"the server has a content that no person wrote: {one}" for one in ledger.find_foreign(revisions)]
        if problems:
            logs = [machine.daemon.read_log(2_000) for machine in devices]
            pytest.fail("\n".join([f"SEED={seed}", *problems, *sorted(ledger.operations), *logs]), pytrace=False)
        assert sum(machine.daemon.kills for machine in devices) > 0
    await assert_invariants(server.db, server.store)
