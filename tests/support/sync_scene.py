"""Scenes for devices: an account, their folders, and what a disk or a program does to these.

Scenarios mostly wait until files are quiet, so those of a file run beside each other: `beside_others`.
"""

import asyncio
import contextlib
import hashlib
import io
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dropbox_api.storage.s3 import S3Config
from dropbox_client import Client
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer, register_account, separate_server
from tests.support.sync_daemons import read_server
from tests.support.sync_device import Device

T = TypeVar("T")


@dataclass
class Scene:
    """An account with a folder for its devices."""

    server: RunningServer
    account: Account
    home: Path
    client: Client
    postgres_url: str
    s3_config: S3Config

    def device(self, name: str = "laptop") -> Device:
        device = Device(self.server, self.account, self.home / name)
        device.root.mkdir(parents=True, exist_ok=True)
        return device

    def pair(self) -> tuple[Device, Device]:
        """Return two devices."""
        return self.device("one"), self.device("two")

    async def there(self) -> dict[str, str]:
        return await read_server(self.account)

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(function, *arguments)

    async def put(self, path: str, content: str | bytes) -> None:
        """Upload a content over what the server has there."""
        data = content.encode() if isinstance(content, str) else content
        await asyncio.to_thread(self.client.upload, data, path, on_conflict="replace")

    async def purge(self, path: str) -> None:
        """Delete a file on the server for good."""
        file = await asyncio.to_thread(self.client.files.get, path)
        await asyncio.to_thread(self.client.files.move_to_trash, path)
        await asyncio.to_thread(self.client.trash.purge, file.id)

    async def contents(self) -> dict[str, str]:
        """Return the contents of all files on the server."""
        return await asyncio.to_thread(self._read_contents)

    def _read_contents(self) -> dict[str, str]:
        found = {}
        for file in self.client.files.list("/", recursive=True):
            if file.kind == "file":
                content = io.BytesIO()
                self.client.download(file, content)
                found[file.path] = content.getvalue().decode()
        return found

    @contextlib.asynccontextmanager
    async def elsewhere(self) -> AsyncIterator["Scene"]:
        """Open a scene with the same folder on another server, whose epoch the test may change."""
        async with (
            separate_server(self.postgres_url, self.s3_config) as server,
            open_scene(server, self.home, self.postgres_url, self.s3_config) as scene,
        ):
            yield scene


@contextlib.asynccontextmanager
async def open_scene(server: RunningServer, home: Path, postgres_url: str, s3_config: S3Config) -> AsyncIterator[Scene]:
    """Register an account, and open a scene with it."""
    account = await register_account(server.url)
    async with account.client:
        with blocking_client(server, account) as client:
            yield Scene(server, account, home, client, postgres_url, s3_config)


Scenario = Callable[[Scene], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def beside_others(scenario: Scenario) -> Callable[[dict[str, asyncio.Task[None]]], Awaitable[None]]:
    """Make a test of a scenario that runs beside the others of its file (see the fixture `started`)."""
    name = scenario.__name__
    SCENARIOS[name] = scenario

    async def test(started: dict[str, asyncio.Task[None]]) -> None:
        await started[name]

    test.__name__, test.__doc__ = name, scenario.__doc__
    return test


def write(root: Path, **contents: str) -> None:
    """Write files; `__` in a name stands for a slash."""
    for name, content in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def texts(device: Device) -> dict[str, str]:
    """Return the contents of the files of a device."""
    return {path: content.decode() for path, content in device.read().items() if content is not None}


def known(device: Device) -> set[str]:
    """Return the names on which both sides agreed."""
    with contextlib.closing(sqlite3.connect(device.home / "state/state.db", timeout=30)) as database:
        return {name for (name,) in database.execute("SELECT name FROM base")}


def has_agreed(device: Device, contents: dict[str, str]) -> bool:
    """Return whether both sides agreed on these contents of files in the root."""
    with contextlib.closing(sqlite3.connect(device.home / "state/state.db", timeout=30)) as database:
        found = dict(database.execute("SELECT name, hex(fp) FROM base WHERE kind = 'file'"))
    wanted = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in contents.items()}
    return wanted.items() <= {name: fp.lower() for name, fp in found.items()}.items()


async def run_command(*command: str | Path) -> str:
    """Run a command that has to succeed; return what it printed."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return str(done.stdout)


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a small file system at a folder; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount")
    try:
        yield
    finally:
        while subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False).returncode == 0:
            pass
