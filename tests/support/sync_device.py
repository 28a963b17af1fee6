"""A device: a folder, its state, and an engine against a running server."""

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.client import Client
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.snapshot import Snapshot
from dropbox_client.sync.transfers import Transfers
from dropbox_client.sync.trees import SendNew
from tests.support.sdk import stored_tokens
from tests.support.server import Account, RunningServer


@dataclass
class Device:
    """A folder that is kept equal to an account by runs of an engine."""

    server: RunningServer
    account: Account
    home: Path
    folder: str = "/"
    unselected: frozenset[str] = frozenset()
    device_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def name(self) -> str:
        return self.home.name

    def make_engine(self) -> Engine:
        """Return an engine of this device; `stop` ends it."""
        self.root.mkdir(parents=True, exist_ok=True)
        config = RootConfig(
            *("one", self.root, self.server.url, self.device_id, self.name),
            folder=self.folder,
            unselected=self.unselected,
        )
        client = Client(self.server.url, stored_tokens(self.server, self.account), retry_for_s=5)
        return Engine(config, self.home / "state", client)

    def run_once(self) -> Snapshot:
        """Make both sides equal; for a thread."""
        engine = self.make_engine()
        try:
            return engine.run_once()
        finally:
            engine.stop()

    async def sync(self) -> Snapshot:
        """Make both sides equal."""
        return await asyncio.to_thread(self.run_once)

    def read(self) -> dict[str, bytes | None]:
        """Return the contents by path, None for a folder; without the client's own folder."""
        return {
            str(path.relative_to(self.root)): None if path.is_dir() else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.relative_to(self.root).parts[0] != ".dbx"
        }


async def equal(*devices: Device) -> dict[str, bytes | None]:
    """Synchronize devices until nothing changes any more; return what all of them have."""
    for _ in range(2):
        for device in devices:
            snapshot = await device.sync()
            assert snapshot.phase == "up-to-date"
    first = devices[0].read()
    for device in devices[1:]:
        assert device.read() == first
    return first


@contextlib.asynccontextmanager
async def running(*devices: Device) -> AsyncIterator[list[Engine]]:
    """Run the engines of devices; all are up to date at the begin."""
    engines = [device.make_engine() for device in devices]
    runs = [asyncio.create_task(asyncio.to_thread(engine.run)) for engine in engines]
    try:
        for engine in engines:
            await until(lambda engine=engine: engine.snapshot.phase == "up-to-date")  # type: ignore[misc]
        yield engines
    finally:
        for engine in engines:
            engine.stop()
        await asyncio.gather(*runs)


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110 - of threads
            await asyncio.sleep(0.05)


class Held:
    """Transfers of a device that have ended and that its engine hears of at `release`."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: set[str] = set()
        self._is_released = threading.Event()
        end = Transfers._end

        def hold(transfers: Transfers, action: Any, *others: Any) -> None:
            if transfers._root == device.root:
                self.files.add(action.name if isinstance(action, SendNew) else os.fsdecode(action.name))
                assert self._is_released.wait(60)
            end(transfers, action, *others)

        monkeypatch.setattr(Transfers, "_end", hold)

    def release(self) -> None:
        self._is_released.set()
