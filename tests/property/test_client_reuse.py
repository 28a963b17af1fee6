"""Which ranges of a content a client fetches when it has some chunks, for any set of chunks."""

import hashlib
import os
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_client.models import ContentChunk, Manifest
from dropbox_client.transfer.cdc import cut_bytes
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.reuse import Piece, find_missing, find_pieces
from dropbox_client.transfer.source import BytesSource

SIZES = st.lists(st.integers(1, 20), max_size=12)


@given(SIZES, st.sets(st.integers(0, 11)), st.integers(0, 240), st.integers(0, 40))
def test_missing_range_is_the_shortest_with_all_bytes_that_are_in_no_piece(
    sizes: list[int], chosen: set[int], begin: int, length: int
) -> None:
    starts = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
    pieces = [Piece(starts[index], sizes[index], 0) for index in sorted(chosen) if index < len(sizes)]
    present = {place for piece in pieces for place in range(piece.offset_bytes, piece.end_bytes)}
    missing = [place for place in range(begin, begin + length) if place not in present]
    first, end = find_missing(begin, begin + length, pieces)
    assert list(range(first, end)) == (list(range(missing[0], missing[-1] + 1)) if missing else [])


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20), st.integers(1, 4))
def test_pieces_are_the_chunks_that_the_file_has_anywhere(old: list[int], new: list[int], size: int) -> None:
    content, file = (b"".join(bytes([kind]) * size for kind in kinds) for kinds in (new, old))
    items = [
        ContentChunk(number, offset, size, hashlib.sha256(content[offset : offset + size]).hexdigest())
        for number, offset in enumerate(range(0, len(content), size), 1)
    ]
    pieces = find_pieces(Manifest("", len(content), "", f"fixed:{size}", items, None), BytesSource(file))
    assert [piece.offset_bytes for piece in pieces] == [
        item.offset_bytes for item, kind in zip(items, new, strict=True) if kind in old
    ]
    for piece in pieces:
        there = file[piece.file_offset_bytes : piece.file_offset_bytes + size]
        assert there == content[piece.offset_bytes : piece.end_bytes]


@pytest.mark.parametrize("chunking", ["newer", "", "fixed", "fixed:0", "fixed:-3", "fixed:x"])
def test_file_cut_in_an_unknown_way_has_no_pieces(chunking: str) -> None:
    chunk = ContentChunk(1, 0, 3, hashlib.sha256(b"abc").hexdigest())
    assert find_pieces(Manifest("", 3, "", chunking, [chunk], None), BytesSource(b"abc")) == []


def test_file_cut_by_content_has_the_chunks_that_an_insertion_moved() -> None:
    old = os.urandom(40 * MIB)
    new = b"inserted" + old
    sizes = list(cut_bytes(new))
    items = [
        ContentChunk(number, end - size, size, hashlib.sha256(new[end - size : end]).hexdigest())
        for number, (size, end) in enumerate(zip(sizes, accumulate(sizes), strict=True), 1)
    ]
    pieces = find_pieces(Manifest("", len(new), "", "cdc1", items, None), BytesSource(old))
    assert sum(piece.size_bytes for piece in pieces) >= len(old) - 16 * MIB
    for piece in pieces:
        there = old[piece.file_offset_bytes : piece.file_offset_bytes + piece.size_bytes]
        assert there == new[piece.offset_bytes : piece.end_bytes]
