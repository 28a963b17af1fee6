"""Lists of files: one folder in three orders, all nodes below a folder, and files by content or state.

Pages are keyset pages: each starts after the last entry of the previous page and costs the same at any position and for
any folder size. A change between two pages may or may not appear; all other entries appear exactly once.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, Text, and_, bindparam, func, literal, select, text, tuple_

from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.db import Tx, use_snapshot
from dropbox_api.files import folders, paths, thumbnails, views
from dropbox_api.files.schemas import File, FileList, ListFiles, Order
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing import page_cursors

_MAX_COUNTED = 200_000


async def list_files(context: Context, wanted: ListFiles) -> FileList:
    """Return a page of a folder (by default the root), of all nodes below it, or of the files that pass the filters.

    With a filter the list is flat: files of the caller's whole account, or below the named folder, ordered by id. It
    ignores `order` and `recursive`.
    Raises NotFound, NotAFolder, InvalidName, InvalidCursor.
    """
    if wanted.is_filtered:
        page = await _list_matching(context, wanted)
    elif wanted.recursive:
        page = await _list_below(context, wanted)
    else:
        page = await _list_children(context, wanted)
    return await thumbnails.add_to_list(context, page) if wanted.thumbnails else page


async def _resolve_folder(tx: Tx, actor_id: uuid.UUID, wanted: ListFiles) -> uuid.UUID:
    granted = await folders.find_folder(tx, actor_id, wanted.parent_id, wanted.path)
    return granted.node_id if granted else await paths.get_root_id(tx, actor_id)


# One folder


async def _list_children(context: Context, wanted: ListFiles) -> FileList:
    column = wanted.order.removeprefix("-")
    keys = _KEYS[column]
    async with context.db.read() as tx:
        folder_id = await _resolve_folder(tx, context.actor_id, wanted)
        entries = [Node.parent_id == folder_id, Node.trashed_at.is_(None)]
        if wanted.kind:
            # A literal, because Postgres reads an index of folders alone only where the statement says so.
            entries.append(Node.kind == bindparam("kind", wanted.kind, Text, literal_execute=True))
        total = await _count(tx, entries) if wanted.count else None
        page = views.select_files().where(*entries)
        if wanted.cursor:
            key, after = tuple_(*keys), tuple_(*_decode_key(wanted.order, wanted.cursor))
            page = page.where(key < after if wanted.order.startswith("-") else key > after)
        order = [key.desc() for key in keys] if wanted.order.startswith("-") else keys
        rows = [views.FileRow._make(row) for row in await tx.execute(page.order_by(*order).limit(wanted.limit + 1))]
        items = await views.build_files(tx, context.actor_id, rows[: wanted.limit])
    more = _encode_key(wanted.order, rows[wanted.limit - 1]) if len(rows) > wanted.limit else None
    return FileList(items=items, next_cursor=more, total=total)


async def _count(tx: Tx, entries: Sequence[ColumnElement[bool]]) -> int:
    """Count nodes, at most as many as take Postgres 100 ms."""
    some = select(Node.id).where(*entries).limit(_MAX_COUNTED).subquery()
    counted: int = (await tx.execute(select(func.count()).select_from(some))).scalar_one()
    return counted


# Each key is an index of `nodes` after the folder: a page is one range of it, read forwards or backwards.
_KEYS: dict[str, tuple[Any, ...]] = {
    "name": (Node.name_sort, Node.id),
    "size": (Node.size_bytes, Node.id),
    "modified": (Node.modified_at, Node.id),
}


def _describe_cursor(order: Order) -> str:
    return f"files {order} {names.SORT_VERSION}"


def _encode_key(order: Order, last: views.FileRow) -> str:
    match order.removeprefix("-"):
        case "name":
            key: tuple[page_cursors.KeyPart, ...] = (last.name_sort, last.id)
        case "size":
            key = (last.sort_bytes, last.id)
        case _:
            key = (last.modified_at, last.id)
    return page_cursors.encode_cursor(_describe_cursor(order), *key)


def _decode_key(order: Order, cursor: str) -> tuple[Any, ...]:
    """Return the key in a cursor, as `_KEYS` of its order. Raises InvalidCursor."""
    kind = _describe_cursor(order)
    match order.removeprefix("-"):
        case "name":
            return page_cursors.decode_key(kind, cursor, str, uuid.UUID)
        case "size":
            size_bytes, after = page_cursors.decode_key(kind, cursor, int, uuid.UUID)
            return literal(size_bytes, BigInteger), after
        case _:
            return page_cursors.decode_key(kind, cursor, datetime, uuid.UUID)


# All below a folder


class _Entry(NamedTuple):
    """A node below the listed folder. Of a folder, `after` is the key after which its children are read."""

    node_id: uuid.UUID
    is_folder: bool
    keys: tuple[str, ...]
    """Name keys of the path from the listed folder to the node."""
    after: str = ""


_CHILDREN = text("""
    SELECT start.number, child.id, child.kind, child.name_key
    FROM unnest(CAST(:folder_ids AS uuid[]), CAST(:after AS text[])) WITH ORDINALITY AS start(folder_id, after, number)
    CROSS JOIN LATERAL (
        SELECT id, kind, name_key FROM nodes
        WHERE parent_id = start.folder_id AND trashed_at IS NULL AND name_key > start.after
        ORDER BY name_key LIMIT :wanted
    ) child
    ORDER BY start.number, child.name_key LIMIT :wanted
