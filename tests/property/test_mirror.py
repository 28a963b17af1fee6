"""A copy of a tree, kept as docs/protocol.md says, equals the tree after any history of changes.

`tests/support/mirror.py` is the client. The owner mirrors the whole account, a member a folder that is shared with it.
In a history one request follows another, so that its seed repeats it: changes, and single requests of mirrors that
have begun at different times. In a concurrent run many writers change the tree while copies are made and followed; a
seed repeats what each writer chooses. FAULTS=long runs many more and longer histories, and kills the API meanwhile.
"""

import asyncio
import os
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest

from dropbox_api.files import entries
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.purge import purge_trash
from dropbox_api.workers.relay import relay_changes
from tests.support.mirror import Entry, Mirror, summarize
from tests.support.process import environment
from tests.support.restarts import RestartingApi
from tests.support.server import (
    Account,
    RunningServer,
    assert_invariants,
    put,
    register_account,
    run_until_idle,
    separate_server,
    sha256,
    upload_file,
)
from tests.support.sharing import make_folder, verify

LONG = os.environ.get("FAULTS") == "long"
HISTORIES = 60 if LONG else 4
STEPS = 500 if LONG else 200
RUNS, WRITERS, CHANGES, READERS = (3, 64, 50, 12) if LONG else (1, 4, 40, 4)
COPIES = 5
"""Copies that each reader keeps until the end."""
REQUESTS_UNTIL_KILL = (100, 1500)

FOLDERS = (
    "above/shared",
    "above/shared/a",
    "above/shared/a/b",
    "above/shared/c",
    "outside",
    "outside/d",
    "outside/d/e",
)


