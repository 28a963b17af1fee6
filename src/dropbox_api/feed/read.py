"""Read the journal for its recipient: the events, each with its file as it is now.

Access is checked at each read, not when the event happened. Of files that the reader can no longer see, the reader
gets only removals, without details.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dropbox_api import access
from dropbox_api.context import Context
from dropbox_api.db import Db
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.journal import JournalEntry, JournalPosition
from dropbox_api.feed.schemas import Event, StreamEvents
from dropbox_api.files import views
from dropbox_api.files.schemas import File


@dataclass(slots=True)
class FeedPage:
    """A page of a journal. Several requests that wait for the same page share it."""

    events: Sequence[tuple[JournalPosition, Event]]
    """Each event with the position after it."""
    position: JournalPosition
    """The position after the last entry that was read, visible or not."""
    has_more: bool
    body: bytes | None = None
    """The encoded response, set by the first poll that sends the page."""


async def get_start_position(context: Context, cursors: Cursors, wanted: StreamEvents) -> JournalPosition:
    """Return the position at which a reader starts. Raises InvalidCursor, CursorExpired (`since` is too long ago)."""
    user_id = context.actor_id
    if wanted.cursor is not None:
        return cursors.decode(user_id, wanted.cursor)
    retention = timedelta(seconds=context.settings.events.retention_s)
    async with context.db.read() as tx:
        if wanted.since is not None:
            return await journal.get_position_at(tx, user_id, wanted.since, retention)
        return await journal.get_newest_position(tx, user_id)


async def get_newest_cursor(context: Context, cursors: Cursors) -> str:
    """Return the cursor after the newest event of the caller's journal."""
    async with context.db.read() as tx:
        newest = await journal.get_newest_position(tx, context.actor_id)
    return cursors.encode(context.actor_id, newest)


async def read_page(db: Db, user_id: uuid.UUID, position: JournalPosition, limit: int) -> FeedPage:
    """Return the visible ones of the next `limit` events after a position. Raises CursorExpired.

    A page without events may have more behind it: none of its entries was visible.
    """
    async with db.read() as tx:
        entries, newest = await journal.read_after(tx, user_id, position, limit)
        if not entries:
            return FeedPage((), position, has_more=False)
        node_ids = {entry.node_id for entry in entries}
        files = await views.find_files(tx, user_id, node_ids)
        trashed = await access.find_trashed(tx, node_ids)
    visible = {node_id: file for node_id, file in files.items() if node_id not in trashed}
    events = [
        (entry.position, _show_event(entry, visible.get(entry.node_id)))
        for entry in entries
        if _is_visible(entry, user_id, visible)
    ]
    last = entries[-1]
    return FeedPage(events, last.position, has_more=last.seq < newest)


def _is_visible(entry: JournalEntry, user_id: uuid.UUID, visible: Mapping[uuid.UUID, File]) -> bool:
    return entry.owner_id == user_id or entry.node_id in visible or entry.kind in journal.REMOVALS


def _show_event(entry: JournalEntry, file: File | None) -> Event:
    return Event(
        id=entry.id,
        kind=entry.kind,
        file_id=entry.node_id,
        at=entry.created_at,
        file=file,
        detail=entry.payload if file is not None else {},
    )
