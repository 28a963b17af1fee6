"""Part ranges against the vectors shared with the TypeScript client."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.core import ranges

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ranges.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["ranges"], ids=lambda vector: vector["text"] or "none")
def test_ranges_encode_and_decode_as_the_vector(vector: dict[str, Any]) -> None:
    numbers = sorted(set(vector["numbers"]))
    assert ranges.encode_ranges(vector["numbers"]) == vector["text"]
    assert ranges.decode_ranges(vector["text"], max_count=len(numbers)) == numbers


@pytest.mark.parametrize("numbers", VECTORS["not_numbers"])
def test_encode_ranges_of_other_numbers_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="is not a part number"):
        ranges.encode_ranges(numbers)


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_decode_ranges_of_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        ranges.decode_ranges(text, max_count=10_000)


@pytest.mark.parametrize("vector", VECTORS["too_many"], ids=lambda vector: vector["text"])
def test_decode_ranges_beyond_max_count_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="more than"):
        ranges.decode_ranges(vector["text"], max_count=vector["max_count"])
