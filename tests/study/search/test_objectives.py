import dataclasses

import pytest
from helpers.cells import make_cell
from helpers.scored_cells import search_plan

from reports.reading.proxy_objectives import PROXIES
from study.records.row import Row
from study.search.objectives import OBJECTIVES, ObjectiveError, Step, fold_of, named_objective, pair_values, step_of
from study.search.search_document import search_document


def step(category, seed, task, value):
    return Step(cell=f"{category}{seed}{task}", category=category, seed=seed, task=task, value=value)


STEPS = [
    step("a", 0, "image", 0.8),
    step("a", 0, "pixel", 0.9),
    step("b", 0, "image", 0.6),
    step("b", 0, "pixel", 0.9),
    # A category without masks counts as much as the others.
    step("c", 0, "image", 0.5),
]


def rows(seconds):
    return {
        step.cell: Row(cell=make_cell(), status="ok", scores={"image_auroc": 0.5}, seconds=each)
        for step, each in zip(STEPS, seconds, strict=True)
    }


def test_the_mean_is_over_pairs_of_the_mean_over_tasks():
    assert pair_values(STEPS) == {("a", 0): pytest.approx(0.85), ("b", 0): pytest.approx(0.75), ("c", 0): 0.5}
    # (0.85 + 0.75 + 0.5) / 3; the mean over cells would be 0.74.
    assert OBJECTIVES["synthetic"].values(STEPS, {}) == (pytest.approx(0.7),)


def test_the_front_has_both_tasks_and_seconds_without_features():
    measured = rows([{"total": 2.0, "features": 1.5}, {"total": 1.0}, {"total": 1.0}, {"total": 1.0}, {"total": 3.0}])
    # Image: (0.8 + 0.6 + 0.5) / 3; pixel: 0.9; seconds: (0.5 + 1 + 1 + 1 + 3) / 5.
    assert OBJECTIVES["pareto"].values(STEPS, measured) == pytest.approx((1.9 / 3, 0.9, 1.3))


def test_a_step_is_the_auroc_of_the_cells_task():
    row = Row(cell=make_cell(task="pixel"), status="ok", scores={"pixel_auroc": 0.75, "pro": 0.25})
    found = step_of(row)
    assert (found.cell, found.category, found.seed, found.task, found.value) == (
        row.cell.digest,
        "plate",
        0,
        "pixel",
        0.75,
    )


def test_every_category_is_held_out_by_one_fold():
    names = ("a", "b", "c", "d", "e")
    assert fold_of(names, folds=2, fold=1) == (("b", "d"), ("a", "c", "e"))
    assert fold_of(names, folds=2, fold=2) == (("a", "c", "e"), ("b", "d"))
    held_out = [name for fold in (1, 2, 3) for name in fold_of(names, folds=3, fold=fold)[1]]
    assert sorted(held_out) == sorted(names)


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (1, 1, "at least 2 folds and a category for each, but --folds is 1"),
        (4, 1, r"--folds is 4 and there are 3 \(a, b, c\)"),
        (2, 3, "--fold must be between 1 and the 2 folds, but got 3"),
    ],
)
def test_folds_that_do_not_fit_are_errors(folds, fold, message):
    with pytest.raises(ObjectiveError, match=message):
        fold_of(("a", "b", "c"), folds=folds, fold=fold)


def test_objectives_by_name():
    assert "TUNED ON TEST" in named_objective("oracle").label
    assert [name for name, objective in OBJECTIVES.items() if objective.on_test] == ["oracle"]
    with pytest.raises(ObjectiveError, match="no objective is called orcale; there are synthetic, held_out_categories"):
        named_objective("orcale")


IDS = {
    ("synthetic", "tpe"): "paper-synthetic-tpe-tiny-mvtec-bb3d38dc",
    ("held_out_categories", "random"): "paper-held_out_categories-random-tiny-mvtec-382b32e6",
    ("oracle", "random"): "paper-oracle-random-tiny-mvtec-d09a276c",
    ("pareto", "tpe"): "paper-pareto-tpe-tiny-mvtec-ecca8038",
}
"""What searches were called when they were first run: their folders are found by it."""


@pytest.mark.parametrize(("objective", "sampler"), IDS)
def test_the_id_of_a_search_is_what_it_always_was(objective, sampler, inspection_root):
    folds = {"folds": 2} if objective == "held_out_categories" else {}
    plan = search_plan(inspection_root, objective=objective, sampler=sampler, **folds)
    # The images may be drawn and the weights be trained anew: nothing else that makes an id may change.
    opened = {name: dataclasses.replace(category, digest="0") for name, category in plan.opened.items()}
    backbones = {text: dataclasses.replace(backbone, weights="1") for text, backbone in plan.backbones.items()}
    made = search_document(plan.request, plan.objective, plan.tune, plan.held_out, opened, backbones)
    assert made["id"] == IDS[objective, sampler]


def test_the_transfer_study_judges_objectives_that_searches_have():
    assert [OBJECTIVES[proxy.name].on_test for proxy in PROXIES] == [False, False]
    assert all(proxy.title in OBJECTIVES[proxy.name].label for proxy in PROXIES)
