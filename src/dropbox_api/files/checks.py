"""Checks of moves, copies and deletes under the owner's lock: permission to leave a folder, depth, cycles, names."""

import uuid

from dropbox_api import problems
from dropbox_api.core import names
from dropbox_api.files import paths
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import Target


async def require_movable(edit: TreeEdit, node: LockedNode) -> None:
    """Require that the actor may edit the folder that holds a node.

    Only the owner moves or deletes a node whose folder the actor may not edit.
    Raises RootFolder, Forbidden.
    """
    if not await edit.is_editor(node.folder_id):
        raise problems.Forbidden("Only the owner can move or delete this item; you can remove your own access")


async def require_depth_below(edit: TreeEdit, folder_id: uuid.UUID, node_id: uuid.UUID | None = None) -> None:
    """Require that a new folder, or the folder `node_id` with all below it, in the trash or not, is not too deep.

    The limit bounds the cost of every walk to the root. Raises InvalidName (too-deep).
    """
    levels = names.MAX_DEPTH - 1 - edit.measure_depth(folder_id)  # of folders that fit below
    if levels < 1 or (node_id is not None and await edit.measure_height(node_id, levels - 1) >= levels):
        raise problems.InvalidName(f"Folders are at most {names.MAX_DEPTH - 1} deep", reason="too-deep")


def require_outside(edit: TreeEdit, node_id: uuid.UUID, folder_id: uuid.UUID) -> None:
    """Raise IntoItself when the folder is the node or lies below it."""
    if edit.is_below(folder_id, node_id):
        raise problems.IntoItself


async def settle_name(
    edit: TreeEdit, kind: str, target: Target, node_id: uuid.UUID | None = None
) -> tuple[str, uuid.UUID | None]:
    """Return the name that a node (None: a new one) gets at a target, and the file that it replaces.

    Raises NameTaken.
    """
    other = await edit.find_holder(target.key)
    if other is None or other.node_id == node_id:
        return target.name, None
    if target.on_conflict == "rename":
        return await choose_free_name(edit, target.parent_id, target.name, node_id), None
    if target.on_conflict == "replace" and other.kind == kind == "file":
        return target.name, other.node_id
    raise problems.NameTaken(file_id=str(other.node_id))


async def choose_free_name(edit: TreeEdit, parent_id: uuid.UUID, name: str, node_id: uuid.UUID | None = None) -> str:
    """Return the first conflict name that is free in the folder. The name of `node_id` counts as free."""
    for first in range(1, paths.MAX_CANDIDATE, paths.CANDIDATES_AT_ONCE):
        candidates = [names.make_conflict_name(name, n) for n in range(first, first + paths.CANDIDATES_AT_ONCE)]
        places = [(parent_id, names.make_key(candidate)) for candidate in candidates]
        await edit.load_names(places)
        for candidate, place in zip(candidates, places, strict=True):
            holder = await edit.find_holder(place)
            if holder is None or holder.node_id == node_id:
                return candidate
    raise problems.NameTaken
