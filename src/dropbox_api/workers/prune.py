"""Job `prune`: remove old revisions."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.files import guard
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import FileSettings
from dropbox_api.workers import batches
from dropbox_api.workers.blob_release import release_unreferenced
from dropbox_api.workers.reports import Report

_OLD_REVISIONS = text("""
    SELECT id, owner_id FROM revisions
    WHERE superseded_at < now() - :keep_time AND processing_state IS DISTINCT FROM 'running'
    UNION
    SELECT old.id, old.owner_id
    FROM (SELECT DISTINCT node_id FROM revisions WHERE superseded_at IS NOT NULL AND number >= :keep) often
    JOIN nodes ON nodes.id = often.node_id
    JOIN revisions head ON head.id = nodes.head_revision_id
    JOIN revisions old ON old.node_id = nodes.id AND old.number <= head.number - :keep
    WHERE old.superseded_at IS NOT NULL AND old.processing_state IS DISTINCT FROM 'running'
    ORDER BY owner_id, id LIMIT :limit
""").bindparams(keep_time=timedelta())
"""Too old, or too many. Only files with a replaced revision of a number >= `keep` can have too many."""

_PRUNE = text("""
    DELETE FROM revisions USING nodes
    WHERE revisions.id = ANY(CAST(:ids AS uuid[])) AND revisions.superseded_at IS NOT NULL
      AND revisions.processing_state IS DISTINCT FROM 'running'
      AND nodes.id = revisions.node_id AND nodes.head_revision_id <> revisions.id
    RETURNING revisions.blob_id
""")


class OldRevision(NamedTuple):
    id: uuid.UUID
    owner_id: uuid.UUID


async def prune_revisions(services: Services) -> Report:
    """Remove revisions that were replaced too long ago or by too many newer ones.

    Heads and revisions in processing stay. Counting reads all replaced revisions, so the job runs hourly.
    """
    found = done = 0
    has_more = True
    while has_more:
        old = await _list_old_revisions(services.db, services.settings.files)
        pruned = 0
        for owner_id, revisions in groupby(old, attrgetter("owner_id")):
            for batch in batches.split_into_batches([revision.id for revision in revisions]):
                pruned += await _remove_revisions(services, owner_id, batch)
                await failpoint("workers.prune.after_batch")
        found += len(old)
        done += pruned
        has_more = pruned == batches.ROWS_PER_QUERY
    return Report(found, done)


async def _list_old_revisions(db: Db, settings: FileSettings) -> Sequence[OldRevision]:
    """Return old revisions, ordered by owner."""
    wanted = {
        "keep_time": timedelta(seconds=settings.revisions_keep_s),
        "keep": settings.revisions_keep,
        "limit": batches.ROWS_PER_QUERY,
    }
    async with db.read() as tx:
        return [OldRevision(*row) for row in await tx.execute(_OLD_REVISIONS, wanted)]


async def _remove_revisions(services: Services, owner_id: uuid.UUID, revision_ids: Sequence[uuid.UUID]) -> int:
    """Return how many of the revisions still were old and are removed now."""
    unplaced_ttl_s = services.settings.uploads.unplaced_ttl_s
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        blob_ids = (await tx.execute(_PRUNE, {"ids": revision_ids})).scalars().all()
        await release_unreferenced(tx, owner_id, set(blob_ids), unplaced_ttl_s=unplaced_ttl_s)
    return len(blob_ids)
