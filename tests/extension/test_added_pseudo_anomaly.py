"""A pseudo-anomaly that is added as ``docs/architecture.md`` says: a function and an entry of ``DEFECTS``."""

import dataclasses

import numpy as np
import pytest
from helpers.additions import stripe
from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from promptad.images.pseudo_anomalies import DEFECTS, pasted
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.cell import FIRST_KINDS

ASKED = Ablation(
    name="mine",
    title="t",
    question="q?",
    design=PaperTable(rows=(Arm(name="full", label="", changes={"pad": False}),), baseline=None),
    metrics=("pixel_auroc",),
    shots=(2,),
    queries=("test", "synthetic"),
)
PIXELS = np.full((32, 32, 3), 100, dtype=np.uint8)


def planned(root):
    base = PromptADConfig(epochs=1, map_size=48)
    plan = plan_study(request(root, ablations=(ASKED,), base=base, seeds=1, categories=("plate",)))
    (group,) = plan.groups(plan.cells)
    return group, {cell.query: cell for cell in group.cells}


@pytest.mark.slow
def test_one_that_is_added_is_asked_about_in_cells_of_its_own(inspection_root, monkeypatch):
    _, before = planned(inspection_root)
    assert before["synthetic"].kinds == tuple(DEFECTS) == FIRST_KINDS
    assert "kinds" not in before["synthetic"].as_dict()
    monkeypatch.setitem(DEFECTS, "stripe", stripe)
    group, after = planned(inspection_root)
    assert after["synthetic"].kinds == (*FIRST_KINDS, "stripe")
    # Its rows are never those of another set of pseudo-anomalies; test images are asked about as before.
    assert after["synthetic"].digest != before["synthetic"].digest
    assert after["test"] == before["test"]
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    row = bench.run(after["synthetic"]).row
    assert row.status == "ok"
    assert row.cell == after["synthetic"]
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    monkeypatch.delitem(DEFECTS, "stripe")
    other = bench.run(dataclasses.replace(after["synthetic"], kinds=FIRST_KINDS)).row
    assert other.scores != row.scores


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (lambda pixels, _: pixels, "pseudo-anomaly half must return altered pixels and a mask, but returns ndarray"),
        (lambda pixels, _: (pixels / 2, pixels[..., 0] > 0), "pixels of pseudo-anomaly half must be uint8 of shape"),
        (lambda pixels, _: (pixels, pixels[..., 0] > 255), r"the mask of pseudo-anomaly half must be .* with 0 pixels"),
        (lambda pixels, _: (pixels, pixels[..., 0]), "the mask of pseudo-anomaly half must be bool .* but is uint8"),
    ],
)
def test_one_that_forgets_a_part_says_which(defect, message, monkeypatch):
    monkeypatch.setitem(DEFECTS, "half", defect)
    with pytest.raises(ValueError, match=message):
        pasted("half", PIXELS, np.random.default_rng(0))


def test_an_unknown_one_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match=r"pseudo-anomaly must be one of cut_paste, .*, blob, but got 'stripe'"):
        pasted("stripe", PIXELS, np.random.default_rng(0))
