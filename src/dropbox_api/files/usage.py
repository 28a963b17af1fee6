"""What the storage of an account holds: by type of file, in older revisions, in the trash.

Each stored content counts once, for the first of these that holds it: a live file, an older revision of a live file,
the trash, nothing (content that no destination accepted). Of several live files the alphabetically first content type
decides. The sums are those of `users.used_bytes` at that time (I4).

Counting reads every stored content of the account, so a report is answered again for a hundred times as long as it
took: that bounds the load of an account to one percent of one connection.
"""

import time
import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.core.content_types import FILE_GROUPS
from dropbox_api.db import Tx
from dropbox_api.files.schemas import StorageUsage
from dropbox_api.models import StorageReport, User

_FRESH_FACTOR = 100
_MAX_FRESH = timedelta(minutes=10)

_GROUPS = " ".join(f"WHEN content_type ~* '{pattern}' THEN '{group}'" for group, pattern in FILE_GROUPS.items())
_COUNT = text(f"""
    WITH RECURSIVE hidden AS (
        SELECT id FROM (
            SELECT id FROM nodes WHERE owner_id = :owner_id AND trashed_at IS NOT NULL AND purged_at IS NULL
            UNION ALL SELECT id FROM nodes WHERE owner_id = :owner_id AND purged_at IS NOT NULL
        ) top
        UNION SELECT child.id FROM hidden, {access.children_of("hidden")}
    ), held AS (
        SELECT blobs.id, blobs.size_bytes, min(CASE
                WHEN revisions.id IS NULL THEN 3 WHEN hidden.id IS NOT NULL THEN 2 WHEN superseded_at IS NOT NULL THEN 1
                ELSE 0
            END) AS holder,
            min(content_type) FILTER (WHERE hidden.id IS NULL AND superseded_at IS NULL) AS content_type
        FROM blobs LEFT JOIN revisions ON revisions.blob_id = blobs.id LEFT JOIN hidden ON hidden.id = revisions.node_id
        WHERE blobs.owner_id = :owner_id AND content_status <> 'deleting' GROUP BY blobs.id
    ), typed AS (
        SELECT holder, content_type, sum(size_bytes) AS bytes FROM held GROUP BY holder, content_type
    )
    SELECT CASE
            WHEN holder = 1 THEN 'revision' WHEN holder = 2 THEN 'trash' WHEN holder = 3 THEN 'unplaced' {_GROUPS}
            ELSE 'other'
        END AS use, CAST(sum(bytes) AS bigint) AS bytes
    FROM typed GROUP BY use
""")
_CLAIM = text("SELECT pg_try_advisory_xact_lock(hashtextextended('storage ' || CAST(:owner_id AS uuid), 0))")


class _Report(NamedTuple):
    used_bytes: int
    quota_bytes: int
    bytes_by_use: dict[str, int] | None
    """None, as the others: there is no report yet."""
    computed_at: datetime | None
    is_fresh: bool | None


async def get_storage(context: Context) -> StorageUsage:
    """Return what uses the storage of the caller's account, computed now or a while ago.

    Raises Unavailable while another request computes the first report.
    Transaction: a read; where it finds no fresh report, one that computes it, one at a time for each account.
    """
    owner_id = context.actor_id
    async with context.db.read() as tx:
        report = await _read_report(tx, owner_id)
    if not report.is_fresh:
        async with context.db.begin() as tx:
            if (await tx.execute(_CLAIM, {"owner_id": owner_id})).scalar_one():
                await _compute_report(tx, owner_id)
                report = await _read_report(tx, owner_id)
    if report.bytes_by_use is None or report.computed_at is None:
        raise problems.Unavailable("The report is being computed", retry_after_s=5)
    by_use = {f"{use}_bytes": size_bytes for use, size_bytes in report.bytes_by_use.items()}
    return StorageUsage(
        used_bytes=report.used_bytes, quota_bytes=report.quota_bytes, computed_at=report.computed_at, **by_use
    )


async def _read_report(tx: Tx, owner_id: uuid.UUID) -> _Report:
    columns = (StorageReport.bytes_by_use, StorageReport.computed_at, StorageReport.fresh_until > func.now())
    report = select(User.used_bytes, User.quota_bytes, *columns).where(User.id == owner_id)
    return _Report(*(await tx.execute(report.outerjoin(StorageReport, StorageReport.user_id == User.id))).one())


async def _compute_report(tx: Tx, owner_id: uuid.UUID) -> None:
    """Count and record. Transaction: joins tx, which has claimed the account's report."""
    began = time.monotonic()
    rows = await tx.execute(_COUNT, {"owner_id": owner_id})
    fresh_for = min(_FRESH_FACTOR * timedelta(seconds=time.monotonic() - began), _MAX_FRESH)
    values = {
        "bytes_by_use": {row.use: row.bytes for row in rows},
        "computed_at": func.now(),
        "fresh_until": func.now() + fresh_for,
    }
    report = insert(StorageReport).values(user_id=owner_id, **values)
    await tx.execute(report.on_conflict_do_update(index_elements=[StorageReport.user_id], set_=values))
