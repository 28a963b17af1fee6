"""Job `copy`: make the copies into trees of other owners.

The worker copies one content after the other at the store and records each as a blob of the target's owner. The last
transaction asks for access again, makes all nodes and ends the copy. A killed run leaves the copies recorded so far;
the next one continues after its lease. An object that was not recorded is an orphan, which job `sweep` removes.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from dropbox_api import access, problems
from dropbox_api.context import Services
from dropbox_api.db import Tx, new_id
from dropbox_api.files import blobs, copies, guard, put, tree
from dropbox_api.files.copies import SourceNode
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.paths import Target
from dropbox_api.models import Blob, BlobChunk, CopiedBlob, Copy, User
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.row_leases import NO_LEASE, is_lease_free, keep_lease
from dropbox_api.responses import describe_problem
from dropbox_api.schemas import OnConflict
from dropbox_api.storage.object_store import StoreError
from dropbox_api.workers.inspection import read_manifest
from dropbox_api.workers.repair import Source, build_object
from dropbox_api.workers.reports import Report

ROUNDS = 5
"""How often a worker reads a source that changes while it is copied."""
MAX_FAILURES = 20
"""After so many failures of the store, or unexpected errors, the copy fails."""
MAX_IN_MEMORY = 8 * 1024**2
"""The store copies larger chunks itself (UploadPartCopy)."""

log = logging.getLogger(__name__)


class LeasedCopy(NamedTuple):
    """A running copy as of the moment when this worker took its lease."""

    id: uuid.UUID
    actor_id: uuid.UUID
    owner_id: uuid.UUID
    source_id: uuid.UUID
    parent_id: uuid.UUID
    name: str
    on_conflict: OnConflict
    failures: int
    lease_token: uuid.UUID


_COLUMNS = (
    Copy.id,
    Copy.actor_id,
    Copy.owner_id,
    Copy.source_id,
    Copy.parent_id,
    Copy.name,
    Copy.on_conflict,
    Copy.failures,
    Copy.lease_token,
)


class CopyLostError(Exception):
    """The copy has ended, or another worker holds it."""


async def make_next_copy(services: Services) -> Report:
    """Make the oldest copy that waits."""
    copy = await _claim(services)
    if copy is None:
        return Report(0, 0)
    held = update(Copy).where(Copy.id == copy.id, Copy.lease_token == copy.lease_token)
    try:
        async with keep_lease(services.db, held, services.settings.worker.verify_lease_s):
            await _make(services, copy)
    except CopyLostError:
        return Report(1, 0)
    except problems.Unavailable:
        raise
    except problems.Problem as problem:
        await _fail(services, copy, problem)
    except StoreError as error:
        log.warning("copy %s failed at the store: %s", copy.id, error)
        await _note_failure(services, copy, problems.ContentDamaged())
        return Report(1, 0, 1)
    except Exception:  # the runner logs it; without the count the copy would be tried without end
        await _note_failure(services, copy, problems.InternalError())
        raise
    return Report(1, 1)


async def _claim(services: Services) -> LeasedCopy | None:
    lease = timedelta(seconds=services.settings.worker.verify_lease_s)
    first = select(Copy.id).where(Copy.state == "running", is_lease_free(Copy.lease_until)).order_by(Copy.id).limit(1)
    claim = (
        update(Copy)
        .where(Copy.id == first.with_for_update(skip_locked=True).scalar_subquery())
        .values(lease_token=uuid.uuid4(), lease_until=func.now() + lease)
        .returning(*_COLUMNS)
    )
    async with services.db.begin() as tx:
        row = (await tx.execute(claim)).one_or_none()
    return None if row is None else LeasedCopy._make(row)


async def _make(services: Services, copy: LeasedCopy) -> None:
    """Raises CopyLostError, StoreError, and the problems of the copy."""
    for _ in range(ROUNDS):
        for node in await _plan(services, copy):
            await _copy_content(services, copy, node)
        if await _place(services, copy):
            return
    raise problems.TreeChanged("The folder changed while it was copied: copy it again")


class _Locked(NamedTuple):
    """What a locked copy reserves, of the quota of the target's owner."""

    counters: guard.OwnerCounters
    reserved_bytes: int
    reserved_nodes: int


async def _lock(tx: Tx, copy: LeasedCopy) -> _Locked:
    """Lock the target's owner and the copy. Raises CopyLostError."""
    counters = await guard.lock_owner(tx, copy.owner_id)
    held = (Copy.id == copy.id, Copy.state == "running", Copy.lease_token == copy.lease_token)
    reserved = select(Copy.reserved_bytes, Copy.reserved_nodes).where(*held).with_for_update()
    row = (await tx.execute(reserved)).one_or_none()
    if row is None:
        raise CopyLostError
    return _Locked(counters, *row)


