"""Put content at names: the only code that makes nodes and revisions of uploaded content.

Everything here joins a transaction that holds the owner's row lock, so what is read stays true until it is written:
read what stands there, decide in plain Python, write in bulk. Each placement succeeds or gets its own problem.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx, new_id
from dropbox_api.events import journal
from dropbox_api.files import folders, paths
from dropbox_api.files.paths import NamedNode, Place
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit


@dataclass(frozen=True, slots=True)
class Content:
    """A stored blob, as a revision needs it."""

    blob_id: uuid.UUID
    fingerprint: bytes
    size_bytes: int
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """One content on its way to one name."""

    destination_id: uuid.UUID | None
    """Of an upload: None for what comes from elsewhere."""
    parent_id: uuid.UUID
    name: str
    """Clean (NFC)."""
    on_conflict: str
    base_revision_id: uuid.UUID | None
    content_type: str
    client_modified_at: datetime | None
    author_id: uuid.UUID
    content: Content
    is_copy: bool = False
    """A copy is made even where this very content stands already."""
    is_of_file: bool = False
    """New content of the file that stands there, which the author was seen to edit; its folder may not be theirs."""


@dataclass(frozen=True, slots=True)
class PlacedFile:
    node_id: uuid.UUID
    revision_id: uuid.UUID
    name: str


async def put_files(
    tx: Tx, owner_id: uuid.UUID, placements: Sequence[Placement]
) -> list[PlacedFile | problems.Problem]:
    """Make each content the file of its name, in order; return what came of each, in the same order.

    A name that already holds this very content (the same object, or verified) is left as it is, whatever the policy.

    Returns one of: what was placed, ParentGone, NameTaken, RevisionConflict, TooManyFiles.
    Transaction: joins tx, which holds the owner's lock; checks everything again under it.
    """
    open_to = {
        author_id: await access.find_open_folders(
            tx, author_id, owner_id, {p.parent_id for p in placements if p.author_id == author_id}
        )
        for author_id in {p.author_id for p in placements}
    }
    room = await folders.count_free_nodes(tx, owner_id)
    await _restore_bases(
        tx, owner_id, [p for p in placements if p.base_revision_id and p.parent_id in open_to[p.author_id]]
    )
    standing = await paths.find_nodes_at(tx, [(p.parent_id, names.make_key(p.name)) for p in placements])
    nodes: list[dict[str, Any]] = []
    replaced: dict[uuid.UUID, dict[str, Any]] = {}
    revisions: list[dict[str, Any]] = []
    changes: list[journal.Change] = []
    acts: list[audit.Entry] = []
    results: list[PlacedFile | problems.Problem] = []
    searched: dict[Place, int] = {}
    for p in placements:
        if not p.is_of_file and p.parent_id not in open_to[p.author_id]:
            results.append(problems.ParentGone())
            continue
        name = p.name
        there = standing.get((p.parent_id, names.make_key(name)))
        if there and there.revision_id and not p.is_copy and _holds(there, p.content):
            results.append(PlacedFile(there.node_id, there.revision_id, name))
            continue
        refused = find_conflict(there, p.on_conflict, p.base_revision_id)
        if refused:
            results.append(refused)
            continue
        if there and p.on_conflict == "rename":
            name = await paths.choose_free_name(tx, p.parent_id, name, standing, searched)
            there = None
        if there is None and len(nodes) >= room:
            results.append(problems.TooManyFiles())
            continue
        revision_id = new_id()
        verified = p.content.fingerprint if p.content.is_verified else None
        if there is None:
            there = NamedNode(new_id(), "file", revision_id, 1, verified, p.content.blob_id)
            standing[p.parent_id, names.make_key(name)] = there
            nodes.append(
                {
                    "id": there.node_id,
                    "owner_id": owner_id,
                    "parent_id": p.parent_id,
                    "kind": "file",
                    "name": name,
                    "name_key": names.make_key(name),
                    "head_revision_id": revision_id,
                    "size_bytes": p.content.size_bytes,
                }
            )
            changes.append(journal.Change("file.created", there.node_id, {"revision_id": str(revision_id)}))
            acts.append(audit.Entry("copied" if p.is_copy else "created", there.node_id, {"name": name}))
        else:
            there.revision_id, there.revision_number = revision_id, there.revision_number + 1
            there.verified, there.blob_id = verified, p.content.blob_id
            replaced[there.node_id] = {"of_node": there.node_id, "head": revision_id, "size": p.content.size_bytes}
            changes.append(journal.Change("file.updated", there.node_id, {"revision_id": str(revision_id)}))
            acts.append(audit.Entry("replaced", there.node_id, {"revision_id": str(revision_id)}))
        revisions.append(
            {
                "id": revision_id,
                "owner_id": owner_id,
                "node_id": there.node_id,
                "number": there.revision_number,
                "blob_id": p.content.blob_id,
                "size_bytes": p.content.size_bytes,
                "content_type": p.content_type,
                "author_id": p.author_id,
                "client_modified_at": p.client_modified_at,
                "upload_destination_id": p.destination_id,
            }
        )
        results.append(PlacedFile(there.node_id, revision_id, name))
    await _write(tx, owner_id, nodes, replaced, revisions)
    await journal.append_changes(tx, owner_id, changes)
    await audit.record(tx, owner_id, acts)
    return results


async def _restore_bases(tx: Tx, owner_id: uuid.UUID, placements: Sequence[Placement]) -> None:
    """Take files out of the trash whose head is what a placement at their very name is based on.

    Whoever edits a file that somebody else deleted meanwhile has not seen that: the edit brings it back, with its
    older revisions.
    """
    if not placements:
        return
    taken = set(await paths.find_nodes_at(tx, [(p.parent_id, names.make_key(p.name)) for p in placements]))
    restored: list[uuid.UUID] = []
    for p in placements:
        place = (p.parent_id, names.make_key(p.name))
        if place in taken:
            continue
        trashed = update(Node).where(
            Node.owner_id == owner_id,
            Node.head_revision_id == p.base_revision_id,
            Node.parent_id == p.parent_id,
            Node.name_key == names.make_key(p.name),
            Node.trashed_at.is_not(None),
            Node.purged_at.is_(None),
        )
        values = {"trashed_at": None, "version": Node.version + 1}
        found = (await tx.execute(trashed.values(**values).returning(Node.id))).scalar_one_or_none()
        if found:
            restored.append(found)
            taken.add(place)
    await journal.append_changes(tx, owner_id, [journal.Change("file.restored", node_id) for node_id in restored])
    await audit.record(tx, owner_id, [audit.Entry("restored", node_id) for node_id in restored])


def _holds(there: NamedNode, content: Content) -> bool:
    return there.blob_id == content.blob_id or there.verified == content.fingerprint


def find_conflict(
    there: NamedNode | None, on_conflict: str, base_revision_id: uuid.UUID | None
) -> problems.Problem | None:
    """Return why new content may not go where `there` stands, None when it may."""
    if there is None or on_conflict == "rename":
        return None
    if on_conflict == "fail" or there.kind == "folder":
        return problems.NameTaken(file_id=str(there.node_id))
    if base_revision_id not in {None, there.revision_id}:
        return problems.RevisionConflict(file_id=str(there.node_id), revision_id=str(there.revision_id))
    return None


async def _write(
    tx: Tx,
    owner_id: uuid.UUID,
    nodes: Sequence[Mapping[str, Any]],
    replaced: Mapping[uuid.UUID, Mapping[str, Any]],
    revisions: Sequence[Mapping[str, Any]],
) -> None:
    if nodes:
        await tx.execute(insert(Node), nodes)
        await tx.execute(update(User).where(User.id == owner_id).values(used_nodes=User.used_nodes + len(nodes)))
    if revisions:
        await tx.execute(insert(Revision), revisions)
        needed = {row["blob_id"] for row in revisions}
        again = update(Blob).where(Blob.id.in_(needed), Blob.unreferenced_at.is_not(None))
        await tx.execute(again.values(unreferenced_at=None))
    if replaced:
        await tx.execute(_NEW_HEAD, list(replaced.values()))
        older = update(Revision).where(
            Revision.node_id.in_(replaced),
            Revision.superseded_at.is_(None),
            Revision.id.not_in([row["head"] for row in replaced.values()]),
        )
        await tx.execute(older.values(superseded_at=func.now()))


_NEW_HEAD = (
    update(Node)
    .where(Node.id == bindparam("of_node"))
    .values(
        head_revision_id=bindparam("head"),
        size_bytes=bindparam("size"),
        version=Node.version + 1,
        modified_at=func.now(),
    )
)


async def load_placement(
    tx: Tx, revision_id: uuid.UUID, *, author_id: uuid.UUID, at: tuple[uuid.UUID, str], on_conflict: str
) -> Placement:
    """Return the placement that makes a new revision of an existing one's content, at a name in a folder."""
    columns = (Revision.content_type, Revision.client_modified_at, Revision.blob_id, Blob.fingerprint, Blob.size_bytes)
    found = select(*columns, Blob.content_status).join(Blob, Blob.id == Revision.blob_id)
    row = (await tx.execute(found.where(Revision.id == revision_id))).one()
    return Placement(
        destination_id=None,
        parent_id=at[0],
        name=at[1],
        on_conflict=on_conflict,
        base_revision_id=None,
        content_type=row.content_type,
        client_modified_at=row.client_modified_at,
        author_id=author_id,
        content=Content(row.blob_id, row.fingerprint, row.size_bytes, row.content_status == "verified"),
        is_copy=True,
    )
