"""Pauses and the end of retries, with a fake clock."""

from dropbox_client.retry import Backoff, RetryWindow


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _longest(low: float, high: float) -> float:
    return high


def test_pauses_double_up_to_the_cap() -> None:
    backoff = Backoff(RetryWindow(1000, clock=Clock()), base_s=1, cap_s=5, uniform=_longest)
    assert [backoff.next_pause_s() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_pauses_are_uniform_from_zero() -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0

    backoff = Backoff(RetryWindow(1000, clock=Clock()), base_s=1, cap_s=5, uniform=uniform)
    assert [backoff.next_pause_s() for _ in range(3)] == [0, 0, 0]
    assert drawn == [(0, 1), (0, 2), (0, 4)]


def test_retry_after_is_a_lower_bound() -> None:
    backoff = Backoff(RetryWindow(1000, clock=Clock()), base_s=1, uniform=_longest)
    assert backoff.next_pause_s(at_least_s=30) == 31


def test_backoff_at_the_end_of_the_window_gives_up() -> None:
    clock = Clock()
    backoff = Backoff(RetryWindow(10, clock=clock), base_s=4, cap_s=4, uniform=_longest)
    assert backoff.next_pause_s() == 4
    clock.now += 6
    assert backoff.next_pause_s() == 4
    clock.now += 1
    assert backoff.next_pause_s() is None


def test_renewed_window_extends_the_retries() -> None:
    clock = Clock()
    window = RetryWindow(10, clock=clock)
    backoff = Backoff(window, base_s=1, cap_s=1, uniform=_longest)
    assert backoff.next_pause_s() == 1
    clock.now += 9.5
    window.renew()
    clock.now += 8
    assert backoff.next_pause_s() == 1
    clock.now += 3
    assert backoff.next_pause_s() is None


def test_old_progress_does_not_shorten_the_first_failure() -> None:
    clock = Clock()
    window = RetryWindow(10, clock=clock)
    window.renew()
    clock.now += 3600
    assert Backoff(window, base_s=1, uniform=_longest).next_pause_s() == 1
