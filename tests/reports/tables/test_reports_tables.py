"""A plan and its rows as a table: values, what is missing and why, effects, published numbers and verdicts."""

import math

import numpy as np
import pytest
from helpers.documents import table_of
from helpers.report_study import (
    CATEGORIES,
    CATEGORY_WEIGHT,
    GAIN,
    SEED_SHIFT,
    SEEDS,
    WOBBLE,
    comparable,
    damaged_rows,
    make_plan,
    make_rows,
    printed_number,
    score,
    spoil,
)

from reports.statistics import Effect, Summary
from reports.tables.cautions import cautions
from reports.tables.entries import Column, Missing
from reports.tables.formats import column_title

IMAGE, PIXEL = Column(metric="image_auroc", shots=1), Column(metric="pixel_auroc", shots=1)


def test_values_are_means_over_seeds_of_means_over_categories():
    plan = make_plan()
    table = table_of(plan, make_rows(plan))
    assert [(c.metric, c.shots) for c in table.columns] == [
        ("image_auroc", 1),
        ("image_aupr", 1),
        ("pixel_auroc", 1),
        ("pro", 1),
    ]
    entry = table.entries["sc+eam", IMAGE]
    # By hand: 0.62 + mean category shift 0.015 + 0.08 * mean weight 0.8 = 0.699, plus seeds (0.004, 0.008, 0.036).
    assert entry.seed_means == pytest.approx((0.703, 0.707, 0.735))
    assert isinstance(entry.value, Summary)
    assert entry.value.mean == pytest.approx(0.715)
    assert entry.value.sd == pytest.approx(np.std([0.703, 0.707, 0.735], ddof=1))
    assert (entry.value.n, entry.n_categories, entry.shortfall) == (3, 6, None)
    assert table.complete


def test_effects_are_paired_so_the_seeds_common_shift_cancels():
    plan = make_plan()
    effect = table_of(plan, make_rows(plan)).entries["all", PIXEL].effect
    assert isinstance(effect, Effect)
    weight = np.mean([CATEGORY_WEIGHT[category] for category in CATEGORIES])
    assert effect.differences == pytest.approx([GAIN["all"] * weight + wobble for wobble in WOBBLE["all"]])
    assert (effect.up, effect.down, effect.tied) == (5, 1, 0)
    assert effect.summary.sd is not None
    assert effect.summary.sd < np.std(list(SEED_SHIFT.values()), ddof=1) / 5


def test_the_baseline_and_tables_without_one_have_no_effect():
    plan = make_plan()
    assert table_of(plan, make_rows(plan)).entries["none", IMAGE].effect is None
    alone = make_plan(baseline=None)
    assert {entry.effect for entry in table_of(alone, make_rows(alone)).entries.values()} == {None}


def test_holm_is_over_all_metrics_arms_and_shots_of_a_table():
    plan = make_plan(shots=(1, 2), metrics=["image_auroc", "pixel_auroc"])
    table = table_of(plan, make_rows(plan))
    effects = [
        table.entries[arm, Column(metric=metric, shots=shots)].effect
        for arm in ("sc", "sc+eam", "vad", "all")
        for shots in (1, 2)
        for metric in ("image_auroc", "pixel_auroc")
    ]
    assert all(isinstance(effect, Effect) and effect.family == 16 for effect in effects)
    smallest = min(effect.p for effect in effects)
    assert min(effect.p_holm for effect in effects) == pytest.approx(16 * smallest)
    likest = min(effect.p_equivalent for effect in effects)
    assert min(effect.p_equivalent_holm for effect in effects) == pytest.approx(min(1, 16 * likest))


def test_digests_behind_a_number_are_exactly_its_cells():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, "failed", "x", arm="sc", category="gear", seed=1, task="image")
    expected = {
        cell["digest"]
        for cell in plan["cells"]
        if cell["arm"] == "sc" and cell["task"] == "image" and cell["seed"] != 1
    }
    entry = table_of(plan, rows).entries["sc", IMAGE]
    assert set(entry.digests) == expected
    assert len(entry.digests) == 12


