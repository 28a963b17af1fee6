"""Copies into the tree of another owner: the worker copies the content at the store, then makes the nodes at once.

A blob belongs to one owner, so the target gets objects of its own, charged to its owner. A copy is a row: it reserves
quota, job `copy` works on it, and the transaction that makes the nodes ends it, so that it is made once or not at all.
Access to the source and to the target folder is required at the start, and again by the worker.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import func, insert, select, text, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.db import Tx, new_id
from dropbox_api.files import edits, folders, guard, paths
from dropbox_api.files.guard import OwnerCounters
from dropbox_api.files.schemas import CopyProgress, StartCopy
from dropbox_api.models import Blob, CopiedBlob, Copy, Upload, User
from dropbox_api.plumbing import audit, idempotency
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.plumbing.row_leases import NO_LEASE

MAX_RUNNING = 20
"""Of one actor."""


class SourceNode(NamedTuple):
    """A node to copy, and the content of its head where it is a file."""

    id: uuid.UUID
    parent_id: uuid.UUID
    kind: Literal["file", "folder"]
    revision_id: uuid.UUID | None
    blob_id: uuid.UUID | None
    size_bytes: int | None
    content_status: str | None
    storage_key: str | None
    fingerprint: bytes | None
    encoding: str | None
    chunking: str | None
    copied_id: uuid.UUID | None
    """The blob of the target's owner that has the same content already."""

    @property
    def is_left_out(self) -> bool:
        """Whether the content is quarantined or damaged."""
        return self.kind == "file" and self.content_status not in {"stored", "verified"}


_SOURCE = text(f"""
    WITH RECURSIVE below AS (
        SELECT id, parent_id, kind, head_revision_id, 0 AS depth FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT child.id, child.parent_id, child.kind, child.head_revision_id, depth + 1
        FROM below, {access.children_of("below", "parent_id", "kind", "head_revision_id", where="trashed_at IS NULL")}
    )
    SELECT source.id, source.parent_id, kind, head.id, blobs.id, blobs.size_bytes, blobs.content_status,
        blobs.storage_key, blobs.fingerprint, blobs.encoding, blobs.chunking, copied.id
    FROM (SELECT * FROM below LIMIT :limit) source
    LEFT JOIN revisions head ON head.id = source.head_revision_id LEFT JOIN blobs ON blobs.id = head.blob_id
    LEFT JOIN copied_blobs done ON done.copy_id = :copy_id AND done.source_blob_id = blobs.id
    LEFT JOIN blobs copied ON copied.id = done.blob_id AND copied.content_status IN ('stored', 'verified')
    ORDER BY depth
""")


async def read_source(tx: Tx, source_id: uuid.UUID, copy_id: uuid.UUID | None) -> list[SourceNode]:
    """Return the nodes to copy, parents first, without content that only its owner may read.

    Raises TooManyFiles, ContentQuarantined, ContentDamaged (of the named file itself).
    """
    bound = {"node_id": source_id, "copy_id": copy_id, "limit": edits.MAX_COPY_NODES + 1}
    nodes = [SourceNode._make(row) for row in await tx.execute(_SOURCE, bound)]
    if len(nodes) > edits.MAX_COPY_NODES:
        raise problems.TooManyFiles(f"One copy has at most {edits.MAX_COPY_NODES} files and folders")
    if nodes[0].is_left_out:
        raise problems.ContentDamaged if nodes[0].content_status == "damaged" else problems.ContentQuarantined
    return nodes


def list_contents(nodes: Sequence[SourceNode]) -> dict[uuid.UUID, SourceNode]:
    """Return one node for each content that is copied, by blob."""
    return {node.blob_id: node for node in nodes if node.blob_id is not None and not node.is_left_out}


# Quota


def require_room(counters: OwnerCounters, size_bytes: int, items: int, *, is_own: bool) -> None:
    """Require that an owner's quota holds so much more. Raises QuotaExceeded, TooManyFiles."""
    if shortage := counters.find_shortage(size_bytes, is_own=is_own):
        raise shortage
    if items > counters.free_nodes:
        raise problems.TooManyFiles


async def change_reservation(tx: Tx, copy_id: uuid.UUID, owner_id: uuid.UUID, size_bytes: int, items: int) -> None:
    """Change what a copy reserves by so much. Transaction: joins tx, which holds the owner's lock."""
    reserved = {"reserved_bytes": User.reserved_bytes + size_bytes, "reserved_nodes": User.reserved_nodes + items}
    await tx.execute(update(User).where(User.id == owner_id).values(reserved))
    own = {"reserved_bytes": Copy.reserved_bytes + size_bytes, "reserved_nodes": Copy.reserved_nodes + items}
    await tx.execute(update(Copy).where(Copy.id == copy_id).values(own))


# Operations


