"""Every plan covers its file exactly and stays within the limits of its store."""

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.chunks import GIB, MIB, SINGLE_MAX_BYTES, TARGET_CHUNKS, Plan, StoreLimits, plan_chunks

stores = st.builds(
    StoreLimits,
    min_part_bytes=st.integers(1, 16 * MIB),
    max_part_bytes=st.integers(16 * MIB, 5 * GIB),
    max_parts=st.integers(1, 10_000),
    max_object_bytes=st.integers(1, 10_000 * 5 * GIB),
)


def sizes(limits: StoreLimits) -> st.SearchStrategy[int]:
    largest = limits.largest_plan_bytes
    edges = [MIB, SINGLE_MAX_BYTES, TARGET_CHUNKS * 8 * MIB, TARGET_CHUNKS * limits.max_part_bytes, largest]
    near = st.builds(lambda edge, distance: edge + distance, st.sampled_from(edges), st.integers(-2, 2))
    return (near | st.integers(0, largest)).map(lambda size: min(max(size, 0), largest))


@given(
    st.data(),
    stores | st.just(StoreLimits()),
    st.none() | st.integers(1, 10 * GIB),
    st.sampled_from([None, "multipart"]),
)
def test_plan_covers_the_file_within_the_limits(
    data: st.DataObject, limits: StoreLimits, wish_bytes: int | None, strategy: Literal["multipart"] | None
) -> None:
    size_bytes = data.draw(sizes(limits), label="size_bytes")
    strategy = strategy if size_bytes else None  # an empty file is always one object
    result = plan_chunks(size_bytes, limits=limits, strategy=strategy, chunk_size_bytes=wish_bytes)

    assert_covers(result, size_bytes)
    if result.strategy == "single":
        assert size_bytes <= SINGLE_MAX_BYTES
        assert result.chunk_count == 1
        return
    assert result.chunk_count <= limits.max_parts
    assert result.chunk_size_bytes <= limits.max_part_bytes
    assert result.chunk_size_bytes >= limits.min_part_bytes
    assert result.chunk_size_bytes % MIB == 0 or result.chunk_size_bytes == limits.max_part_bytes
    if wish_bytes is None and result.chunk_size_bytes < limits.max_part_bytes:
        assert result.chunk_count <= TARGET_CHUNKS
    if wish_bytes is not None and limits.min_part_bytes <= wish_bytes <= limits.max_part_bytes:
        # A wish within the limits is granted, rounded up to a MiB, unless the file would need too many parts.
        granted = wish_bytes <= result.chunk_size_bytes < wish_bytes + MIB
        assert granted or wish_bytes * limits.max_parts < size_bytes


@given(st.integers(0, 9_999 * 5 * GIB), st.none() | st.integers(1, 5 * GIB))
def test_plan_with_its_own_chunk_size_is_the_same(size_bytes: int, wish_bytes: int | None) -> None:
    first = plan_chunks(size_bytes, limits=StoreLimits(), chunk_size_bytes=wish_bytes)
    assert plan_chunks(size_bytes, limits=StoreLimits(), chunk_size_bytes=first.chunk_size_bytes) == first


def assert_covers(result: Plan, size_bytes: int) -> None:
    assert result.size_bytes == size_bytes
    assert result.chunk_count >= 1
    end = 0
    for position, (number, offset, chunk_bytes) in enumerate(result.ranges(), start=1):
        assert (number, offset) == (position, end)
        assert chunk_bytes == result.chunk_size_bytes or (
            number == result.chunk_count and chunk_bytes <= result.chunk_size_bytes
        )
        assert chunk_bytes > 0 or size_bytes == 0
        end = offset + chunk_bytes
    assert end == size_bytes
