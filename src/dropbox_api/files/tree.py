"""Changes of the tree: make folders, rename, move and copy nodes. No object in the store is touched."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from sqlalchemy import insert, text, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.db import new_id
from dropbox_api.events import journal
from dropbox_api.files import checks, edits, folders, guard, heads, paths, put, trash, views
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import Target
from dropbox_api.files.schemas import CopyFile, CreateFolder, File, FolderConflict, UpdateFile
from dropbox_api.models import Node, User
from dropbox_api.plumbing import audit, idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once

COPY_AT_ONCE = 2_000
"""Rows of one statement; the event loop runs in between."""


async def create_folder(context: Context, wanted: CreateFolder, once: Once | None) -> File:
    """Make a folder, or every missing folder of a path; return the last folder.

    Raises NotFound (parent), NotAFolder, InvalidName, NameTaken, TooManyFiles, IdempotencyMismatch.
    Transaction: one, under the owner's lock.
    """
    above = tuple(paths.split_path(wanted.path)) if wanted.path is not None else ()
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    async with context.db.begin() as tx:
        parent = await folders.find_folder(tx, context.actor_id, wanted.parent_id, wanted.parent_path, "editor")
        owner_id = parent.owner_id if parent else context.actor_id
        await guard.lock_owner(tx, owner_id)
        await idempotency.claim_key(tx, once)
        parent = await folders.find_folder(tx, context.actor_id, wanted.parent_id, wanted.parent_path, "editor")
        if name is None and above:
            above, name = above[:-1], above[-1]
        found = parent.node_id if parent else (await folders.ensure_folders(tx, owner_id, [above]))[above]
        if isinstance(found, problems.Problem):
            raise found
        edit = TreeEdit(tx, context.actor_id, owner_id)
        node_id = found if name is None else await make_folder(edit, found, name, wanted.on_conflict)
        if name is None and wanted.on_conflict != "reuse":
            raise problems.NameTaken("The root folder already exists", file_id=str(node_id))
        file = await edit.view(node_id)
        await idempotency.keep_answer(tx, once, 201, file)
    return file


async def make_folder(edit: TreeEdit, parent_id: uuid.UUID, name: str, on_conflict: FolderConflict) -> uuid.UUID:
    """Make a folder at a name (clean) in a folder; return it, or with "reuse" the folder that has the name already.

    Raises NotFound (parent), Forbidden, NotAFolder, InvalidName (too deep), NameTaken, TooManyFiles.
    Transaction: joins that of `edit`.
    """
    await edit.get_folder(parent_id)
    other = await edit.find_holder((parent_id, names.make_key(name)))
    if other and on_conflict == "reuse" and other.kind == "folder":
        return other.node_id
    if other and on_conflict == "rename":
        name = await checks.choose_free_name(edit, parent_id, name)
    elif other:
        raise problems.NameTaken(file_id=str(other.node_id))
    await checks.require_depth_below(edit, parent_id)
    return await edit.add_folder(parent_id, name)


async def change_node(context: Context, node_id: uuid.UUID, wanted: UpdateFile, if_match: str | None) -> File:
    """Rename and move a node, set the content type, the client's time and `executable` of a file; return it.

    Writes one row for a folder of any size.

    Raises NotFound (node or folder), Forbidden, CrossOwner, PreconditionFailed, RootFolder, IntoItself, InvalidName,
    NameTaken, NotAFolder, NotAFile (type, time or `executable` of a folder), ProcessingRunning (of the file that
    would be replaced).
    Transaction: one, under the owner's lock. Idempotent: a change that is made already writes nothing.
    """
    async with context.db.begin() as tx:
        granted = await access.require_role(tx, context.actor_id, node_id, "editor")
        edit = await edits.lock_tree(tx, context.actor_id, granted)
        node = await change_place(edit, node_id, wanted, if_match)
        await edit.flush()
        if wanted.content_type is not None:
            await heads.set_content_type(tx, node, wanted.content_type)
        if wanted.client_modified_at is not None:
            await heads.set_time(tx, node, wanted.client_modified_at)
        if wanted.executable is not None:
            await heads.set_executable(tx, node, executable=wanted.executable)
        return await views.get_file(tx, context.actor_id, node_id)


async def change_place(edit: TreeEdit, node_id: uuid.UUID, wanted: UpdateFile, if_match: str | None) -> LockedNode:
    """Rename and move a node, as far as the request names a place; return the node as it was.

    Raises as `change_node`. Transaction: joins that of `edit`.
    """
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    node = await edit.get_node(node_id, "editor")
    guard.require_match(node, if_match)
    if node.parent_id is None:
        raise problems.RootFolder
    of_content = (wanted.content_type, wanted.client_modified_at, wanted.executable)
    if node.kind != "file" and of_content != (None, None, None):
        raise problems.NotAFile("A folder has no content type, no time of its content, and is not executable")
    target = await folders.choose_target(edit, node, wanted, name)
    if target.parent_id != node.parent_id:
        await checks.require_movable(edit, node)
    await rename_or_move(edit, node, target)
    return node


async def rename_or_move(edit: TreeEdit, node: LockedNode, target: Target) -> None:
    """Move a live node to a target. Does nothing if it already has that folder and name.

    An actor who may edit the file but not its folder cannot replace another file in it and gets no id of one.

    Raises NameTaken, IntoItself, InvalidName (too deep), ProcessingRunning (of the file that would be replaced).
    Transaction: joins that of `edit`, which has checked the actor's permission.
    """
    parent_id = target.parent_id
    moves = parent_id != node.parent_id
    if moves and node.kind == "folder":
        checks.require_outside(edit, node.id, parent_id)
        await checks.require_depth_below(edit, parent_id, node.id)
    may_edit_folder = await edit.is_editor(parent_id)
    if target.on_conflict == "replace" and not may_edit_folder:
        target = replace(target, on_conflict="fail")
    try:
        name, replaced = await checks.settle_name(edit, node.kind, target, node_id=node.id)
    except problems.NameTaken as taken:
        raise taken if may_edit_folder else problems.NameTaken() from None
    if not moves and name == node.name:
        return
    if replaced:
        await trash.move_to_trash(edit, await edit.get_node(replaced, "editor"), force=False)
    before = edit.list_grantees(node.id) if moves else frozenset()
    edit.place(node, parent_id, name)
    if moves:
        act = audit.Entry("moved", node.id, {"from": str(node.parent_id), "to": str(parent_id), "name": name})
    else:
        act = audit.Entry("renamed", node.id, {"from": node.name, "to": name})
    kind: journal.EventKind = "file.moved" if moves else "file.renamed"
    edit.report(journal.Change(kind, node.id, others=before), act)


async def copy_node(
    context: Context, node_id: uuid.UUID, wanted: CopyFile, if_match: str | None, once: Once | None
) -> File:
    """Copy a file, or a folder with all below it; return the copy. It has neither trash nor older revisions.

    Raises NotFound (node or folder), Forbidden, CrossOwner, PreconditionFailed, NotAFolder, InvalidName, NameTaken,
    TooManyFiles, RootFolder, IdempotencyMismatch.
    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        granted = await access.require_role(tx, context.actor_id, node_id)
        edit = await edits.lock_tree(tx, context.actor_id, granted)
        await idempotency.claim_key(tx, once)
        copy_id = await copy(edit, node_id, wanted, if_match)
        await failpoint("files.copy.before_commit")
        file = await edit.view(copy_id)
        await idempotency.keep_answer(tx, once, 201, file)
    return file


