"""`access` grants what the rules of docs/security.md say, in random forests with grants, trash and links.

The model is plain Python over lists; the rows are in a real Postgres. Hypothesis prints the smallest forest that
differs, and the blob that repeats it.
"""

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from dropbox_api import access, problems
from dropbox_api.access import Role
from dropbox_api.db import Db, Tx
from dropbox_api.models import Grant, Link, Node, User
from dropbox_api.settings import DatabaseSettings
from tests.support.server import PATIENT, migrated_database

EXAMPLES = 400 if os.environ.get("FAULTS") == "long" else 40
OWNERS = (0, 1)
ACCOUNTS = (0, 1, 2, 3)
"""Two owners of trees and two accounts without files; each may have grants in trees of others."""
ROLES: tuple[Role, ...] = ("viewer", "editor", "owner")
NOW = datetime.now(UTC)
MAYBE = st.sampled_from([False, False, False, True])
MOMENTS = st.sampled_from([None, NOW - timedelta(hours=1), NOW + timedelta(days=1)])


@dataclass(frozen=True)
class ModelNode:
    owner: int
    parent: int | None
    kind: Literal["file", "folder"]
    is_trashed: bool = False
    is_purged: bool = False


@dataclass(frozen=True)
class ModelLink:
    node: int
    creator: int
    is_revoked: bool
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int

    @property
    def is_usable(self) -> bool:
        is_expired = self.expires_at is not None and self.expires_at <= NOW
        is_used_up = self.max_downloads is not None and self.downloads >= self.max_downloads
        return not (self.is_revoked or is_expired or is_used_up)


@dataclass
class Forest:
    """Nodes by number, parents first: 0 and 1 are the roots of the two owners."""

    nodes: list[ModelNode]
    grants: dict[tuple[int, int], Role]
    """(node, account) -> role."""
    pending: list[int]
    """Nodes with an invitation that no account has accepted."""
    links: list[ModelLink]
    disabled: set[int]
    ids: list[uuid.UUID] = field(default_factory=list)
    """The rows' ids of the nodes."""
    accounts: list[uuid.UUID] = field(default_factory=list)

    def climb(self, node: int) -> Iterator[int]:
        """Yield a node and all folders above it."""
        at: int | None = node
        while at is not None:
            yield at
            at = self.nodes[at].parent

    def is_in_trash(self, node: int) -> bool:
        return any(self.nodes[at].is_trashed for at in self.climb(node))

    def role(self, account: int, node: int) -> Role | None:
        if self.nodes[node].owner == account:
            return "owner"
        granted = [self.grants[at, account] for at in self.climb(node) if (at, account) in self.grants]
        return max(granted, key=ROLES.index, default=None)

    def expect(self, account: int, node: int, needed: Role) -> access.Access | type[problems.Problem]:
        role = self.role(account, node)
        if role is None or self.is_in_trash(node):
            return problems.NotFound
        return problems.Forbidden if ROLES.index(role) < ROLES.index(needed) else self.grant(node, role)

    def grant(self, node: int, role: Role) -> access.Access:
        found = self.nodes[node]
        return access.Access(self.ids[node], self.accounts[found.owner], found.kind, role)

    def see(self, account: int, node: int) -> access.Visibility | None:
        role = self.role(account, node)
        if role is None:
            return None
        way = list(self.climb(node))
        if role == "owner":
            top = len(way)
        else:
            top = max(height for height, at in enumerate(way) if (at, account) in self.grants)
        shown = [at for at in way[: top + 1] if self.nodes[at].parent is not None]
        path = "".join(f"/{at}" for at in reversed(shown)) or "/"
        shared = node in self.pending or any(place == node for place, _ in self.grants)
        has_link = any(link.node == node and link.creator == account and link.is_usable for link in self.links)
        return access.Visibility(
            path,
            role,
            is_top=role != "owner" and top == 0,
            is_in_trash=self.is_in_trash(node),
            shared=shared if role == "owner" else None,
            has_link=has_link if role == "owner" else None,
        )


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    nodes = [ModelNode(owner, None, "folder") for owner in OWNERS]
    for _ in range(draw(st.integers(1, 9))):
        parent = draw(st.sampled_from([number for number, node in enumerate(nodes) if node.kind == "folder"]))
        is_trashed = draw(MAYBE)
        kind: Literal["file", "folder"] = draw(st.sampled_from(["folder", "folder", "file"]))
        nodes.append(ModelNode(nodes[parent].owner, parent, kind, is_trashed, is_trashed and draw(MAYBE)))
    below = range(len(OWNERS), len(nodes))  # roots cannot be shared
    places = [(node, account) for node in below for account in ACCOUNTS if nodes[node].owner != account]
    some = st.sampled_from(below)
    links = st.builds(
        ModelLink,
        node=some,
        creator=st.sampled_from(OWNERS),
        is_revoked=MAYBE,
        expires_at=MOMENTS,
        max_downloads=st.none() | st.integers(1, 2),
        downloads=st.integers(0, 2),
    )
    return Forest(
        nodes,
        draw(st.dictionaries(st.sampled_from(places), st.sampled_from(ROLES[:2]), max_size=6)),
        draw(st.lists(some, max_size=2)),
        draw(st.lists(links, max_size=3)),
        draw(st.sets(st.sampled_from(OWNERS), max_size=1)),
    )


