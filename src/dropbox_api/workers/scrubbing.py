"""Read again what is stored, and mend what rotted: job `scrub`.

Every run reads a share of the verified content, chunk by chunk, so that all of it is read once in `worker.scrub_days`.
A chunk that has other bytes than its manifest says, or none, is read a second time; then the content is `damaged`: it
is handed out to nobody until it is whole again, and each run tries that anew. A damaged object is never written to:
another one is built under a key of its own, from its good chunks and from equal bytes elsewhere, and takes its place.
Bytes are proven by their hash, so it does not matter whose they were, and nobody is told.

A store that cannot read is not a store that lost: an answer other than "not there" or "shorter" counts as damage only
where HEAD still finds the object, and only of a few objects a run.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, update

from dropbox_api import problems
from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.db import Db, new_id
from dropbox_api.files import blobs, guard
from dropbox_api.models import Blob, BlobChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import (
    CompletedPart,
    ObjectNotFound,
    ObjectStore,
    StoreError,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)
from dropbox_api.uploads.proof import is_expected_object
from dropbox_api.workers import blob_leases
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

MAX_IN_MEMORY = 64 * 1024**2
"""Larger chunks are copied by the store itself."""
MAX_UNREADABLE = 3
"""Objects a run whose bytes the store has, but fails to read: with more of them the store is ill, not the objects."""
MAX_FAILED = 3
"""Then the run ends: it is not the time to read."""
SOURCES_OF_A_CHUNK = 5
_DAY_S = 86400
_DUE_AFTER = 0.9
"""Of the period: the budget keeps the pace, this only keeps few objects from being read over and over."""


class _Cut(StoreUnavailable):
    """The answer began, and broke off."""


@dataclass(slots=True)
class _Run:
    """What one run has done so far."""

    found: int = 0
    done: int = 0
    failed: int = 0
    unreadable: int = 0
    notes: list[str] = field(default_factory=list)


async def scrub(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Read this run's share of what is stored; mark what is damaged, and mend it where equal bytes are left."""
    days = settings.worker.scrub_days
    if not days:
        return Report(0, 0)
    run = _Run()
    async with db.read() as tx:
        share = (await tx.execute(_SHARE, {"interval_s": settings.worker.sweep_interval_s, "days": days})).one()
    budget_bytes = float(share.budget_bytes)
    due_before = share.now - timedelta(days=days * _DUE_AFTER)
    claim = partial(blob_leases.claim, db, settings, Blob.scrubbed_at)
    is_left = (Blob.content_status == "damaged", Blob.scrubbed_at < share.now)
    while run.failed < MAX_FAILED and (blob := await claim(*is_left)):
        await _handle(db, store, settings, blob, run)
    # New content first, then what was read longest ago: one of each query is one step in an index.
    for is_due in (Blob.scrubbed_at.is_(None), Blob.scrubbed_at < due_before):
        while budget_bytes > 0 and run.failed < MAX_FAILED:
            blob = await claim(Blob.content_status == "verified", is_due)
            if blob is None:
                break
            await _handle(db, store, settings, blob, run)
            budget_bytes -= blob.size_bytes
    return Report(run.found, run.done, run.failed, tuple(run.notes))


_SHARE = text("""
    SELECT now(), coalesce(sum(size_bytes), 0) * least(1, :interval_s / (:days * 86400.0)) - coalesce(sum(size_bytes)
        FILTER (WHERE scrubbed_at > now() - make_interval(secs => least(:interval_s, :days * 86400.0))), 0)
        + 1 AS budget_bytes
    FROM blobs WHERE content_status IN ('verified', 'damaged')
""")
"""What is to be read in the time from one run to the next, less what other workers have read of it. Never quite
nothing: an object may be larger than the share."""


async def _handle(db: Db, store: ObjectStore, settings: Settings, blob: Any, run: _Run) -> None:
    """Read one blob, and mend it if it is damaged. What cannot be found out now leaves its lease to lapse."""
    run.found += 1
    manifest = select(*BlobChunk.__table__.c).where(BlobChunk.blob_id == blob.id).order_by(BlobChunk.number)
    try:
        async with blob_leases.kept(db, settings, blob):
            async with db.read() as tx:
                chunks = (await tx.execute(manifest)).all()
            bad = await _examine(store, blob.storage_key, chunks, run, blob.fingerprint)
            await failpoint("workers.scrub.after_read")
            if not bad:
                run.done += await _mark_whole(db, blob)
                return
            if blob.content_status == "verified":
                run.notes.append(f"blob {blob.id}: {len(bad)} of {len(chunks)} chunks are damaged")
            if not await mark_damaged(db, blob):
                return
            await failpoint("workers.scrub.after_mark")
            if await _repair(db, store, blob, chunks, bad, run):
                run.notes.append(f"blob {blob.id}: repaired")
            else:
                await _release(db, blob)
            run.done += 1
    except (StoreError, problems.Unavailable) as error:
        run.failed += 1
        log.warning("blob %s could not be scrubbed: %s", blob.id, error)


