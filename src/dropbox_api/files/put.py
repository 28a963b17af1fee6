"""Put content at names and into files: uploads, copies and restored revisions alike.

Everything here joins a transaction that holds the owner's lock, so values stay true until they are written: read the
nodes at the names, and the files, decide in plain Python, write in bulk. Each placement succeeds or gets its own
problem.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, update

from dropbox_api import access, problems
from dropbox_api.core import content_types, names
from dropbox_api.db import Tx, new_id
from dropbox_api.events import journal
from dropbox_api.files import blobs, guard, heads, paths
from dropbox_api.files.paths import FileTarget, NamedNode, NodeKey, Target
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit


@dataclass(frozen=True, slots=True)
class Content:
    """A stored blob, as a revision needs it."""

    blob_id: uuid.UUID
    fingerprint: bytes
    size_bytes: int
    is_verified: bool

    @property
    def verified_fingerprint(self) -> bytes | None:
        """The fingerprint where it is proven for the whole content."""
        return self.fingerprint if self.is_verified else None


@dataclass(frozen=True, slots=True)
class Placement:
    """A content, and the name in a folder or the file that it is put at."""

    destination_id: uuid.UUID | None
    """The destination of an upload session; None for other content."""
    target: Target | FileTarget
    base_revision_id: uuid.UUID | None
    """The revision that must be the head of the file; None: any."""
    content_type: str | None
    """None: that of the file."""
    client_modified_at: datetime | None
    executable: bool | None
    """None: that of the file, false for a new one."""
    author_id: uuid.UUID
    content: Content
    is_copy: bool = False
    """Make a new revision even if the file has the same content."""


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """The file that has the content of a placement."""

    node_id: uuid.UUID
    revision_id: uuid.UUID


async def put_files(
    tx: Tx, owner_id: uuid.UUID, placements: Sequence[Placement]
) -> list[PlacedFile | problems.Problem]:
    """Put each content at its name or into its file, in order; return the results in the same order.

    A file that already has the same content (the same blob, or the same verified fingerprint) keeps its revision under
    any policy, and takes the client's time if that is newer than its own.

    Result: the file, or ParentGone, NameTaken, RevisionConflict, TooManyFiles; of a named file that the author may not
    edit any more NotFound, Forbidden.
    Transaction: joins tx, which holds the owner's lock; checks everything again under it.
    """
    named = [(p, p.target) for p in placements if isinstance(p.target, Target)]
    open_folders = {
        author_id: await access.find_open_folders(
            tx, author_id, owner_id, {target.parent_id for p, target in named if p.author_id == author_id}
        )
        for author_id in {p.author_id for p, _ in named}
    }
    free_nodes = await guard.count_free_nodes(tx, owner_id)
    based = [
        (target, p.base_revision_id)
        for p, target in named
        if p.base_revision_id and target.parent_id in open_folders[p.author_id]
    ]
    await _restore_bases(tx, owner_id, based)
    files = await _find_files(tx, placements)
    by_id = {file.node_id: file for file in files.values() if isinstance(file, NamedNode)}
    trashed = [file for file in by_id.values() if file.is_trashed]
    nodes = await paths.find_nodes_at(tx, [*(target.key for _, target in named), *(file.key for file in trashed)])
    nodes = {key: by_id.get(node.node_id, node) for key, node in nodes.items()}
    batch = _Batch(owner_id, open_folders, files, free_nodes, nodes)
    renamed = [(target.parent_id, target.name) for _, target in named if target.on_conflict == "rename"]
    renamed += [(file.parent_id, file.name) for file in trashed]
    await batch.conflict_names.read(tx, [place for place in renamed if (place[0], names.make_key(place[1])) in nodes])
    results = [await _decide(tx, batch, placement) for placement in placements]
    await _write(tx, batch)
    for author_id in {p.author_id for p in placements}:
        pairs = zip(placements, results, strict=True)
        await add_paths(tx, author_id, [result for p, result in pairs if p.author_id == author_id])
    return results


async def _find_files(
    tx: Tx, placements: Sequence[Placement]
) -> dict[tuple[uuid.UUID, uuid.UUID], NamedNode | problems.Problem]:
    """Return the named files of the placements, by author and id; one object for one file."""
    wanted = [(p.author_id, p.target.file_id) for p in placements if isinstance(p.target, FileTarget)]
    granted = {
        author_id: await access.find_editable_files(tx, author_id, {id_ for by, id_ in wanted if by == author_id})
        for author_id in {author_id for author_id, _ in wanted}
    }
    nodes = await paths.find_nodes(tx, {file_id for _, file_id in wanted})
    return {
        (author_id, file_id): file if isinstance(file, problems.Problem) else nodes[file_id]
        for author_id, files in granted.items()
        for file_id, file in files.items()
    }


async def add_paths(tx: Tx, actor_id: uuid.UUID, results: Sequence[object]) -> None:
    """Tell in each revision conflict among the results where its file is, as the actor sees it."""
    conflicts = [result for result in results if isinstance(result, problems.RevisionConflict)]
    if conflicts:
        seen = await access.find_visible(tx, actor_id, {uuid.UUID(conflict.extra["file_id"]) for conflict in conflicts})
        for conflict in conflicts:
            file = seen.get(uuid.UUID(conflict.extra["file_id"]))
            conflict.extra["path"] = file and file.path


@dataclass(slots=True)
class _Batch:
    """The decisions about placements into one owner's tree, and the rows that they need."""

    owner_id: uuid.UUID
    open_folders: Mapping[uuid.UUID, set[uuid.UUID]]
    """The folders into which each author may put files."""
    files: Mapping[tuple[uuid.UUID, uuid.UUID], NamedNode | problems.Problem]
    """The named files, by author and id."""
    free_nodes: int
    nodes: dict[NodeKey, NamedNode]
    """The nodes at the names of the batch, as they are after the decisions so far. A file that is among `files` too is
    the same object."""
    conflict_names: paths.ConflictNames = field(default_factory=paths.ConflictNames)
    new_nodes: list[dict[str, Any]] = field(default_factory=list)
    new_heads: dict[uuid.UUID, dict[str, Any]] = field(default_factory=dict)
    """By node that existed before the batch."""
    restored: list[dict[str, Any]] = field(default_factory=list)
    new_revisions: list[dict[str, Any]] = field(default_factory=list)
    head_changes: list[heads.HeadChange] = field(default_factory=list)
    changes: list[journal.Change] = field(default_factory=list)
    entries: list[audit.Entry] = field(default_factory=list)

    def add_file(self, placement: Placement, parent_id: uuid.UUID, name: str) -> PlacedFile:
        """Make a new file at a free name."""
        content, revision_id = placement.content, new_id()
        node = NamedNode(
            node_id=new_id(),
            parent_id=parent_id,
            name=name,
            name_key=names.make_key(name),
            kind="file",
            is_trashed=False,
            revision_id=revision_id,
            revision_number=1,
            verified=content.verified_fingerprint,
            blob_id=content.blob_id,
            size_bytes=content.size_bytes,
            content_type=placement.content_type or content_types.UNKNOWN,
            author_id=placement.author_id,
            claimed=content.fingerprint,
            client_modified_at=placement.client_modified_at,
            executable=bool(placement.executable),
        )
        self.nodes[node.key] = node
        self.new_nodes.append(
            {
                "id": node.node_id,
                "owner_id": self.owner_id,
                "parent_id": parent_id,
                "kind": "file",
                **paths.name_columns(name),
                "head_revision_id": revision_id,
                "size_bytes": content.size_bytes,
                "executable": node.executable,
            }
        )
        self.changes.append(journal.Change("file.created", node.node_id, {"revision_id": str(revision_id)}))
        self.entries.append(audit.Entry("copied" if placement.is_copy else "created", node.node_id, {"name": name}))
        return self._add_revision(placement, node, revision_id)

    def replace_head(self, placement: Placement, node: NamedNode) -> PlacedFile:
        """Make the content the head of a file."""
        content, revision_id = placement.content, new_id()
        node.revision_id, node.revision_number = revision_id, node.revision_number + 1
        node.verified, node.blob_id = content.verified_fingerprint, content.blob_id
        node.size_bytes, node.claimed, node.author_id = content.size_bytes, content.fingerprint, placement.author_id
        node.content_type = placement.content_type or node.content_type
        node.client_modified_at = placement.client_modified_at
        node.executable = node.executable if placement.executable is None else placement.executable
        self.new_heads[node.node_id] = {
            "of_node": node.node_id,
            "head": revision_id,
            "size": content.size_bytes,
            "may_run": node.executable,
        }
        self.changes.append(journal.Change("file.updated", node.node_id, {"revision_id": str(revision_id)}))
        self.entries.append(audit.Entry("replaced", node.node_id, {"revision_id": str(revision_id)}))
        return self._add_revision(placement, node, revision_id)

    def keep_head(self, placement: Placement, node: NamedNode, revision_id: uuid.UUID) -> PlacedFile:
        """Leave a file that has the content its head revision; change its newer time and its `executable`."""
        at, executable = placement.client_modified_at, placement.executable
        is_newer = at is not None and (node.client_modified_at is None or node.client_modified_at < at)
        is_other = executable is not None and node.executable != executable
        if is_newer or is_other:
            node.client_modified_at = at if is_newer else node.client_modified_at
            node.executable = bool(executable) if is_other else node.executable
            changed = (at if is_newer else None, executable if is_other else None)
            self.head_changes.append(heads.HeadChange(node.node_id, revision_id, *changed))
        return PlacedFile(node.node_id, revision_id)

    def restore(self, node: NamedNode, name: str) -> None:
        """Take a file out of the trash, at a free name in its folder."""
        node.is_trashed, node.name, node.name_key = False, name, names.make_key(name)
        self.nodes[node.key] = node
        columns = {f"new_{column}": value for column, value in paths.name_columns(name).items()}
        self.restored.append({"of_node": node.node_id, **columns})
        self.changes.append(journal.Change("file.restored", node.node_id))
        self.entries.append(audit.Entry("restored", node.node_id, {"name": name}))

    def _add_revision(self, placement: Placement, node: NamedNode, revision_id: uuid.UUID) -> PlacedFile:
        self.new_revisions.append(
            {
                "id": revision_id,
                "owner_id": self.owner_id,
                "node_id": node.node_id,
                "number": node.revision_number,
                "blob_id": placement.content.blob_id,
                "size_bytes": placement.content.size_bytes,
                "content_type": node.content_type,
                "author_id": placement.author_id,
                "client_modified_at": placement.client_modified_at,
                "upload_destination_id": placement.destination_id,
            }
        )
        return PlacedFile(node.node_id, revision_id)


