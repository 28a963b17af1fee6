"""A folder as a zip, streamed while it is made: nothing of it is ever held, and no transaction is.

The tree is read a page at a time, depth first, each folder in the order of its names. What changes meanwhile is in the
archive as it was when its turn came; a file deleted since then can still be read, for its object outlives it by days.
What cannot be read ends the stream in the middle: a broken zip is noticed, one without a file is not. Content that
cannot be trusted is left out, and the last entry says so.
"""

import uuid
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from sqlalchemy import bindparam, select

from dropbox_api import access, problems
from dropbox_api.context import Context, Services
from dropbox_api.core import names
from dropbox_api.core.zip_format import ZipWriter
from dropbox_api.db import Db, Tx
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing import audit
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.storage.object_store import StoreError

LEFT_OUT = {
    "quarantined": "its content is not what was announced",
    "damaged": "its content was damaged in the store",
}
_PAGE = 100
"""Rows a read: a tree as deep as it may be holds a page at each of its levels."""
_PIECE_BYTES = 1 << 16
"""Smaller pieces are sent together: the headers of an archive are many and short."""


class BrokenArchive(Exception):
    """An object cannot be read, or is not what it was; whoever streams the archive closes the connection."""


class Archive(NamedTuple):
    filename: str
    body: AsyncGenerator[bytes]


async def open_archive(context: Context, folder_id: uuid.UUID, slots: TransferSlots) -> Archive:
    """Return a folder as a zip: what to call it, and its bytes, which the caller closes.

    `slots` bounds how many are read at a time: each holds a connection to the store, of which uploads need some, too.

    Raises NotFound, NotAFolder; while it is read, BrokenArchive, or Unavailable when the database is.
    Transaction: one, for the audit trail; then a short read for each page of a folder.
    """
    async with context.db.begin() as tx:
        top = await read_top(tx, await access.require(tx, context.actor_id, folder_id))
    return await stream_archive(context, top, slots.hold(context.actor_id))


class Top(NamedTuple):
    """The folder that an archive is of."""

    folder_id: uuid.UUID
    name: str
    modified_at: datetime


async def read_top(tx: Tx, granted: access.Access, detail: Mapping[str, str] = MappingProxyType({})) -> Top:
    """Return a folder to which somebody has access, to be archived, and write down that it is. Raises NotAFolder.

    Transaction: joins tx.
    """
    if granted.kind != "folder":
        raise problems.NotAFolder("This is a file; only folders are archived")
    folder = (await tx.execute(select(Node.name, Node.modified_at).where(Node.id == granted.node_id))).one()
    await audit.record(tx, granted.owner_id, [audit.Entry("archived", granted.node_id, dict(detail))])
    return Top(granted.node_id, names.make_archive_name(folder.name) if folder.name else "", folder.modified_at)


async def stream_archive(services: Services, top: Top, slot: AbstractAsyncContextManager[None]) -> Archive:
    """Return a folder as a zip, as `open_archive` does, without a check of permission.

    The stream holds `slot` from its first byte to its last.
    """
    pieces = _build_pieces(services, _Level(top.folder_id, f"{top.name}/" if top.name else ""), top.modified_at)
    body = _join_pieces(pieces, slot)
    first = await anext(body)  # before anything is answered: it may have to wait for its turn in vain
    return Archive(f"{top.name or 'files'}.zip", _prepend(first, body))


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


async def _build_pieces(services: Services, top: "_Level", modified_at: datetime) -> AsyncGenerator[bytes]:
    writer = ZipWriter()
    left_out: list[str] = []
    if top.path:
        yield writer.start(top.path, modified_at) + writer.end()
    async with aclosing(_walk(services.db, top)) as met:
        async for path, row in met:
            reason = LEFT_OUT.get(row.content_status or "")
            if reason:
                left_out.append(f"{path}: {reason}\n")
                continue
            yield writer.start(path, _choose_time(row), row.size_bytes or 0)
            try:
                if row.size_bytes and row.storage_key:
                    async with aclosing(services.store.read(row.storage_key)) as blocks:
                        async for block in blocks:
                            writer.feed(block)
                            yield block
                yield writer.end()
            except (StoreError, ValueError) as error:
                raise BrokenArchive(f"an archive was cut short at {row.storage_key}: {error}") from error
    if left_out:
        async with services.db.read() as tx:
            name = await _choose_free_name(tx, top, "NOT-INCLUDED.txt")
        text = "".join(left_out).encode()
        header = writer.start(top.path + name, datetime.now(UTC), len(text))
        writer.feed(text)
        yield header + text + writer.end()
    for piece in writer.finish():
        yield piece


def _choose_time(row: _Child) -> datetime:
    """Return when a file was changed; a client's time that no zip can hold does not count."""
    told = row.client_modified_at
    return told if told and told.tzinfo and 1 < told.year < MAXYEAR else row.modified_at


@dataclass(slots=True)
class _Level:
    """A folder on the way down; `path` is empty or ends with a slash."""

    folder_id: uuid.UUID
    path: str
    page: deque[tuple[str, _Child]] = field(default_factory=deque)
    """Names in the archive, and rows, that are still to come."""
    after: str = ""
    """Name key of the last row that was read."""
    read: bool = False
    """Whether the last page was read."""
    given: set[str] = field(default_factory=set)
    """Keys of the names that this archive made up here."""
    next_number: dict[str, int] = field(default_factory=dict)
    """By the key of a name that was wanted: which of its alternatives to try next."""


_CHILDREN = (
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
    .where(Node.parent_id == bindparam("folder_id"), Node.trashed_at.is_(None), Node.name_key > bindparam("after"))
    .order_by(Node.name_key)
    .limit(_PAGE)
)
_NODE_AT = select(Node.id).where(
    Node.parent_id == bindparam("folder_id"), Node.name_key == bindparam("name_key"), Node.trashed_at.is_(None)
)


async def _walk(db: Db, top: _Level) -> AsyncGenerator[tuple[str, _Child]]:
    """Yield path and row of everything below a folder; a folder comes before what it holds."""
    levels = [top]
    while levels:
        level = levels[-1]
        if not level.page and not level.read:
            async with db.read() as tx:
                await _read_page(tx, level)
        if not level.page:
            levels.pop()
            continue
        name, row = level.page.popleft()
        if row.kind == "folder":
            levels.append(_Level(row.id, f"{level.path}{name}/"))
            yield levels[-1].path, row
        elif row.storage_key is not None:  # else it is being purged
            yield level.path + name, row


async def _read_page(tx: Tx, level: _Level) -> None:
    children = await tx.execute(_CHILDREN, {"folder_id": level.folder_id, "after": level.after})
    rows = [_Child._make(row) for row in children]
    level.read = len(rows) < _PAGE
    for row in rows:
        name = names.make_archive_name(row.name)
        if name != row.name or row.name_key in level.given:
            name = await _choose_free_name(tx, level, name)
        level.page.append((name, row))
        level.after = row.name_key


async def _choose_free_name(tx: Tx, level: _Level, wanted: str) -> str:
    """Return a name for something that cannot have its own: none that was given here before, nor that of a node."""
    number = level.next_number.get(names.make_key(wanted), 0)
    while True:
        name = names.make_conflict_name(wanted, number) if number else wanted
        number += 1
        name_key = names.make_key(name)
        place = {"folder_id": level.folder_id, "name_key": name_key}
        if name_key not in level.given and (await tx.execute(_NODE_AT, place)).first() is None:
            break
    level.given.add(name_key)
    level.next_number[names.make_key(wanted)] = number
    return name
