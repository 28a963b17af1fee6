"""Destinations: the name in a folder, or the file, that a request gives to content; the rows of a session's ones.

This module alone answers where an upload may go. A request names a folder by id, in any tree where the caller is an
editor, or by path in the caller's own tree, where missing folders are made; or a file that the caller may edit.
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
from dropbox_api.files.paths import FileTarget, Target
from dropbox_api.models import Revision, UploadDestination
from dropbox_api.schemas import OnConflict
from dropbox_api.uploads import link_sessions, schemas
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
    on_conflict: OnConflict


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file, and the revision that the new content is based on, as a request gives them."""

    file_id: uuid.UUID
    base_revision_id: uuid.UUID


Place = NamedPlace | FilePlace


def parse_destination(wanted: schemas.Destination) -> Place:
    """Return the file, or the folder and the clean name, that a request gives. Raises InvalidName."""
    if wanted.file_id is not None and wanted.base_revision_id is not None:
        return FilePlace(wanted.file_id, wanted.base_revision_id)
    name = paths.clean_name(wanted.name or "")
    path = tuple(paths.split_path(wanted.folder_path or ""))
    return NamedPlace(FolderReference(wanted.parent_id, path), name, wanted.on_conflict)


async def require_owner(tx: Tx, actor_id: uuid.UUID, place: Place | None) -> uuid.UUID:
    """Return the owner of the file or the folder that a request names by id; the actor where it names none.

    For the time before the owner's lock is held: `require_target` and `resolve_targets` decide under it.
    Raises NotFound, Forbidden, NotAFolder, NotAFile, ParentGone.
    """
    if isinstance(place, FilePlace):
        return (await access.require_editable_file(tx, actor_id, place.file_id)).owner_id
    if place is None or place.folder.folder_id is None:
        return actor_id
    return (await folders.get_folder(tx, actor_id, place.folder.folder_id, "editor")).owner_id


async def find_owners(tx: Tx, actor_id: uuid.UUID, places: Sequence[Place]) -> list[uuid.UUID]:
    """Return the owner of each place, as `require_owner` does; the actor for a place that refuses the actor.

    `resolve_targets` asks again under that owner's lock, and answers the problem.
    """
    folder_ids = {id_ for place in places if isinstance(place, NamedPlace) and (id_ := place.folder.folder_id)}
    file_ids = {place.file_id for place in places if isinstance(place, FilePlace)}
    by_folder = await folders.get_folders(tx, actor_id, folder_ids, "editor")
    by_file = await access.find_editable_files(tx, actor_id, file_ids)
    owners = {node_id: folder.owner_id for node_id, folder in by_folder.items() if isinstance(folder, access.Access)}
    owners |= {node_id: file.owner_id for node_id, file in by_file.items() if isinstance(file, access.EditableFile)}
    named = (place.file_id if isinstance(place, FilePlace) else place.folder.folder_id for place in places)
    return [owners.get(node_id, actor_id) if node_id else actor_id for node_id in named]


async def require_target(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, place: Place) -> Target | FileTarget:
    """Return a target for content of `owner_id`; the folders of a path are made.

    Raises NotFound, Forbidden, NotAFolder, NotAFile, ParentGone, CrossOwner (the folder or file has another owner),
    TooManyFiles, InvalidName, InvalidRequest (the base is a revision of another file).
    Transaction: joins tx, which holds the owner's lock.
    """
    if await require_owner(tx, actor_id, place) != owner_id:
        raise problems.CrossOwner(
            "The destination belongs to another owner than the content: name a folder or file of that account by its id"
        )
    (target,) = await resolve_targets(tx, actor_id, owner_id, [place])
    if isinstance(target, problems.Problem):
        raise target
    return target


async def resolve_targets(
    tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, places: Sequence[Place]
) -> list[Target | FileTarget | problems.Problem]:
    """Return the target in the owner's tree at each place, or why content may not go there; folders of a path are made.

    Returns NotFound, Forbidden, NotAFolder, NotAFile, ParentGone, TooManyFiles, InvalidName or InvalidRequest (the base
    is a revision of another file) in a target's stead. NotFound also for a place of another owner: the actor got access
    to it after the owners to lock were read.
    Transaction: joins tx, which holds the owner's lock.
    """
    names = [place for place in places if isinstance(place, NamedPlace)]
    files = [place for place in places if isinstance(place, FilePlace)]
    targets = {
        **await _resolve_names(tx, actor_id, owner_id, names),
        **await _resolve_files(tx, actor_id, owner_id, files),
    }
    return [targets[place] for place in places]


async def _resolve_names(
    tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, places: Sequence[NamedPlace]
) -> dict[Place, Target | problems.Problem]:
    paths = [place.folder.path for place in places if place.folder.folder_id is None]
    by_path = await folders.ensure_folders(tx, actor_id, paths) if paths else {}
    folder_ids = {place.folder.folder_id for place in places if place.folder.folder_id}
    by_id = await folders.get_folders(tx, actor_id, folder_ids, "editor")
    targets: dict[Place, Target | problems.Problem] = {}
    for place in places:
        folder = by_id[place.folder.folder_id] if place.folder.folder_id else by_path[place.folder.path]
        if isinstance(folder, access.Access):
            folder = folder.node_id if folder.owner_id == owner_id else problems.NotFound()
        targets[place] = (
            folder if isinstance(folder, problems.Problem) else Target(folder, place.name, place.on_conflict)
        )
    return targets


