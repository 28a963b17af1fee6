"""A folder as a zip, streamed while the server builds it: no whole file in memory, no open transaction.

The server reads the tree in pages, depth first, each folder in the order of its names. The archive has each page as it
was when it was read. A file that is deleted later can still be read, because its object outlives it by days. A read
error ends the stream early: a client detects a broken zip, but not a missing file. Quarantined and damaged files are
left out, and the last entry lists them.
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
from dropbox_api.head_request import is_head
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing import audit
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.storage.object_store import StoreError

LEFT_OUT = {
    "quarantined": "its content is not what was announced",
    "damaged": "its content was damaged in the store",
}
_PAGE = 100
"""Rows of one read. The walk keeps one page for each level of the tree."""
_PIECE_BYTES = 1 << 16
"""Smaller pieces are sent together, because the headers of an archive are many and short."""


class BrokenArchive(Exception):
    """An object cannot be read, or its content has changed. The server closes the connection."""


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
        top = await read_top(tx, await access.require_role(tx, context.actor_id, folder_id))
    return await stream_archive(context, top, slots.hold(context.actor_id))


class Top(NamedTuple):
    """The folder to archive."""

    folder_id: uuid.UUID
    name: str
    modified_at: datetime


async def read_top(tx: Tx, granted: access.Access, detail: Mapping[str, str] = MappingProxyType({})) -> Top:
    """Return the folder to archive, whose access the caller has checked, and audit it. Raises NotAFolder.

    Transaction: joins tx.
    """
    if granted.kind != "folder":
        raise problems.NotAFolder("This is a file; only folders are archived")
    folder = (await tx.execute(select(Node.name, Node.modified_at).where(Node.id == granted.node_id))).one()
    await audit.record(tx, granted.owner_id, [audit.Entry("archived", granted.node_id, dict(detail))])
    return Top(granted.node_id, names.make_archive_name(folder.name) if folder.name else "", folder.modified_at)


async def stream_archive(services: Services, top: Top, slot: AbstractAsyncContextManager[None]) -> Archive:
    """Return a folder as a zip, as `open_archive` does, without a check of permission.

    The stream holds `slot` from its first byte to its last. For a HEAD request it is empty and holds none.
    """
    filename = f"{top.name or 'files'}.zip"
    if is_head():
        return Archive(filename, _no_pieces())
    pieces = _build_pieces(services, _Level(top.folder_id, f"{top.name}/" if top.name else ""), top.modified_at)
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


async def _build_pieces(services: Services, top: "_Level", modified_at: datetime) -> AsyncGenerator[bytes]:
    writer = ZipWriter()
    left_out: list[str] = []
    if top.path:
        yield writer.start(top.path, modified_at) + writer.end()
    async with aclosing(_walk(services.db, top)) as entries:
        async for path, row in entries:
            reason = LEFT_OUT.get(row.content_status or "")
            if reason:
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
            name = await _choose_free_name(tx, top, "NOT-INCLUDED.txt")
        text = "".join(left_out).encode()
        header = writer.start(top.path + name, datetime.now(UTC), len(text))
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

    folder_id: uuid.UUID
    path: str
    page: deque[tuple[str, _Child]] = field(default_factory=deque)
    """Names in the archive, and rows, that are not yet written."""
    after: str = ""
    """Name key of the last row that was read."""
    is_last_page: bool = False
    given_keys: set[str] = field(default_factory=set)
    """Keys of the names that this archive invented in the folder."""
    next_number: dict[str, int] = field(default_factory=dict)
    """The next number to try, by the key of the wanted name."""


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
    """Yield path and row of all nodes below a folder, each folder before its content."""
    levels = [top]
    while levels:
        level = levels[-1]
        if not level.page and not level.is_last_page:
            async with db.read() as tx:
                await _read_page(tx, level)
        if not level.page:
            levels.pop()
            continue
        name, row = level.page.popleft()
        if row.kind == "folder":
            levels.append(_Level(row.id, f"{level.path}{name}/"))
            yield levels[-1].path, row
        elif row.storage_key is not None:  # None: the file is being purged
            yield level.path + name, row


async def _read_page(tx: Tx, level: _Level) -> None:
    children = await tx.execute(_CHILDREN, {"folder_id": level.folder_id, "after": level.after})
    rows = [_Child._make(row) for row in children]
    level.is_last_page = len(rows) < _PAGE
    for row in rows:
        name = names.make_archive_name(row.name)
        if name != row.name or row.name_key in level.given_keys:
            name = await _choose_free_name(tx, level, name)
        level.page.append((name, row))
        level.after = row.name_key


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
