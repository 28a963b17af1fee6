"""The folders that the sender of a link names: made below the link's folder when the content has arrived.

Not before: the bearer of a link could fill a tree with empty folders. A sender learns nothing about names in the
folder, so a file in the way of a path is no refusal: the folder gets a free name beside it.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import select, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.files import folders, guard, paths
from dropbox_api.models import UploadDestination
from dropbox_api.uploads import sessions
from dropbox_api.uploads.sessions import UploadSession

MAX_LEVELS = 20
_MAX_RENAMES = 100


def parse_path(path: str | None) -> tuple[str, ...]:
    """Return the clean names of a path below the link's folder. Raises InvalidName."""
    levels = tuple(paths.split_path(path or ""))
    if len(levels) > MAX_LEVELS:
        raise problems.InvalidName(f"Folders are at most {MAX_LEVELS} levels below the link", reason="too-deep")
    return levels


def check_depth(depth: int, path: Sequence[str]) -> problems.InvalidName | None:
    """Return the problem of folders that are too deep below a folder of this depth."""
    if depth + len(path) < names.MAX_DEPTH:
        return None
    return problems.InvalidName("The folders are too deep for this link", reason="too-deep")


async def make_folders(tx: Tx, owner_id: uuid.UUID, uploads: Sequence[UploadSession]) -> set[uuid.UUID]:
    """Make the folders of sessions under links, and move their destinations there; return the sessions that are left.

    A session whose folders cannot be made, because the account has no room for them, ends as failed, and leaves none.
    Transaction: joins tx, which holds the owner's lock.
    """
    by_id = {session.id: session for session in uploads if session.link_id}
    left = {session.id for session in uploads}
    if not by_id:
        return left
    columns = (
        UploadDestination.id,
        UploadDestination.upload_id,
        UploadDestination.parent_id,
        UploadDestination.folder_path,
    )
    wanted = select(*columns).where(UploadDestination.upload_id.in_(by_id)).order_by(UploadDestination.id)
    for place in (await tx.execute(wanted)).all():
        try:
            async with tx.begin_nested():
                folder_id = await _make_path(tx, owner_id, place.parent_id, parse_path(place.folder_path))
                if await guard.count_free_nodes(tx, owner_id) < 0:
                    raise problems.TooManyFiles
        except problems.Problem:
            await sessions.end_sessions(
                tx, owner_id, [place.upload_id], "failed", has_leftovers=True, failure="the folder takes no more files"
            )
            left.discard(place.upload_id)
            continue
        if folder_id != place.parent_id:
            moved = update(UploadDestination).where(UploadDestination.id == place.id)
            await tx.execute(moved.values(parent_id=folder_id))
    return left


async def _make_path(tx: Tx, owner_id: uuid.UUID, top_id: uuid.UUID, wanted: tuple[str, ...]) -> uuid.UUID:
    """Return the folder at a path below `top_id`; a folder whose name a file has gets the next free one.

    Raises InvalidName, TooManyFiles, NameTaken.
    """
    if too_deep := check_depth(await access.measure_depth(tx, top_id), wanted):
        raise too_deep
    path = wanted
    renames = [0] * len(wanted)
    for _ in range(_MAX_RENAMES):
        found = await folders.ensure_folders(tx, owner_id, [path], top_id)
        blocked = next((n for n in range(len(path)) if isinstance(found.get(path[: n + 1]), problems.NotAFolder)), None)
        if blocked is None:
            folder_id = found[path]
            if isinstance(folder_id, problems.Problem):
                raise folder_id
            return folder_id
        renames[blocked] += 1
        path = tuple(
            names.make_conflict_name(name, renames[n]) if renames[n] else name for n, name in enumerate(wanted)
        )
    raise problems.NameTaken
