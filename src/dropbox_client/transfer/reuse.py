"""What a local file has of another content: chunks of its manifest, wherever they are in the file.

Nothing here is trusted: the caller compares the hash of the whole content with its fingerprint.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from dropbox_client.errors import FileChanged, Unreadable
from dropbox_client.models import Manifest
from dropbox_client.transfer import cdc
from dropbox_client.transfer.chunks import Chunks
from dropbox_client.transfer.partial_file import PartialFile
from dropbox_client.transfer.source import Source, hash_blocks, read_chunks


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of the content that the file has, too."""

    offset_bytes: int
    size_bytes: int
    file_offset_bytes: int

    @property
    def end_bytes(self) -> int:
        return self.offset_bytes + self.size_bytes


def copy_pieces(
    manifest: Manifest, path: Path, part: PartialFile, check: Callable[[], None] = lambda: None
) -> list[Piece]:
    """Copy the chunks that the file at `path` has into `part`; return them, none for an unreadable or changing file.

    `check` is called before each chunk, and may raise. Raises OSError of `part`.
    """
    try:
        with Source(path, is_checked=False) as file:
            pieces = find_pieces(manifest, file, check)
            for piece in pieces:
                check()
                offset = piece.offset_bytes
                for block in file.blocks(piece.file_offset_bytes, piece.size_bytes):
                    part.write(block, offset)
                    offset += len(block)
    except (Unreadable, FileChanged):
        return []
    return pieces


def find_pieces(manifest: Manifest, file: Source, check: Callable[[], None] = lambda: None) -> list[Piece]:
    """Return the chunks that the file has, in the order of the content. Reads the file once; `check` as above.

    Raises FileChanged, Unreadable.
    """
    if not cdc.is_known(manifest.chunking):
        return []
    plan = Chunks(file.size_bytes, manifest.chunking)
    sizes = {chunk.size_bytes for chunk in manifest.items}
    places: dict[str, int] = {}
    for number, blocks in read_chunks(file, plan):
        check()
        if plan.bytes_of(number) in sizes:
            places.setdefault(hash_blocks(blocks), plan.offset(number))
    return [
        Piece(chunk.offset_bytes, chunk.size_bytes, places[chunk.sha256])
        for chunk in manifest.items
        if chunk.sha256 in places
    ]


def find_missing(begin: int, end: int, pieces: Sequence[Piece]) -> tuple[int, int]:
    """Shorten the range [begin, end) of the content by the bytes at both ends that are in pieces.

    `pieces` are in order and do not overlap. Returns an empty range if all bytes are in pieces.
    """
    for piece in pieces[bisect_right(pieces, begin, key=attrgetter("end_bytes")) :]:
        if piece.offset_bytes > begin or begin >= end:
            break
        begin = piece.end_bytes
    before = bisect_left(pieces, end, key=attrgetter("offset_bytes"))
    while before and begin < end <= pieces[before - 1].end_bytes:
        before -= 1
        end = pieces[before].offset_bytes
    return begin, max(begin, end)


def find_gaps(chunks: Chunks, part: PartialFile, pieces: Sequence[Piece]) -> dict[int, tuple[int, int]]:
    """Return (offset, size) of what each range of a download lacks, by its number; the other ranges are complete."""
    gaps = {}
    for number in range(1, chunks.count + 1):
        if number not in part.present:
            offset = chunks.offset(number)
            begin, end = find_missing(offset, offset + chunks.bytes_of(number), pieces)
            if begin < end:
                gaps[number] = (begin, end - begin)
    return gaps
