"""Changes of one owner's tree in one transaction: nodes are read once, decided in memory, written in bulk.

One request and a batch of five hundred take the same way. Each operation checks everything before its first change, so
a refused one leaves nothing behind; later operations see the changes of earlier ones before these are written.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Executable, Row, bindparam, func, insert, text, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx, new_id
from dropbox_api.events import journal
from dropbox_api.files import guard, paths, views
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import NodeKey
from dropbox_api.files.schemas import File
from dropbox_api.models import Node, User
from dropbox_api.plumbing import audit

MAX_COPY_NODES = 100_000
"""Limit of the copies of one request; each of its transactions holds the owner's lock."""


class NameHolder(NamedTuple):
    """The live node at a name."""

    node_id: uuid.UUID
    kind: str


_CHANGED = update(Node).where(Node.id == bindparam("of_node"))
_TO_PLACE: dict[str, Any] = {
    "version": Node.version + 1,
    "parent_id": bindparam("to_parent_id"),
    **{column: bindparam(f"to_{column}") for column in paths.name_columns("any")},
}
_PLACE = _CHANGED.values(**_TO_PLACE)
_RESTORE = _CHANGED.values(**_TO_PLACE, trashed_at=None, trashed_by=None)
_TRASH = _CHANGED.values(version=Node.version + 1, trashed_at=func.now(), trashed_by=bindparam("by"))
_INSERT = insert(Node)

_HEIGHTS = text(f"""
    WITH RECURSIVE down AS (
        SELECT start, start AS id, 0 AS height FROM unnest(CAST(:ids AS uuid[])) AS start
        UNION ALL
        SELECT start, child.id, height + 1 FROM down, {access.children_of("down", where="kind = 'folder'")}
        WHERE height < :max_height
    )
    SELECT start, max(height) AS height FROM down GROUP BY start
""")

_HAS_RUNNING = text("SELECT EXISTS (SELECT FROM revisions WHERE owner_id = :owner_id AND processing_state = 'running')")