async def copy(edit: TreeEdit, node_id: uuid.UUID, wanted: CopyFile, if_match: str | None) -> uuid.UUID:
    """Copy a node and return the copy. Raises as `copy_node`. Transaction: joins that of `edit`."""
    node, target = await check_copy(edit, node_id, wanted, if_match)
    if node.kind == "folder":
        return await _copy_folder(edit, node, target)
    (copied,) = await copy_files(edit, [(node.revision_id, target)])
    if isinstance(copied, problems.Problem):
        raise copied
    return copied


async def check_copy(
    edit: TreeEdit, node_id: uuid.UUID, wanted: CopyFile, if_match: str | None
) -> tuple[LockedNode, Target]:
    """Return the node to copy and the target of its copy, whose name may still be taken. Raises as `copy_node`."""
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    node = await edit.get_node(node_id, "viewer")
    guard.require_match(node, if_match)
    if node.parent_id is None:
        raise problems.RootFolder("The root folder cannot be copied: copy the items in it")
    target = await folders.choose_target(edit, node, wanted, name)
    await edit.get_folder(target.parent_id)
    if node.kind == "file":
        if target.on_conflict == "replace" and target.key == (node.parent_id, node.name_key):
            raise problems.NameTaken("A file cannot be replaced by a copy of itself", file_id=str(node.id))
        _require_copies(edit, 1)
    return node, target


