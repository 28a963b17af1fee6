"""The journal as its recipient sees it now: what each event is about is looked up, and asked for, when it is delivered.

An event tells that something happened; what has come of it since, and whether the reader may know, is decided at each
delivery. Of what others own and the reader does not see any more only the removal is told, by its id.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dropbox_api import access
from dropbox_api.db import Db
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.journal import JournalPosition
from dropbox_api.feed.schemas import Event, StreamEvents
from dropbox_api.files import views
from dropbox_api.files.schemas import File
from dropbox_api.settings import EventSettings


@dataclass(slots=True)
class Page:
    """What was read of a journal; it may go to several who wait for the same."""

    events: Sequence[tuple[JournalPosition, Event]]
    """Each with the position after it."""
    position: JournalPosition
    """Where to go on: after the last that was looked at, told or not."""
    has_more: bool
    body: bytes = b""
    """The answer to a poll, once somebody has written it."""


async def begin(
    db: Db, settings: EventSettings, cursors: Cursors, actor_id: uuid.UUID, wanted: StreamEvents
) -> JournalPosition:
    """Return the position after which to read. Raises InvalidCursor, CursorExpired (`since` is too long ago)."""
    if wanted.cursor is not None:
        return cursors.decode(actor_id, wanted.cursor)
    async with db.read() as tx:
        if wanted.since is not None:
            return await journal.get_position_at(tx, actor_id, wanted.since, timedelta(seconds=settings.retention_s))
        return await journal.get_newest_position(tx, actor_id)


async def read(db: Db, actor_id: uuid.UUID, position: JournalPosition, limit: int) -> Page:
    """Return the next of the actor's events after a position, at most `limit`. Raises CursorExpired.

    A page without events may have more behind it: everything in it was about what is not theirs to see any more.
    """
    async with db.read() as tx:
        rows, newest = await journal.read_after(tx, actor_id, position, limit)
        if not rows:
            return Page((), position, has_more=False)
        node_ids = {row.node_id for row in rows}
        files = await views.find_files(tx, actor_id, node_ids)
        trashed = await access.find_trashed(tx, node_ids)
    live = {node_id: file for node_id, file in files.items() if node_id not in trashed}
    told = [
        (JournalPosition.after(row.seq, row.id), _event(row, live.get(row.node_id)))
        for row in rows
        if _is_told(row, actor_id, live)
    ]
    last = rows[-1]
    return Page(told, JournalPosition.after(last.seq, last.id), has_more=last.seq < newest)


def _is_told(row: Any, actor_id: uuid.UUID, live: dict[uuid.UUID, File]) -> bool:
    return row.owner_id == actor_id or row.node_id in live or row.kind in journal.REMOVALS


def _event(row: Any, file: File | None) -> Event:
    return Event(
        id=row.id,
        kind=row.kind,
        file_id=row.node_id,
        at=row.created_at,
        file=file,
        detail=row.payload if file is not None else {},
    )
