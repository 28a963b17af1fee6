"""What ends by itself: old trash, old revisions, old idempotency keys; and the rows of what was deleted for good.

Reference first, object later: rows go here, in batches, each one transaction under its owner's lock in which counters
and content are settled, too. So quota is free at once and a kill leaves only less to do; content that lost its last
revision is marked, and `collect` deletes its object after the grace period.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from sqlalchemy import func, select, text

from dropbox_api import access
from dropbox_api.db import Db, Tx
from dropbox_api.files import guard, trash
from dropbox_api.models import Node
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers.reports import Report

BATCH = 2_000
"""Rows a transaction: what its owner waits for at most."""
AT_ONCE = 100_000
"""Rows a look: what is held in memory."""
OWNERS_AT_ONCE = 20

T = TypeVar("T")


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


# Trash


async def purge(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """Delete for good what has been in the trash long enough, and remove all that was deleted for good."""
    found, done = await _mark(db, settings)
    await failpoint("workers.purge.after_mark")
    owners = select(Node.owner_id).where(Node.purged_at.is_not(None)).distinct().limit(OWNERS_AT_ONCE)
    async with db.read() as tx:
        owner_ids = (await tx.execute(owners)).scalars().all()
    for owner_id in owner_ids:
        node_ids = await _condemned(db, owner_id)
        found += len(node_ids)
        for batch in _batches(node_ids):
            done += await _remove(db, settings, owner_id, batch)
            await failpoint("workers.purge.after_batch")
    return Report(found, done)


async def _mark(db: Db, settings: Settings) -> tuple[int, int]:
    """Return how much of the trash was found to be old, and how much of that was deleted for good."""
    oldest = func.now() - timedelta(seconds=settings.files.trash_retention_s)
    old = select(Node.id, Node.owner_id).where(Node.trashed_at < oldest, Node.purged_at.is_(None))
    async with db.read() as tx:
        found = (await tx.execute(old.order_by(Node.trashed_at).limit(BATCH))).all()
    done = 0
    for owner_id in {row.owner_id for row in found}:
        mine = [row.id for row in found if row.owner_id == owner_id]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            # It may have been restored meanwhile, and even be in the trash again.
            still = (await tx.execute(old.where(Node.id.in_(mine)))).scalars().all()
            await trash.mark_purged(tx, owner_id, still)
        done += len(still)
    return len(found), done


_BELOW_PURGED = f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE owner_id = :owner_id AND purged_at IS NOT NULL")}, below AS (
        SELECT start AS id, count(*) AS depth, false AS is_in_trash FROM ancestors GROUP BY start
        UNION ALL
        SELECT child.id, depth + 1, child.trashed_at IS NOT NULL
        FROM below JOIN nodes child ON child.parent_id = below.id
        WHERE child.purged_at IS NULL
    )
"""
"""What was deleted for good, with all below it, each once. `depth` counts from the root, so that nested ones agree."""

_DEEPEST = text(f"""{_BELOW_PURGED}
    SELECT id, is_in_trash FROM below ORDER BY is_in_trash DESC, depth DESC LIMIT :limit
""")
_NESTED = text(f"{_BELOW_PURGED} SELECT id FROM below WHERE is_in_trash")


