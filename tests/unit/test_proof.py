"""The one rule by which a chunk or an object counts as stored."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dropbox_api.core.fingerprint import to_base64
from dropbox_api.storage.object_store import ObjectInfo, Part
from dropbox_api.uploads.proof import ChunkObservation, RecordedChunk, diff_chunks, judge_chunk, judge_object

SHA = bytes(32)
OTHER = bytes(31) + b"\1"
PLANNED = RecordedChunk(number=1, size_bytes=10, sha256=SHA, state="planned", etag=None)
LISTED = Part(number=1, size_bytes=10, etag="e", sha256=SHA)


def test_chunk_without_a_listed_part_is_planned() -> None:
    assert judge_chunk(PLANNED._replace(state="uploaded", etag="e"), None) == ChunkObservation(1, "planned", None)


@pytest.mark.parametrize(
    ("chunk", "part", "state"),
    [
        (PLANNED, LISTED, "uploaded"),
        (PLANNED, replace(LISTED, sha256=None), "uploaded"),
        (PLANNED, replace(LISTED, sha256=OTHER), "mismatched"),
        (PLANNED, replace(LISTED, size_bytes=9), "mismatched"),
        (PLANNED, replace(LISTED, size_bytes=11), "mismatched"),
        # A part without a registered hash proves nothing, whatever the store lists for it.
        (PLANNED._replace(sha256=None), LISTED, "mismatched"),
        (PLANNED._replace(sha256=None), replace(LISTED, sha256=None), "mismatched"),
        (PLANNED._replace(size_bytes=0), replace(LISTED, size_bytes=0), "uploaded"),
    ],
)
def test_part_counts_when_size_and_registered_hash_agree(chunk: RecordedChunk, part: Part, state: str) -> None:
    assert judge_chunk(chunk, part) == ChunkObservation(1, state, "e")  # type: ignore[arg-type]


REUSED = PLANNED._replace(state="reused", etag="e")


@pytest.mark.parametrize(
    ("part", "state"),
    [
        (LISTED, "reused"),
        (replace(LISTED, etag="another"), "reused"),  # the listed hash proves it
        (replace(LISTED, sha256=None), "reused"),
        (replace(LISTED, sha256=None, etag="another"), "mismatched"),
        (replace(LISTED, sha256=OTHER), "mismatched"),
        (replace(LISTED, size_bytes=9), "mismatched"),
        (None, "reused"),  # the listing began before the part was recorded
    ],
)
def test_reused_part_counts_by_its_listed_hash_or_as_the_part_that_was_recorded(part: Part | None, state: str) -> None:
    etag = part.etag if part else REUSED.etag
    assert judge_chunk(REUSED, part) == ChunkObservation(1, state, etag)  # type: ignore[arg-type]


def test_chunk_that_is_being_reused_is_left_alone() -> None:
    reusing = PLANNED._replace(state="reusing")
    assert diff_chunks([reusing, PLANNED._replace(number=2)], [LISTED, replace(LISTED, number=2)]) == [
        ChunkObservation(2, "uploaded", "e")
    ]
    assert diff_chunks([reusing], []) == []


@pytest.mark.parametrize(
    ("checksum", "size_bytes", "state"),
    [
        (to_base64(SHA), 10, "uploaded"),
        (None, 10, "uploaded"),
        (to_base64(SHA), 9, "mismatched"),
        (to_base64(OTHER), 10, "mismatched"),
        (f"{to_base64(SHA)}-1", 10, "mismatched"),
        ("", 10, "mismatched"),
    ],
)
def test_object_counts_when_size_and_checksum_agree(checksum: str | None, size_bytes: int, state: str) -> None:
    info = ObjectInfo(size_bytes, "e", checksum, datetime.now(UTC))
    assert judge_object(PLANNED, info) == ChunkObservation(1, state, "e")  # type: ignore[arg-type]
    assert diff_chunks([PLANNED], info) == [ChunkObservation(1, state, "e")]  # type: ignore[arg-type]


def test_object_without_a_registered_hash_is_mismatched() -> None:
    info = ObjectInfo(10, "e", None, datetime.now(UTC))
    assert judge_object(PLANNED._replace(sha256=None), info).state == "mismatched"


def test_chunk_without_its_object_is_planned() -> None:
    assert judge_object(PLANNED._replace(state="uploaded", etag="e"), None) == ChunkObservation(1, "planned", None)
    assert diff_chunks([PLANNED], None) == []


def test_diff_holds_only_changed_chunks() -> None:
    chunks = [PLANNED._replace(number=number) for number in range(1, 5)]
    chunks[0] = chunks[0]._replace(state="uploaded", etag="e")  # as listed: no change
    chunks[3] = chunks[3]._replace(state="uploaded", etag="e")  # vanished
    listing = [LISTED, replace(LISTED, number=2)]
    assert diff_chunks(chunks, listing) == [ChunkObservation(2, "uploaded", "e"), ChunkObservation(4, "planned", None)]


def test_part_with_another_etag_is_a_change() -> None:
    """Complete carries the ETag: a part sent again under the same hash must be named by its new ETag."""
    chunk = PLANNED._replace(state="uploaded", etag="old")
    assert diff_chunks([chunk], [replace(LISTED, etag="new")]) == [ChunkObservation(1, "uploaded", "new")]


def test_part_outside_the_plan_is_ignored() -> None:
    assert diff_chunks([PLANNED], [replace(LISTED, number=2)]) == []


def test_diff_after_it_was_applied_is_empty() -> None:
    chunks = [PLANNED._replace(number=number) for number in range(1, 4)]
    listing = [replace(LISTED, number=1), replace(LISTED, number=3, size_bytes=7)]
    seen = {change.number: change for change in diff_chunks(chunks, listing)}
    applied = [
        chunk._replace(state=seen[chunk.number].state, etag=seen[chunk.number].etag) if chunk.number in seen else chunk
        for chunk in chunks
    ]
    assert diff_chunks(applied, listing) == []