# Reading


async def _examine(
    store: ObjectStore, key: str, chunks: Sequence[Any], run: _Run, fingerprint: bytes | None = None
) -> list[Any]:
    """Return the chunks of an object that are not what the manifest says, each having been read twice.

    Raises StoreError when it cannot be found out.
    """
    whole = hashlib.sha256()
    bad: list[Any] = []
    unreadable = False
    for chunk in chunks:
        fault = await _fault(store, key, chunk.offset_bytes, chunk, whole)
        if fault:
            if type(fault) is not StoreUnavailable:  # that was tried three times already, by the client of the store
                fault = await _fault(store, key, chunk.offset_bytes, chunk, None)
            if isinstance(fault, ObjectNotFound):
                return list(chunks)
            unreadable |= isinstance(fault, StoreUnavailable)
            # The first reading was in error if the second is good: then the whole is not known, the chunks are.
            fingerprint = None
        if fault:
            bad.append(chunk)
    if unreadable:
        await store.head(key)  # raises when it is the store that does not answer
        run.unreadable += 1
        if run.unreadable > MAX_UNREADABLE:
            raise StoreUnavailable(f"the store fails to read {key}, and others")
    if not bad and fingerprint is not None and whole.digest() != fingerprint:
        raise StoreRejected("Manifest", f"{key} has all chunks of its manifest, and is not what was verified")
    return bad


async def _fault(store: ObjectStore, key: str, start: int, chunk: Any, whole: Any) -> StoreError | None:
    """Read what should be a chunk's bytes; return what is wrong with them, None if nothing is.

    Raises StoreError when the store refuses or is busy, which says nothing of the bytes.
    """
    digest = hashlib.sha256()
    has_begun = False
    try:
        if not chunk.size_bytes:
            await store.head(key)
        async for block in store.read(key, start=start, length=chunk.size_bytes):
            has_begun = True
            digest.update(block)
            if whole is not None:
                whole.update(block)
    except StoreThrottled:
        raise
    except StoreRejected as error:
        if error.code not in {"InvalidRange", "416"}:  # anything else is about us: credentials, policies
            raise
        return error
    except StoreUnavailable as error:
        return _Cut(error.detail) if has_begun else error
    except StoreError as error:
        return error
    return None if digest.digest() == chunk.sha256 else StoreRejected("Damaged", key)


# Recording


def _held(blob: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        Blob.id == blob.id,
        Blob.lease_token == blob.lease_token,
        Blob.storage_key == blob.storage_key,
        Blob.content_status.in_(("stored", "verified", "damaged")),
    )


async def _mark_whole(db: Db, blob: Any, **replaced: Any) -> bool:
    """Record that a blob was read and is whole, in another object perhaps; return False if it is not ours any more."""
    async with db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        status = (await tx.execute(select(Blob.content_status).where(*_held(blob)))).scalar_one_or_none()
        if status is None:
            return False
        scrubbed = {"scrubbed_at": func.now(), **blobs.NO_LEASE, **replaced}
        await tx.execute(update(Blob).where(Blob.id == blob.id).values(**scrubbed))
        if status == "damaged":
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.repaired")
            await blobs.mark_verified(tx, blob.owner_id, blob.id)
    return True


async def mark_damaged(db: Db, blob: Any) -> bool:
    """Record that a blob is damaged, and tell of its files; return False if it is not ours any more.

    Transaction: its own, under the owner's lock, for whoever has the blob's lease.
    """
    async with db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        status = (await tx.execute(select(Blob.content_status).where(*_held(blob)))).scalar_one_or_none()
        if status is None:
            return False
        marked = update(Blob).where(Blob.id == blob.id)
        await tx.execute(marked.values(content_status="damaged", scrubbed_at=func.now()))
        if status != "damaged":
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.damaged")
    return True


