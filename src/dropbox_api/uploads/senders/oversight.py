"""What the owner of an upload link sees and ends of the sessions under it."""

import uuid

from sqlalchemy import select

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.models import Link, Upload
from dropbox_api.plumbing import page_cursors
from dropbox_api.uploads import abort, link_sessions, schemas
from dropbox_api.uploads.senders import sender

_CURSOR = "link uploads"


async def list_link_uploads(
    context: Context, link_id: uuid.UUID, *, state: str | None, limit: int, cursor: str | None
) -> schemas.LinkUploadList:
    """Return to the owner a page of the sessions under a link, newest first. Raises NotFound, InvalidCursor."""
    page = select(Upload.id).where(Upload.link_id == link_id)
    if state:
        page = page.where(Upload.state == state)
    if cursor:
        page = page.where(Upload.id < page_cursors.decode_id(_CURSOR, cursor))
    async with context.db.read() as tx:
        await _require_own_link(tx, context.actor_id, link_id)
        ids = list((await tx.execute(page.order_by(Upload.id.desc()).limit(limit + 1))).scalars())
        by_id = await sender.load_link_views(tx, ids[:limit])
    more = page_cursors.encode_cursor(_CURSOR, ids[limit - 1]) if len(ids) > limit else None
    return schemas.LinkUploadList(items=[by_id[upload_id] for upload_id in ids[:limit]], next_cursor=more)


async def abort_link_upload(context: Context, link_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """End a session under a link of the owner. Raises NotFound and what `abort.abort_session` does."""
    async with context.db.read() as tx:
        await _require_own_link(tx, context.actor_id, link_id)
        under = select(Upload.id).where(Upload.id == upload_id, Upload.link_id == link_id)
        if (await tx.execute(under)).scalar_one_or_none() is None:
            raise problems.NotFound
    await abort.abort_session(context, context.actor_id, upload_id)


async def _require_own_link(tx: Tx, actor_id: uuid.UUID, link_id: uuid.UUID) -> None:
    own = select(Link.id).where(*link_sessions.build_own_conditions(actor_id, link_id))
    if (await tx.execute(own)).scalar_one_or_none() is None:
        raise problems.NotFound
