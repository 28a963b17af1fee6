"""The concurrency limit, for any sequence of events."""

from hypothesis import given
from hypothesis import strategies as st

from dropbox_client.transfer.concurrency import MAX_PARALLEL, MIN_PARALLEL, ConcurrencyLimit

events = st.lists(st.one_of(st.none(), st.floats(0.001, 100)), max_size=300)


@given(events)
def test_limit_stays_within_its_bounds(events: list[float | None]) -> None:
    now = 0.0
    limit = ConcurrencyLimit(clock=lambda: now)
    for seconds in events:
        now += seconds or 0.1
        before = limit.limit
        if seconds is None:
            limit.record_refusal()
            assert limit.limit in {before, max(MIN_PARALLEL, before // 2)}
        else:
            limit.record_part(8 * 1024 * 1024)
            assert abs(limit.limit - before) <= 1
        assert MIN_PARALLEL <= limit.limit <= MAX_PARALLEL
