"""The client's reading of ranges and its cutting of files, for any set and any size."""

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core import ranges
from dropbox_client.transfer.chunks import Chunks, parse_ranges


@given(st.sets(st.integers(1, 10_000)))
def test_the_client_reads_what_the_server_writes(numbers: set[int]) -> None:
    assert parse_ranges(ranges.encode_ranges(numbers)) == sorted(numbers)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_chunks_cover_the_file_exactly(size: int, chunk: int) -> None:
    chunk = max(chunk, size // 5000 + 1)
    chunks = Chunks(size, chunk)
    end = 0
    for number in range(1, chunks.count + 1):
        assert chunks.offset(number) == end
        assert 0 < chunks.bytes_of(number) <= chunk
        end += chunks.bytes_of(number)
    assert end == size
