"""Cells handed out to learn together, with faults among them: one row each, and nobody fails for a neighbour."""

import dataclasses
import random

import pytest
import torch
from helpers.cells import make_cell, make_row

from promptad.backbones.accelerator import DeviceError
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Category
from promptad.methods import FitResult
from study.bench.workbench import Workbench
from study.records.failure import Failure
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.running.dispatcher import Dispatcher, Report
from study.running.rounds import Rounds
from study.running.row_desk import Worker
from study.running.worker import run_cells

PLATE = Category(name="plate", train=(), test=(), has_masks=True)
WITHOUT_LAPS, NOTHING_LEARNED = PromptADConfig(laps=False), PromptADConfig(pad=False)


class Death(BaseException):
    """The process is gone: nothing handles it."""


class FaultyBench(Workbench):
    """The workbench's own companies over cells that compute nothing, but do what ``faults`` says of them by seed.

    ``kill`` ends the process in the fit, ``device`` poisons it, ``memory`` has no room in any company, ``crowd`` in one
    of more than four, ``raise`` fails the fit of a company that it is in, ``diverge`` its own fit alone, ``early`` and
    ``late`` its preparation and its scoring.
    """

    device = "cpu"

    def __init__(self, faults, company):
        self.faults, self.company = faults, company
        self.poisoned = False

    def release(self):
        """Nothing to give back."""

    def run(self, cell):
        prepared = self._prepare(cell)
        (fit,) = self._fit([prepared])
        if isinstance(fit.result, Exception):
            raise fit.result
        return self._finish(prepared, fit)

    def _prepare(self, cell):
        if self.faults.get(cell.seed) == "early":
            raise ValueError("early")
        return Prepared(cell)

    def _fit(self, ready):
        faults = {self.faults.get(prepared.cell.seed) for prepared in ready}
        if "kill" in faults:
            raise Death
        if "device" in faults or self.poisoned:
            self.poisoned = True
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        if "memory" in faults or ("crowd" in faults and len(ready) > 4):
            raise torch.OutOfMemoryError("CUDA out of memory")
        if "raise" in faults:
            raise ValueError("raise")
        return [
            FitResult(
                result=FloatingPointError("diverge") if self.faults.get(each.cell.seed) == "diverge" else each,
                company=len(ready),
            )
            for each in ready
        ]

    def _finish(self, prepared, fit):
        if self.faults.get(prepared.cell.seed) == "late":
            raise ValueError("late")
        provenance = {"finished": "2026-01-01T00:00:00+00:00", "company": fit.company}
        return Outcome(row=make_row(cell=prepared.cell, provenance=provenance), examples=None)


@dataclasses.dataclass(frozen=True)
class Prepared:
    cell: object


def groups_of(cells, size=32):
    return [
        Group(categories=(PLATE,), cells=tuple(cells[start : start + size])) for start in range(0, len(cells), size)
    ]


def play(ledger, cells, faults, company, limit=100):
    """Every round of a study, with a new process after each death; the number of deaths."""
    rounds, deaths, process = Rounds(groups_of(cells)), 0, 1
    while (current := rounds.next()) is not None:
        dispatcher = Dispatcher(ledger, current.groups, earlier=current.earlier)
        for number in range(len(current.groups)):
            more = True
            while more:
                bench, worker = FaultyBench(faults, company), Worker(node="n", name="here", process=process)
                dispatcher.begin(number, worker)
                try:
                    more = run_cells(bench, dispatcher, number, worker, seconds=60)
                except (Death, DeviceError):
                    deaths, process = deaths + 1, process + 1
                    assert deaths < limit
        given_up = rounds.end(dispatcher.end(), lost_nodes=())
        dispatcher.close()
        for row in given_up:
            ledger.append([row])
    return deaths


@pytest.mark.parametrize("company", [1, 4, 16])
@pytest.mark.parametrize(
    "kinds",
    [
        ("kill",),
        ("device",),
        ("memory",),
        ("crowd",),
        ("raise",),
        ("diverge",),
        ("early", "late"),
        ("kill", "device", "memory", "crowd", "raise", "diverge", "early", "late"),
    ],
    ids=lambda kinds: "all" if len(kinds) > 2 else "-".join(kinds),
)
def test_every_cell_has_one_row_and_nobody_fails_for_a_neighbour(tmp_path, kinds, company):
    cells = [make_cell(seed=seed) for seed in range(128)]
    rng = random.Random(company)
    faults = dict(zip(rng.sample(range(128), 8), kinds * 8, strict=False))
    ledger = Ledger(str(tmp_path))
    deaths = play(ledger, cells, faults, company)
    states = {row.cell.seed: row.status for row in ledger.rows().values()}
    assert set(states) == set(range(128))
    failing = {seed for seed, kind in faults.items() if kind != "crowd"}
    assert {seed for seed, status in states.items() if status == "failed"} == failing
    # A death costs its company one more try, and then its cell alone: three processes for each killer at most.
    killers = sum(kind in ("kill", "device") for kind in faults.values())
    assert deaths <= 3 * killers