async def _decide(tx: Tx, batch: _Batch, placement: Placement) -> PlacedFile | problems.Problem:
    """Decide about one placement and add its rows to the batch. Reads only, and only to find a free name."""
    if isinstance(placement.target, FileTarget):
        return await _decide_file(tx, batch, placement, placement.target)
    return await _decide_name(tx, batch, placement, placement.target)


async def _decide_name(tx: Tx, batch: _Batch, placement: Placement, target: Target) -> PlacedFile | problems.Problem:
    if target.parent_id not in batch.open_folders[placement.author_id]:
        return problems.ParentGone()
    name = target.name
    node = batch.nodes.get(target.key)
    if node and node.revision_id and not placement.is_copy and has_content(node, placement.content):
        return batch.keep_head(placement, node, node.revision_id)
    refusal = find_conflict(node, target, placement.base_revision_id)
    if refusal:
        return refusal
    if node and target.on_conflict == "rename":
        name = await batch.conflict_names.choose(tx, target.parent_id, name, batch.nodes)
        node = None
    if node is None and len(batch.new_nodes) >= batch.free_nodes:
        return problems.TooManyFiles()
    return batch.add_file(placement, target.parent_id, name) if node is None else batch.replace_head(placement, node)


async def _decide_file(
    tx: Tx, batch: _Batch, placement: Placement, target: FileTarget
) -> PlacedFile | problems.Problem:
    node = batch.files[placement.author_id, target.file_id]
    if isinstance(node, problems.Problem):
        return node
    has_same = not placement.is_copy and has_content(node, placement.content)
    refusal = find_conflict(node, target, placement.base_revision_id)
    if refusal and (node.is_trashed or not has_same):
        return refusal
    if node.is_trashed:
        name = node.name
        if node.key in batch.nodes:
            name = await batch.conflict_names.choose(tx, node.parent_id, name, batch.nodes)
        batch.restore(node, name)
    if has_same and node.revision_id:
        return batch.keep_head(placement, node, node.revision_id)
    return batch.replace_head(placement, node)