# The rows


@pytest.fixture(scope="module")
async def access_db(postgres_url: str) -> AsyncIterator[Db]:
    async with migrated_database(postgres_url) as url:
        db = Db.connect(DatabaseSettings.model_validate({"url": url} | PATIENT))
        yield db
        await db.close()


async def store(tx: Tx, forest: Forest) -> list[uuid.UUID]:
    """Insert a forest under new ids; return the ids of the links."""
    forest.accounts = [uuid.uuid4() for _ in ACCOUNTS]
    forest.ids = [uuid.uuid4() for _ in forest.nodes]
    users: list[dict[str, Any]] = [
        {"id": account, "email": f"{account}@example.com", "disabled_at": NOW if number in forest.disabled else None}
        for number, account in enumerate(forest.accounts)
    ]
    await tx.execute(insert(User).values(quota_bytes=0, quota_nodes=0), users)
    for number, node in enumerate(forest.nodes):
        row = {
            "id": forest.ids[number],
            "owner_id": forest.accounts[node.owner],
            "parent_id": None if node.parent is None else forest.ids[node.parent],
            "kind": node.kind,
            "name": str(number),
            "name_key": str(number),
            "trashed_at": NOW if node.is_trashed else None,
            "purged_at": NOW if node.is_purged else None,
        }
        await tx.execute(insert(Node).values(row))
    accepted = [(place, forest.accounts[account], role) for (place, account), role in forest.grants.items()]
    invited = [(place, None, "editor") for place in forest.pending]
    for place, grantee, role in [*accepted, *invited]:
        owner = forest.accounts[forest.nodes[place].owner]
        values = {"owner_id": owner, "created_by": owner, "node_id": forest.ids[place], "role": role}
        values |= {"id": uuid.uuid4(), "grantee_id": grantee, "email": f"{uuid.uuid4()}@example.com"}
        await tx.execute(insert(Grant).values(values))
    link_ids = [uuid.uuid4() for _ in forest.links]
    for link_id, link in zip(link_ids, forest.links, strict=True):
        values = {
            "id": link_id,
            "owner_id": forest.accounts[forest.nodes[link.node].owner],
            "created_by": forest.accounts[link.creator],
            "node_id": forest.ids[link.node],
            "mode": "view",
            "expires_at": link.expires_at,
            "max_downloads": link.max_downloads,
            "downloads": link.downloads,
            "revoked_at": NOW if link.is_revoked else None,
        }
        await tx.execute(insert(Link).values(values))
    return link_ids


# The comparison


async def compare_roles(tx: Tx, forest: Forest) -> None:
    for account, node, needed in itertools.product(ACCOUNTS, range(len(forest.nodes)), ROLES):
        expected = forest.expect(account, node, needed)
        try:
            found: Any = await access.require_role(tx, forest.accounts[account], forest.ids[node], needed)
        except problems.Problem as problem:
            found = type(problem)
        assert found == expected, (account, node, needed)
    for account in ACCOUNTS:
        is_editor = any(role == "editor" for (_, grantee), role in forest.grants.items() if grantee == account)
        assert await access.has_editor_grant(tx, forest.accounts[account]) is is_editor


