"""Folders and files as a zip, streamed while the server builds it: no whole file in memory, no open transaction.

The server reads the tree in pages, depth first, each folder in the order of its names. The archive has each page as it
was when it was read. A file that is deleted later can still be read, because its object outlives it by days. Access is
checked again for each page and each file. A read error ends the stream early: a client detects a broken zip, but not a
missing file. Quarantined and damaged files, and those to which access has ended, are left out, and the last entry lists
them.
"""

import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import ARRAY, any_, bindparam, select

from dropbox_api import access, problems
from dropbox_api.accounts import actors
from dropbox_api.context import Actor, Context, Services
from dropbox_api.core import names
from dropbox_api.core.zip_format import ZipWriter
from dropbox_api.db import Db, Tx
from dropbox_api.head_request import is_head
from dropbox_api.models import Blob, Id, Node, Revision
from dropbox_api.plumbing import audit
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.storage.object_store import StoreError

LEFT_OUT = {
    "quarantined": "its content is not what was announced",
    "damaged": "its content was damaged in the store",
}
LOST = "it was deleted, or access to it has ended"
_PAGE = 100
"""Rows of one read. The walk keeps one page for each level of the tree."""
_PIECE_BYTES = 1 << 16
"""Smaller pieces are sent together, because the headers of an archive are many and short."""


class BrokenArchive(Exception):
    """An object cannot be read, or its content has changed. The server closes the connection."""


MayRead = Callable[[Tx, uuid.UUID], Awaitable[bool]]
"""Tells whether a node may still be read. Joins the transaction."""


class Archive(NamedTuple):
    """The name of a zip, and its bytes, which the caller closes."""

    filename: str
    body: AsyncGenerator[bytes]


async def open_archive(context: Context, folder_id: uuid.UUID, slots: TransferSlots) -> Archive:
    """Return a folder as a zip.

    `slots` limits concurrent archives: each one holds a connection to the store, and uploads need some as well.

    Raises NotFound, NotAFolder; while the body is read, BrokenArchive, or Unavailable when the database is.
    Transaction: one, for the audit trail; then a short read for each page of a folder.
    """
    async with context.db.begin() as tx:
        granted = await access.require_role(tx, context.actor_id, folder_id)
        await record_archives(tx, [granted])
        top = await read_top(tx, granted)
    return await stream_archive(context, top, build_check(context.actor), slots.hold(context.actor_id))


def build_check(actor: Actor) -> MayRead:
    """Return the check of access for an archive that ends with the sign-in or token of its actor."""

    async def may_read(tx: Tx, node_id: uuid.UUID) -> bool:
        if not await actors.find_actor(tx, actor.user_id, session_id=actor.session_id, token_id=actor.token_id):
            return False
        (known,) = await access.find_states(tx, actor.user_id, [node_id])
        return known.state in {"live", "trashed"}

    return may_read


async def record_archives(tx: Tx, granted: Sequence[access.Access], **detail: str) -> None:
    """Audit that nodes are archived. Transaction: joins tx."""
    by_owner: dict[uuid.UUID, list[audit.Entry]] = {}
    for one in granted:
        by_owner.setdefault(one.owner_id, []).append(audit.Entry("archived", one.node_id, dict(detail)))
    for owner_id, entries in by_owner.items():
        await audit.record(tx, owner_id, entries)


@dataclass(frozen=True, slots=True)
class Top:
    """What to archive: a folder, or a list of nodes. `name` is that of the zip, empty for the root folder."""

    name: str
    level: "_Level"
    modified_at: datetime | None = None
    """Of the folder; None for a list."""


async def read_top(tx: Tx, granted: access.Access) -> Top:
    """Return the folder to archive, whose access the caller has checked. Raises NotAFolder. Transaction: joins tx."""
    if granted.kind != "folder":
        raise problems.NotAFolder("This is a file; only folders are archived")
    folder = (await tx.execute(select(Node.name, Node.modified_at).where(Node.id == granted.node_id))).one()
    name = names.make_archive_name(folder.name) if folder.name else ""
    return Top(name, _Level(granted.node_id, f"{name}/" if name else ""), folder.modified_at)


