"""The part of a search on the page: its sentences and warnings, its figures, its tables, equal bytes."""

import csv
import io
import re

import numpy as np
import pytest
from helpers.documents import report_of
from helpers.figures import texts
from helpers.report_study import make_plan, make_rows
from helpers.searches_of_trials import LOSS, TOKENS, document, files, many_trials, trial

from reports.searches.configuration_figures import parallel_drawing, stability_drawing
from reports.searches.contours import contour_drawing
from reports.searches.search_figures import edf_drawing, history_drawing, pareto_drawing
from reports.searches.search_reading import read_search
from reports.searches.search_section import search_views
from reports.searches.search_tables import best_csv, trials_csv
from reports.searches.search_words import search_cautions, search_details, search_lead, search_trust
from reports.searches.sensitivity_figures import importance_drawing, slice_drawing

pytestmark = pytest.mark.slow


def method(name, parameters, absent=(), why_not=None):
    made = {key: {"all_trials": mean, "mean": mean, "low": low, "high": high} for key, (mean, low, high) in parameters}
    reasons = dict.fromkeys(absent, "active in some trials only, which fANOVA cannot use")
    return {
        "method": name,
        "trials": 31,
        "resamples": 50,
        "absent": reasons,
        "parameters": made,
        "why_not": why_not,
    }


SENSITIVITY = {
    "objectives": [
        {
            "label": "Mean image AUROC",
            "methods": [
                method(
                    "PED-ANOVA",
                    [
                        ("lr", (0.6, 0.4, 0.8)),
                        ("tokens", (0.2, 0.1, 0.4)),
                        ("loss", (0.15, 0, 0.2)),
                        ("weight", (0.05, 0, 0.1)),
                    ],
                ),
                method(
                    "fANOVA",
                    [("lr", (0.9, 0.8, 0.95)), ("tokens", (0.08, 0.02, 0.2)), ("loss", (0.02, 0, 0.1))],
                    absent=["weight"],
                ),
            ],
        }
    ]
}


def made(trials=None, **changes):
    trials = many_trials(40, pruned=6, failed=1) if trials is None else trials
    return files(document(**changes), trials, sensitivity=SENSITIVITY)


def read(trials=None, **changes):
    return read_search(made(trials, **changes))


def report(out, *searches, plans=()):
    rows = {digest: row for plan in plans for digest, row in make_rows(plan).items()}
    return report_of(plans=plans, rows=rows, examples=lambda _: None, out=out, searches=searches)


def everything(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_searches_give_equal_bytes_and_no_nan(tmp_path):
    first = everything(report(tmp_path / "a", made()).parent)
    again = everything(report(tmp_path / "b", made(list(reversed(many_trials(40, pruned=6, failed=1))))).parent)
    assert first == again
    assert {name.split(".")[0] for name in first if name.startswith("figures/")} == {
        f"figures/search-quick_{stem}"
        for stem in ("importances", "slices", "contour", "parallel", "history", "edf", "stability")
    }
    for name, content in first.items():
        if name.endswith((".csv", ".html")):
            assert not re.search(rb"\b(nan|inf)\b", content, re.IGNORECASE), name


def test_a_report_without_searches_knows_nothing_of_them(tmp_path):
    page = report(tmp_path, plans=[make_plan()]).read_text()
    assert 'id="search-' not in page
    assert "search" not in page.split("<main", 1)[1].split("<script>")[0].lower()


def test_a_search_stands_beside_the_tables(tmp_path):
    page = report(tmp_path, made(), plans=[make_plan()]).read_text()
    assert page.count('class="card"') == 2
    assert page.index('id="table3"') < page.index('id="search-quick"') < page.index('id="heatmaps"')
    assert "1 search, 1 table," in page


def test_two_things_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="these repeat: search-quick"):
        report(tmp_path, made(), made())
    with pytest.raises(ValueError, match="must be letters"):
        report(tmp_path, files(document(), [], name="../x"))


def test_the_lead_tells_the_winner_the_defaults_and_what_matters():
    search = read(
        [
            trial(0, {"tokens": 4, "loss": "on"}, value=lambda _, s: (0.70, 0.80, 0.60)[s]),
            trial(1, {"tokens": 8, "loss": "on"}, value=lambda _, s: (0.72, 0.83, 0.61)[s]),
        ],
        space=(TOKENS, LOSS),
    )
    lead = search_lead(search, {})
    assert lead.startswith(
        "Best of 2 complete trials: 72.0 by trial 1 (learnable tokens 8). The paper's defaults reach 70.0"
    )
    assert "a difference of +2.0 points [\N{MINUS SIGN}0.5, +4.5], n = 3, in the search itself." in lead
    assert "not re-evaluated on fresh seeds" in lead
    assert "What matters most: learnable tokens (PED-ANOVA 20% [10, 40], fANOVA 8% [2, 20])." in lead
    assert search_lead(read([]), {}) == "No trial is complete yet."


