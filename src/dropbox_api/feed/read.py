"""Read the journal for its recipient: the events, each with its file as it is now.

Access is checked at each read, not when the event happened. Of files that the reader can no longer see, the reader
gets only removals, without details.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from dropbox_api import access
from dropbox_api.context import Context
from dropbox_api.db import Db, Tx
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.events.journal import EventKind, JournalEntry, JournalPosition
from dropbox_api.feed.schemas import Event, EventActor, EventHistory, StreamEvents
from dropbox_api.files import views
from dropbox_api.files.schemas import File
from dropbox_api.models import User
from dropbox_api.plumbing import page_cursors


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
        seen = [entry for entry in entries if _is_visible(entry, user_id, visible)]
        shown = await _show_events(tx, user_id, seen, visible)
    events = list(zip((entry.position for entry in seen), shown, strict=True))
    last = entries[-1]
    return FeedPage(events, last.position, has_more=last.seq < newest)


def _is_visible(entry: JournalEntry, user_id: uuid.UUID, visible: Mapping[uuid.UUID, File]) -> bool:
    return entry.owner_id == user_id or entry.node_id in visible or entry.kind in journal.REMOVALS


async def list_account_activity(
    context: Context, kind: EventKind | None, *, limit: int, cursor: str | None
) -> EventHistory:
    """Return a page of the caller's journal, newest first; own files also in the trash. Raises InvalidCursor."""
    user_id = context.actor_id
    before = page_cursors.decode_key("account activity", cursor, int)[0] if cursor else None
    async with context.db.read() as tx:
        entries, after = await journal.read_before(tx, user_id, before, kind, limit)
        node_ids = {entry.node_id for entry in entries}
        files = await views.find_files(tx, user_id, node_ids)
        trashed = await access.find_trashed(tx, node_ids)
        visible = {node_id: file for node_id, file in files.items() if file.role == "owner" or node_id not in trashed}
        seen = [entry for entry in entries if _is_visible(entry, user_id, visible)]
        items = await _show_events(tx, user_id, seen, visible)
    more = None if after is None else page_cursors.encode_cursor("account activity", after)
    return EventHistory(items=items, next_cursor=more)


async def _show_events(
    tx: Tx, user_id: uuid.UUID, entries: Sequence[JournalEntry], visible: Mapping[uuid.UUID, File]
) -> list[Event]:
    """Return entries as events, with their actors as far as the reader may see them."""
    named = {entry.actor_id for entry in entries if entry.actor_kind == "account"}
    accounts = select(User.id, User.email, User.display_name).where(User.id.in_(named))
    people = {row.id: (row.email, row.display_name) for row in await tx.execute(accounts)} if named else {}
    return [_show_event(entry, user_id, visible.get(entry.node_id), people) for entry in entries]


def _show_event(
    entry: JournalEntry,
    user_id: uuid.UUID,
    file: File | None,
    people: Mapping[uuid.UUID | None, tuple[str, str | None]],
) -> Event:
    is_own = entry.owner_id == user_id
    return Event(
        id=entry.id,
        kind=entry.kind,
        file_id=entry.node_id,
        at=entry.created_at,
        file=file,
        actor=_show_actor(entry, user_id, people) if is_own or file is not None else None,
        detail=entry.payload if file is not None else {},
    )


def _show_actor(
    entry: JournalEntry, user_id: uuid.UUID, people: Mapping[uuid.UUID | None, tuple[str, str | None]]
) -> EventActor | None:
    """Return the actor of an event; of an account that the reader may not know, only that it is one."""
    if entry.actor_kind is None:
        return None
    if entry.actor_kind == "account" and _may_name_actor(entry, user_id):
        email, name = people.get(entry.actor_id, (None, None))
        token = entry.actor_token if entry.actor_id == user_id else None
        return EventActor(kind="account", id=entry.actor_id, email=email, display_name=name, token=token)
    is_link_of_reader = entry.actor_kind == "link" and entry.owner_id == user_id
    link_id = entry.actor_id if is_link_of_reader else None
    return EventActor(kind=entry.actor_kind, id=link_id, email=None, display_name=None, token=None)


def _may_name_actor(entry: JournalEntry, user_id: uuid.UUID) -> bool:
    """Tell whether the reader sees the actor elsewhere: as owner, as grantee of the reader, or as author of a revision.

    Two grantees of one owner do not see each other.
    """
    is_author = entry.kind in {"file.created", "file.updated"} and "revision_id" in entry.payload
    return user_id in {entry.owner_id, entry.actor_id} or entry.actor_id == entry.owner_id or is_author
