"""Any set of parts survives the way through text; no text costs more than it may."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core import ranges

part_numbers = st.lists(st.integers(1, 60) | st.integers(1, 10_000))


@given(part_numbers)
def test_round_trip(numbers: list[int]) -> None:
    expected = sorted(set(numbers))
    assert ranges.decode_ranges(ranges.encode_ranges(numbers), max_count=len(expected)) == expected


@given(part_numbers, st.integers(0, 100))
def test_nothing_beyond_max_count(numbers: list[int], max_count: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(ranges.decode_ranges(ranges.encode_ranges(numbers), max_count=max_count)) <= max_count
        return
    assert len(set(numbers)) > max_count


@given(st.text("0123456789-, ", max_size=12))
def test_a_set_has_one_text(text: str) -> None:
    try:
        numbers = ranges.decode_ranges(text, max_count=10_000)
    except ValueError:
        return
    assert ranges.encode_ranges(numbers) == text