def test_a_seed_that_lacks_one_category_does_not_count():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, "failed", "CUDA out of memory\ntrace", arm="sc", category="bolt", seed=2, task="image")
    entry = table_of(plan, rows).entries["sc", IMAGE]
    assert isinstance(entry.value, Summary)
    assert (entry.seeds, entry.value.n) == ((0, 1), 2)
    assert entry.value.mean == pytest.approx(
        np.mean([score("sc", category, seed, "image_auroc") for category in CATEGORIES for seed in (0, 1)])
    )
    assert entry.shortfall is not None
    assert entry.shortfall.text == "incomplete (2 of 3 seeds)"
    assert entry.shortfall.reason == "1 failed: CUDA out of memory"
    assert entry.effect_shortfall is not None
    assert entry.effect_shortfall.text == "incomplete (2 of 3 paired seeds)"


def test_every_kind_of_absence_says_what_and_why():
    plan = make_plan()
    entries = table_of(plan, damaged_rows(plan)).entries
    texts = {key: entry.value.text for key, entry in entries.items() if isinstance(entry.value, Missing)}
    assert texts["sc+eam", IMAGE] == "missing (18 of 18)"
    assert texts["vad", PIXEL] == "unavailable (no masks)"
    assert texts["all", IMAGE] == "incomplete (15 of 18 cells)"
    assert entries["all", IMAGE].value.reason == "3 pruned: stopped after epoch 3"
    assert entries["sc+eam", IMAGE].effect.text == "missing (18 of 18)"


@pytest.mark.slow
def test_failed_cells_and_mixtures():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, "failed", "boom", arm="vad", task="image")
    assert table_of(plan, rows).entries["vad", IMAGE].value.text == "failed (18 of 18)"
    spoil(plan, rows, None, arm="vad", task="image", seed=0)
    mixed = table_of(plan, rows).entries["vad", IMAGE].value
    assert (mixed.text, mixed.reason) == ("failed (12 of 18)", "12 failed: boom, 6 missing: not run yet")
    rows = make_rows(plan)
    spoil(plan, rows, "unavailable", "no masks", arm="vad", category="gear", task="pixel")
    assert table_of(plan, rows).entries["vad", PIXEL].value.text == "incomplete (15 of 18 cells)"


def test_an_effect_without_its_baseline_says_so():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, None, arm="none", category="gear", task="image")
    effect = table_of(plan, rows).entries["all", IMAGE].effect
    assert isinstance(effect, Missing)
    assert effect.text == "incomplete (0 of 3 paired seeds)"
    assert effect.reason == "baseline: 3 missing: not run yet"


@pytest.mark.slow
@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 93.0, "0.9", True])
def test_a_score_that_is_no_fraction_is_a_failure_not_a_number(bad):
    plan = make_plan()
    rows = make_rows(plan)
    cell = next(c for c in plan["cells"] if (c["arm"], c["seed"], c["task"]) == ("sc", 0, "image"))
    rows[cell["digest"]]["scores"]["image_auroc"] = bad
    table = table_of(plan, rows)
    assert table.entries["sc", IMAGE].value.n == 2
    assert "must be a number in [0, 1]" in table.entries["sc", IMAGE].shortfall.reason
    assert table.counts == {"failed": 1, "ok": 179}
    assert not table.complete


def test_a_metric_that_a_row_lacks_is_unavailable():
    plan = make_plan()
    rows = make_rows(plan)
    for cell in plan["cells"]:
        if cell["arm"] == "sc" and cell["task"] == "pixel":
            rows[cell["digest"]]["scores"]["pro"] = None
    table = table_of(plan, rows)
    assert table.entries["sc", Column(metric="pro", shots=1)].value.text == "unavailable (pro was not recorded)"
    assert table.entries["sc", PIXEL].value.n == 3


def test_an_arm_without_cells_in_a_column_is_not_planned():
    plan = make_plan()
    plan["cells"] = [cell for cell in plan["cells"] if not (cell["arm"] == "vad" and cell["task"] == "image")]
    assert table_of(plan, make_rows(plan)).entries["vad", IMAGE].value.text == "not planned"


def test_a_method_that_does_not_score_pixels_says_so():
    plan = make_plan()
    plan["cells"] = [cell for cell in plan["cells"] if not (cell["arm"] == "vad" and cell["task"] == "pixel")]
    (arm,) = (arm for arm in plan["arms"] if arm["name"] == "vad")
    arm["runs"] = "differnet"
    entry = table_of(plan, make_rows(plan)).entries["vad", PIXEL]
    assert entry.value.text == entry.effect.text == "unavailable (DifferNet does not score pixels)"
    assert table_of(plan, make_rows(plan)).entries["vad", IMAGE].value.n == 3


