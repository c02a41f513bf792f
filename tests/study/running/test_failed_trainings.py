"""A training for all categories that fails: a row for each of its cells, two tries of it, and nothing lost."""

from collections import Counter

import pytest
import torch
from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from promptad.methods.promptad import PromptAD
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.ledger import Ledger
from study.running.execution_options import Listeners
from study.running.serial import run_serially

pytestmark = pytest.mark.slow

TABLE = Ablation(
    name="own",
    title="t",
    question="q?",
    design=PaperTable(
        rows=(
            Arm(name="each", label="PromptAD"),
            Arm(name="all", label="PromptAD", changes={"setting": "multi_class"}),
            Arm(name="other", label="without EAM", changes={"setting": "multi_class", "eam": False}),
        ),
        baseline="each",
    ),
    metrics=("image_auroc",),
)


@pytest.fixture
def study(inspection_root, tmp_path):
    base = PromptADConfig(epochs=2)
    plan = plan_study(request(inspection_root, ablations=(TABLE,), base=base, seeds=1))
    bench, ledger = Workbench(cache=None, device="cpu", threads=1), Ledger(str(tmp_path))

    def run():
        run_serially(bench, ledger, plan.groups(plan.cells), Listeners(on_finished=lambda _: None))
        return ledger.rows()

    assert len(plan.cells) == 6
    return run


def failing(monkeypatch, *errors):
    """Trainings with EAM raise these, one after the other; counts every training, by whether it has EAM."""
    left, done, real = list(errors), Counter(), PromptAD.fit_pool

    def fit_pool(self, backbone, supports, config, **options):
        done[config.eam] += 1
        if config.eam and left:
            raise left.pop(0)
        return real(self, backbone, supports, config, **options)

    monkeypatch.setattr(PromptAD, "fit_pool", fit_pool)
    return done


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ((FloatingPointError("first"), FloatingPointError("second")), "FloatingPointError: second"),
        ((torch.OutOfMemoryError("first"), torch.OutOfMemoryError("second")), "alone, with a whole device to itself"),
    ],
    ids=["error", "memory"],
)
def test_each_cell_of_a_training_that_fails_twice_has_a_row_with_the_reason(study, monkeypatch, errors, reason):
    done = failing(monkeypatch, *errors)
    rows = study()
    assert len(rows) == 6
    failed = [row for row in rows.values() if row.status == "failed"]
    assert {(row.cell.category, row.cell.config.eam, bool(row.cell.pool)) for row in failed} == {
        ("disc", True, True),
        ("plate", True, True),
    }
    assert all(reason in row.reason for row in failed)
    assert done == {True: 2, False: 1}


@pytest.mark.parametrize("error", [ValueError("once"), torch.OutOfMemoryError("once")], ids=["error", "memory"])
def test_a_training_that_fails_once_is_tried_again_for_all_of_its_cells(study, monkeypatch, error):
    done = failing(monkeypatch, error)
    rows = study()
    assert {row.status for row in rows.values()} == {"ok"}
    assert len(rows) == 6
    assert done[True] == 2
    # Memory is let go of when there is too little, so that what was learned may have to be learned again.
    assert done[False] <= 2
