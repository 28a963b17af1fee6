"""Ranges and chunks, for any set of numbers and any size."""

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core import ranges
from dropbox_client.transfer.chunks import Chunks, fixed, parse_ranges


@given(st.sets(st.integers(1, 10_000)))
def test_parse_ranges_inverts_the_encoding_of_the_server(numbers: set[int]) -> None:
    assert parse_ranges(ranges.encode_ranges(numbers)) == sorted(numbers)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_chunks_cover_the_file_exactly(size: int, chunk: int) -> None:
    chunk = max(chunk, size // 5000 + 1)
    chunks = Chunks(size, fixed(chunk))
    end = 0
    for number in range(1, chunks.count + 1):
        assert chunks.offset(number) == end
        assert 0 < chunks.bytes_of(number) <= chunk
        end += chunks.bytes_of(number)
    assert end == size == chunks.planned_bytes
