"""What the answers of the store prove: the one rule by which a chunk or an object counts as stored. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from dropbox_api.core.fingerprint import to_base64
from dropbox_api.storage.object_store import ObjectInfo, Part

ChunkState = Literal["planned", "uploaded", "mismatched", "reusing", "reused"]
STORED_STATES = ("uploaded", "reused")
"""Of chunks that the store holds, as far as Postgres knows."""
Listing = Sequence[Part] | ObjectInfo | None
"""What S3 holds of a session: the parts of a multipart upload, or the object of a single one (None: no object)."""


class RecordedChunk(NamedTuple):
    """A chunk as Postgres has it. One reconciliation makes 10,000: a tuple costs a third of a dataclass."""

    number: int
    size_bytes: int
    sha256: bytes | None
    state: str
    etag: str | None


class ChunkObservation(NamedTuple):
    """The state of a chunk according to a listing of S3."""

    number: int
    state: ChunkState
    etag: str | None


def judge_chunk(chunk: RecordedChunk, part: Part | None) -> ChunkObservation:
    """Return the state of a chunk, given the part that S3 lists under its number (None: no part).

    A part counts when its size is the planned one, its hash was registered before its URL was signed, and the store's
    own hash, where the store lists hashes, equals the registered one. Where it lists none, presence is proof: the
    signed URL accepts one byte string only. A reused part was not sent to such a URL: without a listed hash it counts
    only while it is the very part whose hash a worker has seen. A listing that lacks it is older than that record: S3
    loses no single part, and would not assemble the others.
    """
    if part is None and chunk.state == "reused":
        return ChunkObservation(chunk.number, "reused", chunk.etag)
    if part is None:
        return ChunkObservation(chunk.number, "planned", None)
    proven = part.size_bytes == chunk.size_bytes and chunk.sha256 is not None and part.sha256 in {None, chunk.sha256}
    if chunk.state != "reused":
        return ChunkObservation(chunk.number, "uploaded" if proven else "mismatched", part.etag)
    proven = proven and (part.sha256 is not None or part.etag == chunk.etag)
    return ChunkObservation(chunk.number, "reused" if proven else "mismatched", part.etag)


def judge_object(chunk: RecordedChunk, info: ObjectInfo | None) -> ChunkObservation:
    """Return the state of the one chunk of a single upload, given the object under its key (None: no object).

    The checksum of such an object is the hash of the chunk. A store that reports none has still enforced it.
    """
    if info is None:
        return ChunkObservation(chunk.number, "planned", None)
    proven = chunk.sha256 is not None and is_expected_object(info, chunk.size_bytes, to_base64(chunk.sha256))
    return ChunkObservation(chunk.number, "uploaded" if proven else "mismatched", info.etag)


def diff_chunks(chunks: Iterable[RecordedChunk], listing: Listing) -> list[ChunkObservation]:
    """Return the chunks whose state or ETag differs from what Postgres has, by number.

    Parts outside the plan are ignored; Complete does not name them. So are chunks that a worker is reusing: their parts
    prove nothing until it has recorded them.
    """
    if listing is None or isinstance(listing, ObjectInfo):
        judged = [(chunk, judge_object(chunk, listing)) for chunk in chunks]
    else:
        by_number = {part.number: part for part in listing}
        sent = (chunk for chunk in chunks if chunk.state != "reusing")
        judged = [(chunk, judge_chunk(chunk, by_number.get(chunk.number))) for chunk in sent]
    return [observed for chunk, observed in judged if (observed.state, observed.etag) != (chunk.state, chunk.etag)]


def is_expected_object(info: ObjectInfo, size_bytes: int, digest: str) -> bool:
    """Tell whether an object has the size and the checksum (base64, as S3 writes it) of the bytes that were sent.

    Some stores leave the "-N" out of the composite digest, others report no checksum.
    """
    bare = digest.partition("-")[0]
    return info.size_bytes == size_bytes and info.checksum_sha256 in {None, digest, bare}
