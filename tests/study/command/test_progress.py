"""What a log file shows of a run: a line now and then, and a remaining time once it can be known."""

import io

from study.command.progress import Progress
from study.running.row_desk import Finished


def lines_of(times, *, total, status="ok"):
    """The lines after cells that end at ``times`` (seconds)."""
    stream, clock = io.StringIO(), iter([0.0, *times])
    with Progress(total, stream=stream, clock=lambda: next(clock)) as progress:
        for _ in times:
            scores = {"image_auroc": 0.75} if status == "ok" else None
            progress.finished(
                Finished(
                    cell="bolt image (0123)",
                    digest="0123",
                    place="bolt image",
                    status=status,
                    seconds=1.0,
                    scores=scores,
                    reason="no disk",
                )
            )
    return stream.getvalue().splitlines()


def test_a_log_gets_a_line_each_quarter_of_a_minute_and_at_the_end():
    assert lines_of([14.0, 16.0, 30.0, 32.0], total=4) == [
        "2/4 cells, 16 s elapsed, latest: bolt image: image_auroc 0.750",
        "4/4 cells, 32 s elapsed, latest: bolt image: image_auroc 0.750",
    ]


def test_the_remaining_time_counts_from_the_first_cell_for_before_it_workers_were_starting():
    # Four cells in 20 s after the first: 5 s each, and ten are to come.
    assert lines_of([60.0, 65.0, 70.0, 75.0, 80.0], total=15)[-1] == (
        "5/15 cells, 1 min 20 s elapsed, 50 s left; latest: bolt image: image_auroc 0.750"
    )


def test_a_failed_cell_is_said_at_once():
    assert lines_of([1.0, 2.0], total=9, status="failed") == ["failed: bolt image (0123): no disk"] * 2