async def read_list(tx: Tx, node_ids: Sequence[uuid.UUID], visible: Collection[uuid.UUID]) -> Top:
    """Return a list of nodes to archive, side by side in its order. Transaction: joins tx.

    Those that are not among the `visible` ones are only reported, by their ids.
    """
    rows = {row.id: row for row in map(_Child._make, await tx.execute(_NODES, {"ids": list(visible)}))}
    wanted = [names.make_archive_name(rows[id_].name or "files") if id_ in rows else str(id_) for id_ in node_ids]
    distinct = names.make_distinct(wanted)
    page = deque((name, rows.get(node_id)) for name, node_id in zip(distinct, node_ids, strict=True))
    level = _Level(None, "", page, is_last_page=True, given_keys=set(map(names.make_key, distinct)))
    return Top(distinct[0] if len(distinct) == 1 else "", level)


async def stream_archive(
    services: Services, top: Top, may_read: MayRead, slot: AbstractAsyncContextManager[None]
) -> Archive:
    """Return the zip as `open_archive` does, with the checks of `may_read` alone.

    The stream holds `slot` from its first byte to its last. For a HEAD request it is empty and holds none.
    """
    filename = f"{top.name or 'files'}.zip"
    if is_head():
        return Archive(filename, _no_pieces())
    pieces = _build_pieces(services, top, may_read)
    body = _join_pieces(pieces, slot)
    first = await anext(body)  # waits for the slot, so that a timeout becomes a problem response
    return Archive(filename, _prepend(first, body))


async def _no_pieces() -> AsyncGenerator[bytes]:
    return
    yield b""


