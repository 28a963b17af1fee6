"""The trash: delete, restore, list, and delete for good.

`trashed_at` marks only the deleted node; the nodes below it are in the trash with it. Deletion for good sets
`purged_at`, which hides the node at once. A worker removes the rows, then the objects.
"""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, text, tuple_, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.files import checks, edits, folders, guard, paths, views
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.etags import format_etag
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.schemas import File, FileList, RestoreFile
from dropbox_api.models import Node
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once

PURGE_AT_ONCE = 2_000


async def delete_node(context: Context, node_id: uuid.UUID, *, if_match: str | None, force: bool) -> None:
    """Move a node with all below it to the trash.

    Raises NotFound, Forbidden, PreconditionFailed, RootFolder, ProcessingRunning (unless `force`).
    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        granted = await access.require_role(tx, context.actor_id, node_id, "editor")
        edit = await edits.lock_tree(tx, context.actor_id, granted)
        await delete(edit, node_id, if_match=if_match, force=force)
        await edit.flush()


async def delete(
    edit: TreeEdit, node_id: uuid.UUID, *, if_match: str | None, if_tree: str | None = None, force: bool = False
) -> None:
    """Move a node with all below it to the trash. `if_tree`: only if `hash_tree` still returns it.

    Raises as `delete_node`, and TreeChanged. Transaction: joins that of `edit`.
    """
    node = await edit.get_node(node_id, "editor")
    guard.require_match(node, if_match)
    await checks.require_movable(edit, node)
    if if_tree is not None and await hash_tree(edit, node_id) != if_tree:
        raise problems.TreeChanged
    await move_to_trash(edit, node, force=force)


_LIVE_BELOW = text(f"""
    WITH RECURSIVE below AS (
        SELECT id, version FROM nodes WHERE parent_id = :node_id AND trashed_at IS NULL
        UNION ALL
        SELECT child.id, child.version FROM below, {access.children_of("below", "version", where="trashed_at IS NULL")}
    )
    SELECT id, version, (SELECT current_data_epoch()) AS epoch FROM below ORDER BY id
""")


async def hash_tree(edit: TreeEdit, node_id: uuid.UUID) -> str:
    """Return the SHA-256, in hex, of a line `id etag` for each live node below a node, in the order of their ids."""
    digest = hashlib.sha256()
    for row in await edit.read(_LIVE_BELOW, {"node_id": node_id}):
        digest.update(f"{row.id} {format_etag(row.epoch, row.version)}\n".encode())
    return digest.hexdigest()


async def restore_node(
    context: Context, node_id: uuid.UUID, wanted: RestoreFile, if_match: str | None, once: Once | None
) -> File:
    """Take a node out of the trash with all below it, to its old folder or the one that the request names; return it.

    The owner restores every node, an editor one that this editor deleted, while still editor of its live folder.
    Raises NotFound (not in the trash, no such folder, or no permission), PreconditionFailed, ParentGone (its old folder
    is in the trash or removed), NotAFolder, NameTaken, InvalidName, IdempotencyMismatch.
    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        granted = await access.require_restorable(tx, context.actor_id, node_id)
        edit = await edits.lock_tree(tx, context.actor_id, granted)
        await idempotency.claim_key(tx, once)
        await restore(edit, node_id, wanted, if_match)
        file = await edit.view(node_id)
        await idempotency.keep_answer(tx, once, 200, file)
        return file


async def restore(edit: TreeEdit, node_id: uuid.UUID, wanted: RestoreFile, if_match: str | None) -> None:
    """Take a node out of the trash. Raises as `restore_node`. Transaction: joins that of `edit`."""
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    node = await edit.get_trashed_node(node_id)
    guard.require_match(node, if_match)
    target = await folders.choose_target(edit, node, wanted, name)
    parent_id = target.parent_id
    if parent_id == node.parent_id:
        await _require_live(edit, parent_id)
    if node.kind == "folder":
        checks.require_outside(edit, node_id, parent_id)
        await checks.require_depth_below(edit, parent_id, node_id)
    name, _ = await checks.settle_name(edit, node.kind, target)
    edit.restore(node, parent_id, name)
    below = await _list_shared_below(edit, node)
    change, entry = journal.Change("file.restored", node_id), audit.Entry("restored", node_id, {"name": name})
    edit.report(change, entry, *below)


async def _require_live(edit: TreeEdit, parent_id: uuid.UUID) -> None:
    try:
        await edit.get_folder(parent_id, "viewer")
    except problems.NotFound:
        raise problems.ParentGone("The folder is in the trash or deleted: restore it first, or name another") from None