async def copy_files(edit: TreeEdit, copies: Sequence[tuple[uuid.UUID, Target]]) -> list[uuid.UUID | problems.Problem]:
    """Copy files, each named by its head revision, to targets of `check_copy`, in order; at most `edit.copies_left`.

    Result: the copy, or NameTaken, TooManyFiles. Transaction: joins that of `edit`.
    """
    await edit.flush()
    placements = await put.load_placements(edit.tx, copies, author_id=edit.actor_id)
    placed = await put.put_files(edit.tx, edit.owner_id, placements)
    copied = [file if isinstance(file, problems.Problem) else file.node_id for file in placed]
    edit.copies_left -= sum(isinstance(copy_id, uuid.UUID) for copy_id in copied)
    edit.forget()
    return copied


def _require_copies(edit: TreeEdit, count: int) -> None:
    if count > edit.copies_left:
        raise problems.TooManyFiles(f"One request copies at most {edits.MAX_COPY_NODES} files and folders")


class TreeRow(NamedTuple):
    """A node to copy."""

    id: uuid.UUID
    parent_id: uuid.UUID
    """The server copies it before the node."""
    kind: Literal["file", "folder"]
    revision_id: uuid.UUID | None
    """The revision to copy; None for a folder, as `blob_id`."""
    blob_id: uuid.UUID | None
    """The content of the copy, which belongs to the owner of the copy."""


_BELOW = text(f"""
    WITH RECURSIVE below AS (
        SELECT id, parent_id, kind, head_revision_id, 0 AS depth FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT child.id, child.parent_id, child.kind, child.head_revision_id, depth + 1
        FROM below, {access.children_of("below", "parent_id", "kind", "head_revision_id", where="trashed_at IS NULL")}
    )
    SELECT source.id, parent_id, kind, head_revision_id, blob_id
    FROM (SELECT * FROM below LIMIT :limit) source LEFT JOIN revisions ON revisions.id = head_revision_id
    ORDER BY depth
""")

_COPY_NODES = text("""
    INSERT INTO nodes
        (id, owner_id, parent_id, kind, name, name_key, folded_key, name_sort, head_revision_id, size_bytes, executable)
    SELECT copy.id, :owner_id, copy.parent_id, old.kind, old.name, old.name_key, old.folded_key, old.name_sort,
        copy.revision_id, coalesce(head.size_bytes, 0), old.executable
    FROM unnest(
        CAST(:old_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:parent_ids AS uuid[]), CAST(:revision_ids AS uuid[]),
        CAST(:old_revision_ids AS uuid[])
    ) AS copy(old_id, id, parent_id, revision_id, old_revision_id)
    JOIN nodes old ON old.id = copy.old_id LEFT JOIN revisions head ON head.id = copy.old_revision_id
""")

