"""Names and paths: clean a name, look up the live node at a name or a path, choose a free name."""

import uuid
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, text

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


@dataclass(slots=True)
class NamedNode:
    """The live node at a name; a folder has None for its content."""

    node_id: uuid.UUID
    kind: str
    revision_id: uuid.UUID | None
    revision_number: int
    verified: bytes | None
    """The fingerprint where it is proven for the whole content."""
    blob_id: uuid.UUID | None
    client_modified_at: datetime | None
    """The client's time of the head revision."""


_NODES_AT = (
    select(
        Node.parent_id,
        Node.name_key,
        Node.id,
        Node.kind,
        Node.head_revision_id,
        Revision.number,
        Revision.blob_id,
        Revision.client_modified_at,
        Blob.fingerprint,
        Blob.content_status,
    )
    .outerjoin(Revision, Revision.id == Node.head_revision_id)
    .outerjoin(Blob, Blob.id == Revision.blob_id)
    .where(
        # One pair of arrays, whatever their length: thousands of row values would exhaust Postgres's parser.
        text(
            "(nodes.parent_id, nodes.name_key) IN"
            " (SELECT * FROM unnest(CAST(:parent_ids AS uuid[]), CAST(:name_keys AS text[])))"
        ),
        Node.trashed_at.is_(None),
    )
)


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
    rows = await tx.execute(_NODES_AT, arrays)
    return {
        (row.parent_id, row.name_key): NamedNode(
            row.id,
            row.kind,
            row.head_revision_id,
            row.number or 0,
            row.fingerprint if row.content_status == "verified" else None,
            row.blob_id,
            row.client_modified_at,
        )
        for row in rows
    }


async def resolve_path(tx: Tx, owner_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path of the owner's tree. Raises NotFound, InvalidName."""
    root = select(Node.id).where(Node.owner_id == owner_id, Node.parent_id.is_(None))
    return await resolve_below(tx, (await tx.execute(root)).scalar_one(), path)


async def resolve_below(tx: Tx, node_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path below a folder. Raises NotFound, InvalidName."""
    for segment in split_path(path):
        place = (node_id, names.make_key(segment))
        node = (await find_nodes_at(tx, [place])).get(place)
        if node is None:
            raise problems.NotFound(f"No file or folder has the path {path!r}")
        node_id = node.node_id
    return node_id


_CANDIDATES_AT_ONCE = 50
_FIRST_CANDIDATES = 5
_MAX_CANDIDATE = 1_000_000


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
        while self._searched.get(place, 1) < _MAX_CANDIDATE:
            free = self._free.get(place, [])
            while free:
                candidate = free.pop()
                if (parent_id, names.make_key(candidate)) not in nodes:
                    return candidate
            await self.read(tx, [place], _CANDIDATES_AT_ONCE)
        raise problems.NameTaken
