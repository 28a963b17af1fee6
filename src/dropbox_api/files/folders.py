"""Folders: resolve the folder of a request, make the folders of a path."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx, new_id
from dropbox_api.events import journal
from dropbox_api.files import guard, paths
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import NamedNode, NodeKey, Target
from dropbox_api.files.schemas import CopyFile, RestoreFile, UpdateFile
from dropbox_api.models import Node, User
from dropbox_api.plumbing import audit


async def get_folder(tx: Tx, actor_id: uuid.UUID, folder_id: uuid.UUID, role: access.Role = "viewer") -> access.Access:
    """Return a live folder where the actor has at least `role`: with "editor" the actor may put files into it.

    Raises NotFound, Forbidden, NotAFolder.
    """
    folder = (await get_folders(tx, actor_id, [folder_id], role))[folder_id]
    if isinstance(folder, problems.Problem):
        raise folder
    return folder


async def get_folders(
    tx: Tx, actor_id: uuid.UUID, folder_ids: Collection[uuid.UUID], role: access.Role = "viewer"
) -> dict[uuid.UUID, access.Access | problems.Problem]:
    """Return, for each of the folders, what `get_folder` returns or raises; one statement for all of them."""
    if not folder_ids:
        return {}
    granted = await access.require_each(tx, actor_id, folder_ids, role)
    return {
        node_id: problems.NotAFolder() if isinstance(found, access.Access) and found.kind != "folder" else found
        for node_id, found in granted.items()
    }


async def find_folder(
    tx: Tx,
    actor_id: uuid.UUID,
    parent_id: uuid.UUID | None,
    parent_path: str | None,
    role: access.Role = "viewer",
) -> access.Access | None:
    """Return the folder that a request names by id or by a path in the actor's own tree; None when it names none.

    Raises NotFound, Forbidden (a lower role than `role`), NotAFolder, InvalidName.
    """
    if parent_path is not None:
        parent_id = await paths.resolve_path(tx, actor_id, parent_path)
    if parent_id is None:
        return None
    return await get_folder(tx, actor_id, parent_id, role)


async def choose_target(
    edit: TreeEdit, node: LockedNode, wanted: UpdateFile | CopyFile | RestoreFile, name: str | None
) -> Target:
    """Return the target of a node: its folder and its name, except where the request names others.

    `name` is the name of the request, cleaned before the transaction.
    Raises NotFound, Forbidden, NotAFolder, InvalidName, CrossOwner (the folder has another owner than the node).
    """
    parent_id = wanted.parent_id
    if wanted.parent_path is not None:
        parent_id = await paths.resolve_path(edit.tx, edit.actor_id, wanted.parent_path)
    if parent_id is not None and (await edit.get_folder(parent_id)).owner_id != node.owner_id:
        raise problems.CrossOwner
    return Target(parent_id or node.folder_id, name or node.name, wanted.on_conflict)


async def ensure_folders(
    tx: Tx, owner_id: uuid.UUID, wanted: Sequence[tuple[str, ...]], top_id: uuid.UUID | None = None
) -> dict[tuple[str, ...], uuid.UUID | problems.Problem]:
    """Return the folder at each path (clean names) below the owner's root, or below `top_id`; make missing folders.

    Raises nothing. The result of a path can be NotAFolder (a file is on the path), TooManyFiles (the account has no
    room for the folder) or InvalidName (too deep to hold a file).
    Transaction: joins tx, which holds the owner's lock.
    """
    found: dict[tuple[str, ...], uuid.UUID | problems.Problem] = {(): top_id or await paths.get_root_id(tx, owner_id)}
    too_deep = problems.InvalidName(f"Folders are at most {names.MAX_DEPTH - 1} deep", reason="too-deep")
    found |= dict.fromkeys((path for path in wanted if len(path) >= names.MAX_DEPTH), too_deep)
    wanted = [path for path in wanted if path not in found]
    room = await guard.count_free_nodes(tx, owner_id)
    created: list[dict[str, Any]] = []
    # Level by level: one query for each level, for any number of paths.
    for depth in range(1, max((len(path) for path in wanted), default=0) + 1):
        level = {path[:depth] for path in wanted if len(path) >= depth}
        places: dict[tuple[str, ...], NodeKey] = {}
        for path in level:
            above = found[path[:-1]]
            if isinstance(above, uuid.UUID):
                places[path] = (above, names.make_key(path[-1]))
            else:
                found[path] = above
        existing = await paths.find_nodes_at(tx, list(places.values()))
        fresh = _choose_folders(owner_id, places, existing, found, room - len(created))
        if fresh:
            await tx.execute(insert(Node), fresh)
            created += fresh
    if created:
        await tx.execute(update(User).where(User.id == owner_id).values(used_nodes=User.used_nodes + len(created)))
        changes = [journal.Change("file.created", row["id"]) for row in created]
        await journal.append_changes(tx, owner_id, changes)
        await audit.record(tx, owner_id, [audit.Entry("created", row["id"], {"name": row["name"]}) for row in created])
    return found


def _choose_folders(
    owner_id: uuid.UUID,
    places: Mapping[tuple[str, ...], NodeKey],
    existing: Mapping[NodeKey, NamedNode],
    found: dict[tuple[str, ...], uuid.UUID | problems.Problem],
    room: int,
) -> list[dict[str, Any]]:
    """Add the result of each path in `places` to `found`; return the rows of the folders to insert, at most `room`."""
    rows: dict[NodeKey, dict[str, Any]] = {}
    for path, place in places.items():
        node = existing.get(place)
        if node is not None:
            is_file = problems.NotAFolder(f"{'/'.join(('', *path))} is a file", file_id=str(node.node_id))
            found[path] = node.node_id if node.kind == "folder" else is_file
        elif place in rows:  # the same folder, typed in another case
            found[path] = rows[place]["id"]
        elif room <= len(rows):
            found[path] = problems.TooManyFiles()
        else:
            columns: dict[str, Any] = {"id": new_id(), "owner_id": owner_id, "parent_id": place[0], "kind": "folder"}
            rows[place] = columns | paths.name_columns(path[-1])
            found[path] = columns["id"]
    return list(rows.values())
