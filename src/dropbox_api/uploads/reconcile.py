"""Compare a session's chunks with what S3 lists: the one rule by which a chunk counts as uploaded. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dropbox_api.storage.object_store import Part

ChunkState = Literal["planned", "uploaded", "mismatched"]


@dataclass(frozen=True, slots=True)
class Known:
    """A chunk as Postgres has it."""

    number: int
    size_bytes: int
    sha256: bytes | None
    state: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Observed:
    """A chunk whose status S3's listing changes."""

    number: int
    state: ChunkState
    etag: str | None


def judge(chunk: Known, part: Part | None) -> Observed:
    """Return what a chunk is, given the part that S3 lists under its number (None: nothing).

    A part counts when its size is the planned one, its hash was registered before its URL was signed, and the store's
    own hash, where the store lists hashes, equals the registered one. Where it lists none, presence is proof: its URL
    accepted one byte string only.
    """
    if part is None:
        return Observed(chunk.number, "planned", None)
    proven = part.size_bytes == chunk.size_bytes and chunk.sha256 is not None and part.sha256 in {None, chunk.sha256}
    return Observed(chunk.number, "uploaded" if proven else "mismatched", part.etag)


def diff(chunks: Iterable[Known], parts: Sequence[Part]) -> list[Observed]:
    """Return the chunks whose status or ETag differs from what Postgres has, by number.

    Parts outside the plan are nothing of ours and are left out; Complete does not name them.
    """
    listed = {part.number: part for part in parts}
    observed = ((chunk, judge(chunk, listed.get(chunk.number))) for chunk in chunks)
    return [seen for chunk, seen in observed if (seen.state, seen.etag) != (chunk.state, chunk.etag)]
