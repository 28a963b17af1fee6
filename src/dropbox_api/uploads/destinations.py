"""Destinations: the folder and name that a request gives to content, and the rows of a session's destinations.

This module alone answers which folder an upload may go into. A request names a folder by id, in any tree where the
caller is an editor, or by path in the caller's own tree, where missing folders are made.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from dropbox_api import access, problems
from dropbox_api.core.content_types import guess_content_type
from dropbox_api.db import Tx, new_id
from dropbox_api.files import folders, paths
from dropbox_api.models import UploadDestination
from dropbox_api.uploads import schemas
from dropbox_api.uploads.sessions import UploadSession

MAX_DESTINATIONS = 100
"""Of one session: every answer about a session lists them, and one transaction places them all."""


@dataclass(frozen=True, slots=True)
class FolderReference:
    """The folder that a request names: by id, or by the clean path in the caller's own tree (() is the root)."""

    folder_id: uuid.UUID | None
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A folder and a clean name in it, as a request gives them."""

    folder: FolderReference
    name: str


def parse_destination(wanted: schemas.Destination) -> NamedPlace:
    """Return the folder and the clean name that a request gives. Raises InvalidName."""
    name = paths.clean_name(wanted.name)
    path = tuple(paths.split_path(wanted.folder_path or ""))
    return NamedPlace(FolderReference(wanted.parent_id, path), name)


async def require_folder_owner(tx: Tx, actor_id: uuid.UUID, folder_id: uuid.UUID | None) -> uuid.UUID:
    """Return the owner of the folder that a request names by id; the actor where it names none.

    For the time before the owner's lock is held: `require_folder` and `resolve_folders` decide under it.
    Raises NotFound, Forbidden, NotAFolder.
    """
    if folder_id is None:
        return actor_id
    return (await folders.get_folder(tx, actor_id, folder_id, "editor")).owner_id


async def find_folder_owners(tx: Tx, actor_id: uuid.UUID, wanted: Sequence[FolderReference]) -> list[uuid.UUID]:
    """Return the owner of each folder, as `require_folder_owner` does; the actor for a folder that refuses the actor.

    `resolve_folders` asks again under the lock, and answers the problem.
    """
    folder_ids = {folder.folder_id for folder in wanted if folder.folder_id}
    by_id = await folders.get_folders(tx, actor_id, folder_ids, "editor")
    owners = {id_: folder.owner_id for id_, folder in by_id.items() if isinstance(folder, access.Access)}
    return [owners.get(folder.folder_id, actor_id) if folder.folder_id else actor_id for folder in wanted]


async def require_folder(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, folder: FolderReference) -> uuid.UUID:
    """Return a folder for content of `owner_id`; the folders of a path are made.

    Raises NotFound, Forbidden, NotAFolder, CrossOwner (the folder has another owner), TooManyFiles, InvalidName.
    Transaction: joins tx, which holds the owner's lock.
    """
    if folder.folder_id is not None:
        granted = await folders.get_folder(tx, actor_id, folder.folder_id, "editor")
        if granted.owner_id != owner_id:
            raise problems.CrossOwner("The folder belongs to another owner than the content")
        return granted.node_id
    if owner_id != actor_id:
        raise problems.CrossOwner("The content belongs to another account: name a folder of that account by its id")
    made = (await folders.ensure_folders(tx, actor_id, [folder.path]))[folder.path]
    if isinstance(made, problems.Problem):
        raise made
    return made


async def resolve_folders(
    tx: Tx, actor_id: uuid.UUID, wanted: Sequence[FolderReference]
) -> list[uuid.UUID | problems.Problem]:
    """Return each of the folders, or why content may not go there; the folders of a path are made.

    Returns NotFound, Forbidden, NotAFolder, TooManyFiles or InvalidName in a folder's stead.
    Transaction: joins tx, which holds the actor's lock.
    """
    paths = [folder.path for folder in wanted if folder.folder_id is None]
    by_path = await folders.ensure_folders(tx, actor_id, paths) if paths else {}
    folder_ids = {folder.folder_id for folder in wanted if folder.folder_id}
    by_id = await folders.get_folders(tx, actor_id, folder_ids, "editor")
    in_order = [by_id[folder.folder_id] if folder.folder_id else by_path[folder.path] for folder in wanted]
    return [folder.node_id if isinstance(folder, access.Access) else folder for folder in in_order]


async def find_closed_sessions(tx: Tx, uploader_id: uuid.UUID, sessions: Collection[UploadSession]) -> set[uuid.UUID]:
    """Return those of an uploader's sessions into whose folders the uploader may put no content any more.

    Never one of the uploader's own tree: `files.put` decides about each folder there.
    """
    foreign = {session.id for session in sessions if not session.is_in_own_tree}
    if not foreign:
        return set()
    places = select(UploadDestination.upload_id, UploadDestination.parent_id)
    rows = (await tx.execute(places.where(UploadDestination.upload_id.in_(foreign)))).all()
    granted = await access.require_each(tx, uploader_id, {row.parent_id for row in rows}, "editor")
    return foreign - {row.upload_id for row in rows if isinstance(granted[row.parent_id], access.Access)}


async def require_open_destination(tx: Tx, session: UploadSession) -> None:
    """Raise ParentGone for a session whose uploader may put content into none of its folders any more."""
    if await find_closed_sessions(tx, session.uploader_id, [session]):
        raise problems.ParentGone


def make_destination_row(
    upload_id: uuid.UUID, parent_id: uuid.UUID, name: str, request: schemas.CreateUpload | schemas.AddDestination
) -> dict[str, Any]:
    """Return a new row of `upload_destinations`; `name` is the clean form of the requested name."""
    wanted = request.destination
    return {
        "id": new_id(),
        "upload_id": upload_id,
        "parent_id": parent_id,
        "name": name,
        "on_conflict": wanted.on_conflict,
        "base_revision_id": wanted.base_revision_id,
        "content_type": request.content_type or guess_content_type(name),
        "client_modified_at": request.client_modified_at,
    }