async def _prepend(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _join_pieces(pieces: AsyncGenerator[bytes], slot: AbstractAsyncContextManager[None]) -> AsyncGenerator[bytes]:
    waiting: list[bytes] = []
    waiting_bytes = 0
    async with slot, aclosing(pieces):
        async for piece in pieces:
            waiting.append(piece)
            waiting_bytes += len(piece)
            if waiting_bytes >= _PIECE_BYTES:
                yield b"".join(waiting)
                waiting, waiting_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


class _Child(NamedTuple):
    """A file or folder in a folder, as `_CHILDREN` selects it."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: str
    name_key: str
    modified_at: datetime
    client_modified_at: datetime | None
    size_bytes: int | None
    """None for a folder, and for a file that is being purged, as the next two."""
    storage_key: str | None
    content_status: str | None


async def _build_pieces(services: Services, top: Top, may_read: MayRead) -> AsyncGenerator[bytes]:
    writer = ZipWriter()
    left_out: list[str] = []
    if top.modified_at and top.level.path:
        yield writer.start(top.level.path, top.modified_at) + writer.end()
    async with aclosing(_walk(services.db, top.level, may_read)) as entries:
        async for path, row in entries:
            reason = LEFT_OUT.get(row.content_status or "") if row else LOST
            if row is None or reason:
                left_out.append(f"{path}: {reason}\n")
                continue
            yield writer.start(path, _choose_time(row), row.size_bytes or 0)
            try:
                if row.size_bytes and row.storage_key:
                    async with aclosing(services.store.read(row.storage_key)) as blocks:
                        async for block in blocks:
                            yield writer.feed(block)
                yield writer.end()
            except (StoreError, ValueError) as error:
                raise BrokenArchive(f"an archive was cut short at {row.storage_key}: {error}") from error
    if left_out:
        async with services.db.read() as tx:
            name = await _choose_free_name(tx, top.level, "NOT-INCLUDED.txt")
        text = "".join(left_out).encode()
        header = writer.start(top.level.path + name, datetime.now(UTC), len(text))
        yield header + writer.feed(text) + writer.end()
    for piece in writer.finish():
        yield piece


def _choose_time(row: _Child) -> datetime:
    """Return the client's time of a file, or the server's where a zip cannot hold the client's."""
    sent = row.client_modified_at
    return sent if sent and sent.tzinfo and 1 < sent.year < MAXYEAR else row.modified_at


@dataclass(slots=True)
class _Level:
    """A folder on the current path of the walk; `path` is empty or ends with a slash."""

    folder_id: uuid.UUID | None
    """None for a list, which is complete from the start."""
    path: str
    page: deque[tuple[str, _Child | None]] = field(default_factory=deque)
    """Names in the archive, and rows, that are not yet written; None for a node that was deleted."""
    after: str = ""
    """Name key of the last row that was read."""
    is_last_page: bool = False
    given_keys: set[str] = field(default_factory=set)
    """Keys of the names that this archive invented in the folder."""
    next_number: dict[str, int] = field(default_factory=dict)
    """The next number to try, by the key of the wanted name."""


_ROWS = (
    select(
        Node.id,
        Node.kind,
        Node.name,
        Node.name_key,
        Node.modified_at,
        Revision.client_modified_at,
        Blob.size_bytes,
        Blob.storage_key,
        Blob.content_status,
    )
    .outerjoin(Revision, Revision.id == Node.head_revision_id)
    .outerjoin(Blob, Blob.id == Revision.blob_id)
)
_NODES = _ROWS.where(Node.id == any_(bindparam("ids", type_=ARRAY(Id))))
_CHILDREN = (
    _ROWS.where(Node.parent_id == bindparam("folder_id"), Node.trashed_at.is_(None), Node.name_key > bindparam("after"))
    .order_by(Node.name_key)
    .limit(_PAGE)
)
_NODE_AT = select(Node.id).where(
    Node.parent_id == bindparam("folder_id"), Node.name_key == bindparam("name_key"), Node.trashed_at.is_(None)
)


async def _walk(db: Db, top: _Level, may_read: MayRead) -> AsyncGenerator[tuple[str, _Child | None]]:
    """Yield path and row of all nodes below a folder, each folder before its content.

    None in a row's stead: the access to the file, or to further content of the folder, has ended.
    """
    levels = [top]
    while levels:
        level = levels[-1]
        if not level.page and not level.is_last_page and not await _read_page(db, level, may_read):
            yield level.path or "/", None
        if not level.page:
            levels.pop()
            continue
        name, row = level.page.popleft()
        if row is None:
            yield level.path + name, None
        elif row.kind == "folder":
            levels.append(_Level(row.id, f"{level.path}{name}/"))
            yield levels[-1].path, row
        elif row.storage_key is not None:  # None: the file is being purged
            async with db.read() as tx:
                is_readable = await may_read(tx, row.id)
            yield level.path + name, row if is_readable else None


async def _read_page(db: Db, level: _Level, may_read: MayRead) -> bool:
    """Read the next page of a folder; return False, and end the folder, if access to it has ended."""
    async with db.read() as tx:
        if level.folder_id is None or not await may_read(tx, level.folder_id):
            level.is_last_page = True
            return False
        children = await tx.execute(_CHILDREN, {"folder_id": level.folder_id, "after": level.after})
        rows = [_Child._make(row) for row in children]
        level.is_last_page = len(rows) < _PAGE
        for row in rows:
            name = names.make_archive_name(row.name)
            if name != row.name or row.name_key in level.given_keys:
                name = await _choose_free_name(tx, level, name)
            level.page.append((name, row))
            level.after = row.name_key
    return True


async def _choose_free_name(tx: Tx, level: _Level, wanted: str) -> str:
    """Return a name for a node whose own name does not fit: not given before, and not the name of another node."""
    number = level.next_number.get(names.make_key(wanted), 0)
    while True:
        name = names.make_conflict_name(wanted, number) if number else wanted
        number += 1
        name_key = names.make_key(name)
        place = {"folder_id": level.folder_id, "name_key": name_key}
        if name_key not in level.given_keys and (await tx.execute(_NODE_AT, place)).first() is None:
            break
    level.given_keys.add(name_key)
    level.next_number[names.make_key(wanted)] = number
    return name
