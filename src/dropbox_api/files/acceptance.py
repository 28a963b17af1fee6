"""Acceptance of quarantined content: the owner confirms its true fingerprint."""

import uuid

from sqlalchemy import and_, func, select, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.events import journal
from dropbox_api.files import blobs, guard, views
from dropbox_api.files.schemas import File
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing import audit


async def accept_content(context: Context, node_id: uuid.UUID) -> File:
    """Accept quarantined content under its true fingerprint; return the file.

    Raises NotFound, Forbidden, NotAFile, NotQuarantined.
    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        granted = await access.require_role(tx, context.actor_id, node_id, "owner")
        if granted.kind != "file":
            raise problems.NotAFile
        await guard.lock_owner(tx, granted.owner_id)
        quarantined = (
            select(Blob.id)
            .join(Revision, Revision.blob_id == Blob.id)
            .join(Node, Node.head_revision_id == Revision.id)
            .where(Node.id == node_id, Blob.content_status == "quarantined")
        )
        blob_id = (await tx.execute(quarantined)).scalar_one_or_none()
        if blob_id is None:
            raise problems.NotQuarantined
        await tx.execute(
            update(Blob).where(Blob.id == blob_id).values(fingerprint=Blob.true_fingerprint, true_fingerprint=None)
        )
        is_head = and_(Revision.node_id == Node.id, Revision.id == Node.head_revision_id)
        accepted = select(Node.id).join(Revision, is_head).where(Revision.blob_id == blob_id).order_by(Node.id)
        node_ids = list((await tx.execute(accepted)).scalars())
        await blobs.mark_verified(tx, granted.owner_id, blob_id)
        changed = {"version": Node.version + 1, "modified_at": func.now()}
        await tx.execute(update(Node).where(Node.id.in_(node_ids)).values(**changed))
        await journal.append_changes(
            tx, granted.owner_id, [journal.Change("file.verified", changed_id) for changed_id in node_ids]
        )
        await audit.record(tx, granted.owner_id, [audit.Entry("content-accepted", node_id)])
        return await views.get_file(tx, context.actor_id, node_id)
