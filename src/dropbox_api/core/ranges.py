"""Compact sets of part numbers: "1-120,130" describes up to 10,000 parts in a few bytes.

One set has one text: ascending, runs joined, a single number without a dash, "" for the empty set.
"""

import re
from collections.abc import Iterable

_ITEM = re.compile(r"([1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")
"""At most nine digits: more than any store's part numbers, safe in JavaScript, and cheap to parse."""


def encode_ranges(numbers: Iterable[int]) -> str:
    """Return part numbers (1..999,999,999, in any order, duplicates ignored) as ranges.

    Raises: ValueError for a number outside the bounds.
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if not 1 <= number <= 999_999_999:
            raise ValueError(f"{number} is not a part number")
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in runs)


def decode_ranges(text: str, *, max_count: int) -> list[int]:
    """Return the ascending part numbers of ranges, at most `max_count`.

    The text's length and `max_count` bound time and memory, whatever the text says.

    Raises: ValueError unless `encode_ranges` writes the same text, and for more than `max_count` numbers.
    """
    numbers: list[int] = []
    for item in text.split(",") if text else []:
        match = _ITEM.fullmatch(item)
        if not match:
            raise ValueError("part ranges read like 1-120,130")
        first, last = int(match[1]), int(match[2] or match[1])
        if match[2] and first >= last:
            raise ValueError("a range runs from a smaller to a larger number")
        if numbers and first <= numbers[-1] + 1:
            raise ValueError("ranges ascend and do not touch")
        if len(numbers) + last - first + 1 > max_count:
            raise ValueError(f"more than {max_count} part numbers")
        numbers.extend(range(first, last + 1))
    return numbers
