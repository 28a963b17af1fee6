"""Record (step C): turn objects that S3 holds into blobs, files and revisions, all under the owner's lock."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, update

from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.files import blobs, guard, put
from dropbox_api.models import Blob, Upload, UploadChunk, UploadDestination, User
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import fingerprints, link_folders, link_sessions, sessions
from dropbox_api.uploads.destinations import make_target
from dropbox_api.uploads.sessions import UploadSession

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that S3 holds and that has the bytes that its session promised."""

    upload_id: uuid.UUID
    token: uuid.UUID | None
    """The fencing token of a multipart session; a single one has none."""
    etag: str
    digest: str | None
    """Composite digest of a multipart object."""
    is_verified: bool
    """Whether the whole fingerprint is proven: by S3 (single), or by the server, which hashed the bytes (direct)."""


async def record_completion(tx: Tx, owner_id: uuid.UUID, stored: Sequence[StoredObject]) -> list[UploadSession]:
    """Turn stored objects of one owner into blobs and revisions, and end their sessions; return those without a blob.

    Sessions that another process has ended or holds meanwhile are left alone: that process writes their outcome. Every
    destination is decided again under the lock; a refused one keeps its problem, and content that no destination took
    is kept for a while. A session under a link that takes nothing any more, or has no room, ends without a blob; the
    caller deletes its object by `delete_objects`.
    Transaction: joins tx; takes the owner's lock, then the sessions'.
    """
    await guard.lock_owner(tx, owner_id)
    by_id = {item.upload_id: item for item in stored}
    locked = sessions.select_sessions(Upload.id.in_(by_id), Upload.owner_id == owner_id)
    locked = locked.add_columns(Upload.lease_token).order_by(Upload.id).with_for_update()
    uploads: list[UploadSession] = []
    for *columns, lease_token in await tx.execute(locked):
        session = UploadSession(*columns)
        if _may_record(session, lease_token, by_id[session.id]):
            uploads.append(session)
    closed = await link_sessions.find_closed(tx, uploads)
    await sessions.end_sessions(tx, owner_id, closed, "aborted", has_leftovers=True)
    placeable = await link_folders.make_folders(tx, owner_id, [one for one in uploads if one.id not in closed])
    refused = [session for session in uploads if session.id not in placeable]
    uploads = [session for session in uploads if session.id in placeable]
    if not uploads:
        return refused
    content = await record_blobs(tx, owner_id, uploads, by_id)
    await sessions.end_sessions(tx, owner_id, content, "completed", has_leftovers=False)
    outcomes = [
        {
            "upload_id": session.id,
            "blob": content[session.id].blob_id,
            # The owner has an equal blob already: the object just sent is not needed.
            "is_spare": content[session.id].blob_id != session.id,
        }
        for session in uploads
    ]
    await tx.execute(_SET_BLOB, outcomes)
    singles = [
        {"of_upload": session.id, "seen_etag": by_id[session.id].etag} for session in uploads if session.is_single
    ]
    if singles:
        await tx.execute(_SET_CHUNK, singles)
    await settle_destinations(tx, owner_id, content)
    await _record_received(tx, owner_id, [session for session in uploads if session.link_id])
    return refused


async def delete_objects(services: Services, uploads: Sequence[UploadSession]) -> None:
    """Delete the objects of sessions that ended without a blob; where the store fails, a worker repeats it."""
    for session in uploads:
        try:
            await services.store.delete(session.storage_key)
        except StoreError as error:
            log.warning("an object without a place could not be deleted, a worker will repeat it: %s", error)


async def _record_received(tx: Tx, owner_id: uuid.UUID, uploads: Sequence[UploadSession]) -> None:
    """Count what links have received; content that got no place is not kept: its sender cannot name another one."""
    by_id = {session.id: session for session in uploads}
    if not by_id:
        return
    columns = (UploadDestination.upload_id, UploadDestination.node_id, UploadDestination.name)
    placed = select(*columns).where(UploadDestination.upload_id.in_(by_id), UploadDestination.node_id.is_not(None))
    files = [
        link_sessions.ReceivedContent(
            by_id[row.upload_id].known_link_id, row.node_id, row.name, by_id[row.upload_id].size_bytes
        )
        for row in await tx.execute(placed)
    ]
    await link_sessions.record_received(tx, owner_id, files)
    unplaced = update(Blob).where(Blob.id.in_(by_id), Blob.unreferenced_at.is_not(None))
    await tx.execute(unplaced.values(unreferenced_at=datetime.fromtimestamp(0, UTC)))


def _may_record(session: UploadSession, lease_token: uuid.UUID | None, item: StoredObject) -> bool:
    if session.is_single:
        return session.state == "active"
    return session.state == "completing" and lease_token == item.token


_SET_BLOB = (
    update(Upload)
    .where(Upload.id == bindparam("upload_id"))
    .values(blob_id=bindparam("blob"), leftover=bindparam("is_spare"))
)


_SET_CHUNK = (
    update(UploadChunk)
    .where(UploadChunk.upload_id == bindparam("of_upload"))
    .values(state="uploaded", etag=bindparam("seen_etag"))
)
"""The HEAD of a single upload is its reconcile."""


