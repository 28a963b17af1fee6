"""What happens to a file beside its owner's changes: the reports of downstream processors, and the audit trail."""

import uuid

from sqlalchemy import func, select, update

from dropbox_api import access, problems
from dropbox_api.db import Db
from dropbox_api.events import journal
from dropbox_api.files import changing, views
from dropbox_api.files.schemas import Activity, ActivityList, File, ReportProcessing
from dropbox_api.models import AuditEntry, Revision, User
from dropbox_api.plumbing import audit, paging


async def report(
    db: Db,
    actor_id: uuid.UUID,
    node_id: uuid.UUID,
    wanted: ReportProcessing,
    if_match: str | None,
    *,
    role: access.Role,
) -> File:
    """Record how the processing of a revision stands; return the file. The file's ETag stays: it has not changed.

    `role`: what one has to be to report; a service account need only be let in, others must be editors.
    Raises NotFound (file or revision), Forbidden, NotAFile, PreconditionFailed.
    Transaction: one, under the owner's lock. Idempotent.
    """
    async with db.begin() as tx:
        node = await changing.target(tx, actor_id, node_id, if_match, role=role)
        if node.kind != "file":
            raise problems.NotAFile("A folder is not processed")
        revision_id = wanted.revision_id or node.head_revision_id
        told = {"state": wanted.state, "detail": wanted.detail, "revision_id": str(revision_id)}
        values = {"processing_state": wanted.state, "processing_detail": wanted.detail, "processing_at": func.now()}
        of_file = update(Revision).where(Revision.id == revision_id, Revision.node_id == node_id)
        if not (await tx.execute(of_file.values(**values))).rowcount:
            raise problems.NotFound("The file has no such revision")
        await journal.append_changes(tx, node.owner_id, [journal.Change("file.processing", node_id, told)])
        await audit.record(tx, node.owner_id, [audit.Entry("processing-reported", node_id, told)])
        return await views.file_by_id(tx, actor_id, node_id)


async def activity(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, *, limit: int, cursor: str | None) -> ActivityList:
    """Return to its owner who did what to a node, newest first, by pages. Raises NotFound, Forbidden, InvalidCursor."""
    entry = AuditEntry.__table__.c
    async with db.read() as tx:
        granted = await access.require(tx, actor_id, node_id, "owner")
        page = (
            select(*entry, User.email)
            .outerjoin(User, User.id == AuditEntry.actor_id)
            .where(AuditEntry.owner_id == granted.owner_id, AuditEntry.node_id == node_id)
        )
        if cursor:
            page = page.where(AuditEntry.id < paging.decode_id("activity", cursor))
        rows = (await tx.execute(page.order_by(AuditEntry.id.desc()).limit(limit + 1))).all()
    items = [
        Activity(
            id=row.id,
            action=row.action,
            actor=row.email,
            address=row.address,
            user_agent=row.user_agent,
            request_id=row.request_id,
            created_at=row.created_at,
            detail=row.detail,
        )
        for row in rows[:limit]
    ]
    more = paging.encode("activity", rows[limit - 1].id) if len(rows) > limit else None
    return ActivityList(items=items, next_cursor=more)
