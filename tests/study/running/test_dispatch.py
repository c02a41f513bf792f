import dataclasses
import threading
import time

import pytest
import torch
from helpers.cells import make_cell, make_row
from helpers.one_by_one import OneByOne

from promptad.backbones.accelerator import DeviceError
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Category
from study.records.cell import PoolMember
from study.records.failure import Failure
from study.records.folder import LedgerError
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.running.dispatcher import ATTEMPTS, BEGINNINGS, IDLE, Dispatcher, Report
from study.running.execution_options import Listeners
from study.running.row_desk import Worker
from study.running.serial import run_serially
from study.running.worker import prepare_group, run_cells

CELLS = tuple(make_cell(seed=seed) for seed in range(3))
GROUPS = [
    Group(categories=(Category(name="plate", train=(), test=(), has_masks=True),), cells=CELLS[:2]),
    Group(categories=(Category(name="disc", train=(), test=(), has_masks=True),), cells=CELLS[2:]),
]
ALONE = PromptADConfig(pad=False)
"""Learns nothing, so in no company."""
ONE, OTHER = (Worker(node="n", name="here", process=number) for number in (1, 2))
MEMORY = Failure(kind="memory", reason="MemoryError: no memory left")


class Bench(OneByOne):
    """Stands in for a workbench: fails the given cells as often as told."""

    device, threads, company = "cpu", 1, 1

    def __init__(self, failures=None, error=RuntimeError):
        self.failures, self.error = dict(failures or {}), error
        self.ran, self.started, self.released = [], [], 0

    def start_group(self, _, categories):
        self.started += [category.name for category in categories]

    def run(self, cell):
        self.ran.append(cell.seed)
        if self.failures.get(cell.seed, 0) > 0:
            self.failures[cell.seed] -= 1
            raise self.error("no luck")
        return Outcome(row=make_row(cell=cell), examples=None)

    def release(self):
        self.released += 1


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path))


def run(ledger, bench):
    finished = []
    run_serially(bench, ledger, GROUPS, Listeners(on_finished=finished.append))
    return finished


def done(cell, **changes):
    return Outcome(row=make_row(cell=cell, **changes), examples=None)


def accept(dispatcher, cell, outcome=None, group=0, worker=ONE):
    """A worker reports on a cell and asks for no other."""
    report = Report(digest=cell.digest, result=outcome or done(cell))
    assert dispatcher.report(group, worker, [report], most=0) == ()


def take(dispatcher, group, worker):
    """The one cell that a worker gets next; None when there is none."""
    cells = dispatcher.next(group, worker)
    assert len(cells) <= 1
    return cells[0] if cells else None


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
    assert row.reason == "RuntimeError: no luck"
    assert row.scores is None
    assert row.provenance == {"attempts": ATTEMPTS}
    assert bench.released == 0


def test_a_cell_out_of_memory_is_tried_once_more_after_all_others(ledger):
    bench = Bench({0: 1}, MemoryError)
    finished = run(ledger, bench)
    assert bench.ran == [0, 1, 2, 0]
    assert bench.started == ["plate", "disc", "plate"]
    assert bench.released == 1
    assert [each.status for each in finished] == ["ok"] * 3


def test_a_cell_out_of_memory_twice_becomes_a_failed_row_that_says_so(ledger):
    bench = Bench({0: 5}, MemoryError)
    finished = run(ledger, bench)
    assert bench.ran == [0, 1, 2, 0]
    assert [each.status for each in finished] == ["ok", "ok", "failed"]
    row = ledger.row(CELLS[0].digest)
    assert row.reason == (
        "MemoryError: no luck (alone, with a whole device to itself); before, among others: MemoryError: no luck. "
        "What to do: use a larger device, a smaller backbone, or a smaller map_size"
    )
    assert row.provenance == {"attempts": 2}


def test_memory_that_runs_out_while_a_group_is_prepared_leaves_its_cells_for_later(ledger):
    class Narrow(Bench):
        def start_group(self, cells, categories):
            super().start_group(cells, categories)
            if len(cells) > 1:
                raise MemoryError

    bench = Narrow()
    assert [each.status for each in run(ledger, bench)] == ["ok"] * 3
    assert bench.started == ["plate", "disc", "plate", "plate"]


