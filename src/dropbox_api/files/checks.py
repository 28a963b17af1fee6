"""Checks of moves, copies and deletes under the owner's lock: permission to leave a folder, depth, cycles, names."""

import uuid

from sqlalchemy import text

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.files import paths
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import Target


async def require_movable(tx: Tx, actor_id: uuid.UUID, node: LockedNode) -> None:
    """Require that the actor may edit the folder that holds a node.

    Only the owner moves or deletes a node whose folder the actor may not edit.
    Raises RootFolder, Forbidden.
    """
    if not await access.is_editor(tx, actor_id, node.folder_id):
        raise problems.Forbidden("Only the owner can move or delete this item; you can remove your own access")


_DEPTH = text(f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE id = :node_id")}
    SELECT count(parent_id) FROM ancestors
""")

_IS_BELOW = text(f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE id = :folder_id")}
    SELECT EXISTS (SELECT FROM ancestors WHERE id = :node_id)
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


async def require_depth_below(tx: Tx, folder_id: uuid.UUID, node_id: uuid.UUID | None = None) -> None:
    """Require that a new folder, or the folder `node_id` with all below it, in the trash or not, is not too deep.

    The limit bounds the cost of every walk to the root. Raises InvalidName (too-deep).
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
    tx: Tx, kind: str, target: Target, node_id: uuid.UUID | None = None
) -> tuple[str, uuid.UUID | None]:
    """Return the name that a node (None: a new one) gets at a target, and the file that it replaces.

    Raises NameTaken.
    """
    other = (await paths.find_nodes_at(tx, [target.key])).get(target.key)
    if other is None or other.node_id == node_id:
        return target.name, None
    if target.on_conflict == "rename":
        return await paths.choose_free_name(tx, target.parent_id, target.name, node_id=node_id), None
    if target.on_conflict == "replace" and other.kind == kind == "file":
        return target.name, other.node_id
    raise problems.NameTaken(file_id=str(other.node_id))
