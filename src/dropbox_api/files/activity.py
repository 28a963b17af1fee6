"""The activity of a file: its audit trail, for its owner."""

import uuid

from sqlalchemy import select

from dropbox_api import access
from dropbox_api.context import Context
from dropbox_api.files.schemas import Activity, ActivityList
from dropbox_api.models import AuditEntry, User
from dropbox_api.plumbing import page_cursors


async def list_activity(context: Context, node_id: uuid.UUID, *, limit: int, cursor: str | None) -> ActivityList:
    """Return to the owner a page of the changes of a node, newest first. Raises NotFound, Forbidden, InvalidCursor."""
    entry = AuditEntry.__table__.c
    async with context.db.read() as tx:
        granted = await access.require_role(tx, context.actor_id, node_id, "owner")
        page = (
            select(*entry, User.email, User.display_name, User.deleted_at)
            .outerjoin(User, User.id == AuditEntry.actor_id)
            .where(AuditEntry.owner_id == granted.owner_id, AuditEntry.node_id == node_id)
        )
        if cursor:
            page = page.where(AuditEntry.id < page_cursors.decode_id("activity", cursor))
        rows = (await tx.execute(page.order_by(AuditEntry.id.desc()).limit(limit + 1))).all()
    items = [
        Activity(
            id=row.id,
            action=row.action,
            actor=row.email,
            actor_name=row.display_name,
            address=None if row.deleted_at else row.address,
            user_agent=None if row.deleted_at else row.user_agent,
            request_id=row.request_id,
            created_at=row.created_at,
            detail=row.detail,
        )
        for row in rows[:limit]
    ]
    more = page_cursors.encode_cursor("activity", rows[limit - 1].id) if len(rows) > limit else None
    return ActivityList(items=items, next_cursor=more)
