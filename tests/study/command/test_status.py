import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from helpers.cells import make_cell, make_row
from helpers.drivers import elsewhere
from helpers.report_study import make_plan

from reports.reading.plan_document import Plan
from study.command.driver import Driver
from study.command.duration import duration
from study.command.progress import Progress
from study.command.row_text import row_text
from study.command.status import study_status
from study.command.status_text import describe, watch
from study.records.driver_record import RECORD, DriverRecord, Process
from study.records.ledger import Ledger
from study.records.pulse import NodeUse, Pulse, RunningCell
from study.running.row_desk import Finished


@pytest.fixture
def ledger(tmp_path):
    """A plan of six cells: two done, one failed, three without a row; and a damaged row."""
    ledger = Ledger(str(tmp_path))
    cells = [make_cell(seed=seed) for seed in range(6)]
    plan = make_plan("t", seeds=range(6), categories=[cells[0].category], arms=(("a", "A", {}), ("b", "B", {})))
    axes = {"category": cells[0].category, "shots": 1, "task": cells[0].task}
    listed = [{"digest": cell.digest, "arm": "a", "seed": cell.seed, **axes} for cell in cells]
    # Two arms may have a cell in common.
    asked = {"baseline": "a", "printed": [], "cells": [*listed, {**listed[0], "arm": "b"}]}
    ledger.write_plan(Plan.from_json(plan | asked))
    ledger.append([make_row(cell=cells[0], seconds={"total": 10.0})])
    later = {"finished": "2026-01-01T00:00:30+00:00"}
    ledger.append([make_row(cell=cells[1], seconds={"total": 20.0}, provenance=later)])
    ledger.append([make_row(cell=cells[2], status="failed", scores=None, reason="no memory\nat all", provenance={})])
    ledger.folder.write("rows/ab.json", b"{")
    return ledger


def test_status_is_read_off_plans_and_rows(ledger):
    assert describe(study_status(Ledger("memory://nothing")), "results") == (
        "nothing was planned in this study folder yet"
    )
    status = study_status(ledger)
    (plan,) = status.plans
    assert (plan.planned, plan.ok, plan.failed, plan.unavailable, plan.missing) == (6, 2, 1, 0, 3)
    assert plan.work_left == 3 * 15.0
    assert status.per_minute == 2.0
    assert status.seconds_left is None
    assert status.driver is None
    assert list(status.damaged) == ["rows/ab.json"]
    text = describe(status, "here")
    failed = make_cell(seed=2)
    assert "t: 2 of 6 cells done, 1 failed, 3 to do, about 45 s of work for one worker" in text
    assert f"failed: {failed}: no memory\n    see: run.py show {failed.digest[:8]} --study here" in text
    assert "damaged, counts as missing: rows/ab.json: not a row" in text


def test_a_driver_at_work_is_shown_with_its_cells_and_nodes(ledger):
    cell = make_cell(seed=3)
    running = RunningCell(cell=str(cell), digest=cell.digest, node="a", process=7, since="2026-01-01T00:00:00+00:00")
    nodes = (
        NodeUse(name="a", alive=True, cpus=8, cpus_used=3, gpus=2, gpus_used=0.75),
        NodeUse(name="b", alive=True, cpus=8, cpus_used=0, gpus=0, gpus_used=0, reason="no data"),
    )
    with Driver(ledger.folder, say=print) as driver:
        driver.plan(planned=6, to_run=4)
        driver.finished("failed")
        driver.pulse(Pulse(running=(running,), nodes=nodes))
        driver._tell()
        status = study_status(ledger)
        text = describe(status, "results")
    assert status.working
    assert status.plans[0].running == 1
    # The rows are older than this run, so they tell nothing of its rate.
    assert status.per_minute is None
    assert "running: 1 of 4 cells of this run done, 1 of them failed" in text
    assert "node a: 3 of 8 CPUs, 0.75 of 2 GPUs in use" in text
    assert "node b: left out: no data" in text
    assert f"running: {cell} on a, process 7" in text
    ended = study_status(ledger)
    assert not ended.working
    assert ended.running == ended.nodes == ()
    assert describe(ended, "results").startswith("stopped with exit code 130")


