"""Read an object and compare it with its manifest, chunk by chunk.

A store that fails to read has not necessarily lost the bytes. A fault counts as damage when the store reports the
object as missing or shorter, when the bytes differ, or when the read fails although HEAD still finds the object. The
last kind counts for at most `MAX_UNREADABLE` objects per run.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sqlalchemy import select

from dropbox_api.core.content_hash import ContentHash
from dropbox_api.db import Db
from dropbox_api.models import BlobChunk
from dropbox_api.storage.object_store import (
    ObjectNotFound,
    ObjectStore,
    StoreError,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)

MAX_UNREADABLE = 3
"""Unreadable objects per run that count as damaged. More of them mean that the store is ill."""


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...


class _BrokenOffError(StoreUnavailable):
    """The response began and broke off."""


@dataclass(frozen=True, slots=True)
class ManifestChunk:
    """One line of a blob's manifest."""

    number: int
    offset_bytes: int
    size_bytes: int
    sha256: bytes


_CHUNK = (BlobChunk.number, BlobChunk.offset_bytes, BlobChunk.size_bytes, BlobChunk.sha256)


@dataclass(slots=True)
class Tally:
    """Counts of one run of `scrub`."""

    found: int = 0
    done: int = 0
    failed: int = 0
    unreadable: int = 0
    notes: list[str] = field(default_factory=list)


async def read_manifest(db: Db, blob_id: uuid.UUID) -> Sequence[ManifestChunk]:
    """Return the chunks of a blob in order."""
    manifest = select(*_CHUNK).where(BlobChunk.blob_id == blob_id).order_by(BlobChunk.number)
    async with db.read() as tx:
        return [ManifestChunk(*row) for row in await tx.execute(manifest)]


class Inspection(NamedTuple):
    """What a read of an object shows."""

    damaged: Sequence[ManifestChunk]
    """The chunks that differ from the manifest in two reads."""
    is_utf8: bool | None = None
    """Whether the content is text in UTF-8; None where a chunk was not good at the first read."""


async def inspect_object(
    store: ObjectStore, key: str, chunks: Sequence[ManifestChunk], fingerprint: bytes, tally: Tally
) -> Inspection:
    """Read an object and compare it with its manifest.

    Raises StoreError when the state of the object cannot be determined.
    """
    whole = ContentHash()
    is_whole_known = True
    damaged: list[ManifestChunk] = []
    is_unreadable = False
    for chunk in chunks:
        fault = await find_fault(store, key, chunk.offset_bytes, chunk, whole)
        if fault is None:
            continue
        if type(fault) is not StoreUnavailable:  # the store client has already retried that one
            fault = await find_fault(store, key, chunk.offset_bytes, chunk)
        if isinstance(fault, ObjectNotFound):
            return Inspection(chunks)
        is_unreadable |= isinstance(fault, StoreUnavailable)
        is_whole_known = False  # after a good second read the chunks are known, their concatenation is not
        if fault is not None:
            damaged.append(chunk)
    if is_unreadable:
        await store.head(key)  # raises when the store itself is unavailable
        tally.unreadable += 1
        if tally.unreadable > MAX_UNREADABLE:
            raise StoreUnavailable(f"the store fails to read {key} and other objects")
    if not damaged and is_whole_known and whole.digest() != fingerprint:
        raise StoreRejected("Manifest", f"{key} matches its manifest but not its verified fingerprint")
    return Inspection(damaged, whole.is_utf8() if is_whole_known else None)


async def find_fault(
    store: ObjectStore, key: str, start: int, chunk: ManifestChunk, whole: Digest | None = None
) -> StoreError | None:
    """Read a chunk's bytes at `start` of an object; return the fault, or None when they match the chunk's hash.

    `whole` is updated with the bytes. Raises StoreError when the store refuses or throttles, which says nothing about
    the bytes.
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
        if error.code not in {"InvalidRange", "416"}:  # other codes concern this client: credentials, policies
            raise
        return error
    except StoreUnavailable as error:
        return _BrokenOffError(error.detail) if has_begun else error
    except StoreError as error:
        return error
    return None if digest.digest() == chunk.sha256 else StoreRejected("Damaged", key)
