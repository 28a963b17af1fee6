"""Repair a damaged object: build a new one under a new key, from good chunks and from equal bytes elsewhere.

A damaged object is never written to. The hash proves the bytes, so a chunk of any owner's content may be the source.
The source's owner sees no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.db import Db, new_id
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import CompletedPart, ObjectStore, StoreUnavailable
from dropbox_api.uploads.proof import is_expected_object
from dropbox_api.workers.blob_condition import replace_object
from dropbox_api.workers.inspection import ManifestChunk, Tally, find_fault, inspect_object
from dropbox_api.workers.leases import LeasedBlob

MAX_IN_MEMORY = 64 * 1024**2
"""The store copies larger chunks itself (server-side copy)."""
SOURCES_PER_CHUNK = 5


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a chunk are stored."""

    key: str
    start: int


async def repair_blob(
    services: Services,
    blob: LeasedBlob,
    chunks: Sequence[ManifestChunk],
    damaged: Sequence[ManifestChunk],
    tally: Tally,
) -> bool:
    """Give a damaged blob a new object. Return False when good bytes of a chunk are nowhere, or the lease was lost.

    Raises StoreError.
    """
    store = services.store
    sources = await _find_sources(services, blob, chunks, damaged)
    if sources is None:
        return False
    key = f"blobs/{blob.owner_id}/{blob.fingerprint.hex()}/{new_id()}"
    digest = await build_object(store, key, blob.size_bytes, chunks, sources)
    await failpoint("workers.scrub.after_s3")
    if (await inspect_object(store, key, chunks, blob.fingerprint, tally)).damaged:
        raise StoreUnavailable(f"{key} was built from good bytes and is damaged")
    built = await store.head(key)
    if digest is not None and not is_expected_object(built, blob.size_bytes, digest):
        raise StoreUnavailable(f"{key} differs from what was built")
    return await replace_object(services.db, blob, key, built.etag, digest)


async def _find_sources(
    services: Services, blob: LeasedBlob, chunks: Sequence[ManifestChunk], damaged: Sequence[ManifestChunk]
) -> dict[int, Source] | None:
    """Return a source of good bytes for each chunk number; None when a chunk has none. Raises StoreError."""
    sources = {chunk.number: Source(blob.storage_key, chunk.offset_bytes) for chunk in chunks}
    candidates = await find_candidates(services.db, blob, damaged)
    for chunk in damaged:
        for candidate in candidates[chunk.number]:
            if await find_fault(services.store, candidate.key, candidate.start, chunk) is None:
                sources[chunk.number] = candidate
                break
        else:
            return None
    return sources


_EQUAL_CHUNKS = text("""
    SELECT * FROM (
        SELECT chunk.sha256, blob.storage_key, chunk.offset_bytes AS start,
            row_number() OVER (PARTITION BY chunk.sha256 ORDER BY blob.owner_id <> :owner_id) AS choice
        FROM blob_chunks chunk JOIN blobs blob ON blob.id = chunk.blob_id
        WHERE chunk.sha256 = ANY(CAST(:sha256 AS bytea[])) AND blob.content_status <> 'deleting'
          AND NOT (chunk.blob_id = :blob_id AND chunk.number = ANY(CAST(:numbers AS int[])))
    ) equal WHERE choice <= :choices ORDER BY choice
""")
_EQUAL_BLOBS = text("""
    SELECT storage_key FROM blobs WHERE fingerprint = :fingerprint AND encoding = :encoding
      AND size_bytes = :size_bytes AND id <> :id AND content_status <> 'deleting'
    ORDER BY owner_id <> :owner_id LIMIT 5
""")


async def find_candidates(db: Db, blob: LeasedBlob, damaged: Sequence[ManifestChunk]) -> dict[int, list[Source]]:
    """Return, for each damaged chunk's number, where equal bytes may be; the owner's own objects come first."""
    wanted = {
        "owner_id": blob.owner_id,
        "blob_id": blob.id,
        "sha256": list({chunk.sha256 for chunk in damaged}),
        "numbers": [chunk.number for chunk in damaged],
        "choices": SOURCES_PER_CHUNK,
    }
    same = {name: getattr(blob, name) for name in ("id", "owner_id", "fingerprint", "encoding", "size_bytes")}
    async with db.read() as tx:
        equal = (await tx.execute(_EQUAL_CHUNKS, wanted)).all()
        wholes = (await tx.execute(_EQUAL_BLOBS, same)).scalars().all()
    candidates: dict[int, list[Source]] = {}
    for chunk in damaged:
        candidates[chunk.number] = [Source(row.storage_key, row.start) for row in equal if row.sha256 == chunk.sha256]
        candidates[chunk.number] += [Source(key, chunk.offset_bytes) for key in wholes]
    return candidates


async def build_object(
    store: ObjectStore,
    key: str,
    size_bytes: int,
    chunks: Sequence[ManifestChunk],
    sources: dict[int, Source],
    max_in_memory: int = MAX_IN_MEMORY,
) -> str | None:
    """Store an object made of these chunks; return its composite digest, None for an object stored in one piece.

    The store copies chunks larger than `max_in_memory` itself, without a check of their bytes.
    Job `sweep` removes the parts of a failed build. Raises StoreError.
    """
    if len(chunks) == 1 and size_bytes <= max_in_memory:
        await store.put(key, await _read_bytes(store, sources[chunks[0].number], size_bytes))
        return None
    upload_id = await store.create_multipart(key)
    parts: list[CompletedPart] = []
    for chunk in chunks:
        source = sources[chunk.number]
        if chunk.size_bytes <= max_in_memory:
            body = await _read_bytes(store, source, chunk.size_bytes)
            part = await store.put_part(key, upload_id, chunk.number, body, chunk.sha256)
        else:
            part = await store.copy_part(
                key, upload_id, chunk.number, source.key, start=source.start, size_bytes=chunk.size_bytes
            )
        parts.append(CompletedPart(chunk.number, part.etag, chunk.sha256))
    await store.complete_multipart(key, upload_id, parts, size_bytes)
    return composite_digest([part.sha256 for part in parts])


async def _read_bytes(store: ObjectStore, source: Source, size_bytes: int) -> bytes:
    return b"".join([block async for block in store.read(source.key, start=source.start, length=size_bytes)])