_RESTORE_BASES = text("""
    UPDATE nodes SET trashed_at = NULL, trashed_by = NULL, version = version + 1 FROM (
        SELECT DISTINCT ON (trashed.parent_id, trashed.name_key) trashed.id, place
        FROM unnest(CAST(:heads AS uuid[]), CAST(:parent_ids AS uuid[]), CAST(:name_keys AS text[]))
            WITH ORDINALITY AS wanted(head, parent_id, name_key, place)
        JOIN revisions ON revisions.id = wanted.head
        JOIN nodes trashed ON trashed.id = revisions.node_id
        WHERE trashed.owner_id = :owner_id AND trashed.head_revision_id = wanted.head
            AND trashed.parent_id = wanted.parent_id AND trashed.name_key = wanted.name_key
            AND trashed.trashed_at IS NOT NULL AND trashed.purged_at IS NULL
        ORDER BY trashed.parent_id, trashed.name_key, place
    ) base WHERE nodes.id = base.id RETURNING nodes.id, base.place
""")
"""The base leads to its file: the index of names has live nodes only. One file comes back at each name."""


async def _restore_bases(tx: Tx, owner_id: uuid.UUID, based: Sequence[tuple[Target, uuid.UUID]]) -> None:
    """Take a file out of the trash if content for its name is based on its head revision.

    The author edited a file that was deleted in the meantime: the edit brings the file back with its older revisions.
    """
    if not based:
        return
    taken = await paths.find_nodes_at(tx, [target.key for target, _ in based])
    free = [(target, base) for target, base in based if target.key not in taken]
    bound = {
        "owner_id": owner_id,
        "heads": [base for _, base in free],
        "parent_ids": [target.parent_id for target, _ in free],
        "name_keys": [names.make_key(target.name) for target, _ in free],
    }
    rows = (await tx.execute(_RESTORE_BASES, bound)).all()
    restored = [row.id for row in sorted(rows, key=attrgetter("place"))]
    await journal.append_changes(tx, owner_id, [journal.Change("file.restored", node_id) for node_id in restored])
    await audit.record(tx, owner_id, [audit.Entry("restored", node_id) for node_id in restored])