async def compare_lists(tx: Tx, forest: Forest) -> None:
    numbers = {node_id: number for number, node_id in enumerate(forest.ids)}
    assert {numbers[one] for one in await access.find_trashed(tx, forest.ids)} == {
        number for number in numbers.values() if forest.is_in_trash(number)
    }
    for account in ACCOUNTS:
        actor_id = forest.accounts[account]
        seen = {number: forest.see(account, number) for number in numbers.values()}
        visible = await access.find_visible(tx, actor_id, forest.ids)
        assert {numbers[one]: how for one, how in visible.items()} == {n: how for n, how in seen.items() if how}

        condition = await access.build_visible_condition(tx, actor_id)
        rows = await tx.execute(select(Node.id).where(Node.id.in_(forest.ids), condition))
        listed = {numbers[one] for one in rows.scalars()}
        live = {number for number, how in seen.items() if how and not how.is_in_trash}
        assert live <= listed <= {number for number, how in seen.items() if how}

        for owner in OWNERS:
            editable = await access.find_open_folders(tx, actor_id, forest.accounts[owner], forest.ids)
            assert {numbers[one] for one in editable} == {
                number
                for number, node in enumerate(forest.nodes)
                if node.owner == owner and node.kind == "folder" and number in live
                if forest.role(account, number) in {"editor", "owner"}
            }


async def compare_trash(tx: Tx, forest: Forest) -> None:
    for account, (number, node) in itertools.product(ACCOUNTS, enumerate(forest.nodes)):
        try:
            found: Any = await access.require_trashed(tx, forest.accounts[account], forest.ids[number])
        except problems.NotFound:
            found = None
        is_own_trash = node.owner == account and node.is_trashed and not node.is_purged
        assert found == (forest.grant(number, "owner") if is_own_trash else None)


async def compare_links(tx: Tx, forest: Forest, link_ids: list[uuid.UUID]) -> None:
    for link_id, link in zip(link_ids, forest.links, strict=True):
        is_working = (
            link.is_usable
            and link.creator == forest.nodes[link.node].owner
            and link.creator not in forest.disabled
            and not forest.is_in_trash(link.node)
        )
        try:
            found = (await access.require_link(tx, link_id)).top
        except problems.NotFound:
            assert not is_working
            continue
        assert is_working
        assert found == forest.grant(link.node, "viewer")
    for top, node in itertools.product(range(len(forest.nodes)), repeat=2):
        is_below = top in forest.climb(node) and not forest.is_in_trash(node)
        try:
            below: Any = await access.require_below_link(tx, forest.ids[top], forest.ids[node])
        except problems.NotFound:
            below = None
        assert below == (forest.grant(node, "viewer") if is_below else None)


@pytest.mark.timeout(600)
async def test_access_in_any_forest_equals_the_model(access_db: Db) -> None:
    loop = asyncio.get_running_loop()

    async def compare(forest: Forest) -> None:
        async with access_db.begin() as tx:
            link_ids = await store(tx, forest)
        async with access_db.read() as tx:
            await compare_roles(tx, forest)
            await compare_lists(tx, forest)
            await compare_trash(tx, forest)
            await compare_links(tx, forest, link_ids)

    @settings(max_examples=EXAMPLES, database=None, print_blob=True)
    @given(forests())
    def compare_all(forest: Forest) -> None:
        asyncio.run_coroutine_threadsafe(compare(forest), loop).result()

    await asyncio.to_thread(compare_all)


async def test_plain_link_of_an_editor_who_is_not_the_owner_is_not_found(access_db: Db) -> None:
    """Only an upload token may be made by an editor; no route makes such a link."""
    top = len(OWNERS)
    forest = Forest(
        [*(ModelNode(owner, None, "folder") for owner in OWNERS), ModelNode(0, 0, "folder")],
        {(top, 1): "editor"},
        [],
        [
            ModelLink(top, creator, is_revoked=False, expires_at=None, max_downloads=None, downloads=0)
            for creator in (0, 1)
        ],
        set(),
    )
    async with access_db.begin() as tx:
        link_ids = await store(tx, forest)
    async with access_db.read() as tx:
        await compare_links(tx, forest, link_ids)
        assert set(await access.find_receiving_links(tx, link_ids)) == set()  # they are no upload links
