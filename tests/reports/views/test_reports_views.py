"""Each view on hand-made rows: what it draws and prints is computed by hand here."""

import numpy as np
import pytest
from helpers.documents import table_of
from helpers.report_study import comparable, make_examples, make_plan, make_rows, printed_number, spoil
from matplotlib.text import Text

from ablations.catalogue import CATALOGUE
from promptad.configs.parts import part_at
from reports.statistics import claim
from reports.tables.contrasts import contrasts
from reports.tables.entries import Column
from reports.tables.formats import MINUS
from reports.tables.overlap import median_distance, squared_mmd
from reports.view_table import VIEWS
from reports.views.inside import attention_blocks, plane
from reports.views.overlap_grids import PAIRS, overlap_of
from reports.views.seeds import arm_curves, curve_drawings
from reports.views.slices import sliced_factor
from reports.views.views import views_of

IMAGE = Column(metric="image_auroc", shots=1)


def nothing(_):
    return None


def plan_of(arms, factors, **changes):
    """A plan whose arms are (name, factors), on two categories and three seeds."""
    plan = make_plan(
        arms=tuple((name, name, {}) for name, _ in arms),
        categories=("bolt", "gear"),
        baseline=arms[0][0],
        printed=[],
        design="factorial",
        metrics=["image_auroc"],
        factors=[{"name": n, "label": f"the {n}", "levels": levels} for n, levels in factors.items()],
        **changes,
    )
    for made, (_, levels) in zip(plan["arms"], arms, strict=True):
        made |= {"factors": levels, "method": "PromptAD", "runnable": True, "changes": {"x": 1}}
    return plan


def shown(plan, rows, view):
    (found,) = [made for name, made in views_of(table_of(plan, rows), nothing) if name == view]
    return found


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_every_view_has_its_builder_and_ablations_ask_for_no_other():
    for name, entry in VIEWS.items():
        assert callable(part_at(entry.builder, name))
    asked = {view for ablation in CATALOGUE.values() for view in ablation.shown_as}
    assert asked <= set(VIEWS)


@pytest.mark.slow
def test_a_document_of_the_first_form_is_shown_as_arms_and_what_its_arms_allow():
    table = table_of(make_plan(), {})
    assert [name for name, _ in views_of(table, nothing)] == ["arms", "effects", "delta_map", "examples"]


def test_a_view_that_this_version_lacks_says_so():
    view = shown(make_plan(shown_as=["hologram"]), {}, "hologram")
    assert view.absent.startswith("This version has no view 'hologram'")


def test_metrics_of_the_plan_choose_the_columns():
    table = table_of(make_plan(metrics=["pro", "image_auroc"]), {})
    assert [column.metric for column in table.columns] == ["image_auroc", "pro"]


def test_arms_print_ours_the_paper_and_which_cells_are_behind():
    plan = comparable(make_plan(shown_as=["arms"]))
    view = shown(plan, make_rows(plan), "arms")
    row = view.grids[0].rows[1]
    # 62 + 1.5 (mean of the category shifts) + 2 (seed shifts) + 0.6 (wobble) + 6 * 0.8 (gain), in percent.
    assert row[4].main == "70.9"
    assert row[4].behind == ("sc", "image_auroc", "1")
    assert row[5].main == "90.4"
    assert row[5].lines == (f"differs: {MINUS}19.5 [{MINUS}30.6, {MINUS}8.4]",)


@pytest.mark.slow
def test_an_arm_that_cannot_run_is_published_only_and_no_number():
    plan = make_plan(shown_as=["arms", "effects"])
    plan["arms"][3] |= {"runnable": False, "not_runnable_reason": "no code for it"}
    plan["cells"] = [cell for cell in plan["cells"] if cell["arm"] != "vad"]
    table = table_of(plan, make_rows(plan))
    assert table.entries["vad", IMAGE].value.kind == "published only"
    (_, arms), (_, effects) = views_of(table, nothing)
    spots = arms.grids[0].rows[3]
    assert spots[0].lines == ("published only: no code for it",)
    assert spots[4].main == "not run"
    assert spots[5].main == "85.1"
    assert [row[0].main for row in effects.grids[0].rows] == [
        "baseline (CoOp form)",
        "SC",
        "SC + EAM",
        "SC + EAM + VAD",
    ]
    assert "VAD alone" not in texts(effects.drawings[0].figure)


