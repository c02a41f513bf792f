"""What a plan says of work done, shared and left, on rows with known seconds."""

import dataclasses
from dataclasses import replace

import pytest

from ablations.loading import named_ablations
from promptad.configs.method_configs import CoCoOpConfig
from promptad.configs.promptad_config import PromptADConfig
from reports.reading.planned_cells import PlannedCells
from study.command.outlook import Times, described_plan, outlooks
from study.planning.data_source import DataSource
from study.planning.plan import plan_study
from study.planning.request import StudyRequest
from study.records.row import Row
from study.records.segment import state_of


@pytest.fixture(scope="module")
def plan(inspection_root):
    return plan_study(
        StudyRequest(
            ablations=named_ablations(["table3", "steps", "table10"]),
            backbone="tiny",
            source=DataSource(name="mvtec", layout="mvtec", root=str(inspection_root)),
            base=PromptADConfig(),
            seeds=1,
            categories=("plate",),
        )
    )


def rows_of(plan, seconds):
    """Rows of the cells of task ``task`` that ``seconds(cell)`` gives seconds for."""
    found = {}
    for digest, cell in plan.cells.items():
        if (value := seconds(cell)) is not None:
            found[digest] = Row(cell=cell, status="ok", scores={f"{cell.task}_auroc": 0.5}, seconds={"total": value})
    return found


def by_ablation(plan, rows, stored=()):
    found = outlooks(plan, {digest: state_of(row) for digest, row in rows.items()}, stored)
    return {plan.documents[name].ablation: outlook for name, outlook in found.items()}


def test_cells_are_counted_once_and_shared_ones_are_known(plan):
    found = by_ablation(plan, {})
    # Steps are four rows of Table 3, two tasks each; Table 10 has two pixel cells, one of them Table 3's VAD row.
    counts = {name: (outlook.planned, outlook.done, outlook.to_run, outlook.shared) for name, outlook in found.items()}
    assert counts == {"table3": (10, 0, 10, 9), "steps": (8, 0, 8, 8), "table10": (2, 0, 2, 1)}
    assert all(outlook.seconds is None for outlook in found.values())


def test_cells_of_stored_plans_count_as_shared(plan):
    own = next(document for document in plan.documents.values() if document.ablation == "table10")
    assert len(own.cells) == 2
    assert by_ablation(plan, {}, [replace(own, name="earlier")])["table10"].shared == 2
    assert by_ablation(plan, {}, [replace(own, name="earlier", cells=PlannedCells())])["table10"].shared == 1
    # A plan of the same name is this one, planned before.
    assert by_ablation(plan, {}, [own])["table10"].shared == 1


def test_work_is_estimated_by_rows_of_the_same_kind(plan):
    # Learned cells of the image task take 2 s and of the pixel task 5 s; one each is measured of a kind.
    measured = {"image": 2.0, "pixel": 5.0}
    rows = rows_of(plan, lambda cell: measured[cell.task] if cell.config.pad and not cell.config.sc else None)
    found = by_ablation(plan, rows)["steps"]
    assert (found.done, found.to_run) == (2, 6)
    assert found.seconds == pytest.approx(3 * 2.0 + 3 * 5.0)
    # Nothing of the visual branch alone is measured: the mean of its task stands in.
    assert by_ablation(plan, rows)["table10"].seconds == pytest.approx(2 * 5.0)
    rows |= rows_of(plan, lambda cell: 0.5 if not cell.config.pad and cell.task == "image" else None)
    assert (
        Times.measured((row.cell, row.seconds["total"]) for row in rows.values()).of(
            cell for cell in plan.cells.values() if not cell.config.pad and cell.task == "image"
        )
        == 0.5
    )


def test_work_of_other_methods_that_learn_depends_on_their_epochs(plan):
    cell = next(cell for cell in plan.cells.values() if cell.task == "image")

    def learning(epochs):
        return dataclasses.replace(cell, method="cocoop", config=CoCoOpConfig(epochs=epochs))

    rows = [
        Row(cell=learning(epochs), status="ok", scores={"image_auroc": 0.5}, seconds={"total": seconds})
        for epochs, seconds in ((10, 1.0), (100, 9.0))
    ]
    assert Times.measured((row.cell, row.seconds["total"]) for row in rows).of([learning(100)]) == 9.0


def test_failed_rows_are_to_run_and_tell_no_time(plan):
    rows = {
        digest: Row(cell=cell, status="failed", reason="memory", seconds={"total": 9.0})
        for digest, cell in plan.cells.items()
    }
    found = by_ablation(plan, rows)["table3"]
    assert (found.done, found.to_run, found.seconds) == (0, 10, None)


def test_many_ablations_are_a_line_each_and_few_are_told_arm_by_arm(plan):
    lines = described_plan(plan, {}).splitlines()
    assert len(lines) == 1 + 3 + 1
    assert lines[0].split() == ["planned", "done", "to", "run", "shared", "work", "title"]
    assert lines[1].split()[:6] == ["table3", "10", "0", "10", "9", "?"]
    assert lines[-1] == "all together: 11 different cells, 11 to run"
