"""Predicted chunk sizes and parsed ranges, against the server and the shared vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.core.chunks import StoreLimits, plan_chunks
from dropbox_client.transfer.chunks import (
    GIB,
    KIB,
    MIB,
    Chunks,
    expected_chunk_bytes,
    fixed,
    parse_ranges,
    preferred_chunk_bytes,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ranges.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["ranges"], ids=lambda vector: vector["text"] or "none")
def test_parse_ranges_matches_the_vectors(vector: dict[str, Any]) -> None:
    assert parse_ranges(vector["text"]) == sorted(set(vector["numbers"]))


@pytest.mark.parametrize("size", [8 * MIB + 1, 1 * GIB, 50 * GIB, 71 * GIB, 5 * 1024 * GIB])
def test_expected_chunk_size_equals_the_plan_of_the_server(size: int) -> None:
    planned = plan_chunks(size, limits=StoreLimits())
    expected = Chunks(size, fixed(expected_chunk_bytes(size, 8 * MIB)))
    assert (expected.chunking, expected.count) == (fixed(planned.chunk_size_bytes), planned.chunk_count)
    assert [(n, expected.offset(n), expected.bytes_of(n)) for n in (1, 2, expected.count)] == [
        (n, planned.offset(n), planned.chunk_bytes(n)) for n in (1, 2, planned.chunk_count)
    ]


def test_empty_file_has_one_empty_chunk() -> None:
    for empty in (Chunks(0, fixed(0)), Chunks(0, fixed(8 * MIB))):
        assert (empty.count, empty.offset(1), empty.bytes_of(1), empty.is_complete) == (1, 0, 0, True)


def test_plan_that_the_content_defines_grows_until_it_covers_the_file() -> None:
    plan = Chunks(20, "cdc1")
    assert (plan.count, plan.planned_bytes, plan.is_complete) == (0, 0, False)
    plan.append(12)
    assert (plan.count, plan.planned_bytes, plan.is_complete) == (1, 12, False)
    plan.append(8)
    assert [(plan.offset(number), plan.bytes_of(number)) for number in (1, 2)] == [(0, 12), (12, 8)]
    assert plan.is_complete


def test_preferred_chunk_size_without_measurement_or_need_is_none() -> None:
    assert preferred_chunk_bytes(50 * GIB, None) is None
    assert preferred_chunk_bytes(1 * GIB, 500 * MIB) is None


def test_preferred_chunk_size_depends_on_the_measured_rate() -> None:
    assert preferred_chunk_bytes(1 * GIB, 300 * KIB) == 5 * MIB
    assert preferred_chunk_bytes(50 * GIB, 500 * MIB) == 64 * MIB
