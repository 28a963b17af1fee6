"""Fingerprints: what an account stores or is sending of a content."""

import uuid

from sqlalchemy import and_, select

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx, use_snapshot
from dropbox_api.files import put, views
from dropbox_api.models import Blob, Node, Revision, Upload
from dropbox_api.uploads import queries, schemas, sessions


async def find_fingerprint(context: Context, fingerprint: str) -> schemas.FingerprintHit:
    """Return what the caller has of a content: a file, a live session, or both. Raises NotFound.

    Only the caller's own: content of other accounts does not change which statements run.
    """
    actor_id, digest = context.actor_id, parse_sha256(fingerprint)
    stored = (
        select(Node.id, Node.parent_id)
        .join(Revision, and_(Revision.node_id == Node.id, Revision.id == Node.head_revision_id))
        .join(Blob, Blob.id == Revision.blob_id)
        .where(
            Blob.owner_id == actor_id,
            Blob.fingerprint == digest,
            Blob.content_status.in_(("stored", "verified")),
            Node.trashed_at.is_(None),
        )
        .order_by(Node.id)
    )
    live = select(Upload.id).where(
        Upload.uploader_id == actor_id,
        Upload.owner_id == actor_id,
        Upload.fingerprint == digest,
        sessions.IS_OWN,
        sessions.IS_LIVE,
    )
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        nodes = await views.read_live(tx, stored, 1)
        node_id = nodes[0].id if nodes else None
        # Of several sessions that of the plain content in fixed chunks, which every client can continue.
        by_form = live.order_by(Upload.encoding, Upload.chunking.desc())
        upload_id = (await tx.execute(by_form.limit(1))).scalar_one_or_none()
        if node_id is None and upload_id is None:
            raise problems.NotFound("You have no file and no upload of this content")
        file = (await views.find_files(tx, actor_id, [node_id])).get(node_id) if node_id else None
        upload = (await queries.load_views(tx, [upload_id])).get(upload_id) if upload_id else None
    return schemas.FingerprintHit(file=file, upload=upload)


async def find_verified_content(tx: Tx, owner_id: uuid.UUID, fingerprints: set[bytes]) -> dict[bytes, put.Content]:
    """Return the owner's verified content of these fingerprints, by fingerprint."""
    stored = select(Blob.id, Blob.fingerprint, Blob.size_bytes).where(
        Blob.owner_id == owner_id,
        Blob.fingerprint.in_(fingerprints),
        Blob.encoding == "identity",
        Blob.content_status == "verified",
    )
    return {
        row.fingerprint: put.Content(row.id, row.fingerprint, row.size_bytes, is_verified=True)
        for row in await tx.execute(stored)
    }