async def _release(db: Db, blob: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(update(Blob).where(*_held(blob)).values(**blobs.NO_LEASE))


# Mending


@dataclass(frozen=True, slots=True)
class _Source:
    key: str
    start: int


_EQUAL = text("""
    SELECT * FROM (
        SELECT chunk.sha256, place.storage_key, chunk.offset_bytes AS start,
            row_number() OVER (PARTITION BY chunk.sha256 ORDER BY place.owner_id <> :owner_id) AS choice
        FROM blob_chunks chunk JOIN blobs place ON place.id = chunk.blob_id
        WHERE chunk.sha256 = ANY(CAST(:sha256 AS bytea[])) AND place.content_status <> 'deleting'
          AND NOT (chunk.blob_id = :blob_id AND chunk.number = ANY(CAST(:numbers AS int[])))
    ) equal WHERE choice <= :choices ORDER BY choice
""")
_WHOLE = text("""
    SELECT storage_key FROM blobs WHERE fingerprint = :fingerprint AND encoding = :encoding
      AND size_bytes = :size_bytes AND id <> :id AND content_status <> 'deleting'
    ORDER BY owner_id <> :owner_id LIMIT 5
""")


async def _repair(db: Db, store: ObjectStore, blob: Any, chunks: Sequence[Any], bad: Sequence[Any], run: _Run) -> bool:
    """Build the object anew from good bytes and put it into the old one's place; return False when some are nowhere."""
    sources = {chunk.number: _Source(blob.storage_key, chunk.offset_bytes) for chunk in chunks}
    elsewhere = await _elsewhere(db, blob, bad)
    for chunk in bad:
        for source in elsewhere[chunk.number]:
            if not await _fault(store, source.key, source.start, chunk, None):
                sources[chunk.number] = source
                break
        else:
            return False
    key = f"blobs/{blob.owner_id}/{blob.fingerprint.hex()}/{new_id()}"
    digest = await _build(store, key, blob.size_bytes, chunks, sources)
    await failpoint("workers.scrub.after_s3")
    if await _examine(store, key, chunks, run, blob.fingerprint):
        raise StoreUnavailable(f"{key} was built from good bytes, and is not good")
    built = await store.head(key)
    if digest is not None and not is_expected_object(built, blob.size_bytes, digest):
        raise StoreUnavailable(f"{key} is not what was built")
    return await _mark_whole(db, blob, storage_key=key, etag=built.etag, composite_digest=digest)


async def _elsewhere(db: Db, blob: Any, bad: Sequence[Any]) -> dict[int, list[_Source]]:
    """Return where the bytes of bad chunks may be found: the owner's own first."""
    wanted = {
        "owner_id": blob.owner_id,
        "blob_id": blob.id,
        "sha256": list({chunk.sha256 for chunk in bad}),
        "numbers": [chunk.number for chunk in bad],
        "choices": SOURCES_OF_A_CHUNK,
    }
    same = {name: getattr(blob, name) for name in ("id", "owner_id", "fingerprint", "encoding", "size_bytes")}
    async with db.read() as tx:
        equal = (await tx.execute(_EQUAL, wanted)).all()
        wholes = (await tx.execute(_WHOLE, same)).scalars().all()
    found: dict[int, list[_Source]] = {}
    for chunk in bad:
        found[chunk.number] = [_Source(row.storage_key, row.start) for row in equal if row.sha256 == chunk.sha256]
        found[chunk.number] += [_Source(key, chunk.offset_bytes) for key in wholes]
    return found


async def _build(
    store: ObjectStore, key: str, size_bytes: int, chunks: Sequence[Any], sources: dict[int, _Source]
) -> str | None:
    """Make an object of these chunks; return its composite digest, None of one that is stored in one piece.

    What is left of a build that fails, the sweep removes.
    """
    if len(chunks) == 1 and size_bytes <= MAX_IN_MEMORY:
        await store.put(key, await _bytes(store, sources[chunks[0].number], size_bytes))
        return None
    upload_id = await store.create_multipart(key)
    parts: list[CompletedPart] = []
    for chunk in chunks:
        source = sources[chunk.number]
        if chunk.size_bytes <= MAX_IN_MEMORY:
            body = await _bytes(store, source, chunk.size_bytes)
            part = await store.put_part(key, upload_id, chunk.number, body, chunk.sha256)
        else:
            part = await store.copy_part(
                key, upload_id, chunk.number, source.key, start=source.start, size_bytes=chunk.size_bytes
            )
        parts.append(CompletedPart(chunk.number, part.etag, chunk.sha256))
    await store.complete_multipart(key, upload_id, parts, size_bytes)
    return composite_digest([part.sha256 for part in parts])


async def _bytes(store: ObjectStore, source: _Source, size_bytes: int) -> bytes:
    return b"".join([block async for block in store.read(source.key, start=source.start, length=size_bytes)])
