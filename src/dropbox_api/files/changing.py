"""How every change of the tree begins: the owner's lock, then permission and `If-Match`, asked again under it.

Changes of one owner's tree are serial, so what is read after the lock stays true until it is written: no two moves make
a cycle, no two files get one name.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, text, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.files import placing, service
from dropbox_api.models import Node
from dropbox_api.plumbing import audit, idempotency
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.schemas import OnConflict

_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')


async def target(
    tx: Tx,
    actor_id: uuid.UUID,
    node_id: uuid.UUID,
    if_match: str | None = None,
    *,
    once: Once | None = None,
    role: access.Role = "editor",
    in_trash: bool = False,
) -> Any:
    """Lock the owner of a node to which the actor is at least `role`; return its row (every column of `nodes`).

    `in_trash`: it must lie in the trash itself; otherwise it must be live. `once` is claimed before the ETag is looked
    at: what was done under the key has changed it.
    Raises NotFound, Forbidden, PreconditionFailed, InvalidRequest (`if_match` is no list of ETags), Replayed,
    IdempotencyMismatch.
    """
    require = access.require_trashed if in_trash else access.require
    granted = await require(tx, actor_id, node_id, role)
    await service.lock_owner(tx, granted.owner_id)
    await require(tx, actor_id, node_id, role)
    node = (await tx.execute(select(*Node.__table__.c).where(Node.id == node_id))).one()
    await idempotency.claim(tx, once)
    if if_match is not None:
        _require_match(node.version, if_match)
    return node


def _require_match(version: int, if_match: str) -> None:
    """Compare a node's version with an If-Match header (RFC 9110 section 13.1.1): `*`, or a list of ETags.

    Raises PreconditionFailed, InvalidRequest. A proxy that compressed the answer made the ETag weak: that is forgiven.
    """
    if if_match.strip() == "*":
        return
    listed = _ETAG.findall(if_match)
    if not listed or _ETAG.sub("", if_match).strip():
        raise problems.InvalidRequest(
            errors=[{"pointer": "/If-Match", "detail": 'should be "*" or a list of ETags in quotes'}]
        )
    if str(version) not in listed:
        raise problems.PreconditionFailed(etag=f'"{version}"')


async def folder(
    tx: Tx,
    actor_id: uuid.UUID,
    parent_id: uuid.UUID | None,
    parent_path: str | None,
    role: access.Role = "viewer",
) -> access.Access | None:
    """Return the folder that a request names by id or by path (of the actor's own tree); None when it names none.

    Raises NotFound, Forbidden (the actor is less than `role` there), NotAFolder, InvalidName.
    """
    if parent_path is not None:
        parent_id = await service.find_path(tx, actor_id, parent_path)
    if parent_id is None:
        return None
    granted = await access.require(tx, actor_id, parent_id, role)
    if granted.kind != "folder":
        raise problems.NotAFolder
    return granted


async def may_change(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> bool:
    """Tell whether the actor is at least an editor of a node."""
    try:
        await access.require(tx, actor_id, node_id, "editor")
    except (problems.NotFound, problems.Forbidden):
        return False
    return True


async def require_movable(tx: Tx, actor_id: uuid.UUID, node: Any) -> None:
    """Raise Forbidden where the actor may not change the folder that a node (its row) is taken out of.

    So it is with what is shared itself: its place is its owner's business.
    """
    if not await may_change(tx, actor_id, node.parent_id):
        raise problems.Forbidden("Only its owner moves or deletes what is shared itself; you can leave it")


async def place(
    tx: Tx, actor_id: uuid.UUID, node: Any, parent_id: uuid.UUID | None, parent_path: str | None
) -> uuid.UUID:
    """Return the folder into which the actor may put a node: the one that is named, or the one where it is.

    Raises NotFound, Forbidden, NotAFolder, InvalidName; CrossOwner: the folder is in somebody else's tree.
    """
    named = await folder(tx, actor_id, parent_id, parent_path, "editor")
    if named is None:
        return node.parent_id  # type: ignore[no-any-return]
    if named.owner_id != node.owner_id:
        raise problems.CrossOwner
    return named.node_id


_DEPTH = text("""
    WITH RECURSIVE up AS (
        SELECT parent_id FROM nodes WHERE id = :node_id
        UNION ALL SELECT above.parent_id FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT count(parent_id) FROM up
""")

_IS_BELOW = text("""
    WITH RECURSIVE up AS (
        SELECT id, parent_id FROM nodes WHERE id = :folder_id
        UNION ALL SELECT above.id, above.parent_id FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT EXISTS (SELECT FROM up WHERE id = :node_id)
""")

_REACHES = text("""
    WITH RECURSIVE down AS (
        SELECT CAST(:node_id AS uuid) AS id, 0 AS depth
        UNION ALL
        SELECT child.id, depth + 1 FROM down JOIN nodes child ON child.parent_id = down.id
        WHERE child.kind = 'folder' AND depth < :depth
    )
    SELECT EXISTS (SELECT FROM down WHERE depth >= :depth)
""")


async def require_room_below(tx: Tx, folder_id: uuid.UUID, node_id: uuid.UUID | None = None) -> None:
    """See that a new folder (or the folder `node_id` with all below it, trashed or not) fits below a folder.

    Raises InvalidName (too-deep). Without a bound, every look at a path would take as long as somebody likes.
    """
    depth = (await tx.execute(_DEPTH, {"node_id": folder_id})).scalar_one()
    levels = names.MAX_DEPTH - 1 - depth  # of folders that fit below
    fits = levels >= 1
    if fits and node_id is not None:
        fits = not (await tx.execute(_REACHES, {"node_id": node_id, "depth": levels})).scalar_one()
    if not fits:
        raise problems.InvalidName(f"Folders are at most {names.MAX_DEPTH - 1} deep", reason="too-deep")


async def require_outside(tx: Tx, node_id: uuid.UUID, folder_id: uuid.UUID) -> None:
    """Raise IntoItself when the folder is the node or lies below it."""
    if (await tx.execute(_IS_BELOW, {"folder_id": folder_id, "node_id": node_id})).scalar_one():
        raise problems.IntoItself


async def settle_name(
    tx: Tx, kind: str, parent_id: uuid.UUID, name: str, on_conflict: OnConflict, node_id: uuid.UUID | None = None
) -> tuple[str, uuid.UUID | None]:
    """Return the name that a node (None: a new one) gets in a folder, and the file that has to make room for it.

    Raises NameTaken.
    """
    place = (parent_id, names.key(name))
    there = (await placing.stands_at(tx, [place])).get(place)
    if there is None or there.node_id == node_id:
        return name, None
    if on_conflict == "rename":
        return await placing.free_name(tx, parent_id, name, node_id=node_id), None
    if on_conflict == "replace" and there.kind == kind == "file":
        return name, there.node_id
    raise problems.NameTaken(file_id=str(there.node_id))


async def write(tx: Tx, node_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """Set columns of a node, and with them its version; its time is that of its content and stays."""
    await tx.execute(update(Node).where(Node.id == node_id).values(version=Node.version + 1, **values))


_RUNNING_BELOW = text("""
    WITH RECURSIVE running AS (
        SELECT n.id, n.parent_id FROM revisions r JOIN nodes n ON n.head_revision_id = r.id
        WHERE r.owner_id = :owner_id AND r.processing_state = 'running' AND n.trashed_at IS NULL
    ), up AS (
        SELECT id AS file_id, id, parent_id FROM running
        UNION ALL
        SELECT up.file_id, above.id, above.parent_id FROM up JOIN nodes above ON above.id = up.parent_id
        WHERE above.trashed_at IS NULL
    )
    SELECT file_id FROM up WHERE id = :node_id LIMIT 10
""")


_SHARED_BELOW = text("""
    WITH RECURSIVE up AS (
        SELECT n.id AS shared_id, n.parent_id FROM nodes n
        WHERE n.id IN (SELECT node_id FROM grants WHERE owner_id = :owner_id AND grantee_id IS NOT NULL)
          AND n.trashed_at IS NULL AND EXISTS (SELECT FROM nodes WHERE id = :node_id AND kind = 'folder')
        UNION ALL
        SELECT up.shared_id, above.parent_id FROM up JOIN nodes above ON above.id = up.parent_id
        WHERE above.trashed_at IS NULL
    )
    SELECT shared_id FROM up WHERE parent_id = :node_id ORDER BY shared_id
""")


async def shared_below(tx: Tx, owner_id: uuid.UUID, node_id: uuid.UUID) -> list[journal.Change]:
    """Return what else to tell when a folder, live now, goes into the trash or has come back.

    Who sees nothing of it, but something below that is shared by itself, learns that this is gone, or there again.
    """
    shared = await tx.execute(_SHARED_BELOW, {"owner_id": owner_id, "node_id": node_id})
    return [journal.Change("file.moved", shared_id) for shared_id in shared.scalars()]


async def discard(tx: Tx, owner_id: uuid.UUID, node_id: uuid.UUID, *, force: bool) -> None:
    """Put a live node with all below it into the trash. Writes one row, however large the folder is.

    Raises ProcessingRunning, unless `force`. Transaction: joins tx, which holds the owner's lock.
    """
    if not force:
        running = await tx.execute(_RUNNING_BELOW, {"owner_id": owner_id, "node_id": node_id})
        file_ids = [str(file_id) for file_id in running.scalars()]
        if file_ids:
            raise problems.ProcessingRunning(file_ids=file_ids)
    below = await shared_below(tx, owner_id, node_id)
    await write(tx, node_id, {"trashed_at": func.now()})
    await journal.append_changes(tx, owner_id, [journal.Change("file.trashed", node_id), *below])
    await audit.record(tx, owner_id, [audit.Entry("trashed", node_id)])