def test_what_makes_numbers_worth_less_is_said():
    careless = read(sampler="tpe")
    cautions = " ".join(search_cautions(careless))
    assert "Tuned on test" in cautions
    assert "The sampler (tpe) looked at earlier trials" in cautions
    assert ("TUNED ON TEST", "warn") in search_trust(careless)
    assert ("tpe (adaptive)", "warn") in search_trust(careless)
    assert "Warning: tpe is adaptive" in dict(search_views(careless, {}))["importances"].caption
    objective = document()["objective"] | {"on_test": False, "tuned_on": "pseudo-anomalies on bolt"}
    careful = read(sampler="sobol", objective=objective)
    assert search_cautions(careful) == ()
    assert not any(tone == "warn" and "TEST" in text for text, tone in search_trust(careful))
    assert "Warning" not in dict(search_views(careful, {}))["importances"].caption
    assert ("RANDOM WEIGHTS", "warn") in search_trust(read(backbone="ViT-B-32:random"))


def test_pruning_and_stability_are_told_in_numbers():
    pruning, stability = search_details(read())
    # 33 complete trials of 6 cells, 6 pruned ones of 2.
    assert pruning.startswith("Pruning stopped 6 of 40 trials early: 24 of 234 cells (10%) were not run, about 45 s")
    assert re.match(
        r"Trial \d+ is first at \d of 3 seeds \(worst rank \d+\), and leads the best ten in \d+% of", stability
    )


def test_damaged_files_are_named_on_the_page(tmp_path):
    trials = many_trials(12)
    trials[3]["values"] = [float("nan")]
    broken = files(document("broken", schema=7), [])
    page = report(tmp_path, files(document(), trials, damaged={"searches/quick/00099.json": "not JSON"}), broken)
    text = page.read_text()
    for name in ("searches/quick/0003.json", "searches/quick/00099.json", "searches/broken.json"):
        assert name in text
    assert 'id="search-broken"' not in text
    assert "Best of 11 complete trials" in text


def test_what_a_user_wrote_is_text(tmp_path):
    evil = "<script>alert(1)</script>"
    space = (TOKENS | {"label": evil}, LOSS | {"values": ["on", evil]})
    trials = [trial(n, {"tokens": 1 + n, "loss": ("on", evil)[n % 2]}, value=0.5 + n / 50) for n in range(6)]
    trials.append(trial(6, {"tokens": 1, "loss": "on"}, state="failed", reason=evil))
    text = report(tmp_path, made(trials, space=space, backbone=evil)).read_text()
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_search_without_a_complete_trial_has_a_part_that_says_so(tmp_path):
    text = report(tmp_path, made([trial(0, {}, state="failed", reason="out of memory")])).read_text()
    assert "No trial is complete yet." in text
    assert "out of memory" in text


def test_importances_are_drawn_with_their_spread():
    drawing = importance_drawing(read(), 0)
    left, right = drawing.figure.axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([60, 20, 15, 5])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([90, 8, 2])
    assert any(tuple(line.get_xdata()) == pytest.approx((40, 80)) for line in left.lines)
    assert "not always active: no value" in texts(drawing.figure)
    assert importance_drawing(read_search(files(document(), many_trials(5))), 0) is None


def test_slices_mark_the_default_and_the_best():
    drawing = slice_drawing(read(), 0)
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes[:4]] == [
        "learning rate",
        "learnable tokens",
        "alignment loss",
        "weight of the loss",
    ]
    rate = drawing.figure.axes[0]
    default = (np.log10(0.002) + 4) / 3
    assert any(list(line.get_xdata()) == pytest.approx([default, default]) for line in rate.lines)
    best = max(read().complete, key=lambda one: one.values[0])
    stars = [line for line in rate.lines if line.get_marker() == "*"]
    assert [star.get_ydata()[0] for star in stars] == pytest.approx([100 * best.values[0]])
    assert "only where alignment loss is on" in texts(drawing.figure)
    assert len(rate.collections[0].get_offsets()) == 33