@dataclass
class World:
    """An account with a shared folder, the client of a member, and random changes of both."""

    server: RunningServer
    owner: Account
    member: Account
    random: random.Random
    roots: dict[str, str] = field(default_factory=dict)
    """The root of the owner, and the shared folder of the member."""
    folders: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    """All nodes that were made, in any state; the folders are among them."""
    clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def make(cls, server: RunningServer, seed: int) -> Self:
        owner, member = [await register_account(server.url) for _ in range(2)]
        world = cls(server, owner, member, random.Random(seed))
        world.clients = {"owner": owner.client, "member": member.client}
        await verify(server.db, member)
        root = (await owner.client.get("/v1/files/by-path", params={"path": "/"})).raise_for_status().json()["id"]
        made = [await make_folder(owner, f"/{path}") for path in FOLDERS]
        world.roots = {"owner": root, "member": made[0]}
        world.folders = [root, await make_folder(owner, "/above"), *made]
        files = [
            (await upload_file(owner, b"%d" % n, f"{n}", destination={"parent_id": made[n]}))["id"] for n in range(7)
        ]
        world.nodes = [*world.folders[1:], *files]
        for _ in range(20):  # so that a list takes many pages
            copy = {"parent_id": world.random.choice(made[:4]), "on_conflict": "rename"}
            copied = await owner.client.post(f"/v1/files/{files[0]}/copy", json=copy)
            world.nodes.append(copied.raise_for_status().json()["id"])
        await world.grant()
        await run_until_idle(relay_changes, server.services)
        return world

    async def close(self) -> None:
        for account in (self.owner, self.member):
            await account.client.aclose()

    # Changes

    async def change(self) -> None:
        """Make one random change; the server may refuse it."""
        changes: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.move),
            (4, self.create),
            (4, self.copy),
            (4, self.trash),
            (4, self.restore),
            (2, self.rename),
            (2, self.set_time),
            (1, self.purge),
            (1, self.write),
            (2, self.upload),
            (3, self.batch),
            (2, self.grant),
            (1, self.revoke),
            (1, self.clean_up),
            (2, self.relay),
        ]
        weights, actions = zip(*changes, strict=True)
        await self.random.choices(actions, weights)[0]()

    def node(self) -> str:
        """Choose a node, preferably a folder: most errors concern what is below it."""
        return self.random.choice(self.folders[1:] if self.random.random() < 0.6 else self.nodes)

    async def _send(self, method: str, path: str, who: str | None = None, **more: Any) -> dict[str, Any]:
        """Return the answer, empty when the change was refused."""
        client = self.clients[who or self.random.choices(["owner", "member"], [3, 1])[0]]
        answer = await client.request(method, f"/v1/{path}", **more)
        assert answer.status_code < 500, answer.text
        body: dict[str, Any] = answer.json() if answer.is_success and answer.content else {}
        return body

    async def create(self) -> None:
        body = {"parent_id": self.random.choice(self.folders), "name": f"n{self.random.randrange(9)}"}
        made = await self._send("POST", "folders", json=body | {"on_conflict": "rename"})
        self._add(made)

    async def copy(self) -> None:
        # Copies of folders have nodes that `nodes` does not list: they move with their folders.
        if len(self.nodes) > 170:
            return
        body = {"parent_id": self.random.choice(self.folders), "on_conflict": "rename"}
        self._add(await self._send("POST", f"files/{self.node()}/copy", json=body))

    def _add(self, made: dict[str, Any] | None) -> None:
        if made:
            self.nodes.append(made["id"])
            if made["kind"] == "folder":
                self.folders.append(made["id"])

    async def move(self) -> None:
        body = {"parent_id": self.random.choice(self.folders), "on_conflict": "rename"}
        await self._send("PATCH", f"files/{self.node()}", json=body)

    async def rename(self) -> None:
        body = {"name": f"m{self.random.randrange(9)}", "on_conflict": "rename"}
        await self._send("PATCH", f"files/{self.node()}", json=body)

    async def set_time(self) -> None:
        time = f"2026-01-01T00:00:{self.random.randrange(60):02}.5Z"
        await self._send("PATCH", f"files/{self.node()}", json={"client_modified_at": time})

    async def write(self) -> None:
        content = b"%d" % self.random.randrange(100)
        await self._send("PUT", f"files/{self.random.choice(self.nodes)}/content", content=content)

    async def trash(self) -> None:
        await self._send("DELETE", f"files/{self.node()}")

    async def restore(self) -> None:
        trashed = (await self._send("GET", "trash", "owner"))["items"]
        if trashed:
            await self._send("POST", f"files/{self.random.choice(trashed)['id']}/restore", "owner")

    async def purge(self) -> None:
        trashed = (await self._send("GET", "trash", "owner"))["items"]
        if trashed and await self.may_purge():
            await self._send("DELETE", f"trash/{self.random.choice(trashed)['id']}", "owner")

    async def may_purge(self) -> bool:
        """Tell whether items that are in the trash now may be deleted for good."""
        return True

    async def upload(self) -> None:
        """Upload to a file by its id, over its revision."""
        who, content = self.random.choice(["owner", "member"]), self.random.randbytes(20)
        file = await self._send("GET", f"files/{self.random.choice(self.nodes)}", who)
        destination = {"file_id": file.get("id"), "base_revision_id": file.get("revision_id")}
        body = {"fingerprint": sha256(content), "size_bytes": len(content), "destination": destination}
        upload = (await self._send("POST", "uploads", who, json=body)).get("upload")
        if upload:
            wanted = {"parts": [{"number": 1, "sha256": sha256(content)}]}
            for part in (await self._send("POST", f"uploads/{upload['id']}/parts", who, json=wanted)).get("parts", ()):
                await put(part, content)
            await self._send("POST", f"uploads/{upload['id']}/complete", who)

    async def batch(self) -> None:
        """Make a folder, and move, trash and restore items in one transaction, some of them into the folder."""
        parents = {"parent_id": self.random.choice(self.folders)}, {"parent_item": 0}
        operations = [{"op": "create_folder", "name": "batch", "on_conflict": "rename"} | parents[0]]
        for _ in range(self.random.randint(1, 6)):
            place: dict[str, Any] = self.random.choice(parents) | {"on_conflict": "rename"}
            kind = self.random.choice(["move", "trash", "restore"])
            operations.append({"op": kind, "file_id": self.node()} | ({} if kind == "trash" else place))
        answer = await self._send("POST", "files/batch", json={"operations": operations})
        if answer:
            self._add(answer["items"][0]["file"])

    async def grant(self) -> None:
        node_id = self.roots["member"] if self.random.random() < 0.5 else self.node()
        body = {"email": self.member.email, "role": self.random.choice(["viewer", "editor"])}
        await self._send("POST", f"files/{node_id}/grants", "owner", json=body)

    async def revoke(self) -> None:
        shared = (await self._send("GET", "shared-with-me", "member")).get("items", [])
        if shared:
            await self._send("DELETE", f"shared-with-me/{self.random.choice(shared)['id']}", "member")

    async def clean_up(self) -> None:
        await run_until_idle(purge_trash, self.server.services)

    async def relay(self) -> None:
        await run_until_idle(relay_changes, self.server.services)

    # Copies

    def mirror(self, who: str) -> Mirror:
        return Mirror(
            self.clients[who],
            self.roots[who],
            page_rows=self.random.randint(1, 4),
            page_events=self.random.randint(1, 8),
        )

    async def read_tree(self, who: str) -> dict[str, Entry]:
        """Return the tree from another list of the server; nothing if the caller may not see its root."""
        found: dict[str, Entry] = {}
        query: dict[str, Any] = {"parent_id": self.roots[who], "recursive": True, "limit": 1000}
        while True:
            answer = await self.clients[who].get("/v1/files", params=query)
            if answer.status_code == 404:
                return found
            page = answer.raise_for_status().json()
            found |= {file["id"]: summarize(file) for file in page["items"]}
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]


