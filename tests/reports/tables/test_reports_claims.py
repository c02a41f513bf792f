"""What a report says of effects: what is left after correction over the whole table, by simulation and by example."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.documents import table_of
from helpers.report_study import SEEDS, make_plan, make_rows
from matplotlib.colors import to_hex

from reports.outputs.provenance import trace
from reports.page import Section, plan_part, render_page
from reports.statistics import MARGIN, Difference, adjusted, claim, equivalence, summarize, t_test
from reports.style import CLAIM_KEY, COLOURS, MARKERS
from reports.tables.contrasts import contrasts
from reports.tables.entries import Column
from reports.tables.findings import details, lead
from reports.tables.grids import claim_tone, contrast_grids, effect_grids
from reports.views.contrast_figures import contrast_drawings
from reports.views.effects import forest_drawings, forest_plot
from reports.views.views import views_of

pytestmark = pytest.mark.slow

STUDIES = 2000
TABLE1 = {"arms": 6, "shots": 3, "metrics": 1}
TABLE3 = {"arms": 4, "shots": 1, "metrics": 2}


def difference(values):
    summary = summarize(values)
    return Difference(
        summary=summary,
        seeds=tuple(range(len(values))),
        differences=tuple(values),
        p=t_test(summary),
        p_equivalent=equivalence(summary),
    )


def simulated(generator, *, arms, shots, metrics, seeds, true=0.0, spread=0.01):
    """Differences (effect, seed) of a study: arms that share a baseline, each with the effect `true` and its noise."""
    scores = generator.normal(0, spread, (arms + 1, shots, metrics, seeds))
    return (scores[1:] + true - scores[0]).reshape(-1, seeds)


def excludes_zero(one):
    """The rule of an unadjusted interval, which a report must not speak by."""
    low, high = one.summary.interval
    return not low <= 0.0 <= high


def directed(family):
    return any(claim(one) in ("higher", "lower") for one in family)


@pytest.mark.parametrize(("table", "by_interval", "by_metric"), [(TABLE1, 0.45, 0.02), (TABLE3, 0.22, 0.06)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_without_effects_a_table_claims_a_direction_in_at_most_six_of_a_hundred_studies(
    table, by_interval, by_metric, seeds
):
    generator = np.random.default_rng(16)
    wrong = {"table": 0, "metric": 0, "interval": 0}
    for _ in range(STUDIES):
        untested = [difference(values) for values in simulated(generator, **table, seeds=seeds).tolist()]
        metrics = table["metrics"]
        found = directed(adjusted(untested))
        wrong["table"] += found
        families = [untested[metric::metrics] for metric in range(metrics)]
        wrong["metric"] += found if metrics == 1 else any(directed(adjusted(family)) for family in families)
        wrong["interval"] += any(excludes_zero(one) for one in untested)
    assert wrong["table"] / STUDIES <= 0.06
    # The rules that a report must not speak by: a family for each metric, and no correction at all.
    assert wrong["metric"] / STUDIES > by_metric
    assert wrong["interval"] / STUDIES > by_interval


@pytest.mark.parametrize("seeds", [3, 5])
def test_at_the_margin_a_table_claims_no_effect_in_at_most_six_of_a_hundred_studies(seeds):
    generator = np.random.default_rng(4)
    claimed = unadjusted = 0
    for _ in range(STUDIES // 2):
        values = simulated(generator, **TABLE3, seeds=seeds, true=MARGIN, spread=0.0005)
        untested = [difference(one) for one in values.tolist()]
        # Near the margin these effects are all different from 0: only the equivalence is asked for here.
        claimed += any(one.p_equivalent_holm < 0.05 for one in adjusted(untested))
        unadjusted += any(one.p_equivalent < 0.05 for one in untested)
    assert claimed / (STUDIES // 2) <= 0.06
    assert unadjusted / (STUDIES // 2) > 0.15


@pytest.mark.parametrize(("arms", "shots", "metrics"), [(6, (1, 2, 4), 1), (4, (1,), 2)])
def test_the_page_speaks_by_these_claims_alone(arms, shots, metrics):
    generator = np.random.default_rng(5)
    names = ("image_auroc", "pixel_auroc")[:metrics]
    labelled = tuple((f"a{index}", f"arm {index}", {}) for index in range(arms + 1))
    plan = make_plan(
        shots=shots,
        seeds=(0, 1, 2),
        categories=("gear",),
        arms=labelled,
        baseline="a0",
        metrics=list(names),
        printed=[],
        tasks=["image", "pixel"][:metrics],
    )
    plan["cells"] = [cell for cell in plan["cells"] if cell["task"] in plan["tasks"]]
    spoke = 0
    for _ in range(50):
        drawn = 0.7 + generator.normal(0, 0.01, (arms + 1, len(shots), metrics, 3))
        rows = make_rows(plan, lambda *_: 0.5)
        for cell in plan["cells"]:
            place = int(cell["arm"][1:]), shots.index(cell["shots"]), plan["tasks"].index(cell["task"]), cell["seed"]
            rows[cell["digest"]]["scores"] = {f"{cell['task']}_auroc": float(drawn[place])}
        table = table_of(plan, rows)
        expected = adjusted([difference(one) for one in (drawn[1:] - drawn[0]).reshape(-1, 3).tolist()])
        places = [(f"a{arm}", shot, name) for arm in range(1, arms + 1) for shot in shots for name in names]
        effects = [table.entries[arm, Column(metric=name, shots=shot)].effect for arm, shot, name in places]
        assert [claim(effect) for effect in effects] == [claim(one) for one in expected]
        assert {effect.family for effect in effects} == {len(places)}
        words = " ".join([lead(table), *details(table)])
        assert ("higher with" in words or "lower with" in words) == directed(effects)
        assert not {"goes up", "go up", "goes down", "go down"} & {words[i : i + 7] for i in range(len(words))}
        spoke += directed(effects)
    assert spoke <= 8


def one_clear_and_one_open():
    """Exact effects by arm: clear of 0 when corrected, clear by the interval alone, equal within the margin, wide."""
    effects = {
        "sc": (0.030, 0.0301, 0.0299),
        "sc+eam": (0.070, 0.044, 0.052),
        "vad": (0.0002, -0.0002, 0.0001),
        "all": (0.05, -0.05, 0.0),
    }
    plan = make_plan(metrics=["image_auroc"], printed=[])
    rows = make_rows(plan, lambda arm, _c, seed, _m: 0.5 + effects.get(arm, (0.0,) * 3)[SEEDS.index(seed)])
    return plan, rows


IMAGE = Column(metric="image_auroc", shots=1)


def test_an_interval_that_excludes_0_is_no_claim():
    table = table_of(*one_clear_and_one_open())
    found = {arm: table.entries[arm, IMAGE].effect for arm in ("sc", "sc+eam", "vad", "all")}
    assert excludes_zero(found["sc+eam"])
    assert found["sc+eam"].p < 0.05 < found["sc+eam"].p_holm
    assert {arm: claim(effect) for arm, effect in found.items()} == {
        "sc": "higher",
        "sc+eam": "open",
        "vad": "no effect",
        "all": "open",
    }
    assert lead(table) == (
        "Against “baseline (CoOp form)”, after Holm's correction over all 4 tested effects of this table (n = 3): "
        "1-shot image AUROC is higher with “SC”, stays within ±0.5 points with “VAD alone” and is left open with "
        "“SC + EAM” and “SC + EAM + VAD”. The largest mean difference is +5.5 points of 1-shot image AUROC, with "
        "“SC + EAM”: open: neither shown nor excluded."
    )
    assert "“SC + EAM” (+5.5 [+2.2, +8.8], n = 3)" in details(table)[0].split("open with")[1]


def test_colours_and_keys_of_a_forest_say_what_is_claimed():
    table = table_of(*one_clear_and_one_open())
    figure = forest_plot(table, IMAGE)
    marks = {
        (line.get_marker(), to_hex(line.get_color()).upper())
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 1 and line.get_markersize() == 9
    }
    assert marks == {(MARKERS[name], COLOURS[name]) for name in ("higher", "no effect", "open")}
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:3] == ["higher after Holm", "no effect (±0.5) after Holm", "open after Holm"]
    assert words[3] == "95% interval, unadjusted"
    assert not any("interval above" in word or "interval below" in word for word in words)
    assert len({(MARKERS[name], COLOURS[name]) for name in CLAIM_KEY}) == len(CLAIM_KEY)
    (grid,) = effect_grids(table)
    assert [row[1].tone for row in grid.rows] == ["absent", "higher", "open", "no-effect", "open"]
    assert "what is claimed" in forest_drawings(table)[0].alt
    assert claim_tone(table.entries["vad", IMAGE].effect) == "no-effect"


def test_the_page_counts_as_settled_what_is_claimed():
    plan, rows = one_clear_and_one_open()
    table = table_of(plan, rows)
    section = Section(table=table, provenance=trace(table.plan, table.rows), shown=())
    page = render_page([plan_part(section)], tables=[table], heatmaps={"count": 0, "cells": 0, "limit": 0}, damaged={})
    assert "2 of 4 effects settled" in page
    captions = dict(views_of(table_of(plan | {"shown_as": ["effects", "delta_map"]}, rows), lambda _: None))
    assert "claims after Holm's correction over all 4 tested effects of this table" in captions["effects"].caption
    assert "may exclude 0 and be open" in captions["effects"].caption
    assert "Colours claim nothing" in captions["delta_map"].caption


def test_contrasts_are_one_family_over_the_columns_of_a_table():
    arms = tuple((f"{a}{b}", f"A{a} B{b}", {"A": a, "B": b}) for a in (1, 2) for b in (1, 2))
    plan = make_plan(arms=arms, baseline="11", shown_as=["main_effects"], printed=[])
    plan["metrics"] = ["image_auroc", "pixel_auroc"]
    plan["factors"] = [{"name": name, "label": f"the {name}", "levels": [1, 2]} for name in "AB"]
    for arm in plan["arms"]:
        arm["factors"] = arm["marks"]
    # The interaction is 1.6, 2.0 and 1.0 points: t = 5.28 at 2 degrees of freedom, p = 0.034. As the least of 3 tests
    # Holm leaves it there; as the least but one of 6 it becomes 0.068. The main effects stay below 0.05 in both.
    shift, crossed = (-0.01, 0.0, 0.02), (0.008, 0.010, 0.005)

    def value(arm, _category, seed, _metric):
        a, b = (level == "2" for level in arm)
        return 0.5 + a * (0.1 + shift[seed]) + 0.02 * b + 4 * crossed[seed] * (a and b)

    table = table_of(plan, make_rows(plan, value))
    found = contrasts(table)
    image, pixel = (found[Column(metric=name, shots=1)] for name in plan["metrics"])
    assert {one.family for one in (*image, *pixel)} == {6}
    both = image[2]
    assert (both.p, both.p_holm) == pytest.approx((0.0341, 0.0682), abs=2e-4)
    assert [claim(one) for one in image[:2]] == ["higher", "higher"]
    assert excludes_zero(both)
    assert claim(both) == "open"
    (grid,) = contrast_grids(table)
    assert [row[1].tone for row in grid.rows] == [claim_tone(one) for one in image]
    drawn = contrast_drawings(table)[0]
    assert {line["claim"] for line in drawn.data if line["contrast"] == "A x B"} == {"open"}
    legend = [text.get_text() for text in drawn.figure.legends[0].get_texts()]
    assert CLAIM_KEY["open"] in legend
    ((_, view),) = views_of(table, lambda _: None)
    assert "over all 6 tested contrasts of this table" in view.caption


def test_a_claim_of_an_effect_that_was_tested_but_not_corrected_is_an_error():
    with pytest.raises(ValueError, match="needs adjusted p values, but got unadjusted ones"):
        claim(difference([0.01, 0.02, 0.03]))
    assert claim(difference([0.01, 0.01, 0.01])) == "no interval"


def test_no_effect_is_claimed_by_the_corrected_equivalence():
    tested = replace(difference([0.0, 0.001, 0.002]), p_holm=0.9, p_equivalent=0.03, family=2)
    assert claim(replace(tested, p_equivalent_holm=0.06)) == "open"
    assert claim(replace(tested, p_equivalent_holm=0.03)) == "no effect"
    assert claim(replace(tested, p_holm=0.04, p_equivalent_holm=0.03)) == "higher"


def test_adjusting_a_family_by_hand():
    first, second, still = adjusted([difference(v) for v in ([0.01, 0.02, 0.03], [0.0, 0.001, 0.002], [0.1] * 3)])
    # t = 0.02 / 0.00577 = 3.464 and 0.001 / 0.000577 = 1.732 at 2 degrees of freedom, where p = 1 - t / sqrt(t^2 + 2):
    # 0.0742, twice that after Holm, and 0.2254, which is the last of the two and stays.
    alone, last = 1 - math.sqrt(12 / 14), 1 - math.sqrt(3 / 5)
    assert (first.p, first.p_holm, second.p_holm) == pytest.approx((alone, 2 * alone, last))
    # Only the second lies near the margin's inside: 0.0101 by two one-sided tests, twice that after Holm.
    assert second.p_equivalent_holm == pytest.approx(2 * second.p_equivalent)
    assert (first.family, still.family, still.p_holm, still.p_equivalent_holm) == (2, 2, None, None)
