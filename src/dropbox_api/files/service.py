"""Files and folders as their owner reads them: look up, and hand out short-lived download URLs."""

import uuid
from typing import Any, NamedTuple

from sqlalchemy import func, select, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Db, Tx
from dropbox_api.events import service as events
from dropbox_api.files import merging, placing, views
from dropbox_api.files.schemas import File
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit


async def get(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Return a file or folder. Raises NotFound."""
    async with db.read() as tx:
        await access.require(tx, actor_id, node_id)
        return await views.file_by_id(tx, node_id)


async def get_by_path(db: Db, actor_id: uuid.UUID, path: str) -> File:
    """Return what stands at a path of the caller's own tree; "/" is the root folder. Raises NotFound, InvalidName."""
    async with db.read() as tx:
        node_id = await find_path(tx, actor_id, path)
        return await views.file_by_id(tx, node_id)


async def find_path(tx: Tx, owner_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path of the owner's tree. Raises NotFound, InvalidName."""
    segments = split_path(path)
    root = select(Node.id).where(Node.owner_id == owner_id, Node.parent_id.is_(None))
    node_id: uuid.UUID = (await tx.execute(root)).scalar_one()
    for segment in segments:
        place = (node_id, names.key(segment))
        there = (await placing.stands_at(tx, [place])).get(place)
        if there is None:
            raise problems.NotFound(f"There is nothing at {path!r}")
        node_id = there.node_id
    return node_id


def split_path(path: str) -> list[str]:
    """Return the clean names of a path. Raises InvalidName."""
    try:
        return names.split_path(path)
    except names.BadName as bad:
        raise problems.InvalidName(str(bad), reason=bad.reason) from None


def clean_name(name: str) -> str:
    """Return a name in NFC. Raises InvalidName."""
    try:
        return names.clean(name)
    except names.BadName as bad:
        raise problems.InvalidName(str(bad), reason=bad.reason) from None


class StoredContent(NamedTuple):
    """What is needed to hand out one revision's content."""

    name: str
    content_type: str
    revision_id: uuid.UUID
    size_bytes: int
    fingerprint: bytes
    content_status: str
    storage_key: str
    etag: str


async def get_content(
    db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, revision_id: uuid.UUID | None = None
) -> StoredContent:
    """Return where a file's content (its head's, or that of one revision) is stored.

    Raises NotFound (no such file, revision, or it is not the caller's), NotAFile.
    """
    async with db.read() as tx:
        if (await access.require(tx, actor_id, node_id)).kind != "file":
            raise problems.NotAFile
        found = (
            select(
                Node.name,
                Revision.content_type,
                Revision.id,
                Blob.size_bytes,
                Blob.fingerprint,
                Blob.content_status,
                Blob.storage_key,
                Blob.etag,
            )
            .join(Revision, Revision.node_id == Node.id)
            .join(Blob, Blob.id == Revision.blob_id)
            .where(Node.id == node_id, Revision.id == (revision_id or Node.head_revision_id))
        )
        row = (await tx.execute(found)).one_or_none()
        if row is None:
            raise problems.NotFound
        return StoredContent(*row)


async def accept_content(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Accept quarantined content under its true fingerprint; return the file.

    Raises NotFound, NotAFile, NotQuarantined.
    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        granted = await access.require(tx, actor_id, node_id)
        if granted.kind != "file":
            raise problems.NotAFile
        await lock_owner(tx, granted.owner_id)
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
        heads = select(Revision.id).where(Revision.blob_id == blob_id)
        accepted = select(Node.id).where(Node.head_revision_id.in_(heads)).order_by(Node.id)
        node_ids = list((await tx.execute(accepted)).scalars())
        await merging.mark_verified(tx, granted.owner_id, blob_id)
        changed = {"version": Node.version + 1, "modified_at": func.now()}
        await tx.execute(update(Node).where(Node.id.in_(node_ids)).values(**changed))
        await events.append(
            tx, granted.owner_id, [events.Change("file.verified", changed_id) for changed_id in node_ids]
        )
        await audit.record(tx, granted.owner_id, [audit.Entry("content-accepted", node_id)])
        return (await views.files_by_id(tx, [node_id]))[node_id]


async def lock_owner(tx: Tx, owner_id: uuid.UUID) -> Any:
    """Take the lock that every change of an owner's things begins with; return the counters.

    NO KEY UPDATE: it excludes other changes, but not a sign-in that merely refers to the user.
    """
    columns = (User.quota_bytes, User.used_bytes, User.reserved_bytes, User.quota_nodes, User.used_nodes)
    locked = select(*columns, User.reserved_nodes).where(User.id == owner_id).with_for_update(key_share=True)
    return (await tx.execute(locked)).one()
