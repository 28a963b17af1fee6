"""Which waits are recorded, and when `dbx` prints them."""

import json
import math

import pytest

from dropbox_client.cli.arguments import Format
from dropbox_client.cli.wait_report import WaitReport
from dropbox_client.errors import TransferFailed
from dropbox_client.problems import StoreFull
from dropbox_client.retry import Backoff, RetryWindow
from dropbox_client.waits import Waits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(clock: Clock) -> Waits:
    return Waits(clock)


def test_retried_operation_waits_until_its_window_ends(clock: Clock, waits: Waits) -> None:
    failure = TransferFailed("the store answered 503")
    window = RetryWindow(600, waits=waits, clock=clock)
    with Backoff(window) as backoff:
        assert waits.find_longest() is None
        backoff.next_pause_s(failure=failure)
        clock.now += 10
        backoff.next_pause_s(failure=failure)
        wait = waits.find_longest()
        assert wait
        assert (wait.reason, wait.since, wait.until) == (failure, 1000, 1600)
        window.renew()  # another part was stored
        wait = waits.find_longest()
        assert wait
        assert (wait.since, wait.until) == (1010, 1610)
    assert waits.find_longest() is None


def test_longest_wait_is_the_one_that_began_first(clock: Clock, waits: Waits) -> None:
    with Backoff(RetryWindow(math.inf, waits=waits, clock=clock)) as first:
        first.next_pause_s(failure=TransferFailed("first"))
        clock.now += 1
        with Backoff(RetryWindow(60, waits=waits, clock=clock)) as second:
            second.next_pause_s(failure=TransferFailed("second"))
            wait = waits.find_longest()
            assert wait
            assert (str(wait.reason), wait.until) == ("first", math.inf)


def test_request_without_an_answer_waits_after_the_expected_time(clock: Clock, waits: Waits) -> None:
    with waits.watch("no answer from h", expected_s=60, timeout_s=30):
        wait = waits.find_longest()
        assert wait
        assert (wait.since, wait.until) == (1060, 1090)
        clock.now = 1100
        waits.record_progress()
        wait = waits.find_longest()
        assert wait
        assert (wait.since, wait.until) == (1100, 1130)
    assert waits.find_longest() is None


def test_wait_is_printed_after_5_s_and_then_every_30_s(
    clock: Clock, waits: Waits, capsys: pytest.CaptureFixture[str]
) -> None:
    report = WaitReport(waits, Format.TEXT)
    printed = []
    with Backoff(RetryWindow(600, waits=waits, clock=clock)) as backoff:
        backoff.next_pause_s(failure=TransferFailed("the store answered 503 (SlowDown) for part 7"))
        for second in range(70):
            clock.now = 1000 + second
            report.check()
            if text := capsys.readouterr().err:
                assert text.startswith("dbx: waiting since ")
                assert "the store answered 503 (SlowDown) for part 7\n" in text
                printed.append(second)
    assert printed == [5, 35, 65]


def test_next_wait_is_printed_after_5_s_again(clock: Clock, waits: Waits, capsys: pytest.CaptureFixture[str]) -> None:
    report = WaitReport(waits, Format.TEXT)
    for _ in range(2):
        with waits.watch("no answer from h", expected_s=0, timeout_s=60):
            clock.now += 5
            report.check()
        clock.now += 1
    assert capsys.readouterr().err.count("no answer from h") == 2


def test_wait_as_json_has_reason_code_and_times(clock: Clock, waits: Waits, capsys: pytest.CaptureFixture[str]) -> None:
    with Backoff(RetryWindow(600, waits=waits, clock=clock)) as backoff:
        backoff.next_pause_s(failure=StoreFull("store-full", 507, "no room", retryable=True, extra={}))
        clock.now += 5
        WaitReport(waits, Format.JSON).check()
    text = capsys.readouterr()
    record = json.loads(text.out)["waiting"]
    assert (record["reason"], record["code"]) == ("no room (store-full)", "store-full")
    assert record["since"] < record["until"]
    assert "no room (store-full)" in text.err
