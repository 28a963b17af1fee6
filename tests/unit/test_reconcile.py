"""The one rule by which a chunk counts as uploaded."""

from dataclasses import replace

import pytest

from dropbox_api.storage.object_store import Part
from dropbox_api.uploads.reconcile import Known, Observed, diff, judge

SHA = bytes(32)
OTHER = bytes(31) + b"\1"
PLANNED = Known(number=1, size_bytes=10, sha256=SHA, state="planned", etag=None)
LISTED = Part(number=1, size_bytes=10, etag="e", sha256=SHA)


def test_nothing_listed_means_planned() -> None:
    assert judge(replace(PLANNED, state="uploaded", etag="e"), None) == Observed(1, "planned", None)


@pytest.mark.parametrize(
    ("chunk", "part", "state"),
    [
        (PLANNED, LISTED, "uploaded"),
        (PLANNED, replace(LISTED, sha256=None), "uploaded"),
        (PLANNED, replace(LISTED, sha256=OTHER), "mismatched"),
        (PLANNED, replace(LISTED, sha256=b""), "mismatched"),
        (PLANNED, replace(LISTED, size_bytes=9), "mismatched"),
        (PLANNED, replace(LISTED, size_bytes=11), "mismatched"),
        # A part that nobody signed proves nothing, whatever the store says of it.
        (replace(PLANNED, sha256=None), LISTED, "mismatched"),
        (replace(PLANNED, sha256=None), replace(LISTED, sha256=None), "mismatched"),
        (replace(PLANNED, size_bytes=0), replace(LISTED, size_bytes=0), "uploaded"),
    ],
)
def test_a_part_counts_when_size_and_registered_hash_agree(chunk: Known, part: Part, state: str) -> None:
    assert judge(chunk, part) == Observed(1, state, "e")  # type: ignore[arg-type]


def test_diff_holds_only_what_changes() -> None:
    chunks = [replace(PLANNED, number=number) for number in range(1, 5)]
    chunks[0] = replace(chunks[0], state="uploaded", etag="e")  # as listed: no change
    chunks[3] = replace(chunks[3], state="uploaded", etag="e")  # vanished
    listing = [LISTED, replace(LISTED, number=2)]
    assert diff(chunks, listing) == [Observed(2, "uploaded", "e"), Observed(4, "planned", None)]


def test_another_etag_is_a_change() -> None:
    """Complete carries the ETag: a part sent again under the same hash must be named by its new one."""
    chunk = replace(PLANNED, state="uploaded", etag="old")
    assert diff([chunk], [replace(LISTED, etag="new")]) == [Observed(1, "uploaded", "new")]


def test_parts_outside_the_plan_are_nothing_of_ours() -> None:
    assert diff([PLANNED], [replace(LISTED, number=2)]) == []


def test_diff_is_settled_after_it_was_applied() -> None:
    chunks = [replace(PLANNED, number=number) for number in range(1, 4)]
    listing = [replace(LISTED, number=1), replace(LISTED, number=3, size_bytes=7)]
    seen = {change.number: change for change in diff(chunks, listing)}
    applied = [
        replace(chunk, state=seen[chunk.number].state, etag=seen[chunk.number].etag) if chunk.number in seen else chunk
        for chunk in chunks
    ]
    assert diff(applied, listing) == []
