"""What becomes of blobs once their whole content is known: verified, merged with an equal one, or quarantined;
and of damaged ones once the same content is stored anew.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import func, select, text, update

from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.models import Blob, Node, Revision, Upload, User


async def mark_verified(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID) -> uuid.UUID:
    """Record that a blob's fingerprint is true; return the blob that holds this content from now on.

    Where the owner stores verified content of this fingerprint already, the revisions of both move to one blob, the
    other is given back to the sweep, and the owner's used bytes shrink. What the owner sent gives way; what somebody
    else sent stays, for they see its address: another one would tell them that the owner had this content.
    Transaction: joins tx, which holds the owner's lock.
    """
    blob = (await tx.execute(select(Blob.fingerprint, Blob.encoding, Blob.size_bytes).where(Blob.id == blob_id))).one()
    known: uuid.UUID | None = (
        await tx.execute(
            select(Blob.id).where(
                Blob.owner_id == owner_id,
                Blob.fingerprint == blob.fingerprint,
                Blob.encoding == blob.encoding,
                Blob.content_status == "verified",
                Blob.id != blob_id,
            )
        )
    ).scalar_one_or_none()
    kept = blob_id
    if known is not None:
        from_others = select(Upload.id).where(Upload.id == blob_id, Upload.uploader_id != owner_id)
        stays = (await tx.execute(from_others)).scalar_one_or_none() is not None
        kept, other = (blob_id, known) if stays else (known, blob_id)
        await _merge_into(tx, owner_id, other, kept, blob.size_bytes)
    if kept == blob_id:
        proven = {"content_status": "verified", "verified_at": func.now(), **NO_LEASE}
        await tx.execute(update(Blob).where(Blob.id == blob_id).values(proven))
        await replace_damaged(tx, owner_id, [blob_id])
    return kept


async def _merge_into(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID, kept: uuid.UUID, size_bytes: int) -> None:
    """Let another blob of the same content stand for this one everywhere."""
    await tx.execute(update(Revision).where(Revision.blob_id == blob_id).values(blob_id=kept))
    is_needed = select(Revision.id).where(Revision.blob_id == kept).exists()
    await tx.execute(update(Blob).where(Blob.id == kept, is_needed).values(unreferenced_at=None))
    await tx.execute(update(Upload).where(Upload.blob_id == blob_id).values(blob_id=kept))
    gone = {"content_status": "deleting", "deleting_at": func.now(), **NO_LEASE}
    await tx.execute(update(Blob).where(Blob.id == blob_id).values(gone))
    await tx.execute(update(User).where(User.id == owner_id).values(used_bytes=User.used_bytes - size_bytes))


_REPAIRABLE = text("""
    SELECT damaged.id, good.id AS good_id, damaged.size_bytes FROM blobs good JOIN blobs damaged
    ON damaged.owner_id = good.owner_id AND damaged.fingerprint = good.fingerprint AND damaged.encoding = good.encoding
    WHERE good.id = ANY(CAST(:ids AS uuid[])) AND good.content_status = 'verified'
      AND damaged.owner_id = :owner_id AND damaged.content_status = 'damaged'
    ORDER BY damaged.id
""")


async def replace_damaged(tx: Tx, owner_id: uuid.UUID, blob_ids: Sequence[uuid.UUID]) -> None:
    """Let blobs that are now known to be good stand for damaged ones of the same content, and tell of their files.

    Transaction: joins tx, which holds the owner's lock.
    """
    for row in await tx.execute(_REPAIRABLE, {"ids": list(blob_ids), "owner_id": owner_id}):
        await append_head_events(tx, owner_id, row.id, "file.repaired")
        await _merge_into(tx, owner_id, row.id, row.good_id, row.size_bytes)


NO_LEASE = {"lease_token": None, "lease_until": None}


async def mark_quarantined(tx: Tx, blob_id: uuid.UUID, true_fingerprint: bytes) -> None:
    """Record that a blob's bytes hash to something else than was claimed.

    Transaction: joins tx, which holds the owner's lock.
    """
    await tx.execute(
        update(Blob)
        .where(Blob.id == blob_id)
        .values(content_status="quarantined", true_fingerprint=true_fingerprint, **NO_LEASE)
    )


async def append_head_events(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID, kind: journal.EventKind) -> None:
    """Tell of every file whose head is this blob. Transaction: joins tx, which holds the owner's lock."""
    heads = select(Node.id, Revision.id.label("revision_id")).join(Revision, Revision.id == Node.head_revision_id)
    rows = await tx.execute(heads.where(Revision.blob_id == blob_id).order_by(Node.id))
    changes = [journal.Change(kind, row.id, {"revision_id": str(row.revision_id)}) for row in rows]
    await journal.append_changes(tx, owner_id, changes)