def has_content(node: NamedNode, content: Content) -> bool:
    """Tell whether the head of a file is proven to be this content."""
    return node.blob_id == content.blob_id or node.verified == content.fingerprint


def find_conflict(
    node: NamedNode | None, target: Target | FileTarget, base_revision_id: uuid.UUID | None
) -> problems.Problem | None:
    """Return the reason why new content may not be put at a target, or None.

    `node` is the file, or the node at the name (None: a free name).
    """
    if node is None:
        return None
    if isinstance(target, Target):
        if target.on_conflict == "rename":
            return None
        if target.on_conflict == "fail" or node.kind == "folder":
            return problems.NameTaken(file_id=str(node.node_id))
    is_based = node.revision_id == base_revision_id
    if is_based or (base_revision_id is None and not node.is_trashed):
        return None
    return problems.RevisionConflict(file_id=str(node.node_id), revision_id=str(node.revision_id))


async def _write(tx: Tx, batch: _Batch) -> None:
    if batch.new_nodes:
        await tx.execute(insert(Node), batch.new_nodes)
        used_nodes = User.used_nodes + len(batch.new_nodes)
        await tx.execute(update(User).where(User.id == batch.owner_id).values(used_nodes=used_nodes))
    if batch.restored:
        await tx.execute(_RESTORE, batch.restored)
    if batch.new_revisions:
        await tx.execute(insert(Revision), batch.new_revisions)
        await blobs.mark_referenced(tx, {row["blob_id"] for row in batch.new_revisions})
    if batch.new_heads:
        await tx.execute(_NEW_HEAD, list(batch.new_heads.values()))
        older = update(Revision).where(
            Revision.node_id.in_(batch.new_heads),
            Revision.superseded_at.is_(None),
            Revision.id.not_in([row["head"] for row in batch.new_heads.values()]),
        )
        await tx.execute(older.values(superseded_at=func.now()))
    await journal.append_changes(tx, batch.owner_id, batch.changes)
    await audit.record(tx, batch.owner_id, batch.entries)
    await heads.change_heads(tx, batch.owner_id, batch.head_changes)


_NEW_HEAD = (
    update(Node)
    .where(Node.id == bindparam("of_node"))
    .values(
        head_revision_id=bindparam("head"),
        size_bytes=bindparam("size"),
        executable=bindparam("may_run"),
        version=Node.version + 1,
        modified_at=func.now(),
    )
)


_RESTORE = (
    update(Node)
    .where(Node.id == bindparam("of_node"))
    .values(
        {column: bindparam(f"new_{column}") for column in paths.name_columns("name")}
        | {"trashed_at": None, "trashed_by": None, "version": Node.version + 1}
    )
)


async def load_placements(
    tx: Tx, wanted: Sequence[tuple[uuid.UUID, Target | FileTarget]], *, author_id: uuid.UUID
) -> list[Placement]:
    """Return placements of existing content: of each revision, by its id, at its target."""
    columns = (Revision.content_type, Revision.client_modified_at, Revision.blob_id, Blob.fingerprint, Blob.size_bytes)
    found = select(Revision.id, *columns, Blob.content_status, Node.executable)
    found = found.join(Blob, Blob.id == Revision.blob_id).join(Node, Node.id == Revision.node_id)
    revision_ids = {revision_id for revision_id, _ in wanted}
    rows = {row.id: row for row in await tx.execute(found.where(Revision.id.in_(revision_ids)))}
    return [
        Placement(
            destination_id=None,
            target=target,
            base_revision_id=None,
            content_type=row.content_type,
            client_modified_at=row.client_modified_at,
            executable=row.executable,
            author_id=author_id,
            content=Content(row.blob_id, row.fingerprint, row.size_bytes, row.content_status == "verified"),
            is_copy=True,
        )
        for row, target in ((rows[revision_id], target) for revision_id, target in wanted)
    ]
