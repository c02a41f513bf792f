import pytest
from helpers.cells import make_cell, make_row

from study.records.failure import Failure
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.running.dispatcher import Report
from study.running.row_desk import Worker
from study.search.trial_dispatcher import DEATHS, TrialDispatcher

CELLS = tuple(make_cell(seed=seed) for seed in range(3))
ONE, OTHER = (Worker(node="n", name="here", process=number) for number in (1, 2))
LUCK = Failure(kind="error", reason="RuntimeError: no luck")


@pytest.fixture
def source(tmp_path):
    return TrialDispatcher(Ledger(str(tmp_path)))


def accept(source, cell, trial=0):
    assert source.report(trial, Report(digest=cell.digest, result=Outcome(row=make_row(cell=cell), examples=None)))


def test_a_trials_cells_come_in_its_own_order_and_those_with_rows_are_passed_over(source, tmp_path):
    Ledger(str(tmp_path)).append([make_row(cell=CELLS[1])])
    source.open(0, (CELLS[2], CELLS[1], CELLS[0]))
    for expected in (CELLS[2], CELLS[0]):
        assert source.next(0, ONE) == expected
        accept(source, expected)
    assert source.turn(0, ONE) == (None, False)


def test_trials_that_share_a_cell_wait_for_its_one_row(source):
    source.open(0, CELLS[:2])
    source.open(1, CELLS[:1])
    assert source.next(0, ONE) == CELLS[0]
    assert source.turn(1, OTHER) == (None, True)
    accept(source, CELLS[0])
    assert source.turn(1, OTHER) == (None, False)
    assert source.next(0, ONE) == CELLS[1]


def test_a_cell_whose_worker_died_goes_to_another_trial_that_waits_for_it(source):
    source.open(0, CELLS[:1])
    source.open(1, CELLS[:1])
    source.next(0, ONE)
    assert source.turn(1, OTHER) == (None, True)
    source.lost(0)
    assert source.turn(1, OTHER) == (CELLS[0], False)


def test_a_cell_that_kills_its_workers_becomes_a_failed_row(source, tmp_path):
    source.open(0, CELLS[:1])
    for _ in range(DEATHS):
        assert source.next(0, ONE) == CELLS[0]
    assert source.next(0, ONE) is None
    row = Ledger(str(tmp_path)).row(CELLS[0].digest)
    assert row.status == "failed"
    assert f"{DEATHS} worker processes died while they computed this cell" in row.reason


def test_an_error_is_tried_twice(source, tmp_path):
    source.open(0, CELLS[:1])
    source.next(0, ONE)
    unlucky = Report(digest=CELLS[0].digest, result=LUCK)
    assert not source.report(0, unlucky)
    assert source.next(0, ONE) == CELLS[0]
    assert source.report(0, unlucky)
    assert [each.status for each in source.news()] == ["failed"]
    assert Ledger(str(tmp_path)).row(CELLS[0].digest).reason == "RuntimeError: no luck"
    # The word of a worker that was given up meanwhile changes nothing.
    assert not source.report(0, unlucky)


def test_a_cell_that_takes_too_long_fails_at_once(tmp_path):
    source = TrialDispatcher(Ledger(str(tmp_path)), limit=0.0)
    source.open(0, CELLS[:1])
    source.next(0, ONE)
    source.lost(0)
    assert "took longer than --cell-timeout, 0 minutes" in Ledger(str(tmp_path)).row(CELLS[0].digest).reason


def test_a_failed_row_of_an_earlier_run_is_tried_again(source, tmp_path):
    failed = make_row(cell=CELLS[0], status="failed", scores=None, reason="no luck")
    Ledger(str(tmp_path)).append([failed])
    source.open(0, CELLS[:1])
    assert source.next(0, ONE) == CELLS[0]
