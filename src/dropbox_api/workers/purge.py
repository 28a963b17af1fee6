"""Job `purge`: delete old trash for good, and remove the rows of nodes that were deleted for good.

Rows go in batches, with counters and blobs settled in the same transaction. Quota is free at once, and a killed run
only leaves less work. A blob that loses its last revision becomes garbage, which job `collect` deletes.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text

from dropbox_api import access
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.files import guard, trash
from dropbox_api.models import Node
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.workers import batches
from dropbox_api.workers.blob_release import release_unreferenced
from dropbox_api.workers.reports import Report

OWNERS_PER_RUN = 20


async def purge_trash(services: Services) -> Report:
    """Purge nodes that have been in the trash for the retention time, and remove all purged nodes."""
    found, done = await _mark_old_trash(services)
    await failpoint("workers.purge.after_mark")
    owners = select(Node.owner_id).where(Node.purged_at.is_not(None)).distinct().limit(OWNERS_PER_RUN)
    async with services.db.read() as tx:
        owner_ids = (await tx.execute(owners)).scalars().all()
    for owner_id in owner_ids:
        node_ids = await _list_purged_subtrees(services.db, owner_id)
        found += len(node_ids)
        for batch in batches.split_into_batches(node_ids):
            done += await _remove_nodes(services, owner_id, batch)
            await failpoint("workers.purge.after_batch")
    return Report(found, done)


async def _mark_old_trash(services: Services) -> tuple[int, int]:
    """Return how many nodes in the trash were old, and how many of them were marked as purged."""
    db = services.db
    deadline = func.now() - timedelta(seconds=services.settings.files.trash_retention_s)
    old = select(Node.id, Node.owner_id).where(Node.trashed_at < deadline, Node.purged_at.is_(None))
    async with db.read() as tx:
        oldest = await tx.execute(old.order_by(Node.trashed_at).limit(batches.ROWS_PER_TRANSACTION))
        found = oldest.all()
    done = 0
    for owner_id in {node_owner_id for _, node_owner_id in found}:
        node_ids = [node_id for node_id, node_owner_id in found if node_owner_id == owner_id]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            # Read again under the lock: a node may have been restored, and even moved to the trash again.
            still_old = (await tx.execute(old.where(Node.id.in_(node_ids)))).scalars().all()
            await trash.mark_purged(tx, owner_id, still_old)
        done += len(still_old)
    return len(found), done


_BELOW_PURGED = f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE owner_id = :owner_id AND purged_at IS NOT NULL")}, below AS (
        SELECT start AS id, count(*) AS depth, false AS is_in_trash FROM ancestors GROUP BY start
        UNION ALL
        SELECT child.id, depth + 1, child.trashed_at IS NOT NULL
        FROM below, {access.children_of("below", "trashed_at", where="purged_at IS NULL")}
    )
"""
"""Purged nodes and all nodes below them, each once. `depth` counts from the root, so that nested subtrees agree."""

_DEEPEST = text(f"""{_BELOW_PURGED}
    SELECT id, is_in_trash FROM below ORDER BY is_in_trash DESC, depth DESC LIMIT :limit
""")
_NESTED = text(f"{_BELOW_PURGED} SELECT id FROM below WHERE is_in_trash")


class PurgedNode(NamedTuple):
    """A node that was purged, or lies below a purged node."""

    id: uuid.UUID
    is_in_trash: bool
    """It was in the trash on its own, and is not purged itself."""


async def _list_purged_subtrees(db: Db, owner_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """Return one owner's purged nodes and all nodes below them, children before their parents.

    A node below that was in the trash on its own is purged first, because a user could still restore it. After that no
    node can leave or enter these subtrees, so the list stays true without the lock.
    """
    while True:
        async with db.read() as tx:
            rows = await tx.execute(_DEEPEST, {"owner_id": owner_id, "limit": batches.ROWS_PER_QUERY})
            nodes = [PurgedNode(*row) for row in rows]
        if not nodes or not nodes[0].is_in_trash:
            return [node.id for node in nodes]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            nested: Sequence[uuid.UUID] = (await tx.execute(_NESTED, {"owner_id": owner_id})).scalars().all()
            for batch in batches.split_into_batches(nested):
                await trash.mark_purged(tx, owner_id, batch)


_REMOVE_REVISIONS = text("DELETE FROM revisions WHERE node_id = ANY(CAST(:ids AS uuid[])) RETURNING blob_id")
_REMOVE_NODES = text("""
    WITH removed AS (DELETE FROM nodes WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id),
    buried AS (INSERT INTO tombstones (owner_id, node_id) SELECT :owner_id, id FROM removed),
    counted AS (SELECT count(*) AS nodes FROM removed)
    UPDATE users SET used_nodes = used_nodes - nodes FROM counted WHERE users.id = :owner_id RETURNING nodes
""")


async def _remove_nodes(services: Services, owner_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> int:
    """Remove purged nodes without children, with their revisions; return how many nodes still existed.

    Each removed node leaves a tombstone.
    """
    unplaced_ttl_s = services.settings.uploads.unplaced_ttl_s
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        blob_ids = set((await tx.execute(_REMOVE_REVISIONS, {"ids": node_ids})).scalars())
        removed: int = (await tx.execute(_REMOVE_NODES, {"ids": node_ids, "owner_id": owner_id})).scalar_one()
        await release_unreferenced(tx, owner_id, blob_ids, unplaced_ttl_s=unplaced_ttl_s)
    return removed