def test_by_category_uses_the_seeds_that_are_there_and_says_how_many():
    plan = make_plan()
    table = table_of(plan, damaged_rows(plan))
    found = table.by_category["sc", IMAGE, "gear"]
    assert found.value.n == 2
    assert found.shortfall.text == "incomplete (2 of 3 seeds)"
    assert found.value.mean == pytest.approx(np.mean([score("sc", "gear", seed, "image_auroc") for seed in (0, 2)]))
    assert found.delta.mean == pytest.approx(GAIN["sc"] * CATEGORY_WEIGHT["gear"] + (0.0 + 0.016) / 2)
    assert table.by_category["all", IMAGE, "ring"].value.text == "pruned (3 of 3)"
    assert table.by_category["all", IMAGE, "ring"].delta.text == "pruned (3 of 3)"


def comparable_table(published, rows_of=make_rows, seeds=SEEDS, **changes):
    numbers = [printed_number("sc", "image_auroc", published, obstacles=(), **{"std": 0.5} | changes)]
    plan = make_plan(seeds=seeds, printed=numbers)
    return table_of(plan, rows_of(plan)).entries["sc", IMAGE].published


@pytest.mark.slow
def test_verdicts_on_a_published_number():
    # Ours is 0.709, SD 0.035 of 3 seeds, so the standard error of the difference is 2.0 points and t(2) 4.30.
    (value,) = comparable_table(75.0)
    assert (value.value, value.std, value.verdict) == (0.75, 0.005, "open")
    assert value.difference == pytest.approx(0.709 - 0.75, abs=5e-4)
    assert value.low < value.difference < value.high
    assert comparable_table(50.0)[0].verdict == "differs"
    assert comparable_table(90.0)[0].verdict == "differs"
    assert comparable_table(75.0, rows_of=damaged_rows)[0].verdict == "incomplete"
    assert comparable_table(75.0, seeds=(0,))[0].verdict == "no interval"


def test_an_arm_that_draws_nothing_gets_the_plain_difference():
    (value,) = comparable_table(75.0, draws=False, printed_shots=0)
    assert (value.verdict, value.low, value.shots) == ("plain difference", None, 0)
    assert value.difference == pytest.approx(0.709 - 0.75, abs=5e-4)


def test_no_verdict_where_anything_keeps_a_number_from_being_compared():
    plan = make_plan()
    entries = table_of(plan, make_rows(plan)).entries
    values = [value for entry in entries.values() for value in entry.published]
    assert {value.verdict for value in values} == {"none"}
    assert {value.reasons for value in values} == {("weights (embedded tiny CLIP; the paper's are others)",)}
    assert {value.difference for value in values} == {None}


def test_each_number_is_decided_by_itself():
    plan = make_plan()
    plan["printed"] = [
        number | {"obstacles": []} if number["metric"] == "pixel_auroc" and number["arm"] == "all" else number
        for number in plan["printed"]
    ]
    entries = table_of(plan, make_rows(plan)).entries
    judged = {key for key, entry in entries.items() for value in entry.published if value.verdict != "none"}
    assert judged == {("all", Column(metric="pixel_auroc", shots=1))}


def test_published_numbers_follow_the_arm_and_the_column():
    plan = make_plan(shots=(1, 2))
    plan["printed"].append(printed_number("sc", "pro", 60.0, printed_shots=0))
    entries = table_of(plan, make_rows(plan)).entries
    (value,) = entries["sc", IMAGE].published
    assert (value.dataset, value.value) == ("mvtec", 0.904)
    assert value.effect == pytest.approx(0.904 - 0.815)
    assert entries["sc", Column(metric="image_auroc", shots=2)].published == ()
    assert [value.shots for value in entries["sc", Column(metric="pro", shots=1)].published] == [0]
    assert entries["none", IMAGE].published[0].effect is None


def test_a_plan_of_an_older_version_keeps_its_numbers_and_gets_no_verdict():
    plan = make_plan(comparable=True, comparable_reason=None, published_dataset="mvtec")
    del plan["printed"]
    for arm in plan["arms"]:
        arm["published"] = f"arm={arm['name']}"
    numbers = [("mvtec", "arm=sc", 90.4), ("visa", "arm=sc", 81.3), ("mvtec", "arm=other", 50.0)]
    plan["published"] = [
        {"dataset": dataset, "metric": "image_auroc", "shots": 1, "factors": factors, "value": value, "std": None}
        for dataset, factors, value in numbers
    ]
    (value,) = table_of(plan, make_rows(plan)).entries["sc", IMAGE].published
    assert (value.value, value.verdict) == (0.904, "none")
    assert "plan it again" in value.reasons[0]