def test_neighbours_that_can_learn_together_come_together_and_others_apart(tmp_path):
    """In the order of the group; a cell that was tried before comes alone."""
    cells = (
        *(make_cell(seed=seed) for seed in range(5)),
        *(make_cell(seed=seed, config=WITHOUT_LAPS) for seed in range(2)),
        *(make_cell(seed=seed, config=NOTHING_LEARNED) for seed in range(6)),
    )
    dispatcher = Dispatcher(Ledger(str(tmp_path)), [Group(categories=(PLATE,), cells=cells)])
    worker = Worker(node="n", name="here", process=1)
    taken = dispatcher.next(0, worker, 4, 16)
    assert taken == cells[:5]
    reports = [Report(digest=cell.digest, result=Outcome(row=make_row(cell=cell), examples=None)) for cell in taken[1:]]
    dispatcher.report(0, worker, reports, most=0)
    # The first is lost with its process: it comes again, alone.
    again = dispatcher.next(0, Worker(node="n", name="here", process=2), 4, 16)
    assert again == cells[5:7]
    dispatcher.close()


def test_the_group_goes_on_one_by_one_after_a_company_died(tmp_path):
    cells = tuple(make_cell(seed=seed) for seed in range(6))
    dispatcher = Dispatcher(Ledger(str(tmp_path)), [Group(categories=(PLATE,), cells=cells)])
    first, second = (Worker(node="n", name="here", process=number) for number in (1, 2))
    assert dispatcher.next(0, first, 1, 4) == cells[:4]
    dispatcher.begin(0, second)
    assert dispatcher.next(0, second, 1, 4) == cells[:1]
    assert dispatcher.end().aside[0].cell == cells[0]
    dispatcher.close()


def test_a_late_cell_of_a_company_is_timed_from_the_last_report(tmp_path, monkeypatch):
    """It has not taken the company's time."""
    now = [1000.0]
    monkeypatch.setattr("study.running.row_desk.time.monotonic", lambda: now[0])
    cells = tuple(make_cell(seed=seed) for seed in range(2))
    dispatcher = Dispatcher(Ledger(str(tmp_path)), [Group(categories=(PLATE,), cells=cells)], limit=60.0)
    worker = Worker(node="n", name="here", process=1)
    assert dispatcher.next(0, worker, 1, 2) == cells
    now[0] += 90
    done = Report(digest=cells[0].digest, result=Outcome(row=make_row(cell=cells[0]), examples=None))
    dispatcher.report(0, worker, [done], most=0)
    now[0] += 10
    (aside,) = dispatcher.end().aside
    assert aside.failure.kind == "death"
    dispatcher.close()


def test_a_cell_that_was_tried_comes_alone_also_among_cells_that_learn_nothing(tmp_path):
    cells = (
        *(make_cell(seed=seed) for seed in range(3)),
        *(make_cell(seed=seed, config=NOTHING_LEARNED) for seed in range(3)),
    )
    dispatcher = Dispatcher(Ledger(str(tmp_path)), [Group(categories=(PLATE,), cells=cells)])
    worker, failure = Worker(node="n", name="here", process=1), Failure(kind="error", reason="no luck")
    assert dispatcher.next(0, worker, 4, 16) == cells[:3]
    failed = [Report(digest=cell.digest, result=failure) for cell in cells[:3]]
    assert dispatcher.report(0, worker, failed, most=4, company=16) == cells[3:]
    done = [Report(digest=cell.digest, result=Outcome(row=make_row(cell=cell), examples=None)) for cell in cells[3:]]
    # Each of the three comes again by itself, however many are asked for.
    assert dispatcher.report(0, worker, done, most=4, company=16) == cells[:1]
    dispatcher.close()


def test_on_an_accelerator_cells_of_any_form_come_together(tmp_path):
    cells = (make_cell(), make_cell(config=WITHOUT_LAPS), make_cell(config=NOTHING_LEARNED), make_cell(seed=1))
    dispatcher = Dispatcher(Ledger(str(tmp_path)), [Group(categories=(PLATE,), cells=cells)], mixed=True)
    assert dispatcher.next(0, Worker(node="n", name="here", process=1), 4, 16) == cells[:2]
    dispatcher.close()
