"""Everything below a folder as compact rows, for clients that keep a copy of a tree (docs/protocol.md, Mirror a tree).

The order is the id, which no change of a node changes. A page covers the ids after the previous page up to its own
last one: all nodes with these ids that are live below the folder in the page's snapshot. So a node that stays below the
folder is in exactly one page, and the events after the cursor of the first page tell about all others.

A page finds its ids in one of two ways, which give the same ids. A walk reads the whole subtree, for each page again; a
scan reads the owner's nodes by id and drops those outside of the subtree. All pages of a walk cost the square of the
subtree's size divided by that of a page, all pages of a scan the size of the account: the cheaper one is chosen.
Postgres builds the JSON of the rows.
"""

import uuid
from collections.abc import Sequence
from math import isqrt
from typing import Literal, NamedTuple

import orjson
from sqlalchemy import text

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.db import Tx, use_snapshot
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.files import paths
from dropbox_api.files.schemas import TREE_COLUMNS, ListTree
from dropbox_api.plumbing import page_cursors

SCANNED_AT_ONCE = 10_000
"""Nodes that a page of a scan reads at least: few of them may be below the folder."""

_FIRST = uuid.UUID(int=0)


class _Position(NamedTuple):
    """Where a page begins."""

    after: uuid.UUID
    way: Literal["walk", "scan"]
    events_cursor: str


class _Found(NamedTuple):
    """The ids of a page, and the id after which the next page begins; None at the end."""

    ids: Sequence[uuid.UUID]
    next_after: uuid.UUID | None


async def list_entries(context: Context, cursors: Cursors, wanted: ListTree) -> bytes:
    """Return a page of all nodes below a folder, by default the caller's root, as the JSON of a `TreePage`.

    Raises NotFound, NotAFolder, InvalidCursor.
    Transaction: one snapshot, after the statement that reads the position in the journal for the first page.
    """
    events_cursor = "" if wanted.cursor else await _get_events_cursor(context, cursors)
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        own_root_id = await paths.get_root_id(tx, context.actor_id)
        root = await access.require_role(tx, context.actor_id, wanted.root_id or own_root_id)
        if root.kind != "folder":
            raise problems.NotAFolder
        kind = f"tree {root.node_id}"
        position = _Position(_FIRST, "scan" if root.node_id == own_root_id else "walk", events_cursor)
        if wanted.cursor:
            position = _Position(*page_cursors.decode_key(kind, wanted.cursor, uuid.UUID, str, str))
            cursors.decode(context.actor_id, position.events_cursor)
        found = await _walk(tx, root, position.after, wanted.limit) if position.way == "walk" else None
        if found is None:
            position = position._replace(way="scan")
            at_once = wanted.limit if root.node_id == own_root_id else max(wanted.limit, SCANNED_AT_ONCE)
            found = await _scan(tx, root, position.after, wanted.limit, at_once)
        read = (await tx.execute(_ROWS, {"ids": found.ids})).one()
    next_cursor = (
        page_cursors.encode_cursor(kind, *position._replace(after=found.next_after)) if found.next_after else None
    )
    end = orjson.dumps({"epoch": read.epoch, "events_cursor": position.events_cursor, "next_cursor": next_cursor})
    return b'{"columns":%b,"items":[%b],%b' % (_COLUMNS, read.rows.encode(), end[1:])


_COLUMNS = orjson.dumps(TREE_COLUMNS)


async def _get_events_cursor(context: Context, cursors: Cursors) -> str:
    async with context.db.read() as tx:
        newest = await journal.get_newest_position(tx, context.actor_id)
    return cursors.encode(context.actor_id, newest)


_WALK = text(f"""
    WITH RECURSIVE below AS (
        SELECT CAST(:root_id AS uuid) AS id, CAST('folder' AS text) AS kind
        UNION ALL
        SELECT child.id, child.kind FROM below, {access.children_of("below", "kind", where="trashed_at IS NULL")}
        WHERE below.kind = 'folder'
    ), bounded AS (SELECT id FROM below LIMIT CAST(:bound AS bigint) + 1)
    SELECT (SELECT count(*) FROM bounded) AS read, (
        SELECT coalesce(array_agg(id ORDER BY id), '{{}}') FROM (
            SELECT id FROM bounded WHERE id > :after AND id <> :root_id ORDER BY id LIMIT CAST(:limit AS bigint) + 1
        ) page
    ) AS ids
""")
"""OFFSET makes Postgres look up the children of each folder by index, as LIMIT ends the walk early."""

_USED_NODES = text("SELECT used_nodes FROM users WHERE id = :owner_id")


async def _walk(tx: Tx, root: access.Access, after: uuid.UUID, limit: int) -> _Found | None:
    """Find a page in the whole subtree. Return None if the subtree is so large that a scan is cheaper."""
    used_nodes: int = (await tx.execute(_USED_NODES, {"owner_id": root.owner_id})).scalar_one()
    bound = max(limit, isqrt(used_nodes * limit))
    subtree = (await tx.execute(_WALK, {"root_id": root.node_id, "after": after, "bound": bound, "limit": limit})).one()
    if subtree.read > bound:
        return None
    ids = subtree.ids[:limit]
    return _Found(ids, ids[-1] if len(subtree.ids) > limit else None)


_SCAN = text("""
    SELECT coalesce(array_agg(id ORDER BY id), '{}') AS ids, array_agg(parent_id ORDER BY id) AS parent_ids FROM (
        SELECT id, CASE WHEN trashed_at IS NULL THEN parent_id END AS parent_id FROM nodes
        WHERE owner_id = :owner_id AND id > :after ORDER BY id LIMIT :at_once
    ) scanned
""")
"""Trashed nodes are read and dropped, so that a page costs the same for a trash of any size."""


async def _scan(tx: Tx, root: access.Access, after: uuid.UUID, limit: int, at_once: int) -> _Found:
    """Find a page among the next `at_once` nodes of the owner; it may be short or empty before the end."""
    scanned = (await tx.execute(_SCAN, {"owner_id": root.owner_id, "after": after, "at_once": at_once})).one()
    if not scanned.ids:
        return _Found((), None)
    folders = await access.find_live_folders(tx, root.node_id, {up for up in scanned.parent_ids if up is not None})
    ids = [node_id for node_id, up in zip(scanned.ids, scanned.parent_ids, strict=True) if up in folders]
    if len(ids) > limit:
        return _Found(ids[:limit], ids[limit - 1])
    return _Found(ids, scanned.ids[-1] if len(scanned.ids) == at_once else None)


_ROWS = text("""
    SELECT (SELECT current_data_epoch()) AS epoch, coalesce(string_agg(CAST(json_build_array(
        nodes.id, nodes.parent_id, kind, name, version, revisions.size_bytes, revisions.id, encode(fingerprint, 'hex'),
        content_status, (to_json(client_modified_at AT TIME ZONE 'UTC') #>> '{}') || 'Z', nodes.executable
    ) AS text), ',' ORDER BY nodes.id), '') AS rows
    FROM nodes
    LEFT JOIN revisions ON revisions.id = head_revision_id LEFT JOIN blobs ON blobs.id = blob_id
    WHERE nodes.id = ANY(CAST(:ids AS uuid[]))
""")
