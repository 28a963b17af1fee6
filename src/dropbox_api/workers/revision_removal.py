"""Remove revisions that are due; heads, pinned revisions and those in processing stay."""

import uuid
from collections.abc import Sequence

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.files import guard
from dropbox_api.workers.blob_release import release_unreferenced

IS_REMOVABLE = """revisions.superseded_at IS NOT NULL AND NOT revisions.pinned
        AND coalesce(revisions.processing_state, '') NOT IN ('queued', 'running')"""
"""SQL condition on `revisions`."""

_REMOVE = text(f"""
    DELETE FROM revisions USING nodes
    WHERE revisions.id = ANY(CAST(:ids AS uuid[])) AND {IS_REMOVABLE}
      AND nodes.id = revisions.node_id AND nodes.head_revision_id <> revisions.id
    RETURNING revisions.blob_id
""")


async def remove_revisions(services: Services, owner_id: uuid.UUID, revision_ids: Sequence[uuid.UUID]) -> int:
    """Remove those of an owner's revisions that may still be removed, with their blobs; return how many.

    Transaction: its own, under the owner's lock.
    """
    unplaced_ttl_s = services.settings.uploads.unplaced_ttl_s
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        blob_ids = (await tx.execute(_REMOVE, {"ids": revision_ids})).scalars().all()
        await release_unreferenced(tx, owner_id, set(blob_ids), unplaced_ttl_s=unplaced_ttl_s)
    return len(blob_ids)
