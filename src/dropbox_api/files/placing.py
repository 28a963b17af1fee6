"""Put content at names: the only code that makes nodes and revisions of uploaded content.

Everything here joins a transaction that holds the owner's row lock, so what is read stays true until it is written:
read what stands there, decide in plain Python, write in bulk. Each placement succeeds or gets its own problem.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, update

from dropbox_api import problems
from dropbox_api.core import names
from dropbox_api.db import Tx, new_id
from dropbox_api.events import journal
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit

Place = tuple[uuid.UUID, str]
"""A name in a folder: (parent id, name key)."""


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
class Placed:
    node_id: uuid.UUID
    revision_id: uuid.UUID
    name: str


@dataclass(slots=True)
class Standing:
    """What stands at a name; members about content are None for a folder."""

    node_id: uuid.UUID
    kind: str
    revision_id: uuid.UUID | None
    revision_number: int
    verified: bytes | None
    """The fingerprint, where the content is proven as a whole."""
    blob_id: uuid.UUID | None


async def ensure_folders(
    tx: Tx, owner_id: uuid.UUID, wanted: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], uuid.UUID | problems.Problem]:
    """Return the folder at each path (clean names, () is the root), making what is missing on the way.

    Raises nothing: a path through a file gets NotAFolder, one beyond the account's number of nodes TooManyFiles, one
    that leaves no name to what would be in it InvalidName.
    Transaction: joins tx, which holds the owner's lock.
    """
    root_id: uuid.UUID = (
        await tx.execute(select(Node.id).where(Node.owner_id == owner_id, Node.parent_id.is_(None)))
    ).scalar_one()
    found: dict[tuple[str, ...], uuid.UUID | problems.Problem] = {(): root_id}
    too_deep = problems.InvalidName(f"Folders are at most {names.MAX_DEPTH - 1} deep", reason="too-deep")
    found |= dict.fromkeys((path for path in wanted if len(path) >= names.MAX_DEPTH), too_deep)
    wanted = [path for path in wanted if path not in found]
    room = await room_for_nodes(tx, owner_id)
    created: list[dict[str, Any]] = []
    # By depth, so that one query a level finds all of it, however many paths there are.
    for depth in range(1, max((len(path) for path in wanted), default=0) + 1):
        level = {path[:depth] for path in wanted if len(path) >= depth}
        places: dict[tuple[str, ...], Place] = {}
        for path in level:
            above = found[path[:-1]]
            if isinstance(above, uuid.UUID):
                places[path] = (above, names.key(path[-1]))
            else:
                found[path] = above
        standing = await stands_at(tx, list(places.values()))
        made: dict[Place, uuid.UUID] = {}
        fresh: list[dict[str, Any]] = []
        for path, place in places.items():
            there = standing.get(place)
            if there is not None:
                found[path] = (
                    there.node_id
                    if there.kind == "folder"
                    else problems.NotAFolder(f"{'/'.join(('', *path))} is a file", file_id=str(there.node_id))
                )
            elif place in made:  # the same folder, typed in another case
                found[path] = made[place]
            elif room <= len(created) + len(fresh):
                found[path] = problems.TooManyFiles()
            else:
                found[path] = made[place] = new_id()
                fresh.append(
                    {
                        "id": made[place],
                        "owner_id": owner_id,
                        "parent_id": place[0],
                        "kind": "folder",
                        "name": path[-1],
                        "name_key": place[1],
                    }
                )
        if fresh:
            await tx.execute(insert(Node), fresh)
            created += fresh
    if created:
        await tx.execute(update(User).where(User.id == owner_id).values(used_nodes=User.used_nodes + len(created)))
        changes = [journal.Change("file.created", row["id"]) for row in created]
        await journal.append_changes(tx, owner_id, changes)
        await audit.record(tx, owner_id, [audit.Entry("created", row["id"], {"name": row["name"]}) for row in created])
    return found


async def make_folder(tx: Tx, owner_id: uuid.UUID, parent_id: uuid.UUID, name: str) -> uuid.UUID:
    """Make a folder at a free name (clean) and return it. Raises TooManyFiles.

    Transaction: joins tx, which holds the owner's lock.
    """
    if await room_for_nodes(tx, owner_id) < 1:
        raise problems.TooManyFiles
    node_id = new_id()
    row = {"id": node_id, "owner_id": owner_id, "parent_id": parent_id, "kind": "folder"}
    await tx.execute(insert(Node).values(name=name, name_key=names.key(name), **row))
    await tx.execute(update(User).where(User.id == owner_id).values(used_nodes=User.used_nodes + 1))
    await journal.append_changes(tx, owner_id, [journal.Change("file.created", node_id)])
    await audit.record(tx, owner_id, [audit.Entry("created", node_id, {"name": name})])
    return node_id


async def room_for_nodes(tx: Tx, owner_id: uuid.UUID) -> int:
    """Return how many more files and folders the owner may have."""
    room = select(User.quota_nodes - User.used_nodes - User.reserved_nodes).where(User.id == owner_id)
    return (await tx.execute(room)).scalar_one()


_STANDS_AT = (
    select(
        Node.parent_id,
        Node.name_key,
        Node.id,
        Node.kind,
        Node.head_revision_id,
        Revision.number,
        Revision.blob_id,
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


async def stands_at(tx: Tx, places: Sequence[Place]) -> dict[Place, Standing]:
    """Return what stands at each of these names; free ones are left out."""
    if not places:
        return {}
    unique = list(set(places))
    arrays = {"parent_ids": [parent_id for parent_id, _ in unique], "name_keys": [key for _, key in unique]}
    rows = await tx.execute(_STANDS_AT, arrays)
    return {
        (row.parent_id, row.name_key): Standing(
            row.id,
            row.kind,
            row.head_revision_id,
            row.number or 0,
            row.fingerprint if row.content_status == "verified" else None,
            row.blob_id,
        )
        for row in rows
    }


_LIVE_FOLDERS = text("""
    WITH RECURSIVE up AS (
        SELECT id AS start, id, parent_id, trashed_at, kind, owner_id FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT up.start, above.id, above.parent_id, above.trashed_at, above.kind, above.owner_id
        FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT start FROM up LEFT JOIN grants
        ON grants.node_id = up.id AND grants.grantee_id = :author_id AND grants.role = 'editor'
    GROUP BY start
    HAVING bool_and(up.trashed_at IS NULL AND up.kind = 'folder' AND up.owner_id = :owner_id)
        AND (CAST(:owner_id AS uuid) = :author_id OR bool_or(grants.id IS NOT NULL))
""")
"""Those of the folders, all of one owner, into which an author may still put something."""


async def _open_folders(
    tx: Tx, owner_id: uuid.UUID, author_id: uuid.UUID, placements: Sequence[Placement]
) -> set[uuid.UUID]:
    ids = {p.parent_id for p in placements if p.author_id == author_id}
    bound = {"ids": list(ids), "owner_id": owner_id, "author_id": author_id}
    return set((await tx.execute(_LIVE_FOLDERS, bound)).scalars())


async def place(tx: Tx, owner_id: uuid.UUID, placements: Sequence[Placement]) -> list[Placed | problems.Problem]:
    """Make each content the file of its name, in order; return what came of each, in the same order.

    A name that already holds this very content (the same object, or verified) is left as it is, whatever the policy.

    Returns one of: what was placed, ParentGone, NameTaken, RevisionConflict, TooManyFiles.
    Transaction: joins tx, which holds the owner's lock; checks everything again under it.
    """
    open_to = {
        author_id: await _open_folders(tx, owner_id, author_id, placements)
        for author_id in {p.author_id for p in placements}
    }
    room = await room_for_nodes(tx, owner_id)
    await _restore_bases(
        tx, owner_id, [p for p in placements if p.base_revision_id and p.parent_id in open_to[p.author_id]]
    )
    standing = await stands_at(tx, [(p.parent_id, names.key(p.name)) for p in placements])
    nodes: list[dict[str, Any]] = []
    replaced: dict[uuid.UUID, dict[str, Any]] = {}
    revisions: list[dict[str, Any]] = []
    changes: list[journal.Change] = []
    acts: list[audit.Entry] = []
    results: list[Placed | problems.Problem] = []
    searched: dict[Place, int] = {}
    for p in placements:
        if not p.is_of_file and p.parent_id not in open_to[p.author_id]:
            results.append(problems.ParentGone())
            continue
        name = p.name
        there = standing.get((p.parent_id, names.key(name)))
        if there and there.revision_id and not p.is_copy and _holds(there, p.content):
            results.append(Placed(there.node_id, there.revision_id, name))
            continue
        refused = conflict(there, p.on_conflict, p.base_revision_id)
        if refused:
            results.append(refused)
            continue
        if there and p.on_conflict == "rename":
            name = await free_name(tx, p.parent_id, name, standing, searched)
            there = None
        if there is None and len(nodes) >= room:
            results.append(problems.TooManyFiles())
            continue
        revision_id = new_id()
        verified = p.content.fingerprint if p.content.is_verified else None
        if there is None:
            there = Standing(new_id(), "file", revision_id, 1, verified, p.content.blob_id)
            standing[p.parent_id, names.key(name)] = there
            nodes.append(
                {
                    "id": there.node_id,
                    "owner_id": owner_id,
                    "parent_id": p.parent_id,
                    "kind": "file",
                    "name": name,
                    "name_key": names.key(name),
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
        results.append(Placed(there.node_id, revision_id, name))
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
    taken = set(await stands_at(tx, [(p.parent_id, names.key(p.name)) for p in placements]))
    restored: list[uuid.UUID] = []
    for p in placements:
        place = (p.parent_id, names.key(p.name))
        if place in taken:
            continue
        trashed = update(Node).where(
            Node.owner_id == owner_id,
            Node.head_revision_id == p.base_revision_id,
            Node.parent_id == p.parent_id,
            Node.name_key == names.key(p.name),
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


def _holds(there: Standing, content: Content) -> bool:
    return there.blob_id == content.blob_id or there.verified == content.fingerprint


def conflict(there: Standing | None, on_conflict: str, base_revision_id: uuid.UUID | None) -> problems.Problem | None:
    """Return why new content may not go where `there` stands, None when it may."""
    if there is None or on_conflict == "rename":
        return None
    if on_conflict == "fail" or there.kind == "folder":
        return problems.NameTaken(file_id=str(there.node_id))
    if base_revision_id not in {None, there.revision_id}:
        return problems.RevisionConflict(file_id=str(there.node_id), revision_id=str(there.revision_id))
    return None


async def free_name(
    tx: Tx,
    parent_id: uuid.UUID,
    name: str,
    standing: Mapping[Place, Standing] = MappingProxyType({}),
    searched: dict[Place, int] | None = None,
    node_id: uuid.UUID | None = None,
) -> str:
    """Return the first conflict name that is free in the folder, names of this very batch included.

    The name of `node_id` counts as free: that node may keep it. `searched` remembers where the last search for a name
    began, so that a batch of one name is not quadratic.
    """
    step = 50
    searched = {} if searched is None else searched
    wanted = (parent_id, names.key(name))
    for first in range(searched.get(wanted, 1), 1_000_000, step):
        searched[wanted] = first
        candidates = [names.conflict_name(name, n) for n in range(first, first + step)]
        places = [(parent_id, names.key(candidate)) for candidate in candidates]
        taken = await stands_at(tx, places)
        for candidate, at in zip(candidates, places, strict=True):
            if at not in standing and (at not in taken or taken[at].node_id == node_id):
                return candidate
    raise problems.NameTaken


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
