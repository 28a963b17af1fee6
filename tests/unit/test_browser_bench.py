"""The rows of the measurement in a browser, from figures."""

from bench.browser import Figures, Results, make_section


def _results(**uppy: list[Figures]) -> Results:
    ours = [Figures(wall_s, longest_task_ms, 14) for wall_s, longest_task_ms in ((2, 0), (9, 60), (3, 0))]
    return Results(
        hashing={"whole": [2.0], "chunks": [1.0]},
        big={"dbx": [Figures(1.5, 0, 0)], "engine": ours} | uppy,
        small={"dbx": [Figures(1.5, 0, 0)], "engine": ours[:1]} | uppy,
        queued={"engine": [Figures(1, 0, 9)]} | uppy,
        first_byte={"engine": [0.15]} | {tool: [0.1] for tool in uppy},
    )


def test_rows_with_uppy_compare_medians_of_time_and_the_longest_task_of_all_runs() -> None:
    rows = make_section(_results(uppy=[Figures(2, 80, 207)]), "versions").rows
    assert [(row.ours, row.ratio, row.met) for row in rows[1:]] == [
        ("3.00 s", "1.50x", False),
        ("2.00 s", "1.00x", True),
        ("60 ms", "", False),
        ("< 50 ms", "", True),
        ("14", "0.07x", True),
        ("150 ms", "1.50x", True),
    ]
    assert "Uppy: 80 ms" in rows[3].others


def test_rows_without_uppy_have_no_ratio_and_a_note() -> None:
    section = make_section(_results(), "")
    assert [row.met for row in section.rows[1:3]] == [None, None]
    assert "could not be installed" in section.notes[-1]
