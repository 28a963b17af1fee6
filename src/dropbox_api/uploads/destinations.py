"""Destinations: the folder and name that a request gives to content, and the rows of a session's destinations.

This module alone answers which folder an upload may go into. A request names a folder by id, in any tree where the
caller is an editor, or by path in the caller's own tree, where missing folders are made.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from dropbox_api import access, problems
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
    by_id: dict[uuid.UUID, uuid.UUID | problems.Problem] = {}
    for folder_id in {folder.folder_id for folder in wanted if folder.folder_id}:
        try:
            by_id[folder_id] = (await folders.get_folder(tx, actor_id, folder_id, "editor")).node_id
        except (problems.NotFound, problems.Forbidden, problems.NotAFolder) as refusal:
            by_id[folder_id] = refusal
    return [by_id[folder.folder_id] if folder.folder_id else by_path[folder.path] for folder in wanted]


async def has_open_destination(tx: Tx, session: UploadSession) -> bool:
    """Tell whether the uploader may still put content into one of a session's folders.

    Always true in the uploader's own tree: `files.put` decides about each folder there.
    """
    if session.is_in_own_tree:
        return True
    folder_ids = select(UploadDestination.parent_id).where(UploadDestination.upload_id == session.id)
    for folder_id in set((await tx.execute(folder_ids)).scalars()):
        if await access.is_editor(tx, session.uploader_id, folder_id):
            return True
    return False


async def require_open_destination(tx: Tx, session: UploadSession) -> None:
    """Raise ParentGone for a session whose uploader may put content into none of its folders any more."""
    if not await has_open_destination(tx, session):
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
        "content_type": request.content_type,
        "client_modified_at": request.client_modified_at,
    }