def test_the_rate_of_a_run_tells_how_long_the_missing_cells_take(ledger):
    start = datetime.now(UTC) - timedelta(minutes=10)
    for number, seed in enumerate((3, 4)):
        finished = (start + timedelta(seconds=20 * number + 1)).isoformat(timespec="seconds")
        ledger.append([make_row(cell=make_cell(seed=seed), provenance={"finished": finished})])
    with Driver(ledger.folder, say=print) as driver:
        record = dataclasses.replace(driver._record, started=start.isoformat(timespec="seconds"))
        ledger.folder.write(RECORD, record.to_json())
        status = study_status(ledger)
    assert status.per_minute == 3.0
    assert status.seconds_left == 20.0


def test_a_driver_that_went_without_a_word_has_died(ledger):
    now = datetime.now(UTC).isoformat(timespec="seconds")
    gone = dataclasses.replace(Process.own(), start="1")
    record = DriverRecord(run="r", process=gone, user="ann", command=(), started=now, heartbeat=now, to_run=3, done=1)
    ledger.folder.write(RECORD, record.to_json())
    status = study_status(ledger)
    assert status.driver.state == "died"
    assert describe(status, "results").startswith("died without a word: 1 of 3 cells of this run done; ann on ")
    ledger.folder.write(RECORD, dataclasses.replace(record, **elsewhere(seconds=10)).to_json())
    assert study_status(ledger).driver.state == "running"
    ledger.folder.write(RECORD, dataclasses.replace(record, **elsewhere(seconds=100)).to_json())
    assert study_status(ledger).driver.state == "died"


def test_watching_ends_with_the_driver_and_prints_only_what_changed(ledger):
    looks = []

    def read():
        looks.append(1)
        status = study_status(ledger)
        if len(looks) == 3:
            driver.end("finished", 0)
        return status

    stream = io.StringIO()
    with Driver(ledger.folder, say=print) as driver:
        driver._tell()
        last = watch(read, "results", seconds=0.01, stream=stream)
    assert last.driver.state == "finished"
    assert len(looks) >= 4
    assert stream.getvalue().count("finished with exit code 0") == 1
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_the_status_is_drawn_in_place_and_fits(ledger, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "4")
    stream = Terminal()
    watch(lambda: study_status(ledger), "results", seconds=0.01, stream=stream)
    drawn = stream.getvalue().rpartition("\x1b[H")[2]
    lines = [line.replace("\x1b[K", "").replace("\x1b[J", "") for line in drawn.split("\n")]
    assert max(len(line) for line in lines) <= 29
    assert len(lines) <= 4


def test_the_json_form_has_every_number(ledger):
    values = json.loads(json.dumps(dataclasses.asdict(study_status(ledger))))
    assert values["plans"][0]["missing"] == 3
    assert values["failures"][0]["reason"] == "no memory\nat all"
    assert values["driver"] is None


def test_a_row_is_told_whole():
    cell = make_cell(seed=2)
    text = row_text(
        make_row(cell=cell, status="failed", scores=None, reason="no memory\nat all", provenance={"host": "h"})
    )
    assert f"digest       {cell.digest}" in text
    assert "reason       no memory\n               at all\n" in text
    assert "host         h" in text


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
            Finished(
                cell="plate image (ab)",
                digest="ab",
                place="plate image",
                status="failed",
                seconds=0,
                scores=None,
                reason="no memory",
            )
        )
        progress.finished(
            Finished(
                cell="plate pixel (cd)",
                digest="cd",
                place="plate pixel",
                status="ok",
                seconds=1,
                scores={"pixel_auroc": 0.5},
                reason=None,
            )
        )
    lines = stream.getvalue().splitlines()
    assert lines[0] == "failed: plate image (ab): no memory"
    assert lines[1].startswith("2/2 cells")
    assert lines[1].endswith("latest: plate pixel: pixel_auroc 0.500")
    assert len(lines) == 2
