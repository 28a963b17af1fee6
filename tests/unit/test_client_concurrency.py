"""The limit of parts in flight: growth, decrease and slots."""

import pytest

from dropbox_client.transfer.concurrency import MAX_PARALLEL, MIN_PARALLEL, START_PARALLEL, ConcurrencyLimit

PART = 8 * 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> ConcurrencyLimit:
    return ConcurrencyLimit(clock=clock)


def window(limit: ConcurrencyLimit, clock: Clock, rate_bytes_s: float) -> None:
    """Record one window of parts at this rate."""
    for _ in range(2 * limit.limit):
        clock.now += PART / rate_bytes_s
        limit.record_part(PART)


def test_limit_grows_to_the_maximum_while_throughput_rises(limit: ConcurrencyLimit, clock: Clock) -> None:
    limits = [limit.limit]
    for _ in range(MAX_PARALLEL):
        window(limit, clock, rate_bytes_s=limit.limit * 1e6)
        limits.append(limit.limit)
    assert limits == [*range(START_PARALLEL, MAX_PARALLEL + 1), *[MAX_PARALLEL] * START_PARALLEL]


def test_limit_reverts_a_step_without_gain(limit: ConcurrencyLimit, clock: Clock) -> None:
    window(limit, clock, 100e6)
    assert limit.limit == START_PARALLEL + 1
    window(limit, clock, 100e6)
    assert limit.limit == START_PARALLEL
    assert limit.rate_bytes_s == pytest.approx(100e6)


def test_limit_stays_low_on_a_saturated_link(limit: ConcurrencyLimit, clock: Clock) -> None:
    for _ in range(100):
        window(limit, clock, 100e6)
        assert limit.limit <= START_PARALLEL + 1


def test_refusals_halve_the_limit_down_to_the_minimum(limit: ConcurrencyLimit, clock: Clock) -> None:
    for expected in (2, 2):
        clock.now += 10
        limit.record_refusal()
        assert limit.limit == expected == MIN_PARALLEL


def test_refusals_at_the_same_time_count_once(limit: ConcurrencyLimit, clock: Clock) -> None:
    for _ in range(6):
        window(limit, clock, limit.limit * 1e6)
    assert limit.limit == 10
    clock.now += 10
    for _ in range(10):
        clock.now += 0.01
        limit.record_refusal()
    assert limit.limit == 5


def test_slots_never_exceed_the_limit(limit: ConcurrencyLimit) -> None:
    slots = [limit.slot() for _ in range(START_PARALLEL)]
    for slot in slots:
        slot.__enter__()
    assert limit._in_use == START_PARALLEL == limit.limit
    for slot in slots:
        slot.__exit__(None, None, None)
    assert limit._in_use == 0