@pytest.mark.slow
def test_per_category_sets_the_papers_number_beside_ours():
    plan = make_plan(shown_as=["per_category"], metrics=["image_auroc"])
    plan["printed"] = [printed_number("none", "image_auroc", 64.0, category="gear", obstacles=())]
    view = shown(plan, make_rows(plan), "per_category")
    grid = view.grids[0]
    assert grid.title == "Image AUROC, 1-shot"
    gear = next(row for row in grid.rows if row[0].main == "gear")
    # Seeds 62, 63 and 67; SD 2.6458, t(2) 4.3027: 64 +- 6.57.
    assert (gear[1].main, gear[1].lines) == ("64.0", ("57.4 to 70.6", "n = 3, SD 2.6"))
    assert gear[2].main == "64.0"
    assert gear[2].lines == (f"open: 0.0 [{MINUS}8.4, +8.4]; no number of seeds here would close it",)
    assert gear[1].behind == ("none", "image_auroc", "1", "gear")
    assert grid.rows[0][2].main == "none published"
    assert grid.rows[-1][0].main == "mean of all"


SLICE = [("a", {"lambda": 0.001}), ("b", {"lambda": 0.0}), ("c", {"lambda": 1.0})]


def test_slice_orders_levels_and_draws_mean_and_every_seed():
    plan = plan_of(SLICE, {"lambda": [0.001, 0.0, 1.0]}, shown_as=["slice"])
    values = {"a": 0.6, "b": 0.5, "c": 0.7}
    rows = make_rows(plan, lambda arm, _c, seed, _m: values[arm] + 0.01 * (seed == 2))
    drawing = shown(plan, rows, "slice").drawings[0]
    axes = drawing.figure.axes[0]
    line = next(line for line in axes.lines if line.get_marker() == "D")
    assert list(line.get_xdata()) == [0.0, 0.001, 1.0]
    assert list(line.get_ydata()) == pytest.approx([50 + 1 / 3, 60 + 1 / 3, 70 + 1 / 3])
    assert sorted(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o") == [3, 3, 3]
    assert axes.get_xscale() == "symlog"
    assert "baseline" in texts(drawing.figure)
    assert len(drawing.data) == 9
    assert drawing.data[2] == {
        "line": "",
        "lambda": "0.001",
        "arm": "a",
        "metric": "image_auroc",
        "shots": "1",
        "seed": "2",
        "score": "0.610000",
        "mean": "0.603333",
        "low": drawing.data[0]["low"],
        "high": drawing.data[0]["high"],
        "why": "ok",
    }


def test_slice_says_which_level_has_no_number_and_switches_are_no_axis():
    plan = plan_of(SLICE, {"lambda": [0.001, 0.0, 1.0], "on": [False, True]}, shown_as=["slice"])
    rows = make_rows(plan, lambda *_: 0.5)
    spoil(plan, rows, None, arm="c")
    assert "missing" in texts(shown(plan, rows, "slice").drawings[0].figure)
    assert sliced_factor(table_of(plan, {})).name == "lambda"
    switches = plan_of([("a", {"on": False}), ("b", {"on": True})], {"on": [False, True]}, shown_as=["slice"])
    assert shown(switches, {}, "slice").absent == "No factor of this table is numeric."


CROSSED = [(f"{a}{b}", {"A": a, "B": b}) for a in (1, 2) for b in (1, 2)]


def test_grid_prints_the_mean_of_every_combination_and_why_one_is_absent():
    plan = plan_of(CROSSED[:3], {"A": [1, 2], "B": [1, 2]}, shown_as=["grid"])
    values = {"11": 0.5, "12": 0.625, "21": 0.75}
    rows = make_rows(plan, lambda arm, *_: values[arm])
    spoil(plan, rows, "failed", "boom", arm="21")
    words = texts(shown(plan, rows, "grid").drawings[0].figure)
    assert {"50.0", "62.5", "failed", "not\nplanned"} <= set(words)
    assert "the A" in words


def test_main_effects_and_interactions_of_a_two_by_two():
    plan = plan_of(CROSSED, {"A": [1, 2], "B": [1, 2]}, shown_as=["main_effects"])
    # y = 0.5, A adds 0.1, B adds 0.02, both together 0.04 more; a seed shifts A's effect.
    shift = (-0.01, 0.0, 0.02)

    def value(arm, _category, seed, _metric):
        a, b = (level == "2" for level in arm)
        return 0.5 + a * (0.1 + shift[seed]) + 0.02 * b + 0.04 * (a and b)

    table = table_of(plan, make_rows(plan, value))
    a, b, both = contrasts(table)[IMAGE]
    assert a.differences == pytest.approx([0.11, 0.12, 0.14])
    assert b.differences == pytest.approx([0.04] * 3)
    assert both.differences == pytest.approx([0.02] * 3)
    assert both.label == "A × B"
    # t = 0.12333 / (0.015275 / sqrt 3) = 13.985 at 2 degrees of freedom.
    assert a.p == pytest.approx(0.005074, abs=2e-5)
    view = shown(plan, make_rows(plan, value), "main_effects")
    assert [row[1].main for row in view.grids[0].rows] == ["+12.3", "+4.0", "+2.0"]
    assert view.drawings[0].data[0]["value"] == "0.110000"


def test_a_fraction_has_no_interactions_and_an_incomplete_seed_no_contrast():
    plan = plan_of(CROSSED, {"A": [1, 2], "B": [1, 2]}, shown_as=["main_effects"]) | {"design": "fractional_factorial"}
    assert len(contrasts(table_of(plan, _fixed(plan)))[IMAGE]) == 2
    rows = _fixed(plan)
    spoil(plan, rows, "failed", "boom", arm="22", seed=1, category="gear")
    assert contrasts(table_of(plan, rows))[IMAGE][0].seeds == (0, 2)
    spoil(plan, rows, None, arm="22")
    assert shown(plan, rows, "main_effects").absent.startswith("No seed has every arm")


def _fixed(plan):
    return make_rows(plan, lambda arm, _c, seed, _m: 0.5 + 0.01 * int(arm) / 10 + 0.001 * seed)


@pytest.mark.slow
def test_dots_are_the_seeds_and_the_published_value_is_a_line():
    plan = make_plan(shown_as=["dots"], metrics=["image_auroc"])
    drawing = shown(plan, make_rows(plan), "dots").drawings[0]
    axes = drawing.figure.axes[0]
    dots = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    assert dots[0] == pytest.approx([63.5, 64.5, 68.5])
    assert any(list(line.get_xdata()) == pytest.approx([81.5, 81.5]) for line in axes.lines)
    assert drawing.data[0]["score"] == "0.635000"


@pytest.mark.slow
def test_curves_mark_the_last_and_the_best_epoch():
    plan = make_plan(shown_as=["curves"], metrics=["image_auroc"], selection="best_on_test")
    rows = make_rows(plan, lambda *_: 0.8)
    table = table_of(plan, rows)
    assert arm_curves(table, IMAGE)["none"] == {seed: pytest.approx((0.5, 0.8, 0.78)) for seed in (0, 1, 2)}
    (drawing,) = curve_drawings(table)
    axes = drawing.figure.axes[0]
    marks = {
        line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }
    assert marks["s"] == pytest.approx((3, 78))
    assert marks["^"] == pytest.approx((2, 80))
    plain = make_plan(shown_as=["curves"])
    assert shown(plain, make_rows(plain), "curves").absent.startswith("No cell kept a curve")


@pytest.mark.slow
def test_effects_and_delta_map_carry_their_numbers_as_data():
    plan = make_plan(shown_as=["effects", "delta_map"], metrics=["image_auroc"])
    rows = make_rows(plan)
    effects = shown(plan, rows, "effects").drawings[0].data
    # SC gains 6 * 0.8 points at seed 0, where it has no wobble.
    assert effects[0] | {"mean": "", "low": "", "high": ""} == {
        "arm": "sc",
        "metric": "image_auroc",
        "shots": "1",
        "seed": "0",
        "difference": "0.048000",
        "mean": "",
        "low": "",
        "high": "",
        "why": "ok",
    }
    tiles = shown(plan, rows, "delta_map").drawings[0].data
    # SC in bolt: -0.2 * 6 points and the mean wobble of 0.6.
    assert (tiles[0]["category"], tiles[0]["difference"], tiles[0]["n"]) == ("bolt", "-0.006000", "3")


def test_prompts_are_listed_by_group():
    plan = make_plan(
        shown_as=["prompts"], prompts={"generic": ["{} with flaw"], "own": {"gear": ["{} with rust", "b"]}}
    )
    rows = shown(plan, {}, "prompts").grids[0].rows
    assert [(row[0].main, row[1].main, row[1].lines) for row in rows] == [
        ("generic", "{} with flaw", ()),
        ("gear", "{} with rust", ("b",)),
    ]
    assert shown(make_plan(shown_as=["prompts"]), {}, "prompts").absent == "The plan lists no suffixes."


@pytest.mark.slow
def test_examples_show_the_smallest_defect_too():
    plan = make_plan(shown_as=["examples"])
    arrays = make_examples(plan)
    for kept in arrays.values():
        kept["chosen_as"] = np.array(["best", "smallest", "worst", "worst"])
    table = table_of(plan, make_rows(plan))
    ((_, view),) = views_of(table, arrays.get)
    assert "Smallest defect" in texts(view.drawings[0].figure)
    assert {line["shown_as"] for line in view.drawings[0].data} == {"best", "worst", "smallest"}
    # An earlier version did not record it.
    assert {line["logical"] for line in view.drawings[0].data} == {"not recorded"}


@pytest.mark.slow
def test_a_logical_anomaly_among_best_and_worst_is_called_so():
    plan = make_plan(shown_as=["examples"])
    arrays = make_examples(plan)
    for kept in arrays.values():
        kept["logical"] = np.array([True, False, False, False])
    ((_, view),) = views_of(table_of(plan, make_rows(plan)), arrays.get)
    said = [text for text in texts(view.drawings[0].figure) if "logical anomaly" in text]
    assert len(said) == 3
    assert all("000" in text for text in said)
    assert {line["image"] for line in view.drawings[0].data if line["logical"] == "yes"} == {"test/crack/000.png"}


@pytest.mark.slow
def test_embedding_has_a_point_per_feature_and_few_points_lie_on_their_components():
    plan = make_plan(shown_as=["embedding"])
    arrays = {
        "embedding/normal_prompts": np.array([[0.0, 0.0], [2.0, 0.0]]),
        "embedding/visual": np.array([[4.0, 0.0]]),
    }
    table = table_of(plan, make_rows(plan))
    ((_, view),) = views_of(table, lambda _: arrays)
    assert [(line["kind"], abs(float(line["x"]))) for line in view.drawings[0].data] == [
        ("normal_prompts", 2.0),
        ("normal_prompts", 0.0),
        ("visual", 2.0),
    ]
    many = np.random.default_rng(0).normal(size=(12, 5))
    assert (plane(many) == plane(many)).all()
    assert shown(plan, {}, "embedding").absent


def embedded(seed, *, parts=True):
    """Two features a kind, and three of images: prompts of two prefixes, apart from each other by kind."""
    shift = 0.1 * seed
    arrays = {
        "embedding/normal_prompts": np.array([[0.0, 1.0], [0.1, 1.0 + shift]]),
        "embedding/manual_prompts": np.array([[1.0, 0.0], [1.0, 0.1 + shift]]),
        "embedding/learnable_prompts": np.zeros((0, 2)),
        "embedding/visual": np.array([[-1.0, -1.0], [-1.0, -1.1 - shift], [-1.1, -1.0]]),
    }
    if parts:
        arrays |= {
            "parts/normal_prompts": np.array([[0, -1], [1, -1]]),
            "parts/manual_prompts": np.array([[0, 0], [1, 1]]),
            "parts/learnable_prompts": np.zeros((0, 2), int),
        }
    return arrays


def embedding_grids(arrays_by_seed, **changes):
    plan = make_plan(shown_as=["embedding"], arms=(("none", "PromptAD", {}),), categories=("bolt",), **changes)
    seeds = {cell["digest"]: cell["seed"] for cell in plan["cells"]}
    table = table_of(plan, make_rows(plan))
    ((_, view),) = views_of(table, lambda digest: arrays_by_seed(seeds[digest]))
    return view


@pytest.mark.slow
def test_overlap_is_measured_at_every_seed():
    view = embedding_grids(embedded)
    assert [grid.title for grid in view.grids] == [
        "bolt, image task, 1-shot, 3 seeds",
        "bolt, pixel task, 1-shot, 3 seeds",
    ]
    rows = {row[0].main: row for row in view.grids[0].rows}
    seen = rows["normal prompts and normal visual features"]
    assert seen[0].lines == ("2 and 3 features",)
    assert (seen[1].main, seen[1].lines) == ("1.000", ("no interval (all seeds equal)", "3 seeds"))
    values = [overlap_of(embedded(seed), PAIRS[0]).squared_mmd for seed in (0, 1, 2)]
    mean, half = np.mean(values), 4.30265 * np.std(values, ddof=1) / 3**0.5
    assert seen[2].main == f"{mean:.3f}"
    assert seen[2].lines[0] == f"{mean - half:.3f} to {mean + half:.3f}"
    assert seen[2].lines[1].startswith("n = 3, SD ")
    assert seen[3].main == "overlap “very high”"
    assert rows["normal and manual anomaly prompts"][3].main == "“very clear discrimination”"
    assert rows["manual and learnable anomaly prompts"][1].main == "not measured"
    assert "have 2 and 0" in rows["manual and learnable anomaly prompts"][1].notes[0]
    assert "modality gap" in view.caption
    # The first seed is drawn.
    assert "bolt, image task, 1-shot, seed 0" in "".join(texts(view.drawings[0].figure))


@pytest.mark.slow
def test_overlap_over_seeds_of_one_support_set_says_so():
    shared = [{"arm": "none", "shots": 1, "categories": ["bolt"]}]
    assert "All seeds see the same support images" in embedding_grids(embedded, one_support_set=shared).caption
    assert "All seeds" not in embedding_grids(embedded).caption


@pytest.mark.slow
def test_seeds_without_features_are_counted_and_prompts_of_unknown_parts_are_not_measured():
    view = embedding_grids(lambda seed: {} if seed == 1 else embedded(seed))
    assert view.grids[0].title == "bolt, image task, 1-shot, 2 of 3 seeds"
    view = embedding_grids(lambda seed: embedded(seed, parts=False))
    spot = view.grids[0].rows[0][1]
    assert spot.main == "not measured"
    assert "run the figure in a new study folder" in spot.notes[0]
    assert spot.tone == "absent"


def test_the_kernel_is_as_wide_as_the_median_distance_of_all_features():
    arrays = embedded(0)
    everything = np.concatenate([arrays[name] for name in arrays if name.startswith("embedding/")])
    first, second = arrays["embedding/normal_prompts"], arrays["embedding/visual"]
    expected = squared_mmd(first, second, np.eye(5, dtype=bool), median_distance(everything))
    assert overlap_of(arrays, PAIRS[0]).squared_mmd == pytest.approx(expected)


@pytest.mark.slow
def test_attention_reads_a_stack_or_arrays_by_block_and_prints_what_stays_on_a_token():
    block = np.array([[0.5, 0.5], [0.2, 0.8]])
    stack = {"attention/qk": np.stack([block, np.eye(2)]), "attention/vv": np.stack([np.eye(2), block])}
    named = {f"attention/qk/{place}": value for place, value in ((10, np.eye(2)), (2, block))}
    assert [found.tolist() for found in attention_blocks(named, "qk")] == [block.tolist(), np.eye(2).tolist()]
    plan = make_plan(shown_as=["attention"])
    ((_, view),) = views_of(table_of(plan, make_rows(plan)), lambda _: stack)
    assert view.drawings[0].data[0] == {
        "kind": "qk",
        "block": "1",
        "to_itself": "0.650000",
        "to_class_token": "0.200000",
    }
    assert "self 65%" in texts(view.drawings[0].figure)


@pytest.mark.slow
def test_a_damaged_row_is_named_and_is_no_number():
    plan = make_plan()
    rows = make_rows(plan)
    first, second = (cell["digest"] for cell in plan["cells"][:2])
    rows[first]["schema"] = 9
    rows[second] = {"schema": 1, "digest": second, "status": "ok", "scores": "not a mapping"}
    table = table_of(plan, rows)
    assert table.counts == {"damaged": 2, "ok": 178}
    assert "row schema must be 1" in table.rows.faults[first]
    assert table.entries["none", IMAGE].seeds == (1, 2)
    assert table.entries["none", IMAGE].shortfall.reason == "1 failed: damaged row"


def test_claims_of_the_fixture():
    plan = make_plan(metrics=["image_auroc"])
    # Exact effects: +3 points with little spread, 0 with little spread, 0 with a large one.
    spread = {
        "sc": (0.03, 0.031, 0.029),
        "sc+eam": (0.0002, -0.0002, 0.0001),
        "vad": (0.05, -0.05, 0.0),
        "all": (0.0,) * 3,
    }
    rows = make_rows(plan, lambda arm, _c, seed, _m: 0.5 + spread.get(arm, (0.0,) * 3)[seed])
    table = table_of(plan, rows)
    said = {arm: claim(table.entries[arm, IMAGE].effect) for arm in spread}
    assert said == {"sc": "higher", "sc+eam": "no effect", "vad": "open", "all": "no interval"}