async def _resolve_files(
    tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, places: Sequence[FilePlace]
) -> dict[Place, FileTarget | problems.Problem]:
    files = await access.find_editable_files(tx, actor_id, {place.file_id for place in places})
    misplaced = await find_misplaced_bases(tx, actor_id, places)
    targets: dict[Place, FileTarget | problems.Problem] = {}
    for place in places:
        file = files[place.file_id]
        if isinstance(file, problems.Problem):
            targets[place] = file
        elif file.owner_id != owner_id:
            targets[place] = problems.NotFound()
        elif place in misplaced:
            targets[place] = refuse_base("/destination/base_revision_id")
        else:
            targets[place] = FileTarget(file.node_id, file.parent_id, file.name)
    return targets


def refuse_base(pointer: str) -> problems.InvalidRequest:
    """Return the problem of a base that is a revision of another file."""
    return problems.InvalidRequest.at(pointer, "is a revision of another file")


async def find_misplaced_bases(tx: Tx, actor_id: uuid.UUID, places: Sequence[FilePlace]) -> set[FilePlace]:
    """Return those of the places whose base is a revision of another file that the actor may see.

    A revision that was removed, or of a file without access, is only an old one: nothing tells whether it exists.
    """
    if not places:
        return set()
    bases = select(Revision.id, Revision.node_id).where(Revision.id.in_({place.base_revision_id for place in places}))
    files = {row.id: row.node_id for row in await tx.execute(bases)}
    misplaced = {p for p in places if files.get(p.base_revision_id, p.file_id) != p.file_id}
    if not misplaced:
        return set()
    seen = await access.find_visible(tx, actor_id, {files[place.base_revision_id] for place in misplaced})
    return {place for place in misplaced if files[place.base_revision_id] in seen}


async def find_nodes(tx: Tx, targets: Collection[Target | FileTarget]) -> dict[paths.NodeKey, paths.NamedNode]:
    """Return the files of targets, and the nodes at their names, by the keys of the targets."""
    nodes = await paths.find_nodes_at(tx, [target.key for target in targets if isinstance(target, Target)])
    files = [target for target in targets if isinstance(target, FileTarget)]
    by_id = await paths.find_nodes(tx, {target.file_id for target in files})
    return nodes | {target.key: by_id[target.file_id] for target in files}


async def find_closed_sessions(tx: Tx, uploader_id: uuid.UUID, sessions: Collection[UploadSession]) -> set[uuid.UUID]:
    """Return those of an uploader's sessions into whose destinations the uploader may put no content any more.

    Never one of the uploader's own tree: `files.put` decides about each destination there. The link decides about a
    session under it.
    """
    closed_links = await link_sessions.find_closed(tx, sessions)
    foreign = {session.id for session in sessions if not session.is_in_own_tree}
    if not foreign:
        return closed_links
    places = select(UploadDestination.upload_id, UploadDestination.parent_id, UploadDestination.file_id)
    rows = (await tx.execute(places.where(UploadDestination.upload_id.in_(foreign)))).all()
    folder_ids = {row.parent_id for row in rows if row.file_id is None}
    granted = {
        **await access.require_each(tx, uploader_id, folder_ids, "editor"),
        **await access.find_editable_files(tx, uploader_id, {row.file_id for row in rows if row.file_id}),
    }
    closed = {id_ for id_, found in granted.items() if isinstance(found, problems.Problem)}
    open_ids = {row.upload_id for row in rows if (row.file_id or row.parent_id) not in closed}
    return closed_links | (foreign - open_ids)


async def require_open_destination(tx: Tx, session: UploadSession) -> None:
    """Raise ParentGone for a session whose uploader may put content into none of its destinations any more."""
    if await find_closed_sessions(tx, session.uploader_id, [session]):
        raise problems.ParentGone


def make_destination_row(
    upload_id: uuid.UUID, target: Target | FileTarget, request: schemas.CreateUpload | schemas.AddDestination
) -> dict[str, Any]:
    """Return a new row of `upload_destinations`."""
    return {
        "id": new_id(),
        "upload_id": upload_id,
        "parent_id": target.parent_id,
        "name": target.name,
        "file_id": target.file_id if isinstance(target, FileTarget) else None,
        "on_conflict": "replace" if isinstance(target, FileTarget) else target.on_conflict,
        "base_revision_id": request.destination.base_revision_id,
        "content_type": choose_content_type(target, request),
        "client_modified_at": request.client_modified_at,
        "executable": request.executable,
    }


def make_target(
    parent_id: uuid.UUID, name: str, on_conflict: OnConflict, file_id: uuid.UUID | None
) -> Target | FileTarget:
    """Return the target of a row of `upload_destinations`."""
    return FileTarget(file_id, parent_id, name) if file_id else Target(parent_id, name, on_conflict)


def choose_content_type(
    target: Target | FileTarget, request: schemas.CreateUpload | schemas.AddDestination
) -> str | None:
    """Return the content type that a request gives to its target; None: the file keeps its own."""
    return request.content_type or (None if isinstance(target, FileTarget) else guess_content_type(target.name))