async def _require_access(tx: Tx, copy: LeasedCopy) -> None:
    """Require access to source and target again. Raises NotFound, Forbidden."""
    disabled = select(User.id).where(User.id.in_([copy.actor_id, copy.owner_id]), User.disabled_at.is_not(None))
    if (await tx.execute(disabled)).first() is not None:
        raise problems.NotFound
    await access.require_role(tx, copy.actor_id, copy.source_id)
    await access.require_role(tx, copy.actor_id, copy.parent_id, "editor")


async def _read_source(tx: Tx, copy: LeasedCopy) -> list[SourceNode]:
    """Require access to source and target again; return the nodes. Raises NotFound, Forbidden, as `read_source`."""
    await _require_access(tx, copy)
    return await copies.read_source(tx, copy.source_id, copy.id)


async def _plan(services: Services, copy: LeasedCopy) -> Sequence[SourceNode]:
    """Reserve quota for the source as it is now; return the contents to copy."""
    async with services.db.begin() as tx:
        locked = await _lock(tx, copy)
        nodes = await _read_source(tx, copy)
        contents = copies.list_contents(nodes)
        missing = [node for node in contents.values() if node.copied_id is None]
        if copy.actor_id == copy.owner_id:
            missing = await _use_own_content(tx, copy, missing)
        items = sum(not node.is_left_out for node in nodes)
        size_bytes = sum(node.size_bytes or 0 for node in missing)
        more_bytes, more_items = size_bytes - locked.reserved_bytes, items - locked.reserved_nodes
        copies.require_room(locked.counters, more_bytes, more_items, is_own=copy.actor_id == copy.owner_id)
        await copies.change_reservation(tx, copy.id, copy.owner_id, more_bytes, more_items)
        total = sum(node.size_bytes or 0 for node in contents.values())
        values = {"items": items, "left_out": len(nodes) - items, "total_bytes": total}
        values["copied_bytes"] = total - size_bytes
        await tx.execute(update(Copy).where(Copy.id == copy.id).values(values))
    return missing


async def _use_own_content(tx: Tx, copy: LeasedCopy, missing: Sequence[SourceNode]) -> list[SourceNode]:
    """Note the content that the actor stores already, verified; return the rest.

    Only in the actor's own tree: elsewhere the key of an object would tell what its owner stores.
    """
    wanted = {node.fingerprint for node in missing}
    is_own = (Blob.owner_id == copy.owner_id, Blob.fingerprint.in_(wanted), Blob.content_status == "verified")
    rows = await tx.execute(select(Blob.fingerprint, Blob.encoding, Blob.id).where(*is_own))
    known = {(row.fingerprint, row.encoding): row.id for row in rows}
    for node in missing:
        if own_id := known.get((node.fingerprint, node.encoding)):
            await _note_copied(tx, copy, node, own_id)
    return [node for node in missing if (node.fingerprint, node.encoding) not in known]


async def _note_copied(tx: Tx, copy: LeasedCopy, node: SourceNode, blob_id: uuid.UUID) -> None:
    row = {"copy_id": copy.id, "source_blob_id": node.blob_id, "blob_id": blob_id}
    done = pg_insert(CopiedBlob).values(row)
    await tx.execute(
        done.on_conflict_do_update(index_elements=["copy_id", "source_blob_id"], set_={"blob_id": blob_id})
    )


