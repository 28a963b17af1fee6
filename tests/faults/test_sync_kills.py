"""strace kills a sync engine at its Nth rename, fsync, unlink or mkdir while it carries out one change of each kind.

Then it is started again: both sides become what they would be without the kill, and no content is lost.

FAULTS=long kills at every N.
"""

import asyncio
import hashlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dropbox_client import Client
from dropbox_client.sync.names import is_conflict_name
from dropbox_client.sync.state import State
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer, register_account
from tests.support.sync_daemons import Content, Daemon, daemon, list_revisions, make_token, read_folder, read_server

pytestmark = pytest.mark.usefixtures("invariants_hold")
LONG = os.environ.get("FAULTS") == "long"
CALLS = {
    "rename,renameat,renameat2": (1, 3),
    "fsync,fdatasync": (20, 33),
    "unlink,unlinkat,mkdir,mkdirat": (3, 8),
}
"""The calls before which the engine is killed, and at which of them in the short slice."""
STEPS = {"fsync,fdatasync": 2}
KILLS = 2
"""In a row: the engine that finishes what another one began is killed, too."""


def hash_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class Changes:
    """A folder of the account with one change of each kind, on the server and on the disk."""

    name: str
    root: Path
    contents: set[str] = field(default_factory=set)
    """The hashes of all contents that were ever written."""

    def _content(self, path: str, version: int) -> bytes:
        content = f"{self.name} {path} {version}"
        self.contents.add(hash_of(content))
        return content.encode()

    def prepare(self, client: Client) -> None:
        """Make the files that both sides agree on."""
        for path in (
            *("over", "moved", "first", "second", "conflict", "mark", "trashed/x", "trashed/y", "folder/z"),
            *("sent", "renamed", "gone"),
        ):
            client.upload(self._content(path, 1), f"/{self.name}/{path}")

    def change_both(self, client: Client) -> None:
        """Change both sides while no engine runs."""
        there, here = f"/{self.name}", self.root / self.name
        client.upload(self._content("new", 1), f"{there}/new")
        for path in ("over", "conflict"):
            client.upload(self._content(path, 2), f"{there}/{path}", on_conflict="replace")
        client.files.create_folders(f"{there}/made/within")
        client.files.move(f"{there}/moved", folder=f"{there}/made/within", name="moved on")
        client.files.move(f"{there}/first", name="between")
        client.files.move(f"{there}/second", name="first")
        client.files.move(f"{there}/between", name="second")
        client.files.set_executable(f"{there}/mark", executable=True)
        client.files.move_to_trash(f"{there}/trashed")
        client.files.move(f"{there}/folder", name="folder 2")
        (here / "conflict").write_bytes(self._content("conflict", 3))
        (here / "sent").write_bytes(self._content("sent", 2))
        (here / "created").write_bytes(self._content("created", 1))
        (here / "renamed").rename(here / "renamed 2")
        (here / "gone").unlink()

    def expect(self) -> Content:
        """Return what both sides have in the end; the conflict copy counts as `conflict copy`."""
        versions = {
            "new": ("new", 1),
            "over": ("over", 2),
            "conflict": ("conflict", 2),
            "conflict copy": ("conflict", 3),
            "made/within/moved on": ("moved", 1),
            "first": ("second", 1),
            "second": ("first", 1),
            "mark": ("mark", 1),
            "folder 2/z": ("folder/z", 1),
            "sent": ("sent", 2),
            "created": ("created", 1),
            "renamed 2": ("renamed", 1),
        }
        files = {path: hash_of(f"{self.name} {old} {version}") for path, (old, version) in versions.items()}
        files["mark"] += "x"
        folders = dict.fromkeys(("made", "made/within", "folder 2"), "folder")
        return {self.name: "folder"} | {f"{self.name}/{path}": what for path, what in (files | folders).items()}


@dataclass
class Bench:
    """An account, and the device whose engine is killed."""

    server: RunningServer
    account: Account
    client: Client
    laptop: Daemon


def simplify(content: Content) -> Content:
    """Give conflict copies names without a device and a day."""
    return {
        path.partition(" (")[0] + " copy" if is_conflict_name(path.rpartition("/")[2]) else path: what
        for path, what in content.items()
    }


def numbers(calls: str) -> Iterator[int]:
    return itertools.count(1, STEPS.get(calls, 1)) if LONG else iter(CALLS[calls])


def find_strace() -> str:
    """Return the path of strace; skip the test where there is none, or where it may not trace."""
    found = shutil.which("strace", path=f"{os.defpath}:/usr/sbin")
    if found is None or subprocess.run([found, "-qq", "-o", os.devnull, "true"], check=False).returncode:
        pytest.skip("needs strace, a Debian package, and the right to trace")
    return found


@pytest.mark.timeout(7200 if LONG else 300)
async def test_engine_killed_at_each_call_converges_and_loses_nothing(server: RunningServer, tmp_path: Path) -> None:
    strace = find_strace()
    async with asyncio.TaskGroup() as group:
        for calls in CALLS:
            group.create_task(kill_at(calls, strace, server, tmp_path / calls.partition(",")[0]))


async def kill_at(calls: str, strace: str, server: RunningServer, home: Path) -> None:
    """Kill an engine at the calls with these numbers."""
    account = await register_account(server.url)
    async with account.client:
        token = (await make_token(account, "laptop"))["token"]
        with blocking_client(server, account) as client:
            async with daemon("laptop", home, server.url, token) as laptop:
                await kill_again(calls, strace, Bench(server, account, client, laptop))


async def kill_again(calls: str, strace: str, bench: Bench) -> None:
    """Kill the engine at each of the numbers."""
    laptop, client = bench.laptop, bench.client
    kills = 0
    for number in numbers(calls):
        changes = Changes(f"at {number}", laptop.root)
        await asyncio.to_thread(changes.prepare, client)
        assert (await laptop.sync())["ended"] is None, laptop.read_log()
        await asyncio.to_thread(changes.change_both, client)
        before = laptop.log.stat().st_size
        inject = ("-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={number}")
        for _ in range(KILLS):
            ended = await laptop.sync(strace, "-f", "-qq", "-o", os.devnull, *inject)
            kills += not ended
            if ended:
                break
        await check(changes, bench, before)
        await asyncio.to_thread(client.files.move_to_trash, f"/{changes.name}")
        if ended and LONG:
            break
    assert kills > 0, f"{calls}: no engine was killed"


async def check(changes: Changes, bench: Bench, log_start: int) -> None:
    """Let the engine finish, and compare what there is with what there is to be."""
    laptop, server, account = bench.laptop, bench.server, bench.account
    ended = await laptop.sync()
    log = f"{changes.name}\n{laptop.log.read_text()[log_start:]}"
    assert ended["ended"] is None, log
    assert (ended["snapshot"]["phase"], ended["snapshot"]["held"]) == ("up-to-date", []), log
    folder, there = await asyncio.to_thread(read_folder, laptop.root), await read_server(account)
    assert folder == there, log
    assert simplify(there) == changes.expect(), log
    kept = {*await list_revisions(server.db, account), *_hashes(laptop.root)}
    assert changes.contents <= kept, log
    with State(laptop.state / "state.db") as state:
        assert state.list_intents() == [], log


def _hashes(root: Path) -> set[str]:
    """Return the hashes of all files, also of those in the local trash."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}
