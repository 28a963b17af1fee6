"""Look up files and folders: one by id or by path, the states of many by id."""

import uuid

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.files import paths, thumbnails, views
from dropbox_api.files.etags import format_etag
from dropbox_api.files.schemas import File, FileState, FileStateList, LookUpFiles


async def get_node(context: Context, node_id: uuid.UUID, *, with_thumbnails: bool) -> File:
    """Return a file or folder. Raises NotFound."""
    async with context.db.read() as tx:
        await access.require_role(tx, context.actor_id, node_id)
        file = await views.get_file(tx, context.actor_id, node_id)
    return await thumbnails.add_to_file(context, file) if with_thumbnails else file


async def get_node_by_path(context: Context, path: str, *, with_thumbnails: bool) -> File:
    """Return the node at a path of the caller's own tree; "/" is the root folder. Raises NotFound, InvalidName."""
    async with context.db.read() as tx:
        node_id = await paths.resolve_path(tx, context.actor_id, path)
        file = await views.get_file(tx, context.actor_id, node_id)
    return await thumbnails.add_to_file(context, file) if with_thumbnails else file


async def get_node_below(context: Context, folder_id: uuid.UUID, path: str) -> File:
    """Return the node at a path below a folder; "/" is the folder. Raises NotFound, NotAFolder, InvalidName."""
    async with context.db.read() as tx:
        folder = await access.require_role(tx, context.actor_id, folder_id)
        if folder.kind != "folder":
            raise problems.NotAFolder
        return await views.get_file(tx, context.actor_id, await paths.resolve_below(tx, folder_id, path))


async def look_up_states(context: Context, wanted: LookUpFiles) -> FileStateList:
    """Return the state of each id, in the order of the request; callers without access get `unknown`."""
    async with context.db.read() as tx:
        found = await access.find_states(tx, context.actor_id, wanted.ids)
    return FileStateList(
        items=[
            FileState(
                id=node_id,
                state=node.state,
                etag=None if node.version is None else format_etag(node.epoch, node.version),
            )
            for node_id, node in zip(wanted.ids, found, strict=True)
        ]
    )
