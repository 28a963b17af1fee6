"""Names and paths: clean a name, look up the live node at a name or a path, choose a free name."""

import uuid
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, select, text

from dropbox_api import problems
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.schemas import OnConflict


def split_path(path: str) -> list[str]:
    """Return the clean names of a path. Raises InvalidName."""
    try:
        return names.split_path(path)
    except names.BadName as bad:
        raise problems.InvalidName(str(bad), reason=bad.reason) from None


def clean_name(name: str) -> str:
    """Return a name in NFC. Raises InvalidName."""
    try:
        return names.clean_name(name)
    except names.BadName as bad:
        raise problems.InvalidName(str(bad), reason=bad.reason) from None


NodeKey = tuple[uuid.UUID, str]
"""The unique key of a live node: (parent id, name key)."""


@dataclass(frozen=True, slots=True)
class Target:
    """The name in a folder that a node gets, and the policy when the name is taken."""

    parent_id: uuid.UUID
    name: str
    """Clean (NFC)."""
    on_conflict: OnConflict

    @property
    def key(self) -> NodeKey:
        return self.parent_id, names.make_key(self.name)

    @property
    def new_nodes(self) -> int:
        """How many nodes new content makes there at most."""
        return 1


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A file that gets new content, wherever it is by then."""

    file_id: uuid.UUID
    parent_id: uuid.UUID
    """Its folder when the file was named."""
    name: str

    @property
    def key(self) -> NodeKey:
        """A key that is no name: those are not empty."""
        return self.file_id, ""

    @property
    def new_nodes(self) -> int:
        """How many nodes new content makes there: a revision needs none."""
        return 0


@dataclass(slots=True)
class NamedNode:
    """A node and its content; a folder has None for its content."""

    node_id: uuid.UUID
    parent_id: uuid.UUID
    name: str
    name_key: str
    kind: str
    is_trashed: bool
    """Whether the node itself was deleted. One that was found at a name is live."""
    revision_id: uuid.UUID | None
    revision_number: int
    verified: bytes | None
    """The fingerprint where it is proven for the whole content."""
    blob_id: uuid.UUID | None
    size_bytes: int
    content_type: str | None
    author_id: uuid.UUID | None
    """The account that made the head revision."""
    claimed: bytes | None
    """The fingerprint that the content was sent with, unless it is known to be wrong or damaged."""
    client_modified_at: datetime | None
    """The client's time of the head revision."""
    executable: bool

    @property
    def key(self) -> NodeKey:
        return self.parent_id, self.name_key


_NODES = (
    select(
        Node.id,
        Node.parent_id,
        Node.name,
        Node.name_key,
        Node.kind,
        Node.trashed_at.is_not(None).label("is_trashed"),
        Node.head_revision_id,
        Node.executable,
        Revision.number,
        Revision.blob_id,
        Revision.size_bytes,
        Revision.content_type,
        Revision.author_id,
        Revision.client_modified_at,
        Blob.fingerprint,
        Blob.content_status,
    )
    .outerjoin(Revision, Revision.id == Node.head_revision_id)
    .outerjoin(Blob, Blob.id == Revision.blob_id)
)
_NODES_AT = _NODES.where(
    # One pair of arrays, whatever their length: thousands of row values would exhaust Postgres's parser.
    text(
        "(nodes.parent_id, nodes.name_key) IN"
        " (SELECT * FROM unnest(CAST(:parent_ids AS uuid[]), CAST(:name_keys AS text[])))"
    ),
    Node.trashed_at.is_(None),
)
_NODES_BY_ID = _NODES.where(Node.id.in_(bindparam("ids", expanding=True)))


def name_columns(name: str) -> dict[str, str | None]:
    """Return the columns of a node that depend on its clean name; the root folder has the name ""."""
    key = names.make_key(name)
    folded = names.fold_key(key)
    return {
        "name": name,
        "name_key": key,
        "folded_key": None if folded == key else folded,
        "name_sort": names.make_sort_key(key),
    }