def test_a_cell_whose_worker_died_is_set_aside_and_the_rest_goes_on(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    dispatcher.begin(0, ONE)
    assert take(dispatcher, 0, ONE) == CELLS[0]
    dispatcher.begin(0, OTHER)
    assert take(dispatcher, 0, OTHER) == CELLS[1]
    report = Report(digest=CELLS[1].digest, result=done(CELLS[1]))
    assert dispatcher.report(0, OTHER, [report], most=1) == ()
    end = dispatcher.end()
    assert [(aside.cell, aside.failure.kind, aside.worker) for aside in end.aside] == [(CELLS[0], "death", ONE)]
    assert "worker process died while it computed this cell" in end.aside[0].failure.reason
    assert (end.waiting, end.stored) == ((CELLS[2],), 1)


def test_a_death_after_its_time_was_up_is_told_as_such(ledger):
    dispatcher = Dispatcher(ledger, GROUPS, limit=0.05)
    take(dispatcher, 0, ONE)
    take(dispatcher, 1, OTHER)
    time.sleep(0.06)
    dispatcher.begin(0, ONE)
    [late] = [aside for aside in dispatcher.end().aside if aside.cell == CELLS[0]]
    assert late.failure.kind == "timeout"
    assert "took longer than --cell-timeout" in late.failure.reason


def test_a_group_whose_workers_die_while_they_prepare_it_is_set_aside(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    for _ in range(BEGINNINGS):
        dispatcher.begin(0, ONE)
    assert take(dispatcher, 0, ONE) == CELLS[0]
    dispatcher = Dispatcher(ledger, GROUPS)
    for _ in range(BEGINNINGS + 1):
        dispatcher.begin(0, ONE)
    assert take(dispatcher, 0, ONE) is None
    assert {aside.cell for aside in dispatcher.end().aside} == set(CELLS[:2])


def test_what_a_worker_says_that_was_given_up_changes_nothing_but_its_result_counts(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    take(dispatcher, 0, ONE)
    dispatcher.begin(0, OTHER)
    accept(dispatcher, CELLS[0], MEMORY)
    assert len(dispatcher.end().aside) == 1
    accept(dispatcher, CELLS[0])
    assert dispatcher.end().aside == ()


def test_the_second_outcome_of_a_cell_is_not_written(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    take(dispatcher, 0, ONE)
    accept(dispatcher, CELLS[0], done(CELLS[0], seconds={"total": 1.0}))
    accept(dispatcher, CELLS[0], done(CELLS[0], seconds={"total": 2.0}))
    dispatcher.flush()
    assert [each.seconds for each in dispatcher.news()] == [1.0]
    assert ledger.row(CELLS[0].digest).seconds == {"total": 1.0}
    assert dispatcher.end().stored == 1


def test_a_dispatcher_that_is_restarted_goes_on_from_the_rows(ledger):
    before = Dispatcher(ledger, GROUPS)
    take(before, 0, ONE)
    accept(before, CELLS[0])
    assert take(before, 0, ONE) == CELLS[1]
    before.flush()
    after = Dispatcher(ledger, GROUPS)
    # The worker does not notice: the cell that it had in hand is accepted, and not handed out again.
    accept(after, CELLS[1])
    assert take(after, 0, ONE) is None
    assert take(after, 1, OTHER) == CELLS[2]


def test_groups_do_not_disturb_each_other(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    first, second = take(dispatcher, 0, ONE), take(dispatcher, 1, OTHER)
    assert {each.cell for each in dispatcher.at_work()} == {first, second}
    accept(dispatcher, second, group=1, worker=OTHER)
    accept(dispatcher, first)
    assert take(dispatcher, 0, ONE) == CELLS[1]
    assert take(dispatcher, 1, OTHER) is None


def test_a_cell_that_was_not_asked_for_is_refused(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    stranger = make_cell(seed=99)
    accept(dispatcher, stranger, done(stranger))
    assert take(dispatcher, 0, ONE) == CELLS[0]
    accept(dispatcher, CELLS[0], done(stranger))
    # It is tried again after the others.
    accept(dispatcher, take(dispatcher, 0, ONE), MEMORY)
    assert take(dispatcher, 0, ONE) == CELLS[0]
    accept(dispatcher, CELLS[0], done(CELLS[1]))
    assert take(dispatcher, 0, ONE) is None
    dispatcher.flush()
    assert [row.status for row in ledger.rows().values()] == ["failed"]
    assert "must be the one that was asked for" in ledger.row(CELLS[0].digest).reason


def test_a_row_that_cannot_be_written_fails_its_cell_and_no_other(ledger):
    dispatcher = Dispatcher(ledger, GROUPS)
    for _ in range(ATTEMPTS):
        cell = take(dispatcher, 1, OTHER)
        accept(dispatcher, cell, done(cell, provenance={"lost": float("nan")}), group=1, worker=OTHER)
    cell = take(dispatcher, 0, ONE)
    accept(dispatcher, cell)
    dispatcher.flush()
    assert {row.cell.seed: row.status for row in ledger.rows().values()} == {0: "ok", 2: "failed"}
    assert "not JSON compliant" in ledger.row(CELLS[2].digest).reason


def test_short_cells_come_several_at_once_and_one_by_one_after_a_death(ledger):
    cells = tuple(make_cell(seed=seed, config=ALONE) for seed in range(6))
    dispatcher = Dispatcher(ledger, [dataclasses.replace(GROUPS[0], cells=cells)])
    assert dispatcher.next(0, ONE, 3) == cells[:3]
    reports = [Report(digest=cell.digest, result=done(cell)) for cell in cells[:2]]
    # The third is still to be reported on; a worker that takes its place gets it again, alone.
    assert dispatcher.report(0, ONE, [*reports, Report(digest=cells[2].digest, result=MEMORY)], most=2) == cells[3:5]
    dispatcher.begin(0, OTHER)
    assert dispatcher.next(0, OTHER, 4) == (cells[3],)
    dispatcher.begin(0, ONE)
    assert dispatcher.next(0, ONE, 4) == (cells[4],)
    end = dispatcher.end()
    assert [(aside.cell, aside.failure.kind) for aside in end.aside] == [
        (cells[2], "memory"),
        (cells[3], "death"),
        (cells[4], "death"),
    ]
    assert (end.waiting, end.stored) == (cells[5:], 2)


def test_a_row_is_told_of_once_it_is_durable(ledger, monkeypatch):
    held, go = threading.Event(), threading.Event()
    real = Ledger.append_draft

    def slow(self, draft, examples):
        held.set()
        assert go.wait(10)
        real(self, draft, examples)

    monkeypatch.setattr(Ledger, "append_draft", slow)
    dispatcher = Dispatcher(ledger, GROUPS)
    accept(dispatcher, take(dispatcher, 0, ONE))
    # The worker goes on while the row is on its way.
    assert take(dispatcher, 0, ONE) == CELLS[1]
    assert held.wait(10)
    assert dispatcher.news() == []
    assert ledger.rows() == {}
    go.set()
    dispatcher.flush()
    assert [each.digest for each in dispatcher.news()] == [CELLS[0].digest] == list(ledger.rows())
    assert dispatcher.news() == []


def test_a_cell_that_ran_with_another_config_becomes_a_failed_row(ledger):
    class Disobedient(Bench):
        def run(self, cell):
            other = dataclasses.replace(cell, config=PromptADConfig(epochs=1))
            return Outcome(row=make_row(cell=other), examples=None)

    finished = run(ledger, Disobedient())
    assert [each.status for each in finished] == ["failed"] * 3
    assert "must be the one that was asked for" in ledger.row(CELLS[0].digest).reason


def test_a_group_that_cannot_begin_fails_as_a_whole_and_the_rest_runs(ledger):
    class NoWeights(Bench):
        def start_group(self, _, categories):
            if categories[0].name == "plate":
                raise ValueError("weights differ")

    finished = run(ledger, NoWeights())
    assert [each.status for each in finished] == ["failed", "failed", "ok"]
    assert ledger.row(CELLS[0].digest).reason == "ValueError: weights differ"


def test_a_study_folder_that_cannot_be_written_stops_the_run_and_blames_no_cell(ledger, monkeypatch):
    def full(*_):
        raise LedgerError("rows/x.zip cannot be written: no space left on device")

    monkeypatch.setattr(ledger, "append_draft", full)
    with pytest.raises(LedgerError, match="no space left"):
        run(ledger, Bench())
    monkeypatch.undo()
    assert ledger.rows() == {}


def test_parked_groups_are_let_go_when_nothing_has_been_at_work_for_a_while(ledger, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("study.running.dispatcher.time.monotonic", lambda: now[0])
    dispatcher = Dispatcher(ledger, GROUPS)
    take(dispatcher, 1, OTHER)
    now[0] += IDLE + 1
    assert not dispatcher.park(0)
    accept(dispatcher, CELLS[2], group=1, worker=OTHER)
    assert not dispatcher.park(0)
    now[0] += IDLE + 1
    assert dispatcher.park(0)
    assert dispatcher.end().waiting == CELLS[:2]


@pytest.mark.slow
def test_the_serial_executor_tells_of_the_cell_at_work(ledger):
    pulses = []

    class Slow(Bench):
        def run(self, cell):
            time.sleep(0.2)
            return super().run(cell)

    run_serially(Slow(), ledger, GROUPS, Listeners(on_finished=lambda _: None, on_pulse=pulses.append))
    assert pulses
    assert pulses[0].nodes[0].alive
    assert all(running.digest in {cell.digest for cell in CELLS} for pulse in pulses for running in pulse.running)


def test_an_empty_group_is_over_at_once(ledger):
    dispatcher = Dispatcher(ledger, [Group(categories=GROUPS[0].categories, cells=())])
    assert not run_cells(Bench(), dispatcher, 0, ONE)


def test_what_failed_or_took_long_is_told_before_the_next_cell_of_a_batch_begins(ledger, monkeypatch):
    """So a cell that ends its process costs the short cells just before it, and no second try of another's failure."""
    monkeypatch.setattr("study.running.worker.TOGETHER", 0.2)
    cells = tuple(make_cell(seed=seed, config=ALONE) for seed in range(8))
    dispatcher = Dispatcher(ledger, [Group(categories=GROUPS[0].categories, cells=cells)])
    seeds = {cell.digest: cell.seed for cell in cells}
    told, report = [], dispatcher.report

    def listen(group, worker, reports, *, most, company=1):
        told.append(([seeds[each.digest] for each in reports], most))
        return report(group, worker, reports, most=most, company=company)

    class Uneven(Bench):
        def run(self, cell):
            time.sleep(0.25 if cell.seed == 5 else 0)
            return super().run(cell)

    monkeypatch.setattr(dispatcher, "report", listen)
    assert not run_cells(Uneven({3: 1}), dispatcher, 0, ONE, seconds=60)
    # The first is fast, so that the others come together; after a failure the next comes alone.
    assert told == [([0], 16), ([1, 2, 3], 0), ([4, 5], 0), ([6], 0), ([7], 1), ([3], 16)]


def test_a_device_that_fails_ends_the_process_and_costs_one_cell(ledger):
    """In a process whose context is gone every later cell fails at once: it must run none."""
    cells = tuple(make_cell(seed=seed) for seed in range(6))
    dispatcher = Dispatcher(ledger, [Group(categories=GROUPS[0].categories, cells=cells)])
    bench = Bench(dict.fromkeys((3, 4, 5), 9), torch.AcceleratorError)
    with pytest.raises(DeviceError, match=r"the accelerator failed \(AcceleratorError: no luck\)"):
        run_cells(bench, dispatcher, 0, ONE, seconds=60)
    assert (bench.ran, bench.released) == ([0, 1, 2, 3], 0)
    # Another process takes its place, on a device that is sound.
    assert not run_cells(Bench(), dispatcher, 0, OTHER, seconds=60)
    end = dispatcher.end()
    assert [aside.cell.seed for aside in end.aside] == [3]
    assert end.aside[0].failure.kind == "device"
    assert set(ledger.rows()) == {cell.digest for cell in cells if cell.seed != 3}
    alone = Dispatcher(
        ledger, [Group(categories=GROUPS[0].categories, cells=cells)], earlier={cells[3].digest: "no luck"}
    )
    with pytest.raises(DeviceError):
        run_cells(Bench({3: 9}, torch.AcceleratorError), alone, 0, OTHER)
    alone.end()
    assert ledger.row(cells[3].digest).status == "failed"
    assert "nvidia-smi" in ledger.row(cells[3].digest).reason


def test_a_device_that_fails_while_a_group_is_prepared_fails_no_cell(ledger):
    class Broken(Bench):
        def start_group(self, *_):
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    dispatcher = Dispatcher(ledger, GROUPS)
    with pytest.raises(DeviceError):
        prepare_group(Broken(), dispatcher, 0, dispatcher.begin(0, ONE))
    assert not run_cells(Bench(), dispatcher, 0, OTHER, seconds=60)
    dispatcher.end()
    assert set(ledger.rows()) == {cell.digest for cell in CELLS[:2]}


def pooled_cells():
    """The cells of one training for three categories."""
    names = ("cup", "disc", "plate")
    pool = tuple(PoolMember(category=name, data=name) for name in names)
    config = PromptADConfig(setting="multi_class", memory_layers=(2, 3))
    return tuple(make_cell(config=config, pool=pool, category=name) for name in names)


def test_a_cell_that_may_learn_for_all_categories_has_the_time_of_all(ledger, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("study.running.row_desk.time.monotonic", lambda: now[0])
    cells = pooled_cells()
    for waited, kind in ((179.0, "death"), (180.0, "timeout")):
        dispatcher = Dispatcher(ledger, [Group(categories=GROUPS[0].categories, cells=cells)], limit=60.0)
        assert take(dispatcher, 0, ONE) == cells[0]
        (assignment,) = dispatcher.at_work()
        assert assignment.allowance == 3
        now[0] += waited
        end = dispatcher.end()
        # What shares the training would begin it again, for as long.
        assert {aside.cell for aside in end.aside} == set(cells)
        assert ({aside.failure.kind for aside in end.aside}, end.waiting) == ({kind}, ())
        said = "--cell-timeout, 1 minutes for each of 3 categories"
        assert {said in aside.failure.reason for aside in end.aside} == {kind == "timeout"}
        dispatcher.close()


def test_cells_of_one_training_come_one_by_one(ledger):
    """The next is asked for when the model is there; and each reports for itself."""
    cells = pooled_cells()
    dispatcher = Dispatcher(ledger, [Group(categories=GROUPS[0].categories, cells=cells)], mixed=True)
    assert dispatcher.next(0, ONE, 1, 16) == cells[:1]
    accept(dispatcher, cells[0])
    assert dispatcher.next(0, ONE, 1, 16) == cells[1:2]
    # A worker that dies between two of them costs the second one's try alone.
    assert dispatcher.begin(0, OTHER).cells == cells
    assert dispatcher.next(0, OTHER, 1, 16) == cells[2:]
    accept(dispatcher, cells[2], worker=OTHER)
    end = dispatcher.end()
    assert [aside.cell for aside in end.aside] == [cells[1]]
    assert set(ledger.rows()) == {cells[0].digest, cells[2].digest}


def test_an_accelerators_precision_is_refused_on_a_cpu_before_anything_runs(ledger):
    cells = (CELLS[0], make_cell(seed=9, config=PromptADConfig(precision="tf32")))
    bench = Bench()
    with pytest.raises(DeviceError, match="configs that ask for it: 1, and no GPU is used here"):
        run_serially(bench, ledger, [Group(categories=GROUPS[0].categories, cells=cells)], Listeners(on_finished=print))
    assert bench.ran == []
