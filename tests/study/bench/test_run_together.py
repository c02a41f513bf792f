"""Cells that learn together on the workbench: the rows are those of each alone, and an error is its own cell's."""

import dataclasses

import pytest
import torch
from helpers.benches import planned, run_all

from promptad.configs.promptad_config import PromptADConfig
from study.bench import workbench
from study.bench.workbench import Workbench
from study.records.cell import company_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(inspection_root):
    """Both tasks and two seeds of arms that share the form of their prompts, and of one that learns nothing."""
    small = planned(inspection_root)
    changes = ({}, {"eam": False}, {"align_weight": 0.1}, {"selection": "best_on_test"}, {"pad": False})
    arms = {
        cell.digest: cell
        for each in small.cells
        for change in changes
        if isinstance(each.config, PromptADConfig) and each.config.pad and each.config.vad
        for cell in [
            dataclasses.replace(each, config=each.config.with_changes(change).canonical(each.task), artefacts=())
        ]
    }
    cells = sorted(arms.values(), key=lambda cell: (repr(company_of(cell, mixed=False) or ""), cell.digest))
    return dataclasses.replace(small, cells=tuple(cells))


@pytest.fixture(scope="module")
def alone(group):
    return run_all(group)


@pytest.fixture
def bench(group):
    found = Workbench(cache=None, device="cpu", threads=1)
    found.start_group(group.cells, group.categories)
    return found


def said(outcome):
    row = outcome.row
    return row.cell, row.status, row.scores, row.curve, row.support_images, row.test_images, row.view


def test_rows_are_those_of_each_alone(group, alone, bench):
    found = list(bench.run_together(group.cells))
    assert [cell.digest for cell, _ in found] == [cell.digest for cell in group.cells]
    companies = set()
    for cell, outcome in found:
        assert said(outcome) == said(alone[cell.digest])
        companies.add(outcome.row.provenance.get("company"))
        seconds = outcome.row.seconds
        stages = sum(value for stage, value in seconds.items() if stage != "total")
        assert stages <= seconds["total"] + 0.01
        assert seconds["fit"] > 0
    assert None in companies
    assert max(companies - {None}) > 4


def test_an_error_in_company_halves_it_and_ends_with_its_own_cell(group, alone, bench, monkeypatch):
    """Memory that is too small for four together; and a cell that cannot be fitted in any company."""
    (bad, *_) = [cell for cell in group.cells if cell.config.align_weight == 0.1]
    real, sizes, released = workbench.fit_all, [], []

    def fit_all(method, backbone, fittings, most):
        sizes.append(len(fittings))
        if len(fittings) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if any(each.config == bad.config and (each.task, each.seed) == (bad.task, bad.seed) for each in fittings):
            raise ValueError("cannot be fitted")
        return real(method, backbone, fittings, most)

    monkeypatch.setattr(workbench, "fit_all", fit_all)
    monkeypatch.setattr(Workbench, "release", lambda _: released.append(True))
    found = dict(bench.run_together(group.cells))
    assert set(found) == set(group.cells)
    assert released
    assert max(sizes) > 4
    assert 1 in sizes
    for cell, result in found.items():
        if cell.digest == bad.digest:
            assert str(result) == "cannot be fitted"
        else:
            assert said(result) == said(alone[cell.digest])


def test_an_error_of_one_cell_before_or_after_the_fit_is_that_cells(group, alone, bench, monkeypatch):
    early, late = [cell for cell in group.cells if company_of(cell, mixed=False) is not None][:2]
    prepare, finish = Workbench._prepare, Workbench._outcome

    def failing_prepare(self, cell):
        if cell == early:
            raise ValueError("cannot be read")
        return prepare(self, cell)

    def failing_finish(self, prepared, fitted, company):
        if prepared.cell == late:
            raise ValueError("cannot be scored")
        return finish(self, prepared, fitted, company)

    monkeypatch.setattr(Workbench, "_prepare", failing_prepare)
    monkeypatch.setattr(Workbench, "_outcome", failing_finish)
    found = dict(bench.run_together(group.cells))
    assert str(found.pop(early)) == "cannot be read"
    assert str(found.pop(late)) == "cannot be scored"
    assert all(said(result) == said(alone[cell.digest]) for cell, result in found.items())


def test_a_device_that_fails_a_company_is_no_cells_fault(group, bench, monkeypatch):
    def fit_all(*_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(workbench, "fit_all", fit_all)
    learning = [cell for cell in group.cells if company_of(cell, mixed=False) is not None]
    with pytest.raises(torch.AcceleratorError):
        list(bench.run_together(learning))
    # Alone it is that cell's.
    ((cell, result),) = bench.run_together(learning[:1])
    assert cell == learning[0]
    assert isinstance(result, torch.AcceleratorError)


def test_seconds_of_a_fit_are_shared_by_epochs(group, bench):
    """A cell of three epochs and one of nine in one company: what is recorded is not the same."""
    (cell, *_) = [cell for cell in group.cells if company_of(cell, mixed=False) is not None]
    few, many = (
        dataclasses.replace(cell, config=cell.config.with_changes({"epochs": epochs, "selection": "last"}))
        for epochs in (3, 9)
    )
    seconds = {each.config.epochs: outcome.row.seconds["fit"] for each, outcome in bench.run_together([few, many])}
    assert seconds[9] == pytest.approx(seconds[3] * 10 / 4, rel=0.01)


def test_an_error_keeps_nothing_of_its_cell_alive(group, bench, monkeypatch):
    def fit_all(*_):
        raise ValueError("no luck")

    monkeypatch.setattr(workbench, "fit_all", fit_all)
    for _, error in bench.run_together(group.cells):
        assert str(error) == "no luck"
        assert error.__traceback__ is None
