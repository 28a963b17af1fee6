"""Files and folders as their owner reads them: look up, and hand out short-lived download URLs."""

import uuid
from typing import Any, NamedTuple

from sqlalchemy import func, select, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.db import Db, Tx
from dropbox_api.events import journal
from dropbox_api.files import merging, placing, views
from dropbox_api.files.schemas import File
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit, origin
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import SignedRequest
from dropbox_api.storage.s3 import S3Store


async def get(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Return a file or folder. Raises NotFound."""
    async with db.read() as tx:
        await access.require(tx, actor_id, node_id)
        return await views.file_by_id(tx, actor_id, node_id)


async def get_by_path(db: Db, actor_id: uuid.UUID, path: str) -> File:
    """Return what stands at a path of the caller's own tree; "/" is the root folder. Raises NotFound, InvalidName."""
    async with db.read() as tx:
        node_id = await find_path(tx, actor_id, path)
        return await views.file_by_id(tx, actor_id, node_id)


async def get_below(db: Db, actor_id: uuid.UUID, folder_id: uuid.UUID, path: str) -> File:
    """Return what stands at a path below a folder; "/" is the folder. Raises NotFound, NotAFolder, InvalidName."""
    async with db.read() as tx:
        folder = await access.require(tx, actor_id, folder_id)
        if folder.kind != "folder":
            raise problems.NotAFolder
        return await views.file_by_id(tx, actor_id, await _find_below(tx, folder_id, path))


async def find_path(tx: Tx, owner_id: uuid.UUID, path: str) -> uuid.UUID:
    """Return the node at a path of the owner's tree. Raises NotFound, InvalidName."""
    root = select(Node.id).where(Node.owner_id == owner_id, Node.parent_id.is_(None))
    return await _find_below(tx, (await tx.execute(root)).scalar_one(), path)


async def _find_below(tx: Tx, node_id: uuid.UUID, path: str) -> uuid.UUID:
    for segment in split_path(path):
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

    owner_id: uuid.UUID
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

    Raises NotFound (no such file, revision, or it is not the caller's to see), NotAFile, ContentQuarantined,
    ContentDamaged.
    """
    async with db.read() as tx:
        return await find_content(tx, await access.require(tx, actor_id, node_id), revision_id)


async def find_content(tx: Tx, granted: access.Access, revision_id: uuid.UUID | None = None) -> StoredContent:
    """Return where the content of a file is stored to which somebody has access.

    Raises NotFound (no such revision), NotAFile, ContentQuarantined, ContentDamaged.
    """
    if granted.kind != "file":
        raise problems.NotAFile
    found = (
        select(
            Node.owner_id,
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
        .where(Node.id == granted.node_id, Revision.id == (revision_id or Node.head_revision_id))
    )
    row = (await tx.execute(found)).one_or_none()
    if row is None:
        raise problems.NotFound
    if row.content_status == "quarantined" and granted.role != "owner":
        raise problems.ContentQuarantined
    if row.content_status == "damaged":
        raise problems.ContentDamaged
    return StoredContent(*row)


SAFE_INLINE = frozenset(
    {
        "application/pdf",
        "audio/mpeg",
        "audio/ogg",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)
"""Types that a browser shows without running anything; HTML and SVG are not among them."""


def sign(store: S3Store, settings: Settings, content: StoredContent, method: str, *, inline: bool) -> SignedRequest:
    """Return a URL of content that is good for minutes. `inline` is heeded for types that are SAFE_INLINE only."""
    return store.sign_download(
        content.storage_key,
        method=method,
        filename=content.name,
        content_type=content.content_type,
        inline=inline and content.content_type in SAFE_INLINE,
        ttl_s=settings.uploads.download_url_ttl_s,
        size_bytes=content.size_bytes,
        address=origin.current().address,
    )


async def accept_content(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Accept quarantined content under its true fingerprint; return the file.

    Raises NotFound, Forbidden, NotAFile, NotQuarantined.
    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        granted = await access.require(tx, actor_id, node_id, "owner")
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
        await journal.append_changes(
            tx, granted.owner_id, [journal.Change("file.verified", changed_id) for changed_id in node_ids]
        )
        await audit.record(tx, granted.owner_id, [audit.Entry("content-accepted", node_id)])
        return await views.file_by_id(tx, actor_id, node_id)


async def lock_owner(tx: Tx, owner_id: uuid.UUID) -> Any:
    """Take the lock that every change of an owner's things begins with; return the counters.

    NO KEY UPDATE: it excludes other changes, but not a sign-in that merely refers to the user.
    """
    columns = (User.quota_bytes, User.used_bytes, User.reserved_bytes, User.quota_nodes, User.used_nodes)
    locked = select(*columns, User.reserved_nodes).where(User.id == owner_id).with_for_update(key_share=True)
    return (await tx.execute(locked)).one()
