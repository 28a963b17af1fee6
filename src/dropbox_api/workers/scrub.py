"""Job `scrub`: read stored content again, and repair what is damaged.

Every run reads a share of the verified content, so that all of it is read once in `worker.scrub_days`. Content that
differs from its manifest in two reads (`inspection`) becomes `damaged`: the server refuses its downloads until a run
has repaired it (`repair`).
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, text

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.models import Blob
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import StoreError
from dropbox_api.workers.blob_condition import mark_damaged, mark_whole, release_blob
from dropbox_api.workers.inspection import Tally, inspect_object, read_manifest
from dropbox_api.workers.leases import LeasedBlob, claim_blob, keep_blob_lease
from dropbox_api.workers.repair import repair_blob
from dropbox_api.workers.reports import Report
from dropbox_api.workers.thumbnail_objects import requeue_if_lost

log = logging.getLogger(__name__)

MAX_FAILED = 3
"""Failed blobs that end a run: the store or the database is in trouble."""
_DUE_AFTER = 0.9
"""Fraction of the period after which a blob is due again. The budget sets the pace; this limit only prevents a small
set of objects from being read over and over."""

_READ_BUDGET = text("""
    SELECT now(), coalesce(sum(size_bytes), 0) * least(1, :interval_s / (:days * 86400.0)) - coalesce(sum(size_bytes)
        FILTER (WHERE scrubbed_at > now() - make_interval(secs => least(:interval_s, :days * 86400.0))), 0)
        + 1 AS budget_bytes
    FROM blobs WHERE content_status IN ('verified', 'damaged')
""")
"""The bytes to read between two runs, less those that other workers have read in that time. At least 1, because one
object may be larger than the share."""


@dataclass(frozen=True, slots=True)
class _Budget:
    now: datetime
    """The database's clock."""
    bytes_left: float


async def scrub_blobs(services: Services) -> Report:
    """Try to repair each damaged blob, then read this run's share of the verified blobs."""
    days = services.settings.worker.scrub_days
    if not days:
        return Report(0, 0)
    tally = Tally()
    budget = await _get_read_budget(services, days)
    await _retry_damaged(services, budget.now, tally)
    await _read_share(services, budget, budget.now - timedelta(days=days * _DUE_AFTER), tally)
    return Report(tally.found, tally.done, tally.failed, tuple(tally.notes))


async def _get_read_budget(services: Services, days: float) -> _Budget:
    bound = {"interval_s": services.settings.worker.sweep_interval_s, "days": days}
    async with services.db.read() as tx:
        now, budget_bytes = (await tx.execute(_READ_BUDGET, bound)).one()
    return _Budget(now, float(budget_bytes))


async def _retry_damaged(services: Services, run_began_at: datetime, tally: Tally) -> None:
    is_due = (Blob.content_status == "damaged", Blob.scrubbed_at < run_began_at)
    while tally.failed < MAX_FAILED and (blob := await claim_blob(services, Blob.scrubbed_at, *is_due)):
        await _scrub_blob(services, blob, tally)


async def _read_share(services: Services, budget: _Budget, due_before: datetime, tally: Tally) -> None:
    """Read verified blobs until the budget is spent: new ones first, then those read longest ago.

    Two queries, because each is one step in an index.
    """
    bytes_left = budget.bytes_left
    conditions: tuple[ColumnElement[bool], ...] = (Blob.scrubbed_at.is_(None), Blob.scrubbed_at < due_before)
    for is_due in conditions:
        while bytes_left > 0 and tally.failed < MAX_FAILED:
            blob = await claim_blob(services, Blob.scrubbed_at, Blob.content_status == "verified", is_due)
            if blob is None:
                break
            await _scrub_blob(services, blob, tally)
            bytes_left -= blob.size_bytes


async def _scrub_blob(services: Services, blob: LeasedBlob, tally: Tally) -> None:
    """Read one blob, and repair it if it is damaged. After a store or database error its lease lapses."""
    tally.found += 1
    try:
        async with keep_blob_lease(services, blob):
            await _inspect_and_repair(services, blob, tally)
    except (StoreError, problems.Unavailable) as error:
        tally.failed += 1
        log.warning("blob %s could not be scrubbed: %s", blob.id, error)


async def _inspect_and_repair(services: Services, blob: LeasedBlob, tally: Tally) -> None:
    db = services.db
    chunks = await read_manifest(db, blob.id)
    damaged, is_utf8 = await inspect_object(services.store, blob.storage_key, chunks, blob.fingerprint, tally)
    await failpoint("workers.scrub.after_read")
    if not damaged:
        if await requeue_if_lost(services, blob.id):
            tally.notes.append(f"blob {blob.id}: its thumbnails are lost, and are made again")
        tally.done += await mark_whole(db, blob, is_utf8=is_utf8)
        return
    if blob.content_status == "verified":
        tally.notes.append(f"blob {blob.id}: {len(damaged)} of {len(chunks)} chunks are damaged")
    if not await mark_damaged(db, blob):
        return
    await failpoint("workers.scrub.after_mark")
    if await repair_blob(services, blob, chunks, damaged, tally):
        tally.notes.append(f"blob {blob.id}: repaired")
    else:
        await release_blob(db, blob)
    tally.done += 1