class TreeEdit:
    """The changes of one transaction, which holds the owner's lock. Its caller ends it with `flush`."""

    def __init__(self, tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, *, max_copies: int = MAX_COPY_NODES) -> None:
        self.tx = tx
        self.actor_id = actor_id
        self.owner_id = owner_id
        self.copies_left = max_copies
        """How many more nodes the request may copy."""
        self._changes: list[journal.Change] = []
        self._entries: list[audit.Entry] = []
        self._writes: list[tuple[Executable, Mapping[str, Any]]] = []
        self.forget()

    def forget(self) -> None:
        """Forget what was read, after a write that this class does not know. All changes must be flushed."""
        self._tree = access.KnownTree()
        self._nodes: dict[uuid.UUID, LockedNode] = {}
        self._holders: dict[NodeKey, NameHolder | None] = {}
        self._heights: dict[uuid.UUID, int] = {}
        self._made: set[uuid.UUID] = set()
        """The folders that these changes made: all names in them are known."""
        self._free_nodes: int | None = None
        self._has_running: bool | None = None

    # Reading

    async def load(self, node_ids: Collection[uuid.UUID]) -> None:
        """Read nodes, their folders and grants, unless they are known: two queries for all of them."""
        missing = {node_id for node_id in node_ids if node_id not in self._tree.nodes}
        if missing:
            await self._tree.load(self.tx, missing)

    async def load_nodes(self, node_ids: Collection[uuid.UUID]) -> None:
        """Read the nodes to be changed, unless they are known."""
        await self.load(node_ids)
        unread = {node_id for node_id in node_ids if node_id in self._tree.nodes and node_id not in self._nodes}
        if unread:
            await self.write_rows()
            self._nodes |= {node.id: node for node in await guard.load_nodes(self.tx, unread)}

    async def load_names(self, places: Collection[NodeKey]) -> None:
        """Read which nodes have these names, unless that is known."""
        missing = [place for place in places if place not in self._holders and place[0] not in self._made]
        found = await paths.find_nodes_at(self.tx, missing)
        for place in missing:
            node = found.get(place)
            self._holders[place] = NameHolder(node.node_id, node.kind) if node else None

    async def load_heights(self, folder_ids: Collection[uuid.UUID]) -> None:
        """Read how many levels of folders are below each of these, in the trash or not."""
        missing = [folder_id for folder_id in folder_ids if folder_id not in self._heights]
        if missing:
            await self.write_rows()
            rows = await self.tx.execute(_HEIGHTS, {"ids": missing, "max_height": names.MAX_DEPTH})
            self._heights |= {row.start: row.height for row in rows}

    def find_known(self, node_id: uuid.UUID) -> LockedNode | None:
        """Return a node that `load_nodes` has read, whatever the actor may do with it."""
        return self._nodes.get(node_id)

    async def get_node(self, node_id: uuid.UUID, role: access.Role) -> LockedNode:
        """Return a live node on which the actor has at least `role`. Raises NotFound, Forbidden."""
        await self.load_nodes([node_id])
        self._tree.require_role(self.actor_id, node_id, role)
        return self._nodes[node_id]

    async def get_trashed_node(self, node_id: uuid.UUID) -> LockedNode:
        """Return a node that was itself deleted and that the actor may restore. Raises NotFound."""
        await self.load_nodes([node_id])
        self._tree.require_restorable(self.actor_id, node_id)
        return self._nodes[node_id]

    async def get_folder(self, folder_id: uuid.UUID, role: access.Role = "editor") -> access.Access:
        """Return a live folder on which the actor has at least `role`. Raises NotFound, Forbidden, NotAFolder."""
        await self.load([folder_id])
        folder = self._tree.require_role(self.actor_id, folder_id, role)
        if folder.kind != "folder":
            raise problems.NotAFolder
        return folder

    async def is_editor(self, node_id: uuid.UUID) -> bool:
        """Tell whether the actor is editor or owner of a live node."""
        await self.load([node_id])
        return self._tree.is_editor(self.actor_id, node_id)

    async def find_holder(self, place: NodeKey) -> NameHolder | None:
        """Return the live node at a name."""
        await self.load_names([place])
        return self._holders.get(place)

    def list_grantees(self, node_id: uuid.UUID) -> frozenset[uuid.UUID]:
        """Return the grantees of a node and of the folders above it."""
        return self._tree.list_grantees(node_id)

    def is_below(self, node_id: uuid.UUID, folder_id: uuid.UUID) -> bool:
        """Tell whether a node is the folder or lies below it."""
        return folder_id in self._tree.climb(node_id)

    def measure_depth(self, folder_id: uuid.UUID) -> int:
        """Return how many folders are above a folder."""
        return sum(1 for _ in self._tree.climb(folder_id)) - 1

    async def measure_height(self, folder_id: uuid.UUID, at_most: int) -> int:
        """Return how many levels of folders are below a folder; exactly, if they are more than `at_most`."""
        await self.load_heights([folder_id])
        if self._heights[folder_id] > at_most:  # perhaps an earlier height: folders were moved away since
            del self._heights[folder_id]
            await self.load_heights([folder_id])
        return self._heights[folder_id]

    async def count_free_nodes(self) -> int:
        """Return how many more files and folders the owner's quota permits."""
        if self._free_nodes is None:
            self._free_nodes = await guard.count_free_nodes(self.tx, self.owner_id)
        return self._free_nodes

    async def has_running(self) -> bool:
        """Tell whether a processor works on any of the owner's files."""
        if self._has_running is None:
            self._has_running = bool((await self.tx.execute(_HAS_RUNNING, {"owner_id": self.owner_id})).scalar_one())
        return self._has_running

    # Changing

    def place(self, node: LockedNode, parent_id: uuid.UUID, name: str) -> None:
        """Give a live node another folder and name, which is free."""
        self._free_name(node)
        self._set_place(_PLACE, node, parent_id, name)

    def restore(self, node: LockedNode, parent_id: uuid.UUID, name: str) -> None:
        """Take a node out of the trash to a folder and a name, which is free."""
        self._tree.nodes[node.id].is_trashed = False
        self._set_place(_RESTORE, node, parent_id, name)

    def trash(self, node: LockedNode) -> None:
        """Move a live node to the trash."""
        self._free_name(node)
        known = self._tree.nodes[node.id]
        known.is_trashed, known.trashed_by = True, self.actor_id
        self._nodes[node.id] = replace(node, version=node.version + 1)
        self._writes.append((_TRASH, {"of_node": node.id, "by": self.actor_id}))

    async def add_folder(self, parent_id: uuid.UUID, name: str) -> uuid.UUID:
        """Make a folder at a free name (clean) and return it. Raises TooManyFiles."""
        if await self.count_free_nodes() < 1:
            raise problems.TooManyFiles
        self._free_nodes = await self.count_free_nodes() - 1
        node_id = new_id()
        columns = paths.name_columns(name)
        row = {"id": node_id, "owner_id": self.owner_id, "parent_id": parent_id, "kind": "folder", **columns}
        self._writes.append((_INSERT, row))
        key = names.make_key(name)
        self._tree.nodes[node_id] = access.TreeNode(
            self.owner_id, parent_id, "folder", is_trashed=False, is_purged=False
        )
        self._holders[parent_id, key] = NameHolder(node_id, "folder")
        self._made.add(node_id)
        self._raise_heights(node_id, 0)
        self.report(journal.Change("file.created", node_id), audit.Entry("created", node_id, {"name": name}))
        return node_id

    def report(self, change: journal.Change, entry: audit.Entry, *more: journal.Change) -> None:
        """Add events and the entry of the audit trail of one operation."""
        self._changes += (change, *more)
        self._entries.append(entry)

    def _free_name(self, node: LockedNode) -> None:
        self._holders[node.folder_id, node.name_key] = None

    def _set_place(self, statement: Executable, node: LockedNode, parent_id: uuid.UUID, name: str) -> None:
        key = names.make_key(name)
        values = {"parent_id": parent_id, **paths.name_columns(name)}
        self._writes.append(
            (statement, {f"to_{column}": value for column, value in values.items()} | {"of_node": node.id})
        )
        self._nodes[node.id] = replace(node, parent_id=parent_id, name=name, name_key=key, version=node.version + 1)
        self._tree.nodes[node.id].parent_id = parent_id
        self._holders[parent_id, key] = NameHolder(node.id, node.kind)
        if node.kind == "folder":
            self._raise_heights(node.id, self._heights.get(node.id, names.MAX_DEPTH))

    def _raise_heights(self, folder_id: uuid.UUID, height: int) -> None:
        """Keep the known heights of the folders above a new place of a folder at least as large as they are."""
        for distance, above in enumerate(self._tree.climb(folder_id)):
            if above in self._heights or not distance:
                self._heights[above] = max(self._heights.get(above, 0), distance + height)

    # Writing

    async def flush(self) -> None:
        """Write all changes, with events and audit trail."""
        await self.write_rows()
        changes, self._changes = self._changes, []
        entries, self._entries = self._entries, []
        await journal.append_changes(self.tx, self.owner_id, changes)
        await audit.record(self.tx, self.owner_id, entries)

    async def write_rows(self) -> None:
        """Write the rows of nodes in the order of their changes: a name is free before another node gets it."""
        writes, self._writes = self._writes, []
        made = 0
        for statement, group in groupby(writes, key=itemgetter(0)):
            rows = [values for _, values in group]
            made += len(rows) if statement is _INSERT else 0
            await self.tx.execute(statement, rows)
        if made:
            await self.tx.execute(
                update(User).where(User.id == self.owner_id).values(used_nodes=User.used_nodes + made)
            )

    async def read(self, statement: Executable, bound: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of a statement that sees all changes."""
        await self.write_rows()
        return (await self.tx.execute(statement, bound)).all()

    async def view(self, node_id: uuid.UUID) -> File:
        """Write all changes and return a node as the actor sees it."""
        await self.flush()
        return await views.get_file(self.tx, self.actor_id, node_id)


async def lock_tree(tx: Tx, actor_id: uuid.UUID, granted: access.Access) -> TreeEdit:
    """Take the lock of a node's owner. The operations check the actor's access again under it."""
    await guard.lock_owner(tx, granted.owner_id)
    return TreeEdit(tx, actor_id, granted.owner_id)
