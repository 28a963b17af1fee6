"""Blobs: whether one is still needed, and its states: verified, merged with an equal blob, quarantined, replaced."""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import Boolean, ColumnElement, and_, func, literal_column, select, text, update

from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.models import Blob, CopiedBlob, Copy, Node, Revision, Upload, User
from dropbox_api.plumbing.row_leases import NO_LEASE

IS_REFERENCED_SQL = "EXISTS (SELECT FROM revisions WHERE revisions.blob_id = blobs.id)"
"""Whether a row of `blobs` is still needed: a revision has it for its content."""
IS_REFERENCED: ColumnElement[bool] = literal_column(IS_REFERENCED_SQL, Boolean)
IS_HELD: ColumnElement[bool] = literal_column(
    """EXISTS (SELECT FROM chunk_reuses WHERE chunk_reuses.blob_id = blobs.id
        AND chunk_reuses.created_at > now() - interval '1 day')""",
    Boolean,
)
"""Whether parts of uploads are still to be made from a blob. It delays the deletion of the object, for a day at most;
the blob may be merged with another one, or stop to count on the quota, all the same."""


async def mark_referenced(tx: Tx, blob_ids: Collection[uuid.UUID]) -> None:
    """Record that new revisions refer to blobs. Transaction: joins tx, which holds the owner's lock."""
    unreferenced = update(Blob).where(Blob.id.in_(blob_ids), Blob.unreferenced_at.is_not(None))
    await tx.execute(unreferenced.values(unreferenced_at=None))


async def record_encoding(tx: Tx, blob_id: uuid.UUID, *, is_utf8: bool) -> None:
    """Record whether the content of a blob, which the server has read, is text in UTF-8. Transaction: joins tx."""
    await tx.execute(update(Blob).where(Blob.id == blob_id, Blob.is_utf8.is_(None)).values(is_utf8=is_utf8))


async def mark_verified(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID) -> uuid.UUID:
    """Record that a blob's fingerprint is true; return the blob that has this content from now on.

    If the owner stores verified content of this fingerprint already, all revisions of both blobs move to one of them,
    the sweep collects the other, and the owner's used bytes shrink. The blob of another uploader is kept: a changed key
    would reveal to that uploader that the owner already had the content.
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
        sent = select(Upload.id).where(Upload.id == blob_id, Upload.uploader_id != owner_id)
        copied = select(Copy.id).join(CopiedBlob, CopiedBlob.copy_id == Copy.id)
        copied = copied.where(CopiedBlob.blob_id == blob_id, Copy.actor_id != owner_id)
        stays = (await tx.execute(sent.union_all(copied))).first() is not None
        kept, other = (blob_id, known) if stays else (known, blob_id)
        await _merge_into(tx, owner_id, other, kept, blob.size_bytes)
    if kept == blob_id:
        proven = {"content_status": "verified", "verified_at": func.now(), **NO_LEASE}
        await tx.execute(update(Blob).where(Blob.id == blob_id).values(proven))
        await replace_damaged(tx, owner_id, [blob_id])
    return kept


async def _merge_into(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID, kept: uuid.UUID, size_bytes: int) -> None:
    """Replace a blob everywhere by another blob of the same content."""
    await tx.execute(update(Revision).where(Revision.blob_id == blob_id).values(blob_id=kept))
    await tx.execute(update(Blob).where(Blob.id == kept, IS_REFERENCED).values(unreferenced_at=None))
    await tx.execute(update(Upload).where(Upload.blob_id == blob_id).values(blob_id=kept))
    await tx.execute(update(CopiedBlob).where(CopiedBlob.blob_id == blob_id).values(blob_id=kept))
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
    """Replace damaged blobs by verified ones of the same content, and report their files as repaired.

    Transaction: joins tx, which holds the owner's lock.
    """
    for row in await tx.execute(_REPAIRABLE, {"ids": list(blob_ids), "owner_id": owner_id}):
        await append_head_events(tx, owner_id, row.id, "file.repaired")
        await _merge_into(tx, owner_id, row.id, row.good_id, row.size_bytes)


async def mark_quarantined(tx: Tx, blob_id: uuid.UUID, true_fingerprint: bytes) -> None:
    """Record that a blob's content has another hash than its claimed fingerprint.

    Transaction: joins tx, which holds the owner's lock.
    """
    await tx.execute(
        update(Blob)
        .where(Blob.id == blob_id)
        .values(content_status="quarantined", true_fingerprint=true_fingerprint, **NO_LEASE)
    )


async def append_head_events(tx: Tx, owner_id: uuid.UUID, blob_id: uuid.UUID, kind: journal.EventKind) -> None:
    """Report a change of every file whose head is this blob. Transaction: joins tx, which holds the owner's lock."""
    is_head = and_(Revision.node_id == Node.id, Revision.id == Node.head_revision_id)
    heads = select(Node.id, Revision.id.label("revision_id")).join(Revision, is_head)
    rows = await tx.execute(heads.where(Revision.blob_id == blob_id).order_by(Node.id))
    changes = [journal.Change(kind, row.id, {"revision_id": str(row.revision_id)}) for row in rows]
    await journal.append_changes(tx, owner_id, changes)
