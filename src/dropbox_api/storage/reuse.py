"""Make a part of a multipart upload from bytes that the store holds: a copy by the store, or a relay by this process.

Either way the part has the SHA-256 that it should have: a copy that reports another one, or none, is no part, and a
relay hashes the bytes before it sends them, under a checksum that the store enforces.
"""

import hashlib
from dataclasses import dataclass

from dropbox_api.storage.object_store import ObjectStore, Part

MAX_RELAYED_BYTES = 64 << 20
"""A relayed part is held in memory."""
MIN_COPIED_BYTES = 5 << 20
"""S3 copies ranges only of larger objects; smaller ones as a whole."""


@dataclass(frozen=True, slots=True)
class StoredRange:
    """Bytes of an object."""

    key: str
    etag: str
    object_bytes: int
    start: int


@dataclass(frozen=True, slots=True)
class WantedPart:
    """The part to make."""

    key: str
    s3_upload_id: str
    number: int
    size_bytes: int
    sha256: bytes


class WrongBytes(Exception):
    """The stored bytes do not hash to what they should."""


class CopyUnproven(Exception):
    """The store reported no hash of its copy."""


async def copy_part(store: ObjectStore, source: StoredRange, part: WantedPart) -> Part:
    """Let the store copy the bytes. Raises WrongBytes, CopyUnproven, and what `ObjectStore.copy_part` does."""
    copied = await store.copy_part(
        part.key,
        part.s3_upload_id,
        part.number,
        source.key,
        start=source.start,
        size_bytes=part.size_bytes,
        if_match=source.etag,
        is_whole=source.object_bytes == part.size_bytes,
    )
    if copied.sha256 is None:
        raise CopyUnproven
    if copied.sha256 != part.sha256:
        raise WrongBytes
    return copied


async def relay_part(store: ObjectStore, source: StoredRange, part: WantedPart) -> Part:
    """Read the bytes, at most `MAX_RELAYED_BYTES`, and send them.

    Raises WrongBytes, and what `ObjectStore.read` and `put_part` do.
    """
    digest, blocks = hashlib.sha256(), []
    async for block in store.read(source.key, start=source.start, length=part.size_bytes):
        digest.update(block)
        blocks.append(block)
    if digest.digest() != part.sha256:
        raise WrongBytes
    return await store.put_part(part.key, part.s3_upload_id, part.number, b"".join(blocks), part.sha256)


def can_copy(source: StoredRange, part: WantedPart) -> bool:
    """Return whether S3 copies these bytes: any range of a large object, a small one only as a whole."""
    return source.object_bytes > MIN_COPIED_BYTES or source.object_bytes == part.size_bytes