async def run(mirror: Mirror) -> AsyncGenerator[None]:
    """Read the tree and then its events, without end; pause after each request."""
    async for _ in mirror.load():
        yield
    while True:
        async for _ in mirror.follow():
            yield


@dataclass
class Run:
    """A mirror, and how far it is."""

    who: str
    mirror: Mirror
    steps: AsyncGenerator[None]

    async def finish(self) -> None:
        """Read all events: a pass that begins now ends without one that it has not seen."""
        self.mirror.page_rows, self.mirror.page_events = 1000, 500
        wanted = self.mirror.passes + 2
        while self.mirror.passes < wanted:
            await anext(self.steps)


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config) as running:
        yield running


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_tree_with_its_events_is_the_tree_after_any_history(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # A folder is walked, or scanned where it has more than a page.
    monkeypatch.setattr(entries, "isqrt", lambda _: 0 if seed % 2 else 10**6)
    monkeypatch.setattr(entries, "SCANNED_AT_ONCE", 5)
    world = await World.make(server, seed)
    runs: list[Run] = []
    for step in range(STEPS):
        if step % 25 == 0:
            who = "member" if len(runs) % 2 else "owner"
            mirror = world.mirror(who)
            runs.append(Run(who, mirror, run(mirror)))
        if world.random.random() < 0.4:
            await world.change()
        else:
            await anext(world.random.choice(runs[-4:]).steps)
        if step % 100 == 99:
            await check(world, runs)
            del runs[:-2]
    await assert_invariants(server.db, server.store)
    await world.close()


async def test_item_deleted_while_a_member_had_no_access_leaves_the_copy(server: RunningServer) -> None:
    world = await World.make(server, 0)
    shared = world.roots["member"]
    file = await upload_file(world.owner, b"deleted", "deleted", destination={"parent_id": shared})
    grants, grant = f"/v1/files/{shared}/grants", {"email": world.member.email, "role": "editor"}
    (await world.owner.client.post(grants, json=grant)).raise_for_status()
    await world.relay()
    mirror = world.mirror("member")
    copy = Run("member", mirror, run(mirror))
    await copy.finish()
    assert file["id"] in mirror.tree()

    # The member reads no events in between.
    (revoked,) = (await world.owner.client.get(grants)).raise_for_status().json()["items"]
    (await world.owner.client.delete(f"{grants}/{revoked['id']}")).raise_for_status()
    (await world.owner.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    (await world.owner.client.post(grants, json=grant)).raise_for_status()
    await check(world, [copy])
    await world.close()


async def check(world: World, runs: list[Run]) -> None:
    await run_until_idle(relay_changes, world.server.services)
    trees = {who: await world.read_tree(who) for who in world.roots}
    for number, one in enumerate(runs):
        await one.finish()
        kept, tree = one.mirror.tree(), trees[one.who]
        different = {node_id: (kept.get(node_id), tree.get(node_id)) for node_id in kept.keys() | tree.keys()}
        different = {node_id: (had, is_now) for node_id, (had, is_now) in different.items() if had != is_now}
        assert not different, f"copy {number}, of the {one.who}"


@dataclass
class SharedWorld(World):
    """A world whose shared folder is never deleted for good, so that both trees have items at the end."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the next change of a writer, and once all writers have stopped."""

    async def may_purge(self) -> bool:
        return await self.is_listed_for("owner")

    async def is_listed_for(self, who: str) -> bool:
        """Tell whether this account may list the shared folder, which is not in the trash then."""
        return bool(await self._send("GET", "files", who, params={"parent_id": self.roots["member"], "limit": 1}))

    async def share_root(self) -> None:
        """Take the shared folder out of the trash, and share it again, where needed."""
        while not await self.is_listed_for("owner"):
            trashed = (await self._send("GET", "trash", "owner"))["items"]
            assert trashed, "the shared folder is lost"
            for item in trashed:
                await self._send("POST", f"files/{item['id']}/restore", "owner", json={"on_conflict": "rename"})
        if not await self.is_listed_for("member"):
            body = {"email": self.member.email, "role": "editor"}
            await self._send("POST", f"files/{self.roots['member']}/grants", "owner", json=body)

    def change_during(self, walk: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a `walk` that finds the ids of a page, and lets a writer change something before it returns them."""

        async def walk_during_a_change(*found: Any) -> Any:
            page = await walk(*found)
            await self.changed.wait()
            return page

        return walk_during_a_change

    def with_seed(self, seed: str) -> Self:
        """Return the same world with other choices."""
        return replace(self, random=random.Random(seed))

    async def keep_copies(self, who: str, over: asyncio.Event) -> Sequence[Run]:
        """Begin copies one after another, follow each for a while, and return the last ones."""
        runs: deque[Run] = deque(maxlen=COPIES)
        while not over.is_set():
            mirror = self.mirror(who)
            mirror.page_rows = self.random.choice([5, 30, 1000])
            runs.append(Run(who, mirror, run(mirror)))
            passes = self.random.randint(1, 3)
            while mirror.passes < passes and not over.is_set():
                await anext(runs[-1].steps)
        return runs

    async def change_often(self) -> None:
        for _ in range(CHANGES):
            self.changed.clear()
            await self.change()
            self.changed.set()


@pytest.mark.parametrize("number", range(RUNS))
async def test_tree_with_its_events_is_the_tree_after_concurrent_changes(
    server: RunningServer, postgres_url: str, s3_config: S3Config, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    monkeypatch.setattr(entries, "isqrt", lambda _: 10**6)
    world, over = await SharedWorld.make(server, seed), asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.close)
        api = None
        if LONG:
            database_url = server.settings.database.url.get_secret_value()
            api = RestartingApi(environment(database_url, s3_config), seed, requests=REQUESTS_UNTIL_KILL)
            await stack.enter_async_context(api.running())
            for who, account in (("owner", world.owner), ("member", world.member)):
                world.clients[who] = await stack.enter_async_context(api.sign_in(account).client)
            api.killing.set()
        monkeypatch.setattr(entries, "_walk", world.change_during(entries._walk))
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(
                    world.with_seed(f"{seed} reader {n}").keep_copies("member" if n % 2 else "owner", over)
                )
                for n in range(READERS)
            ]
            await asyncio.gather(*(world.with_seed(f"{seed} writer {n}").change_often() for n in range(WRITERS)))
            await world.share_root()
            if api:
                api.killing.clear()
                assert api.kills
            world.changed.set()
            over.set()
        runs = [one for reader in readers for one in reader.result()]
        await check(world, runs)
        rows = [len(await world.read_tree(who)) for who in world.roots]
        passes = sum(one.mirror.passes for one in runs)
        print(f"{rows} rows, {len(runs)} copies, {passes} passes, {api and api.kills} kills")
        assert all(rows)
        await assert_invariants(server.db, server.store)