async def _copy_content(services: Services, copy: LeasedCopy, node: SourceNode) -> None:
    """Copy one object at the store and record it as a blob, if the access has not ended meanwhile.

    Raises StoreError, CopyLostError, NotFound, Forbidden.
    """
    if node.blob_id is None or node.storage_key is None or node.fingerprint is None or node.size_bytes is None:
        raise ValueError(f"node {node.id} has no content")
    async with services.db.read() as tx:
        await _require_access(tx, copy)
    chunks = await read_manifest(services.db, node.blob_id)
    key = f"blobs/{copy.owner_id}/{node.fingerprint.hex()}/{new_id()}"
    sources = {chunk.number: Source(node.storage_key, chunk.offset_bytes) for chunk in chunks}
    digest = await build_object(services.store, key, node.size_bytes, chunks, sources, max_in_memory=MAX_IN_MEMORY)
    built = await services.store.head(key)
    await failpoint("workers.copy.after_s3")
    blob_id = new_id()
    values = {
        "id": blob_id,
        "owner_id": copy.owner_id,
        "fingerprint": node.fingerprint,
        "size_bytes": node.size_bytes,
        "encoding": node.encoding,
        "chunking": node.chunking,
        "storage_key": key,
        "etag": built.etag,
        "composite_digest": digest,
        "content_status": "stored",
        "unreferenced_at": func.now(),
    }
    async with services.db.begin() as tx:
        await _lock(tx, copy)
        await _require_access(tx, copy)
        await tx.execute(insert(Blob).values(values))
        await tx.execute(
            insert(BlobChunk),
            [
                {
                    "blob_id": blob_id,
                    "number": chunk.number,
                    "owner_id": copy.owner_id,
                    "offset_bytes": chunk.offset_bytes,
                    "size_bytes": chunk.size_bytes,
                    "sha256": chunk.sha256,
                }
                for chunk in chunks
            ],
        )
        used = User.used_bytes + node.size_bytes
        await tx.execute(update(User).where(User.id == copy.owner_id).values(used_bytes=used))
        await copies.change_reservation(tx, copy.id, copy.owner_id, -node.size_bytes, 0)
        await _note_copied(tx, copy, node, blob_id)
        copied = Copy.copied_bytes + node.size_bytes
        await tx.execute(update(Copy).where(Copy.id == copy.id).values(copied_bytes=copied))
    await failpoint("workers.copy.after_content")


async def _place(services: Services, copy: LeasedCopy) -> bool:
    """Make the nodes and end the copy; return False, and change nothing, while content is missing."""
    with request_source.act_for(copy.actor_id):
        async with services.db.begin() as tx:
            locked = await _lock(tx, copy)
            nodes = await _read_source(tx, copy)
            contents = copies.list_contents(nodes)
            if any(node.copied_id is None for node in contents.values()):
                return False
            await copies.change_reservation(tx, copy.id, copy.owner_id, -locked.reserved_bytes, -locked.reserved_nodes)
            node_id = await _make_nodes(tx, copy, nodes)
            await blobs.mark_referenced(tx, {node.copied_id for node in contents.values() if node.copied_id})
            ended = {"state": "done", "node_id": node_id, "ended_at": func.now(), **NO_LEASE}
            await tx.execute(update(Copy).where(Copy.id == copy.id).values(ended))
            await failpoint("workers.copy.before_commit")
    return True


async def _make_nodes(tx: Tx, copy: LeasedCopy, nodes: Sequence[SourceNode]) -> uuid.UUID:
    """Return the copy of the source. Raises NotFound, Forbidden, NotAFolder, NameTaken, TooManyFiles, InvalidName."""
    edit = TreeEdit(tx, copy.actor_id, copy.owner_id)
    await edit.get_folder(copy.parent_id)
    target = Target(copy.parent_id, copy.name, copy.on_conflict)
    (top,) = await guard.load_nodes(tx, [copy.source_id])
    if top.kind == "folder":
        rows = [
            tree.TreeRow(node.id, node.parent_id, node.kind, node.revision_id, node.copied_id)
            for node in nodes
            if not node.is_left_out
        ]
        return await tree.copy_rows_below(edit, top, target, rows)
    revision_id, blob_id = nodes[0].revision_id, nodes[0].copied_id
    if revision_id is None or blob_id is None:
        raise ValueError(f"node {copy.source_id} has no content")
    (placement,) = await put.load_placements(tx, [(revision_id, target)], author_id=copy.actor_id)
    content = replace(placement.content, blob_id=blob_id, is_verified=False)
    (placed,) = await put.put_files(tx, copy.owner_id, [replace(placement, content=content)])
    if isinstance(placed, problems.Problem):
        raise placed
    return placed.node_id


async def _fail(services: Services, copy: LeasedCopy, problem: problems.Problem) -> None:
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, copy.owner_id)
        body = describe_problem(problem).model_dump(mode="json")
        await copies.end_copy(tx, copy.id, "failed", body, services.settings.uploads.unplaced_ttl_s)


async def _note_failure(services: Services, copy: LeasedCopy, problem: problems.Problem) -> None:
    """Count a failure; the last one fails the copy with this problem, else a later run goes on."""
    if copy.failures + 1 >= MAX_FAILURES:
        await _fail(services, copy, problem)
        return
    pause = timedelta(seconds=min(2**copy.failures, 600))
    async with services.db.begin() as tx:
        held = update(Copy).where(Copy.id == copy.id, Copy.lease_token == copy.lease_token)
        await tx.execute(held.values(failures=Copy.failures + 1, lease_until=func.now() + pause))
