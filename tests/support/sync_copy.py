"""A remote tree of the sync client, read from a running server. The server shares the event loop of the tests, so each
copy works in a thread of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dropbox_client.client import Client
from dropbox_client.sync.part import load_part
from dropbox_client.sync.remote import RemoteReader
from dropbox_client.sync.state import State
from dropbox_client.sync.trees import BaseEntry, NodeId, RemoteEntry, Tree, Trees
from tests.support.sdk import stored_tokens
from tests.support.server import Account, RunningServer

T = TypeVar("T")


@dataclass
class SyncCopy:
    """An account, the state of its client, and the reader. Only functions passed to `run` use them."""

    account: Account
    state: State
    reader: RemoteReader
    pool: ThreadPoolExecutor

    async def run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, function)

    async def step(self) -> None:
        await self.run(self.reader.step)

    async def settle(self) -> None:
        """Read until the tree is as it was at the begin, or later."""
        await self.step()
        while not self.reader.is_settled:
            await self.step()

    async def read_tree(self) -> Tree[RemoteEntry]:
        """Return the nodes that take part."""

        def read() -> Tree[RemoteEntry]:
            self.state.database.execute("INSERT OR IGNORE INTO changed SELECT id FROM remote")
            return load_part(self.state, 1, lambda *_: "selected", is_settled=True).remote

        return await self.run(read)

    async def paths(self) -> dict[str, RemoteEntry]:
        """Return the nodes by their paths."""
        tree = await self.read_tree()
        root = tree.get(await self.run(lambda: self.state.root_id))
        assert root
        found = {}
        for entry in (root, *tree.below(root.id)):
            names = [entry.name, *(above.name for above in tree.above(entry.id))]
            found["/".join(reversed(names[:-1]))] = entry
        return found

    async def agree(self) -> None:
        """Record the remote tree as base, as if everything was downloaded."""

        def record() -> None:
            rows = self.state.database.execute("SELECT id FROM remote").fetchall()
            for (node_id,) in rows:
                entry = self.state.find_remote(node_id)
                assert entry
                name = entry.name.encode()
                self.state.put_base(
                    BaseEntry(
                        *(entry.id, entry.parent, entry.name, name, entry.kind),
                        *(entry.content, entry.revision_id, entry.version),
                    )
                )

        await self.run(record)

    async def load(self) -> Trees:
        return await self.run(lambda: load_part(self.state, 1, lambda *_: "selected", is_settled=True))

    async def fates(self) -> dict[NodeId, str]:
        return dict(await self.run(lambda: self.state.database.execute("SELECT id, fate FROM fates").fetchall()))


@contextlib.asynccontextmanager
async def sync_copy(
    server: RunningServer,
    account: Account,
    path: Path,
    *,
    folder: str = "/",
    page_rows: int = 10_000,
    page_events: int = 500,
) -> AsyncIterator[SyncCopy]:
    """Open a copy with its state at `path`."""
    with ThreadPoolExecutor(1) as pool, Client(server.url, stored_tokens(server, account)) as client:
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(pool, State, path)
        reader = RemoteReader(client, state, folder=folder, page_rows=page_rows, page_events=page_events)
        yield SyncCopy(account, state, reader, pool)
        await loop.run_in_executor(pool, state.database.close)