_COPY_HEADS = text("""
    INSERT INTO revisions
        (id, owner_id, node_id, number, blob_id, size_bytes, content_type, author_id, client_modified_at)
    SELECT copy.revision_id, :owner_id, copy.id, 1, copy.blob_id, head.size_bytes, head.content_type, :author_id,
        head.client_modified_at
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:revision_ids AS uuid[]), CAST(:old_revision_ids AS uuid[]),
        CAST(:blob_ids AS uuid[])
    ) AS copy(id, revision_id, old_revision_id, blob_id)
    JOIN revisions head ON head.id = copy.old_revision_id
""")


async def _copy_folder(edit: TreeEdit, node: LockedNode, target: Target) -> uuid.UUID:
    """Copy a folder with all below it; return the copy."""
    # Read before the first write, because a folder may be copied into itself.
    below = await edit.read(_BELOW, {"node_id": node.id, "limit": edit.copies_left + 1})
    rows = [TreeRow._make(row) for row in below]
    _require_copies(edit, len(rows))
    return await copy_rows_below(edit, node, target, rows)


async def copy_rows_below(edit: TreeEdit, node: LockedNode, target: Target, rows: Sequence[TreeRow]) -> uuid.UUID:
    """Copy a folder, which is the first row, with the rows below it; return the copy.

    Files are copied as in `rows`: those of another owner, whose lock the transaction does not hold, may change.
    Raises NameTaken, InvalidName (too deep), TooManyFiles. Transaction: joins that of `edit`.
    """
    tx, owner_id = edit.tx, edit.owner_id
    name, _ = await checks.settle_name(edit, "folder", target)
    await checks.require_depth_below(edit, target.parent_id, node.id)
    if len(rows) > await edit.count_free_nodes():
        raise problems.TooManyFiles
    await edit.flush()
    top_id = new_id()
    top = {"id": top_id, "owner_id": owner_id, "parent_id": target.parent_id, "kind": "folder"}
    await tx.execute(insert(Node).values(**top, **paths.name_columns(name)))
    await journal.append_changes(tx, owner_id, [journal.Change("file.created", top_id)])
    new_ids = {node.id: top_id}
    for start in range(1, len(rows), COPY_AT_ONCE):
        await _copy_rows(edit, rows[start : start + COPY_AT_ONCE], new_ids)
        await asyncio.sleep(0)
    used = User.used_nodes + len(rows)
    await tx.execute(update(User).where(User.id == owner_id).values(used_nodes=used))
    await audit.record(tx, owner_id, [audit.Entry("copied", top_id, {"name": name, "from": str(node.id)})])
    edit.copies_left -= len(rows)
    edit.forget()
    return top_id


async def _copy_rows(edit: TreeEdit, rows: Sequence[TreeRow], new_ids: dict[uuid.UUID, uuid.UUID]) -> None:
    """Copy nodes whose parents are copied already; `new_ids` maps each old id to the id of its copy and grows."""
    for row in rows:
        new_ids[row.id] = new_id()
    copy_ids = [new_ids[row.id] for row in rows]
    revision_ids = [new_id() if row.kind == "file" else None for row in rows]
    copies = {
        "old_ids": [row.id for row in rows],
        "ids": copy_ids,
        "parent_ids": [new_ids[row.parent_id] for row in rows],
        "revision_ids": revision_ids,
        "old_revision_ids": [row.revision_id for row in rows],
        "owner_id": edit.owner_id,
    }
    await edit.tx.execute(_COPY_NODES, copies)
    await edit.tx.execute(_COPY_HEADS, copies | {"author_id": edit.actor_id, "blob_ids": [row.blob_id for row in rows]})
    changes = [
        journal.Change("file.created", copy_id, {"revision_id": str(revision_id)} if revision_id else {})
        for copy_id, revision_id in zip(copy_ids, revision_ids, strict=True)
    ]
    await journal.append_changes(edit.tx, edit.owner_id, changes)
