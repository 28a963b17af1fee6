"""Job `thin`: remove revisions of files that were saved often, the more of them the older they are."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core import revision_ages
from dropbox_api.db import Db
from dropbox_api.workers import batches
from dropbox_api.workers.reports import Report
from dropbox_api.workers.revision_removal import IS_REMOVABLE, remove_revisions

FILES_PER_QUERY = 500

_FILES = text("""
    SELECT node_id FROM revisions WHERE superseded_at IS NOT NULL AND NOT pinned AND node_id > :after
    GROUP BY node_id HAVING count(*) > 1 ORDER BY node_id LIMIT :limit
""")
"""Reads an index of replaced revisions only."""

_REMOVABLE = text(f"""
    SELECT owner_id, node_id, id, number, CAST(extract(epoch FROM created_at) AS double precision) AS created_s
    FROM revisions WHERE node_id = ANY(CAST(:node_ids AS uuid[])) AND {IS_REMOVABLE}
    ORDER BY owner_id, node_id
""")


class _File(NamedTuple):
    owner_id: uuid.UUID
    node_id: uuid.UUID


async def thin_revisions(services: Services) -> Report:
    """Remove the revisions that `core.revision_ages` chooses, of all files; none where the settings switch it off.

    It reads all replaced revisions, so the job runs hourly.
    """
    settings = services.settings.files
    if not settings.thin_revisions:
        return Report(0, 0)
    ages = revision_ages.Ages(settings.thin_all_s, settings.thin_hourly_s, settings.thin_daily_s)
    found = done = 0
    after = uuid.UUID(int=0)
    while True:
        async with services.db.read() as tx:
            bound = {"after": after, "limit": FILES_PER_QUERY}
            node_ids = (await tx.execute(_FILES, bound)).scalars().all()
        by_owner = await _choose(services.db, node_ids, ages)
        for owner_id, revision_ids in by_owner.items():
            found += len(revision_ids)
            for batch in batches.split_into_batches(revision_ids):
                done += await remove_revisions(services, owner_id, batch)
        if len(node_ids) < FILES_PER_QUERY:
            return Report(found, done)
        after = node_ids[-1]


async def _choose(db: Db, node_ids: Sequence[uuid.UUID], ages: revision_ages.Ages) -> dict[uuid.UUID, list[uuid.UUID]]:
    """Return the revisions of these files to remove, by owner."""
    files: dict[_File, list[revision_ages.SavedRevision]] = defaultdict(list)
    async with db.read() as tx:
        for owner_id, node_id, *revision in await tx.execute(_REMOVABLE, {"node_ids": list(node_ids)}):
            files[_File(owner_id, node_id)].append(revision_ages.SavedRevision(*revision))
    now_s = datetime.now(UTC).timestamp()
    by_owner: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for file, revisions in files.items():
        by_owner[file.owner_id] += revision_ages.choose_removable(revisions, now_s, ages)
    return by_owner