""")


async def _list_below(context: Context, wanted: ListFiles) -> FileList:
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        folder_id = await _resolve_folder(tx, context.actor_id, wanted)
        kind = f"files below {folder_id}"
        last = page_cursors.decode_key(kind, wanted.cursor, str)[0].split("/") if wanted.cursor else []
        found = await _walk(tx, await _resume(tx, folder_id, last), wanted.limit + 1)
        items = await _load_in_order(tx, context.actor_id, [entry.node_id for entry in found[: wanted.limit]])
    # Neither names nor their keys contain a slash.
    more = (
        page_cursors.encode_cursor(kind, "/".join(found[wanted.limit - 1].keys)) if len(found) > wanted.limit else None
    )
    return FileList(items=items, next_cursor=more)


async def _resume(tx: Tx, folder_id: uuid.UUID, last: Sequence[str]) -> list[_Entry]:
    """Return the folders where the list continues after the entry with the path `last`, the deepest folder first.

    If a folder on that path no longer exists, the list continues after its key.
    """
    starts = [_Entry(folder_id, True, ())]
    for depth, key in enumerate(last):
        parent = starts[0]
        starts[0] = parent._replace(after=key)
        here = select(Node.id).where(Node.parent_id == parent.node_id, Node.name_key == key, Node.kind == "folder")
        child_id = (await tx.execute(here.where(Node.trashed_at.is_(None)))).scalar_one_or_none()
        if child_id is None:
            break
        starts.insert(0, _Entry(child_id, True, tuple(last[: depth + 1])))
    return starts


async def _walk(tx: Tx, starts: Sequence[_Entry], wanted: int) -> list[_Entry]:
    """Return the first entries in and below these folders, depth-first.

    One query for each level of the tree. An entry beyond the first `wanted` ones is not read any deeper, because nodes
    of lower levels only move it further back.
    """
    begun = set(starts)
    known, folders = list(starts), list(starts)
    while folders:
        children = await _read_children(tx, folders, wanted)
        known = [node for entry in known for node in (entry, *children.get(entry, ()))][: wanted + len(starts)]
        new = {child for siblings in children.values() for child in siblings if child.is_folder}
        folders = [entry for entry in known if entry in new]
    return [entry for entry in known if entry not in begun][:wanted]


async def _read_children(tx: Tx, folders: list[_Entry], wanted: int) -> dict[_Entry, list[_Entry]]:
    """Return the first `wanted` children of all the folders together, in order, by folder."""
    bound = {
        "folder_ids": [folder.node_id for folder in folders],
        "after": [folder.after for folder in folders],
        "wanted": wanted,
    }
    children = defaultdict(list)
    for row in await tx.execute(_CHILDREN, bound):
        folder = folders[row.number - 1]
        children[folder].append(_Entry(row.id, row.kind == "folder", (*folder.keys, row.name_key)))
    return children


async def _load_in_order(tx: Tx, actor_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> list[File]:
    files = await views.find_files(tx, actor_id, node_ids)
    return [files[node_id] for node_id in node_ids]


# Filters


async def _list_matching(context: Context, wanted: ListFiles) -> FileList:
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        folder = await folders.find_folder(tx, context.actor_id, wanted.parent_id, wanted.path)
        matching = _select_matching(folder.owner_id if folder else context.actor_id, wanted)
        if folder:
            matching = matching.where(await views.build_below_condition(tx, folder.node_id))
        if wanted.cursor:
            matching = matching.where(Node.id > page_cursors.decode_id("files matching", wanted.cursor))
        found = await views.read_live(tx, matching, wanted.limit + 1)
        items = await _load_in_order(tx, context.actor_id, [row.id for row in found[: wanted.limit]])
    more = page_cursors.encode_cursor("files matching", items[-1].id) if len(found) > wanted.limit else None
    return FileList(items=items, next_cursor=more)


def _select_matching(owner_id: uuid.UUID, wanted: ListFiles) -> Select[uuid.UUID, uuid.UUID | None]:
    """Select the files of an owner that pass the filters and are not trashed themselves, ordered by id.

    States are literals in the statement, because Postgres plans a rare state differently from a common one.
    """
    found = (
        select(Node.id, Node.parent_id)
        .join(Revision, and_(Revision.node_id == Node.id, Revision.superseded_at.is_(None)))
        .where(Node.owner_id == owner_id, Node.trashed_at.is_(None))
    )
    if wanted.processing:
        state = bindparam("processing", wanted.processing, Text, literal_execute=True)
        found = found.where(Revision.owner_id == owner_id, Revision.processing_state == state)
    if wanted.content_status or wanted.fingerprint:
        found = found.join(Blob, Blob.id == Revision.blob_id).where(Blob.owner_id == owner_id)
    if wanted.content_status:
        status = bindparam("content_status", wanted.content_status, Text, literal_execute=True)
        found = found.where(Blob.content_status == status)
    if wanted.fingerprint:
        found = found.where(Blob.fingerprint == bytes.fromhex(wanted.fingerprint))
    return found.order_by(Node.id)
