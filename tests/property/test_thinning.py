"""Properties of thinning: what it keeps, and that the number of its runs makes no difference."""

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.revision_ages import DAY_S, HOUR_S, WEEK_S, Ages, SavedRevision, choose_removable

AGES = Ages(HOUR_S, DAY_S, 30 * DAY_S)
START_S = 1_700_000_000.0

ages = st.builds(Ages, *[st.integers(0, 60 * DAY_S)] * 3)
times = st.lists(
    st.one_of(
        st.integers(0, 90 * DAY_S),
        st.builds(lambda day, second: day * DAY_S + second, st.integers(0, 90), st.integers(0, 120)),
        st.builds(lambda hour, second: hour * HOUR_S + second, st.integers(0, 48), st.integers(-60, 60)),
    ),
    max_size=40,
)


def make(offsets: list[int]) -> list[SavedRevision]:
    return [SavedRevision(uuid.UUID(int=n), n, START_S + at) for n, at in enumerate(sorted(offsets), 1)]


def thin(revisions: list[SavedRevision], now_s: float, by: Ages) -> list[SavedRevision]:
    removed = set(choose_removable(revisions, now_s, by))
    assert len(removed) == len(choose_removable(revisions, now_s, by)), "none is removed twice"
    return [revision for revision in revisions if revision.id not in removed]


@given(times, st.lists(st.integers(0, 120 * DAY_S), min_size=1, max_size=5), ages)
def test_thinning_often_equals_thinning_once(offsets: list[int], runs: list[int], by: Ages) -> None:
    revisions = kept = make(offsets)
    for after in sorted(runs):
        kept = thin(kept, START_S + after, by)
    assert kept == thin(revisions, START_S + max(runs), by)
    assert kept == thin(kept, START_S + max(runs), by)


@given(times, st.integers(0, 120 * DAY_S))
def test_thinning_keeps_the_newest_of_each_span(offsets: list[int], after: int) -> None:
    now_s, revisions = START_S + after, make(offsets)
    kept = thin(revisions, now_s, AGES)
    for revision in revisions:
        age_s = now_s - revision.created_s
        if age_s < AGES.all_s:
            assert revision in kept
        for span_s, bound_s in ((HOUR_S, AGES.hourly_s), (DAY_S, AGES.daily_s), (WEEK_S, float("inf"))):
            if age_s < bound_s:  # one of its hour, day or week is left, and it is not older
                newer = [one for one in kept if one.number >= revision.number]
                assert any(one.created_s // span_s == revision.created_s // span_s for one in newer)
                break


@given(times, st.integers(0, 120 * DAY_S), ages)
def test_revision_that_a_shorter_rule_keeps_stays_under_contradicting_ages(
    offsets: list[int], after: int, by: Ages
) -> None:
    now_s, revisions = START_S + after, make(offsets)
    kept = thin(revisions, now_s, by)
    for revision in revisions:
        age_s = now_s - revision.created_s
        if age_s < by.all_s:
            assert revision in kept
        elif age_s < by.hourly_s:
            newer = [one for one in kept if one.number >= revision.number]
            assert any(one.created_s // HOUR_S == revision.created_s // HOUR_S for one in newer)


@given(times)
def test_thinning_of_old_revisions_leaves_one_a_week(offsets: list[int]) -> None:
    kept = thin(make(offsets), START_S + 365 * DAY_S, AGES)
    assert all(a.created_s // WEEK_S < b.created_s // WEEK_S for a, b in itertools.pairwise(kept))


def test_thinning_of_a_file_saved_every_minute_keeps_what_the_settings_say() -> None:
    now_s = START_S // WEEK_S * WEEK_S + 70 * DAY_S
    minutes = 60 * 24 * 60
    revisions = [SavedRevision(uuid.UUID(int=n), n, now_s - 60 * (minutes - n)) for n in range(1, minutes)]
    kept = [now_s - one.created_s for one in thin(revisions, now_s, AGES)]
    assert sum(age < HOUR_S for age in kept) == 59
    assert sum(HOUR_S <= age < DAY_S for age in kept) in range(23, 25 + 60)
    assert sum(DAY_S <= age < 30 * DAY_S for age in kept) in range(29, 31 + 24)
    assert sum(age >= 30 * DAY_S for age in kept) in range(4, 6 + 7)


def test_revision_of_one_instant_with_the_higher_number_stays() -> None:
    twins = [SavedRevision(uuid.UUID(int=n), n, START_S) for n in (2, 1, 3)]
    assert [one.number for one in thin(twins, START_S + DAY_S, AGES)] == [3]
