"""How many parts are on the wire: grows while that helps, halves when the store pushes back."""

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
    """Let one window of parts land at this rate."""
    for _ in range(2 * limit.limit):
        clock.now += PART / rate_bytes_s
        limit.record_part(PART)


def test_it_grows_to_the_maximum_while_every_step_pays(limit: ConcurrencyLimit, clock: Clock) -> None:
    limits = [limit.limit]
    for _ in range(MAX_PARALLEL):
        window(limit, clock, rate_bytes_s=limit.limit * 1e6)
        limits.append(limit.limit)
    assert limits == [*range(START_PARALLEL, MAX_PARALLEL + 1), *[MAX_PARALLEL] * START_PARALLEL]


def test_it_takes_back_a_step_that_brought_nothing(limit: ConcurrencyLimit, clock: Clock) -> None:
    window(limit, clock, 100e6)
    assert limit.limit == START_PARALLEL + 1
    window(limit, clock, 100e6)
    assert limit.limit == START_PARALLEL
    assert limit.rate_bytes_s == pytest.approx(100e6)


def test_it_never_runs_away_on_a_link_that_is_full(limit: ConcurrencyLimit, clock: Clock) -> None:
    for _ in range(100):
        window(limit, clock, 100e6)
        assert limit.limit <= START_PARALLEL + 1


def test_refusals_halve_it_but_not_below_the_minimum(limit: ConcurrencyLimit, clock: Clock) -> None:
    for expected in (2, 2):
        clock.now += 10
        limit.record_refusal()
        assert limit.limit == expected == MIN_PARALLEL


def test_refusals_at_the_same_moment_count_once(limit: ConcurrencyLimit, clock: Clock) -> None:
    for _ in range(6):
        window(limit, clock, limit.limit * 1e6)
    assert limit.limit == 10
    clock.now += 10
    for _ in range(10):
        clock.now += 0.01
        limit.record_refusal()
    assert limit.limit == 5


def test_slots_are_never_more_than_the_limit(limit: ConcurrencyLimit) -> None:
    slots = [limit.slot() for _ in range(START_PARALLEL)]
    for slot in slots:
        slot.__enter__()
    assert limit._in_use == START_PARALLEL == limit.limit
    for slot in slots:
        slot.__exit__(None, None, None)
    assert limit._in_use == 0