async def record_blobs(
    tx: Tx, owner_id: uuid.UUID, uploads: Sequence[UploadSession], stored: Mapping[uuid.UUID, StoredObject]
) -> dict[uuid.UUID, put.Content]:
    """Make a blob of each upload (its id is the upload's), or take the owner's verified one of the same content.

    Content from another uploader always becomes a blob, which replaces the owner's equal one (see `files.blobs`).
    Transaction: joins tx, which holds the owner's lock.
    """
    proven = {session.known_fingerprint for session in uploads if stored[session.id].is_verified}
    known = await fingerprints.find_verified_content(tx, owner_id, proven) if proven else {}
    content: dict[uuid.UUID, put.Content] = {}
    rows: list[dict[str, Any]] = []
    for session in uploads:
        item, fingerprint = stored[session.id], session.known_fingerprint
        is_equal = item.is_verified and fingerprint in known
        if is_equal and session.is_in_own_tree:
            content[session.id] = known[fingerprint]
            continue
        content[session.id] = put.Content(session.id, fingerprint, session.size_bytes, is_verified=item.is_verified)
        rows.append(
            {
                "id": session.id,
                "owner_id": owner_id,
                "fingerprint": fingerprint,
                "size_bytes": session.size_bytes,
                "encoding": "identity",  # a worker has decoded compressed content
                "chunking": session.chunking,
                "storage_key": session.storage_key,
                "etag": item.etag,
                "composite_digest": item.digest,
                "content_status": "verified" if item.is_verified and not is_equal else "stored",
            }
        )
    if rows:
        await tx.execute(insert(Blob), rows)
        ids = {"ids": [row["id"] for row in rows]}
        proven_now = update(Blob).where(Blob.id.in_(ids["ids"]), Blob.content_status == "verified")
        await tx.execute(proven_now.values(verified_at=func.now()))
        await tx.execute(_MANIFESTS, ids | {"owner_id": owner_id})
        added = sum(row["size_bytes"] for row in rows)
        await tx.execute(update(User).where(User.id == owner_id).values(used_bytes=User.used_bytes + added))
        await blobs.replace_damaged(tx, owner_id, [row["id"] for row in rows if row["content_status"] == "verified"])
    for row in rows:
        if stored[row["id"]].is_verified and row["content_status"] == "stored":
            await blobs.mark_verified(tx, owner_id, row["id"])
    return content


_MANIFESTS = text("""
    INSERT INTO blob_chunks (blob_id, number, owner_id, offset_bytes, size_bytes, sha256)
    SELECT upload_id, number, :owner_id, offset_bytes, size_bytes, sha256
    FROM upload_chunks WHERE upload_id = ANY(CAST(:ids AS uuid[]))
""")


async def settle_destinations(tx: Tx, owner_id: uuid.UUID, content: Mapping[uuid.UUID, put.Content]) -> None:
    """Give each undecided destination of these sessions its file or its problem.

    Transaction: joins tx, which holds the owner's lock.
    """
    undecided = (
        select(
            UploadDestination.id,
            UploadDestination.upload_id,
            UploadDestination.parent_id,
            UploadDestination.name,
            UploadDestination.on_conflict,
            UploadDestination.file_id,
            UploadDestination.base_revision_id,
            UploadDestination.content_type,
            UploadDestination.client_modified_at,
            UploadDestination.executable,
            Upload.uploader_id,
        )
        .join(Upload, Upload.id == UploadDestination.upload_id)
        .where(
            UploadDestination.upload_id.in_(content),
            UploadDestination.revision_id.is_(None),
            UploadDestination.problem.is_(None),
        )
        .order_by(UploadDestination.created_at, UploadDestination.id)
    )
    destinations = (await tx.execute(undecided)).all()
    placements = [
        put.Placement(
            destination_id=row.id,
            target=make_target(row.parent_id, row.name, row.on_conflict, row.file_id),
            base_revision_id=row.base_revision_id,
            content_type=row.content_type,
            client_modified_at=row.client_modified_at,
            executable=row.executable,
            author_id=row.uploader_id,
            content=content[row.upload_id],
        )
        for row in destinations
    ]
    if not placements:
        return
    results = await put.put_files(tx, owner_id, placements)
    decided = [
        {
            "destination_id": row.id,
            "node": result.node_id if isinstance(result, put.PlacedFile) else None,
            "revision": result.revision_id if isinstance(result, put.PlacedFile) else None,
            "refusal": None if isinstance(result, put.PlacedFile) else result.body(),
        }
        for row, result in zip(destinations, results, strict=True)
    ]
    await tx.execute(_DECIDE, decided)
    # Refused by every destination, or not needed because its places hold this very content already.
    blob_ids = {item.blob_id for item in content.values()}
    unreferenced = update(Blob).where(Blob.id.in_(blob_ids), ~blobs.IS_REFERENCED)
    await tx.execute(unreferenced.values(unreferenced_at=func.now()))


_DECIDE = (
    update(UploadDestination)
    .where(UploadDestination.id == bindparam("destination_id"))
    .values(node_id=bindparam("node"), revision_id=bindparam("revision"), problem=bindparam("refusal"))
)