async def find_nodes_at(tx: Tx, places: Sequence[NodeKey]) -> dict[NodeKey, NamedNode]:
    """Return the live node at each of the names; free names are left out."""
    if not places:
        return {}
    unique = list(set(places))
    arrays = {"parent_ids": [parent_id for parent_id, _ in unique], "name_keys": [key for _, key in unique]}
    return {node.key: node for node in await _read_nodes(tx, _NODES_AT, arrays)}


async def find_nodes(tx: Tx, node_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, NamedNode]:
    """Return these nodes, live or in the trash, by id."""
    if not node_ids:
        return {}
    return {node.node_id: node for node in await _read_nodes(tx, _NODES_BY_ID, {"ids": list(node_ids)})}


async def _read_nodes(tx: Tx, nodes: Select[*tuple[Any, ...]], bound: Mapping[str, Any]) -> list[NamedNode]:
    return [
        NamedNode(
            node_id=row.id,
            parent_id=row.parent_id,
            name=row.name,
            name_key=row.name_key,
            kind=row.kind,
            is_trashed=row.is_trashed,
            revision_id=row.head_revision_id,
            revision_number=row.number or 0,
            verified=row.fingerprint if row.content_status == "verified" else None,
            blob_id=row.blob_id,
            size_bytes=row.size_bytes or 0,
            content_type=row.content_type,
            author_id=row.author_id,
            claimed=row.fingerprint if row.content_status in {"stored", "verified"} else None,
            client_modified_at=row.client_modified_at,
            executable=row.executable,
        )
        for row in await tx.execute(nodes, bound)
    ]


async def get_root_id(tx: Tx, owner_id: uuid.UUID) -> uuid.UUID:
    """Return the root folder of an account."""
    root_id: uuid.UUID = (
        await tx.execute(select(Node.id).where(Node.owner_id == owner_id, Node.parent_id.is_(None)))
    ).scalar_one()
    return root_id


async def resolve_path(tx: Tx, owner_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path of the owner's tree. Raises NotFound, InvalidName."""
    return await resolve_below(tx, await get_root_id(tx, owner_id), path)


async def resolve_below(tx: Tx, node_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path below a folder. Raises NotFound, InvalidName."""
    for segment in split_path(path):
        place = (node_id, names.make_key(segment))
        node = (await find_nodes_at(tx, [place])).get(place)
        if node is None:
            raise problems.NotFound(f"No file or folder has the path {path!r}")
        node_id = node.node_id
    return node_id


CANDIDATES_AT_ONCE = 50
_FIRST_CANDIDATES = 5
MAX_CANDIDATE = 1_000_000
"""Of conflict names; a folder with more of them has no free one."""


@dataclass(slots=True)
class ConflictNames:
    """Free conflict names for a batch: one query reads the first ones of all names, and further ones are rare."""

    _free: dict[tuple[uuid.UUID, str], list[str]] = field(default_factory=dict)
    """By folder and wanted name, the last one first."""
    _searched: dict[tuple[uuid.UUID, str], int] = field(default_factory=dict)

    async def read(self, tx: Tx, wanted: Collection[tuple[uuid.UUID, str]], count: int = _FIRST_CANDIDATES) -> None:
        """Read which of the next conflict names of these names are free. Transaction: joins tx, under the lock."""
        candidates = {}
        for place in set(wanted):
            first = self._searched.get(place, 1)
            self._searched[place] = first + count
            candidates[place] = [names.make_conflict_name(place[1], n) for n in range(first, first + count)]
        taken = await find_nodes_at(
            tx, [(place[0], names.make_key(name)) for place, made in candidates.items() for name in made]
        )
        for place, made in candidates.items():
            self._free[place] = [name for name in reversed(made) if (place[0], names.make_key(name)) not in taken]

    async def choose(self, tx: Tx, parent_id: uuid.UUID, name: str, nodes: Container[NodeKey]) -> str:
        """Return the first free conflict name that is not among `nodes`, the names of the same batch."""
        place = (parent_id, name)
        while self._searched.get(place, 1) < MAX_CANDIDATE:
            free = self._free.get(place, [])
            while free:
                candidate = free.pop()
                if (parent_id, names.make_key(candidate)) not in nodes:
                    return candidate
            await self.read(tx, [place], CANDIDATES_AT_ONCE)
        raise problems.NameTaken
