"""Any set of parts encodes to text and decodes from it; decoding is bounded by `max_count`."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core import ranges

part_numbers = st.lists(st.integers(1, 60) | st.integers(1, 10_000))


@given(part_numbers)
def test_ranges_of_a_set_decode_to_it(numbers: list[int]) -> None:
    expected = sorted(set(numbers))
    assert ranges.decode_ranges(ranges.encode_ranges(numbers), max_count=len(expected)) == expected


@given(part_numbers, st.integers(0, 100))
def test_decode_ranges_beyond_max_count_is_refused(numbers: list[int], max_count: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(ranges.decode_ranges(ranges.encode_ranges(numbers), max_count=max_count)) <= max_count
        return
    assert len(set(numbers)) > max_count


@given(st.text("0123456789-, ", max_size=12))
def test_decoded_text_is_the_encoding_of_its_set(text: str) -> None:
    try:
        numbers = ranges.decode_ranges(text, max_count=10_000)
    except ValueError:
        return
    assert ranges.encode_ranges(numbers) == text
