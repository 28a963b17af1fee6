"""When actions of the sync client that failed may be tried again."""

from dropbox_client.sync.delays import Delays


def find_longest_wait_s(entries: int, failures: int) -> float:
    """Return in how many seconds the last of many entries may be tried when all have failed so often."""
    delays = Delays(lambda: 0.0)
    for _ in range(failures):
        for n in range(entries):
            delays.fail(f"{n}", "refused", 30.0)
    return max(delays.find_wait_s(f"{n}") for n in range(entries))


def test_few_entries_are_tried_every_minute_and_many_less_often() -> None:
    counts = (1, 1_000, 5_001, 50_000)
    assert [round(find_longest_wait_s(entries, 1)) for entries in counts] == [30, 30, 150, 600]
    assert [round(find_longest_wait_s(entries, 20)) for entries in counts] == [60, 60, 300, 600]
