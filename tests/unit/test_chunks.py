"""Chunk plans against the vectors shared with the TypeScript client."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.core.chunks import GIB, MIB, Plan, PlanError, StoreLimits, plan_chunks

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
