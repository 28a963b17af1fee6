"""Chunk plans against the vectors shared with the TypeScript client."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.chunks import (
    CDC_MAX_BYTES,
    CDC_MIN_BYTES,
    GIB,
    MIB,
    Plan,
    PlanError,
    StoreLimits,
    find_illegal_chunk,
    plan_chunks,
    plan_content_defined,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/chunk_plans.json").read_text(encoding="utf-8"))
STORES = {name: StoreLimits(**limits) for name, limits in VECTORS["stores"].items()}


def test_default_limits_are_those_of_aws() -> None:
    assert StoreLimits() == STORES["aws"]
    assert StoreLimits().largest_plan_bytes == 9_999 * 5 * GIB


@pytest.mark.parametrize("vector", VECTORS["plans"], ids=lambda vector: vector["name"])
def test_plan_equals_the_vector(vector: dict[str, Any]) -> None:
    result = plan_chunks(
        vector["size_bytes"],
        limits=STORES[vector["limits"]],
        strategy=vector["requested_strategy"],
        chunk_size_bytes=vector["requested_chunk_size_bytes"],
    )
    assert result == Plan(vector["strategy"], vector["size_bytes"], vector["chunk_size_bytes"], vector["chunk_count"])
    assert result.chunk_bytes(result.chunk_count) == vector["last_chunk_bytes"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_impossible_plan_is_refused_with_the_reason_of_the_vector(vector: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as error:
        plan_chunks(vector["size_bytes"], limits=STORES[vector["limits"]], strategy=vector["requested_strategy"])
    assert error.value.reason == vector["reason"]


def test_plan_follows_the_configured_defaults() -> None:
    result = plan_chunks(3 * MIB, limits=StoreLimits(), default_chunk_bytes=32 * MIB, single_max_bytes=2 * MIB)
    assert (result.strategy, result.chunk_size_bytes) == ("multipart", 32 * MIB)
    assert plan_chunks(2 * MIB, limits=StoreLimits(), single_max_bytes=2 * MIB).strategy == "single"


def test_ranges_of_a_plan_cover_the_file() -> None:
    assert list(plan_chunks(20 * MIB, limits=StoreLimits()).ranges()) == [
        (1, 0, 8 * MIB),
        (2, 8 * MIB, 8 * MIB),
        (3, 16 * MIB, 4 * MIB),
    ]
    assert list(plan_chunks(0, limits=StoreLimits()).ranges()) == [(1, 0, 0)]


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_chunk_number_outside_the_plan_is_refused(number: int) -> None:
    result = plan_chunks(20 * MIB, limits=StoreLimits())
    with pytest.raises(ValueError, match=r"not in 1\.\.3"):
        result.offset(number)
    with pytest.raises(ValueError, match=r"not in 1\.\.3"):
        result.chunk_bytes(number)


# Content-defined chunks


def test_content_defined_chunks_need_a_store_that_takes_them_as_parts() -> None:
    assert StoreLimits().largest_cdc1_bytes == 9_999 * 5 * MIB
    assert StoreLimits(max_object_bytes=GIB).largest_cdc1_bytes == GIB
    assert StoreLimits(min_part_bytes=6 * MIB).largest_cdc1_bytes == 0
    assert StoreLimits(max_part_bytes=15 * MIB).largest_cdc1_bytes == 0


@pytest.mark.parametrize(
    ("size_bytes", "fits"), [(16 * MIB, False), (16 * MIB + 1, True), (GIB, True), (GIB + 1, False)]
)
def test_content_defined_plan_is_for_large_files(size_bytes: int, fits: bool) -> None:
    if fits:
        assert plan_content_defined(size_bytes, GIB) == Plan("multipart", size_bytes, 16 * MIB, 0, "cdc1")
        return
    with pytest.raises(PlanError) as error:
        plan_content_defined(size_bytes, GIB)
    assert error.value.reason == "not-for-cdc1"


SIZES = st.lists(st.integers(CDC_MIN_BYTES, CDC_MAX_BYTES), max_size=5)


@given(SIZES, st.integers(1, CDC_MAX_BYTES))
def test_list_that_covers_the_file_is_legal_in_any_pages(sizes: list[int], last: int) -> None:
    sizes, rest = [*sizes, last], sum(sizes) + last
    assert find_illegal_chunk(sizes, rest) is None
    for size in sizes:
        assert find_illegal_chunk([size], rest) is None
        rest -= size
    assert find_illegal_chunk([1], rest) == 0  # nothing is left


@given(SIZES, st.integers(1, CDC_MIN_BYTES - 1), st.integers(1, 10**12))
def test_small_chunk_before_the_last_and_large_chunk_are_illegal(sizes: list[int], small: int, rest: int) -> None:
    total = sum(sizes)
    assert find_illegal_chunk([*sizes, small], total + small + rest) == len(sizes)
    assert find_illegal_chunk([*sizes, CDC_MAX_BYTES + rest], total + CDC_MAX_BYTES + rest) == len(sizes)
    assert find_illegal_chunk([*sizes, small + rest], total + small) == len(sizes)
