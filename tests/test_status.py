import io

from test_cell import make_cell
from test_row import make_row

from study.dispatch import Finished
from study.ledger import Ledger
from study.progress import Progress, duration
from study.status import describe, study_status


def test_status_is_read_off_plans_and_rows(tmp_path):
    ledger = Ledger(str(tmp_path))
    assert describe(study_status(ledger)) == "nothing was planned in this study folder yet"
    cells = [make_cell(seed=seed) for seed in range(5)]
    listed = [{"digest": cell.digest, "task": cell.task} for cell in cells]
    ledger.write_plan("t", {"name": "t", "cells": listed + listed[:1]})
    ledger.write_row(make_row(cell=cells[0], seconds={"total": 10.0}))
    later = {"finished": "2026-01-01T00:00:30+00:00"}
    ledger.write_row(make_row(cell=cells[1], seconds={"total": 20.0}, provenance=later))
    ledger.write_row(make_row(cell=cells[2], status="failed", scores=None, reason="no memory", provenance={}))
    status = study_status(ledger)
    (plan,) = status.plans
    assert (plan.planned, plan.ok, plan.failed, plan.unavailable, plan.missing) == (5, 2, 1, 0, 2)
    assert plan.work_left == 2 * 15.0
    assert status.per_minute == 2.0
    text = describe(status)
    assert "t: 2 of 5 cells done, 1 failed, 2 to do, about 30 s of work for one worker" in text
    assert f"failed: {cells[2]}: no memory" in text


def test_durations_read_as_people_write_them():
    assert [duration(seconds) for seconds in (4.4, 59.6, 61, 3599.9, 7500)] == [
        "4 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 05 min",
    ]


def test_a_log_file_gets_failures_and_a_last_line():
    stream = io.StringIO()
    with Progress(2, stream=stream) as progress:
        progress.finished(
            Finished(cell="plate image (ab)", status="failed", seconds=0, scores=None, reason="no memory")
        )
        progress.finished(
            Finished(cell="plate pixel (cd)", status="ok", seconds=1, scores={"pixel_auroc": 0.5}, reason=None)
        )
    lines = stream.getvalue().splitlines()
    assert lines[0] == "failed: plate image (ab): no memory"
    assert lines[1].startswith("2/2 cells")
    assert lines[1].endswith("latest: plate pixel: pixel_auroc 0.500")
    assert len(lines) == 2
