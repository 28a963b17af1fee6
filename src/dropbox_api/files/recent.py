"""Recent files: those of the caller's own tree, last changed first."""

import uuid
from datetime import datetime

from sqlalchemy import text, tuple_

from dropbox_api.context import Context
from dropbox_api.db import use_snapshot
from dropbox_api.files import thumbnails, views
from dropbox_api.files.schemas import FileList
from dropbox_api.models import Node
from dropbox_api.plumbing import page_cursors

# The kind is a literal: a plan for all values of a parameter could not use the index of files.
_RECENT = (
    views.select_files()
    .where(Node.kind == text("'file'"), Node.trashed_at.is_(None))
    .order_by(Node.modified_at.desc(), Node.id.desc())
)


async def list_recent(context: Context, *, limit: int, cursor: str | None, with_thumbnails: bool) -> FileList:
    """Return a page of the caller's own live files in all folders, last changed content first. Raises InvalidCursor."""
    page = _RECENT.where(Node.owner_id == context.actor_id)
    if cursor:
        after = page_cursors.decode_key("recent files", cursor, datetime, uuid.UUID)
        page = page.where(tuple_(Node.modified_at, Node.id) < tuple_(*after))
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        rows = [views.FileRow._make(row) for row in await views.read_live(tx, page, limit + 1)]
        items = await views.build_files(tx, context.actor_id, rows[:limit])
    last = rows[limit - 1] if len(rows) > limit else None
    more = page_cursors.encode_cursor("recent files", last.modified_at, last.id) if last else None
    found = FileList(items=items, next_cursor=more)
    return await thumbnails.add_to_list(context, found) if with_thumbnails else found
