"""Thinning: which old revisions of a file stay. All of the newest; then the last one of each hour, day and week.

The hour, the day and the week of a revision are those of UTC, counted from 1970. Each of them is thinned as a whole,
once its end is old enough, and its newest revision stays. A week consists of whole days, a day of whole hours: the
newest revision of a week is the newest of its day and hour, too. So it does not matter how often a file is thinned.
"""

import uuid
from collections.abc import Iterable
from typing import NamedTuple

HOUR_S = 3600
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S


class Ages(NamedTuple):
    """The ages, in seconds, up to which revisions stay. Where two contradict each other, more revisions stay."""

    all_s: float
    """All of them."""
    hourly_s: float
    """The last one of each hour."""
    daily_s: float
    """The last one of each day; afterwards the last one of each week."""


class SavedRevision(NamedTuple):
    """A revision of one file that may be removed."""

    id: uuid.UUID
    number: int
    created_s: float
    """Seconds since 1970."""


def choose_removable(revisions: Iterable[SavedRevision], now_s: float, ages: Ages) -> list[uuid.UUID]:
    """Return those of a file's revisions that are not the newest one of their hour, day or week, in any order."""
    occupied: set[tuple[int, int]] = set()
    removable: list[uuid.UUID] = []
    for revision in sorted(revisions, key=lambda one: (one.created_s, one.number), reverse=True):
        span_s = _find_span(revision.created_s, now_s, ages)
        if span_s is None:
            continue
        span = (span_s, int(revision.created_s // span_s))
        if span in occupied:
            removable.append(revision.id)
        occupied.add(span)
    return removable


def _find_span(created_s: float, now_s: float, ages: Ages) -> int | None:
    """Return the longest span that may be thinned and has this time in it; None: the revision stays."""
    for span_s, age_s in ((WEEK_S, max(ages)), (DAY_S, max(ages.all_s, ages.hourly_s)), (HOUR_S, ages.all_s)):
        end_s = (created_s // span_s + 1) * span_s
        if end_s <= now_s - age_s:
            return span_s
    return None
