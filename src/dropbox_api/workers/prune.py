"""Job `prune`: remove revisions that are too old or too many."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import FileSettings
from dropbox_api.workers import batches
from dropbox_api.workers.reports import Report
from dropbox_api.workers.revision_removal import IS_REMOVABLE, remove_revisions

_OLD_REVISIONS = text(f"""
    SELECT id, owner_id FROM revisions WHERE superseded_at < now() - :keep_time AND {IS_REMOVABLE}
    UNION
    SELECT revisions.id, revisions.owner_id
    FROM (SELECT DISTINCT node_id FROM revisions WHERE superseded_at IS NOT NULL AND number >= :keep) often
    JOIN nodes ON nodes.id = often.node_id
    JOIN revisions head ON head.id = nodes.head_revision_id
    JOIN revisions ON revisions.node_id = nodes.id AND revisions.number <= head.number - :keep
    WHERE {IS_REMOVABLE}
    ORDER BY owner_id, id LIMIT :limit
""").bindparams(keep_time=timedelta())
"""Too old, or too many. Only files with a replaced revision of a number >= `keep` can have too many."""


class OldRevision(NamedTuple):
    id: uuid.UUID
    owner_id: uuid.UUID


async def prune_revisions(services: Services) -> Report:
    """Remove revisions that were replaced too long ago or by too many newer ones.

    Heads, pinned revisions and those in processing stay. Counting reads all replaced revisions, so the job runs hourly.
    """
    found = done = 0
    has_more = True
    while has_more:
        old = await _list_old_revisions(services.db, services.settings.files)
        pruned = 0
        for owner_id, revisions in groupby(old, attrgetter("owner_id")):
            for batch in batches.split_into_batches([revision.id for revision in revisions]):
                pruned += await remove_revisions(services, owner_id, batch)
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