async def _condemned(db: Db, owner_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """Return nodes of one owner that were deleted for good or are below such, each after all that is in it.

    What had been deleted on its own within such a folder goes with it, and is marked first: nobody can restore it then.
    Where nothing is left to be restored, nothing gets out, nor in: such a list stays true without the lock, however
    long it took to make.
    """
    while True:
        async with db.read() as tx:
            rows = (await tx.execute(_DEEPEST, {"owner_id": owner_id, "limit": AT_ONCE})).all()
        if not rows or not rows[0].is_in_trash:
            return [row.id for row in rows]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            nested = (await tx.execute(_NESTED, {"owner_id": owner_id})).scalars().all()
            for batch in _batches(nested):
                await trash.mark_purged(tx, owner_id, batch)


_REMOVE_REVISIONS = text("DELETE FROM revisions WHERE node_id = ANY(CAST(:ids AS uuid[])) RETURNING blob_id")
_REMOVE_NODES = text("""
    WITH removed AS (DELETE FROM nodes WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id),
    counted AS (SELECT count(*) AS nodes FROM removed)
    UPDATE users SET used_nodes = used_nodes - nodes FROM counted WHERE users.id = :owner_id RETURNING nodes
""")


async def _remove(db: Db, settings: Settings, owner_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> int:
    """Remove condemned nodes whose children are gone, with their revisions; return how many were still there."""
    async with db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        blob_ids = set((await tx.execute(_REMOVE_REVISIONS, {"ids": node_ids})).scalars())
        removed: int = (await tx.execute(_REMOVE_NODES, {"ids": node_ids, "owner_id": owner_id})).scalar_one()
        await _release(tx, settings, owner_id, blob_ids)
    return removed


_UNNEEDED = """
    id = ANY(CAST(:ids AS uuid[])) AND content_status <> 'deleting' AND unreferenced_at IS NULL
    AND NOT EXISTS (SELECT FROM revisions WHERE revisions.blob_id = blobs.id)
"""

_KEEP_UNPLACED = text(f"""
    UPDATE blobs SET unreferenced_at = now() WHERE {_UNNEEDED} AND EXISTS (
        SELECT FROM uploads JOIN upload_destinations place ON place.upload_id = uploads.id
        WHERE uploads.blob_id = blobs.id AND uploads.state = 'completed' AND uploads.ended_at > now() - :ttl
        GROUP BY uploads.id HAVING bool_and(place.revision_id IS NULL)
    )
""").bindparams(ttl=timedelta())

_GIVE_UP = text(f"""
    WITH given_up AS (
        UPDATE blobs SET content_status = 'deleting', deleting_at = now(), lease_token = NULL, lease_until = NULL
        WHERE {_UNNEEDED} RETURNING size_bytes
    )
    UPDATE users SET used_bytes = used_bytes - (SELECT coalesce(sum(size_bytes), 0) FROM given_up)
    WHERE id = :owner_id
""")


async def _release(tx: Tx, settings: Settings, owner_id: uuid.UUID, blob_ids: set[uuid.UUID]) -> None:
    """Give up those of the blobs that lost their last revision; their bytes are not charged any more.

    Content of an upload that every destination refused is kept, as it would be if it had never had a revision.
    Transaction: joins tx, which holds the owner's lock.
    """
    if blob_ids:
        ids = {"ids": list(blob_ids)}
        await tx.execute(_KEEP_UNPLACED, ids | {"ttl": timedelta(seconds=settings.uploads.unplaced_ttl_s)})
        await tx.execute(_GIVE_UP, ids | {"owner_id": owner_id})


# Revisions


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
"""By age, and by count: a file has revisions to spare only if one was replaced whose number is that large."""

_PRUNE = text("""
    DELETE FROM revisions USING nodes
    WHERE revisions.id = ANY(CAST(:ids AS uuid[])) AND revisions.superseded_at IS NOT NULL
      AND revisions.processing_state IS DISTINCT FROM 'running'
      AND nodes.id = revisions.node_id AND nodes.head_revision_id <> revisions.id
    RETURNING revisions.blob_id
""")


async def prune(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001
    """Remove revisions that were replaced too long ago, or by too many since. Never a head, nor one in processing.

    The count asks for one pass over all replaced revisions, hence an hourly job.
    """
    wanted = {
        "keep_time": timedelta(seconds=settings.files.revisions_keep_s),
        "keep": settings.files.revisions_keep,
        "limit": AT_ONCE,
    }
    found = done = 0
    is_more = True
    while is_more:
        async with db.read() as tx:
            old = (await tx.execute(_OLD_REVISIONS, wanted)).all()
        pruned = 0
        for owner_id, rows in groupby(old, attrgetter("owner_id")):
            for batch in _batches([row.id for row in rows]):
                pruned += await _prune(db, settings, owner_id, batch)
                await failpoint("workers.prune.after_batch")
        found += len(old)
        done += pruned
        is_more = pruned == AT_ONCE
    return Report(found, done)


async def _prune(db: Db, settings: Settings, owner_id: uuid.UUID, revision_ids: Sequence[uuid.UUID]) -> int:
    async with db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        blob_ids = (await tx.execute(_PRUNE, {"ids": revision_ids})).scalars().all()
        await _release(tx, settings, owner_id, set(blob_ids))
    return len(blob_ids)


# Keys


_FORGET = text("""
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
        SELECT user_id, key FROM idempotency_keys WHERE created_at < now() - :ttl
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""").bindparams(ttl=timedelta())


async def forget(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001
    """Remove idempotency keys whose time is over."""
    ttl = timedelta(seconds=settings.http.idempotency_ttl_s)
    async with db.begin() as tx:
        forgotten = (await tx.execute(_FORGET, {"ttl": ttl, "limit": BATCH})).rowcount
    return Report(forgotten, forgotten)
