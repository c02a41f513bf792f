import dataclasses

import pytest
from test_cell import make_cell
from test_row import make_row

from promptad.config import PromptADConfig
from promptad.datasets import Category
from study.dispatch import ATTEMPTS, Dispatcher, run_next, run_serially
from study.ledger import Ledger
from study.plan import Group
from study.workbench import Outcome

CELLS = tuple(make_cell(seed=seed) for seed in range(3))
GROUPS = [
    Group(category=Category(name="plate", train=(), test=(), has_masks=True), cells=CELLS[:2]),
    Group(category=Category(name="disc", train=(), test=(), has_masks=True), cells=CELLS[2:]),
]


class Bench:
    """Stands in for a workbench: fails the given cells as often as told."""

    def __init__(self, failures=None):
        self.failures, self.ran, self.started = dict(failures or {}), [], []

    def start_group(self, _, category):
        self.started.append(category.name)

    def run(self, cell):
        self.ran.append(cell.seed)
        if self.failures.get(cell.seed, 0) > 0:
            self.failures[cell.seed] -= 1
            raise MemoryError("no memory left")
        return Outcome(row=make_row(cell=cell), examples=None)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path))


def run(ledger, bench):
    finished = []
    run_serially(bench, Dispatcher(ledger, GROUPS), GROUPS, finished.append)
    return finished


def test_every_cell_gets_one_row(ledger):
    bench = Bench()
    finished = run(ledger, bench)
    assert bench.ran == [0, 1, 2]
    assert bench.started == ["plate", "disc"]
    assert set(ledger.rows()) == {cell.digest for cell in CELLS}
    assert [each.status for each in finished] == ["ok"] * 3


def test_a_cell_that_fails_once_is_tried_again_after_its_group(ledger):
    bench = Bench({0: 1})
    finished = run(ledger, bench)
    assert bench.ran == [0, 1, 0, 2]
    assert [each.status for each in finished] == ["ok"] * 3


def test_a_cell_that_keeps_failing_becomes_a_failed_row_and_the_rest_finishes(ledger):
    bench = Bench({1: ATTEMPTS})
    finished = run(ledger, bench)
    assert bench.ran == [0, 1, 1, 2]
    assert sorted(each.status for each in finished) == ["failed", "ok", "ok"]
    row = ledger.row(CELLS[1].digest)
    assert row.reason == "MemoryError: no memory left"
    assert row.scores is None
    assert row.provenance == {"attempts": ATTEMPTS}


def test_a_cell_whose_worker_died_comes_back_until_its_tries_are_spent(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    order = [dispatcher.next(0).seed for _ in range(4)]
    # Each call without accept or fail in between is a death; the cell goes to the end of its group.
    assert order == [0, 1, 0, 1]
    assert dispatcher.next(0) is None
    assert {row.status for row in ledger.rows().values()} == {"failed"}
    assert "worker process died" in ledger.row(CELLS[0].digest).reason
    assert dispatcher.unfinished() == [CELLS[2]]


def test_groups_do_not_disturb_each_other(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    first, second = dispatcher.next(0), dispatcher.next(1)
    dispatcher.accept(Outcome(row=make_row(cell=second), examples=None))
    dispatcher.accept(Outcome(row=make_row(cell=first), examples=None))
    assert dispatcher.next(0) == CELLS[1]
    assert dispatcher.next(1) is None


def test_a_cell_that_was_not_asked_for_is_refused(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    dispatcher.next(0)
    for wrong in (make_cell(seed=99), CELLS[1]):
        with pytest.raises(ValueError, match="must be one that was asked for"):
            dispatcher.accept(Outcome(row=make_row(cell=wrong), examples=None))
    assert ledger.rows() == {}


def test_a_cell_that_ran_with_another_config_becomes_a_failed_row(ledger):
    class Disobedient(Bench):
        def run(self, cell):
            other = dataclasses.replace(cell, config=PromptADConfig(epochs=1))
            return Outcome(row=make_row(cell=other), examples=None)

    finished = run(ledger, Disobedient())
    assert [each.status for each in finished] == ["failed"] * 3
    assert "must be one that was asked for" in ledger.row(CELLS[0].digest).reason


def test_a_group_that_cannot_begin_fails_as_a_whole_and_the_rest_runs(ledger):
    class NoWeights(Bench):
        def start_group(self, _, category):
            if category.name == "plate":
                raise ValueError("weights differ")

    finished = run(ledger, NoWeights())
    assert [each.status for each in finished] == ["failed", "failed", "ok"]
    assert ledger.row(CELLS[0].digest).reason == "ValueError: weights differ"


def test_an_empty_group_is_over_at_once(ledger):
    dispatcher = Dispatcher(ledger, [Group(category=GROUPS[0].category, cells=())])
    assert run_next(Bench(), dispatcher, 0) == (False, None)
