"""Release blobs that lost revisions: blobs without a revision become garbage, and their owner's usage shrinks."""

import uuid
from datetime import timedelta

from sqlalchemy import text

from dropbox_api.db import Tx
from dropbox_api.files import blobs

_UNNEEDED = f"""
    id = ANY(CAST(:ids AS uuid[])) AND content_status <> 'deleting' AND unreferenced_at IS NULL
    AND NOT {blobs.IS_REFERENCED_SQL}
"""

_RETAIN_UNPLACED = text(f"""
    UPDATE blobs SET unreferenced_at = now() WHERE {_UNNEEDED} AND EXISTS (
        SELECT FROM uploads JOIN upload_destinations ON upload_destinations.upload_id = uploads.id
        WHERE uploads.blob_id = blobs.id AND uploads.state = 'completed' AND uploads.ended_at > now() - :ttl
        GROUP BY uploads.id HAVING bool_and(upload_destinations.revision_id IS NULL)
    )
""").bindparams(ttl=timedelta())

_MARK_DELETING = text(f"""
    WITH marked AS (
        UPDATE blobs SET content_status = 'deleting', deleting_at = now(), lease_token = NULL, lease_until = NULL
        WHERE {_UNNEEDED} RETURNING size_bytes
    )
    UPDATE users SET used_bytes = used_bytes - (SELECT coalesce(sum(size_bytes), 0) FROM marked)
    WHERE id = :owner_id
""")


async def release_unreferenced(tx: Tx, owner_id: uuid.UUID, blob_ids: set[uuid.UUID], *, unplaced_ttl_s: float) -> None:
    """Mark blobs without a revision as `deleting`, and reduce the owner's usage by their size.

    Content of an upload that every destination refused stays for `unplaced_ttl_s`, as content that never had a
    revision does. Transaction: joins tx, which holds the owner's lock.
    """
    if blob_ids:
        ids = {"ids": list(blob_ids)}
        await tx.execute(_RETAIN_UNPLACED, ids | {"ttl": timedelta(seconds=unplaced_ttl_s)})
        await tx.execute(_MARK_DELETING, ids | {"owner_id": owner_id})
