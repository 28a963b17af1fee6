"""The trash: what was deleted, for a month, and then for good.

Only the node that was deleted is marked; what is below it is gone because it is (`trashed_at` of `nodes`). Deleting for
good marks it again (`purged_at`), which hides it at once; a worker removes the rows, then the objects.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text, tuple_, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Db, Tx
from dropbox_api.events import journal
from dropbox_api.files import changing, service, views
from dropbox_api.files.schemas import File, FileList, RestoreFile
from dropbox_api.models import Node
from dropbox_api.plumbing import audit, idempotency, paging
from dropbox_api.plumbing.idempotency import Once

PURGE_AT_ONCE = 2_000


async def discard(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, *, if_match: str | None, force: bool) -> None:
    """Put a node with all below it into the trash.

    Raises NotFound, Forbidden, PreconditionFailed, RootFolder, ProcessingRunning (unless `force`).
    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        node = await changing.target(tx, actor_id, node_id, if_match)
        if node.parent_id is None:
            raise problems.RootFolder
        await changing.require_movable(tx, actor_id, node)
        await changing.discard(tx, node.owner_id, node_id, force=force)


async def restore(
    db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, wanted: RestoreFile, if_match: str | None, once: Once | None
) -> File:
    """Take a node out of the trash, with all below it, to where it was or where the request says; return it.

    Raises NotFound (not in the trash, or no such folder), PreconditionFailed, ParentGone (its folder is in the trash
    itself, or gone), NotAFolder, NameTaken, InvalidName.
    Transaction: one, under the owner's lock.
    """
    name = service.clean_name(wanted.name) if wanted.name is not None else None
    async with db.begin() as tx:
        node = await changing.target(tx, actor_id, node_id, if_match, once=once, in_trash=True)
        parent_id = await changing.place(tx, actor_id, node, wanted.parent_id, wanted.parent_path)
        if parent_id == node.parent_id:
            await _require_there(tx, actor_id, parent_id)
        if node.kind == "folder":
            await changing.require_outside(tx, node_id, parent_id)
            await changing.require_room_below(tx, parent_id, node_id)
        name, _ = await changing.settle_name(tx, node.kind, parent_id, name or node.name, wanted.on_conflict)
        placed = {"parent_id": parent_id, "name": name, "name_key": names.key(name), "trashed_at": None}
        await changing.write(tx, node_id, placed)
        below = await changing.shared_below(tx, node.owner_id, node_id)
        await journal.append_changes(tx, node.owner_id, [journal.Change("file.restored", node_id), *below])
        await audit.record(tx, node.owner_id, [audit.Entry("restored", node_id, {"name": name})])
        file = await views.file_by_id(tx, actor_id, node_id)
        await idempotency.keep(tx, once, 200, file)
        return file


async def _require_there(tx: Tx, actor_id: uuid.UUID, parent_id: uuid.UUID) -> None:
    try:
        await access.require(tx, actor_id, parent_id)
    except problems.NotFound:
        raise problems.ParentGone("Its folder is in the trash or gone: restore that first, or name another") from None


async def list_trash(db: Db, actor_id: uuid.UUID, *, limit: int, cursor: str | None) -> FileList:
    """Return a page of what the caller's trash holds, last deleted first. Raises InvalidCursor."""
    page = views.select_files().where(Node.owner_id == actor_id, Node.trashed_at.is_not(None), Node.purged_at.is_(None))
    if cursor:
        page = page.where(
            tuple_(Node.trashed_at, Node.id) < tuple_(*paging.decode_key("trash", cursor, datetime, uuid.UUID))
        )
    async with db.read() as tx:
        rows = (await tx.execute(page.order_by(Node.trashed_at.desc(), Node.id.desc()).limit(limit + 1))).all()
        items = await views.as_files(tx, actor_id, rows[:limit])
    last = rows[limit - 1] if len(rows) > limit else None
    more = paging.encode("trash", last.trashed_at, last.id) if last else None
    return FileList(items=items, next_cursor=more)


async def empty(db: Db, actor_id: uuid.UUID) -> None:
    """Delete for good all that is in the caller's trash now.

    Transaction: one a batch, under the owner's lock: killed in between, the rest is still in the trash.
    """
    async with db.read() as tx:
        now = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    in_trash = select(Node.id).where(
        Node.owner_id == actor_id, Node.trashed_at.is_not(None), Node.purged_at.is_(None), Node.trashed_at <= now
    )
    more = True
    while more:
        async with db.begin() as tx:
            await service.lock_owner(tx, actor_id)
            batch = (await tx.execute(in_trash.order_by(Node.trashed_at).limit(PURGE_AT_ONCE))).scalars().all()
            await purge(tx, actor_id, batch)
        more = len(batch) == PURGE_AT_ONCE


_TRASH_BELOW = text("""
    WITH RECURSIVE below AS (
        SELECT id, false AS is_in_trash FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT child.id, child.trashed_at IS NOT NULL FROM below JOIN nodes child ON child.parent_id = below.id
        WHERE child.purged_at IS NULL
    )
    SELECT id FROM below WHERE is_in_trash
""")


async def purge_one(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, *, if_match: str | None) -> None:
    """Delete for good one node that is in the trash, with all that was in it, deleted on its own or not.

    Raises NotFound, PreconditionFailed.
    """
    async with db.begin() as tx:
        node = await changing.target(tx, actor_id, node_id, if_match, in_trash=True)
        nested = (await tx.execute(_TRASH_BELOW, {"node_id": node_id})).scalars().all()
        await purge(tx, node.owner_id, [node_id, *nested])


async def purge(tx: Tx, owner_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> None:
    """Mark nodes of the trash as deleted for good. Transaction: joins tx, which holds the owner's lock."""
    await tx.execute(update(Node).where(Node.id.in_(node_ids)).values(purged_at=func.now()))
    await journal.append_changes(tx, owner_id, [journal.Change("file.deleted", node_id) for node_id in node_ids])
    await audit.record(tx, owner_id, [audit.Entry("purged", node_id) for node_id in node_ids])