def test_selection_on_test_is_seen_in_the_rows_even_if_the_plan_is_silent():
    plan = make_plan()
    rows = make_rows(plan)
    for cell in plan["cells"]:
        if cell["arm"] == "all":
            rows[cell["digest"]]["cell"]["config"]["selection"] = "best_on_test"
    table = table_of(plan, rows)
    assert table.selected_on_test
    assert table.entries["all", IMAGE].selected_on_test
    assert not table.entries["sc", IMAGE].selected_on_test


@pytest.mark.slow
def test_what_selection_on_test_gained_over_the_last_epoch():
    plan = make_plan(selection="best_on_test")
    gained = table_of(plan, make_rows(plan)).optimism["sc", IMAGE]
    assert gained.mean == pytest.approx(0.02)
    last = make_plan()
    assert table_of(last, make_rows(last)).optimism == {}


def test_a_row_that_ran_another_cell_is_left_out_and_named():
    plan = make_plan()
    rows = make_rows(plan)
    rows[plan["cells"][0]["digest"]]["cell"]["seed"] = 9
    (fault,) = table_of(plan, rows).rows.faults.values()
    assert "ran seed 9 where the plan asks for 0" in fault


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "row schema must be 1"),
        ({"digest": "other"}, "filed under its own digest"),
        ({"status": "maybe"}, "status must be one of"),
    ],
)
def test_invalid_rows_are_left_out_and_named(change, message):
    plan = make_plan()
    rows = make_rows(plan)
    digest = plan["cells"][0]["digest"]
    rows[digest] |= change
    table = table_of(plan, rows)
    assert message in table.rows.faults[digest]
    assert table.counts["damaged"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 0}, "plan schema must be 1"),
        ({"baseline": "nobody"}, "baseline 'nobody' is none of its arms"),
        ({"tasks": ["image"]}, "has task 'pixel', which the plan does not list"),
    ],
)
def test_invalid_plans_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        table_of(make_plan(**change), {})


def test_a_plan_without_a_key_or_with_a_cell_twice_is_an_error():
    plan = make_plan()
    del plan["protocol"], plan["shots"]
    with pytest.raises(ValueError, match="lacks: protocol, shots"):
        table_of(plan, {})
    twice = make_plan()
    twice["cells"].append(twice["cells"][0])
    with pytest.raises(ValueError, match="is planned twice"):
        table_of(twice, {})
    arms = make_plan()
    arms["arms"].append(arms["arms"][0])
    with pytest.raises(ValueError, match="arm names repeat"):
        table_of(arms, {})


def test_a_category_without_masks_is_left_out_of_the_pixel_average_and_said_so():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, "unavailable", "gear has no ground-truth masks", category="gear", task="pixel")
    table = table_of(plan, rows)
    column = Column(metric="pixel_auroc", shots=1, scope="5 of 6 categories")
    assert column in table.columns
    assert IMAGE in table.columns
    entry = table.entries["all", column]
    others = [category for category in CATEGORIES if category != "gear"]
    expected = [sum(score("all", category, seed, "pixel_auroc") for category in others) / 5 for seed in SEEDS]
    assert entry.seed_means == pytest.approx(expected)
    assert entry.n_categories == 5
    assert entry.effect.up + entry.effect.down + entry.effect.tied == 5
    assert cautions(table) == ("Pixel metrics are over 5 of 6 categories: gear has no ground-truth masks.",)
    assert column_title(column) == "Pixel AUROC, 1-shot, 5 of 6 categories"


def test_a_shortened_average_is_never_compared_with_a_published_one():
    plan = comparable(make_plan())
    rows = make_rows(plan)
    spoil(plan, rows, "unavailable", "no masks", category="gear", task="pixel")
    table = table_of(plan, rows)
    column = Column(metric="pixel_auroc", shots=1, scope="5 of 6 categories")
    assert {number.verdict for number in table.entries["all", column].published} == {"incomplete"}
    assert {number.verdict for number in table.entries["all", IMAGE].published} != {"incomplete"}