def test_a_choice_among_the_two_gives_tiles_and_numbers_a_contour():
    numeric = contour_drawing(read(), 0)
    assert numeric.figure.axes[0].get_xlabel() == "learning rate"
    assert numeric.figure.axes[0].get_ylabel() == "learnable tokens"
    some = [trial(n, {"tokens": 1 + n % 3, "loss": ("on", "off")[n % 2]}, value=0.5 + n / 50) for n in range(5)]
    drawing = contour_drawing(read(some, space=(TOKENS, LOSS)), 0)
    mesh = drawing.figure.axes[0].collections[0].get_array()
    # tokens 1: trials 0 (on) and 3 (off); 2: 4 (on) and 1 (off); 3: 2 (on); 4 is the paper's, and was not tried.
    assert mesh.reshape(2, 4)[:, :3].filled(-1).ravel() == pytest.approx([50, 58, 54, 56, 52, -1])
    assert len([patch for patch in drawing.figure.axes[0].patches if patch.get_hatch()]) == 3
    assert contour_drawing(read(some[:3], space=(TOKENS, LOSS)), 0) is None


def test_trials_on_one_line_give_tiles():
    same = [trial(n, {"lr": 0.01, "tokens": 1 + n, "loss": "off"}, value=0.5 + n / 50) for n in range(6)]
    assert contour_drawing(read(same), 0) is not None


def test_history_and_distribution_tell_the_same_trials():
    search = read()
    history, edf = history_drawing(search, 0), edf_drawing(search, 0)
    assert [line["state"] for line in history.data].count("pruned") == 6
    assert {"pruned (6)", "failed (1)", "paper's default"} <= set(texts(history.figure))
    assert all(line["objective"] == "NA" for line in history.data if line["state"] != "complete")
    values = [float(line["objective"]) for line in edf.data]
    assert values == sorted(values)
    assert (edf.data[0]["share"], edf.data[-1]["share"]) == (f"{1 / 33:.6f}", "1.000000")


def test_every_configuration_is_a_line_and_what_was_not_active_lies_below():
    drawing = parallel_drawing(read(), 0)
    lines = [line for line in drawing.figure.axes[0].lines if len(line.get_xdata()) == 5]
    assert len(lines) == 34
    assert "not active" in texts(drawing.figure)
    assert min(min(line.get_ydata()) for line in lines) == pytest.approx(-0.12)
    assert {line["weight"] == "NA" for line in drawing.data} == {True, False}


def test_the_front_is_drawn_for_every_pair():
    trials = [trial(n, {"tokens": 1 + n, "loss": "on"}, values=[0.5 + n / 50, 0.9 - n / 50, 5.0]) for n in range(4)]
    search = read(
        trials,
        space=(TOKENS, LOSS),
        metrics=("image_auroc", "pixel_auroc", "seconds"),
        directions=("maximize", "maximize", "minimize"),
    )
    drawing = pareto_drawing(search)
    assert len(drawing.figure.axes) == 3
    assert [line["front"] for line in drawing.data] == ["yes"] * 4
    assert "Pareto front (4)" in texts(drawing.figure)
    assert drawing.figure.axes[1].get_ylabel() == "Seconds of a cell (lower is\nbetter)"
    assert pareto_drawing(read()) is None
    assert search_lead(search, {}).startswith(
        "4 of 4 complete trials are on the Pareto front of Image AUROC, Pixel AUROC and Seconds of a cell."
    )


def test_ranks_need_two_seeds():
    assert stability_drawing(read(), 0) is not None
    assert stability_drawing(read(seeds=[0]), 0) is None


def test_tables_hold_every_number_or_say_that_it_is_absent():
    search = read()
    best = list(csv.DictReader(io.StringIO(best_csv(search, {}))))
    assert len(best) == 11
    assert [line["default"] for line in best] == ["no"] * 10 + ["yes"]
    assert {line["fresh_cells"] for line in best} == {"not re-evaluated"}
    assert best[-1]["difference"] == "NA"
    assert float(best[0]["in_search"]) == pytest.approx(max(one.values[0] for one in search.complete), abs=1e-6)
    trials = list(csv.DictReader(io.StringIO(trials_csv(search))))
    assert len(trials) == 40
    assert [line["mean_auroc"] for line in trials if line["state"] != "complete"] == ["NA"] * 7
    assert trials[-1]["reason"] == "out of memory"
    assert float(trials[0]["param lr"]) == 0.002
