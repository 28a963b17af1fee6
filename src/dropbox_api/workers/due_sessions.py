"""Upload sessions that a job works on next, in the order of their next check."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select, text, update

from dropbox_api.db import Db
from dropbox_api.models import Upload

MAX_BACKOFF_DOUBLINGS = 10


class DueSession(NamedTuple):
    """An upload session that a worker should complete or clean up."""

    id: uuid.UUID
    uploader_id: uuid.UUID
    link_id: uuid.UUID | None
    storage_key: str
    s3_upload_id: str | None


async def claim_due_sessions(
    db: Db, limit: int, pause_s: float, *conditions: ColumnElement[bool]
) -> Sequence[DueSession]:
    """Return up to `limit` due sessions and postpone their next check. The pause doubles with each check.

    So a session that stays due, whatever the reason, is put behind the others.
    """
    due = select(Upload.id).where(*conditions, Upload.next_check_at < func.now()).order_by(Upload.next_check_at)
    doubled_s = pause_s * func.power(2, func.least(Upload.checks, MAX_BACKOFF_DOUBLINGS))
    postponed = {
        "checks": Upload.checks + 1,
        "next_check_at": func.now() + doubled_s * text("interval '1 second'"),
    }
    claimed = Upload.id.in_(due.limit(limit).with_for_update(skip_locked=True))
    columns = (Upload.id, Upload.uploader_id, Upload.link_id, Upload.storage_key, Upload.s3_upload_id)
    async with db.begin() as tx:
        rows = await tx.execute(update(Upload).where(claimed).values(**postponed).returning(*columns))
        return [DueSession(*row) for row in rows]