async def start_copy(context: Context, wanted: StartCopy, once: Once | None) -> CopyProgress:
    """Reserve quota for a copy into the tree of another owner and leave it to the worker; return the copy.

    Raises NotFound (source or folder), Forbidden, NotAFolder, RootFolder, InvalidName, InvalidRequest (both have one
    owner), QuotaExceeded, TooManyFiles, TooManyUploads, ContentQuarantined, ContentDamaged, IdempotencyMismatch.
    Transaction: one, under the locks of the actor and of the target's owner.
    """
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    actor_id = context.actor_id
    async with context.db.begin() as tx:
        folder = await folders.find_folder(tx, actor_id, wanted.parent_id, wanted.parent_path, "editor")
        owner_id = folder.owner_id if folder else actor_id
        # The actor's lock serialises the count of the actor's copies, whose targets may have different owners.
        counters = {user_id: await guard.lock_owner(tx, user_id) for user_id in sorted({actor_id, owner_id})}
        await idempotency.claim_key(tx, once)
        folder = await folders.find_folder(tx, actor_id, wanted.parent_id, wanted.parent_path, "editor")
        source = await access.require_role(tx, actor_id, wanted.file_id)
        (node,) = await guard.load_nodes(tx, [source.node_id])
        if node.parent_id is None:
            raise problems.RootFolder("The root folder cannot be copied: copy the items in it")
        if source.owner_id == owner_id:
            detail = "has the same owner as the folder: POST /v1/files/{file_id}/copy copies it at once"
            raise problems.InvalidRequest.at("/file_id", detail)
        await _require_slot(tx, actor_id)
        nodes = await read_source(tx, source.node_id, None)
        size_bytes = sum(one.size_bytes or 0 for one in list_contents(nodes).values())
        items = sum(not one.is_left_out for one in nodes)
        require_room(counters[owner_id], size_bytes, items, is_own=owner_id == actor_id)
        copy_id = new_id()
        values = {
            "id": copy_id,
            "actor_id": actor_id,
            "owner_id": owner_id,
            "source_id": source.node_id,
            "parent_id": folder.node_id if folder else await paths.get_root_id(tx, actor_id),
            "name": name or node.name,
            "on_conflict": wanted.on_conflict,
            "state": "running",
            "items": items,
            "left_out": len(nodes) - items,
            "total_bytes": size_bytes,
        }
        await tx.execute(insert(Copy).values(values))
        await change_reservation(tx, copy_id, owner_id, size_bytes, items)
        # Not at the end: its owner can use content by its fingerprint while the copy still runs, or was cancelled.
        entry = audit.Entry("downloaded", source.node_id, {"copy_id": str(copy_id)})
        await audit.record(tx, source.owner_id, [entry])
        answer = await _show(tx, actor_id, copy_id)
        await idempotency.keep_answer(tx, once, 202, answer)
    return answer


async def _require_slot(tx: Tx, actor_id: uuid.UUID) -> None:
    running = select(func.count()).select_from(Copy).where(Copy.actor_id == actor_id, Copy.state == "running")
    if (await tx.execute(running)).scalar_one() >= MAX_RUNNING:
        raise problems.TooManyUploads("Too many copies are running: wait for one of them", retry_after_s=10)


async def get_copy(context: Context, copy_id: uuid.UUID) -> CopyProgress:
    """Return a copy that the caller has started. Raises NotFound."""
    async with context.db.read() as tx:
        return await _show(tx, context.actor_id, copy_id)


async def cancel_copy(context: Context, copy_id: uuid.UUID) -> None:
    """End a copy of the caller that still runs; it makes nothing. Raises NotFound. Idempotent."""
    async with context.db.begin() as tx:
        own = select(Copy.owner_id).where(Copy.id == copy_id, Copy.actor_id == context.actor_id)
        owner_id = (await tx.execute(own)).scalar_one_or_none()
        if owner_id is None:
            raise problems.NotFound
        await guard.lock_owner(tx, owner_id)
        await end_copy(tx, copy_id, "cancelled", None, context.settings.uploads.unplaced_ttl_s)


async def end_copy(
    tx: Tx,
    copy_id: uuid.UUID,
    state: Literal["failed", "cancelled"],
    problem: dict[str, Any] | None,
    unplaced_ttl_s: float,
) -> None:
    """End a running copy without a result: its reservation is free, and what it has copied is garbage.

    Transaction: joins tx, which holds the lock of the target's owner. Idempotent.
    """
    running = select(Copy.owner_id, Copy.reserved_bytes, Copy.reserved_nodes).where(
        Copy.id == copy_id, Copy.state == "running"
    )
    row = (await tx.execute(running.with_for_update())).one_or_none()
    if row is None:
        return
    await change_reservation(tx, copy_id, row.owner_id, -row.reserved_bytes, -row.reserved_nodes)
    copied = select(CopiedBlob.blob_id).where(CopiedBlob.copy_id == copy_id)
    is_of_upload = select(Upload.id).where(Upload.blob_id == Blob.id).exists()  # which may yet place the content
    unplaced = update(Blob).where(Blob.id.in_(copied), Blob.unreferenced_at.is_not(None), ~is_of_upload)
    await tx.execute(unplaced.values(unreferenced_at=func.now() - timedelta(seconds=unplaced_ttl_s)))
    ended = {"state": state, "problem": problem, "ended_at": func.now(), **NO_LEASE}
    await tx.execute(update(Copy).where(Copy.id == copy_id).values(ended))


async def _show(tx: Tx, actor_id: uuid.UUID, copy_id: uuid.UUID) -> CopyProgress:
    query = select(
        Copy.id,
        Copy.source_id.label("file_id"),
        Copy.parent_id,
        Copy.name,
        Copy.state,
        Copy.items,
        Copy.left_out,
        Copy.total_bytes,
        Copy.copied_bytes,
        Copy.node_id.label("copied_id"),
        Copy.problem,
        Copy.created_at,
        Copy.ended_at,
    )
    row = (await tx.execute(query.where(Copy.id == copy_id, Copy.actor_id == actor_id))).one_or_none()
    if row is None:
        raise problems.NotFound
    return CopyProgress(**row._asdict())