def _is_in_trash_of(owner_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return Node.owner_id == owner_id, Node.trashed_at.is_not(None), Node.purged_at.is_(None)


async def list_trash(context: Context, *, limit: int, cursor: str | None) -> FileList:
    """Return a page of the caller's trash, last deleted first. Raises InvalidCursor."""
    page = views.select_files().where(*_is_in_trash_of(context.actor_id))
    if cursor:
        page = page.where(
            tuple_(Node.trashed_at, Node.id) < tuple_(*page_cursors.decode_key("trash", cursor, datetime, uuid.UUID))
        )
    async with context.db.read() as tx:
        page = page.order_by(Node.trashed_at.desc(), Node.id.desc()).limit(limit + 1)
        rows = [views.FileRow._make(row) for row in await tx.execute(page)]
        files = await views.build_files(tx, context.actor_id, rows[:limit])
    retention_s = context.settings.files.trash_retention_s
    items = [file.model_copy(update={"purge_at": _find_purge_time(file.trashed_at, retention_s)}) for file in files]
    last = rows[limit - 1] if len(rows) > limit else None
    more = page_cursors.encode_cursor("trash", last.trashed_at, last.id) if last and last.trashed_at else None
    return FileList(items=items, next_cursor=more)


def _find_purge_time(trashed_at: datetime | None, retention_s: int) -> datetime | None:
    """Return when job `purge` may delete a node; None for a retention beyond the year 9999."""
    try:
        return trashed_at and trashed_at + timedelta(seconds=retention_s)
    except OverflowError:
        return None


async def empty_trash(context: Context) -> None:
    """Delete all nodes in the caller's trash for good.

    Transaction: one for each batch, under the owner's lock; after a crash the remaining nodes are still in the trash.
    """
    async with context.db.read() as tx:
        now = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    in_trash = select(Node.id).where(*_is_in_trash_of(context.actor_id), Node.trashed_at <= now)
    more = True
    while more:
        async with context.db.begin() as tx:
            await guard.lock_owner(tx, context.actor_id)
            batch = (await tx.execute(in_trash.order_by(Node.trashed_at).limit(PURGE_AT_ONCE))).scalars().all()
            await mark_purged(tx, context.actor_id, batch)
        more = len(batch) == PURGE_AT_ONCE


_TRASH_BELOW = text(f"""
    WITH RECURSIVE below AS (
        SELECT id, false AS is_in_trash FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT child.id, child.trashed_at IS NOT NULL
        FROM below, {access.children_of("below", "trashed_at", where="purged_at IS NULL")}
    )
    SELECT id FROM below WHERE is_in_trash
""")


async def purge_node(context: Context, node_id: uuid.UUID, *, if_match: str | None) -> None:
    """Delete for good one node in the trash, with all below it, nodes that were deleted before it as well.

    Raises NotFound, PreconditionFailed.
    """
    async with context.db.begin() as tx:
        node = await guard.lock_trashed_node(tx, context.actor_id, node_id)
        guard.require_match(node, if_match)
        nested = (await tx.execute(_TRASH_BELOW, {"node_id": node_id})).scalars().all()
        await mark_purged(tx, node.owner_id, [node_id, *nested])


async def mark_purged(tx: Tx, owner_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> None:
    """Mark nodes of the trash as deleted for good. Transaction: joins tx, which holds the owner's lock."""
    await tx.execute(update(Node).where(Node.id.in_(node_ids)).values(purged_at=func.now()))
    await journal.append_changes(tx, owner_id, [journal.Change("file.deleted", node_id) for node_id in node_ids])
    await audit.record(tx, owner_id, [audit.Entry("purged", node_id) for node_id in node_ids])


_RUNNING = """revisions JOIN nodes ON nodes.id = revisions.node_id AND nodes.head_revision_id = revisions.id
        WHERE revisions.owner_id = :owner_id AND processing_state = 'running' AND trashed_at IS NULL"""
_RUNNING_BELOW = text(f"""
    WITH RECURSIVE {access.ancestors_cte(_RUNNING, climb="above.trashed_at IS NULL")}
    SELECT start FROM ancestors WHERE id = :node_id LIMIT 10
""")


_SHARED = """nodes
        WHERE id IN (SELECT node_id FROM grants WHERE owner_id = :owner_id AND grantee_id IS NOT NULL)
            AND trashed_at IS NULL"""
_SHARED_BELOW = text(f"""
    WITH RECURSIVE {access.ancestors_cte(_SHARED, climb="above.trashed_at IS NULL")}
    SELECT start FROM ancestors WHERE parent_id = :node_id ORDER BY start
""")


async def _list_shared_below(edit: TreeEdit, node: LockedNode) -> list[journal.Change]:
    """Return the further changes to report when a live folder goes into the trash or has come back.

    Grantees of a node below it may not see the folder, so they get an event about their own node.
    """
    if node.kind == "file":
        return []
    shared = await edit.read(_SHARED_BELOW, {"owner_id": edit.owner_id, "node_id": node.id})
    return [journal.Change("file.moved", row.start) for row in shared]


async def move_to_trash(edit: TreeEdit, node: LockedNode, *, force: bool) -> None:
    """Move a live node with all below it to the trash. Writes one row for a folder of any size.

    Raises ProcessingRunning, unless `force`. Transaction: joins that of `edit`.
    """
    if not force and await edit.has_running():
        running = await edit.read(_RUNNING_BELOW, {"owner_id": edit.owner_id, "node_id": node.id})
        if running:
            raise problems.ProcessingRunning(file_ids=[str(row.start) for row in running])
    below = await _list_shared_below(edit, node)
    edit.trash(node)
    edit.report(journal.Change("file.trashed", node.id), audit.Entry("trashed", node.id), *below)
