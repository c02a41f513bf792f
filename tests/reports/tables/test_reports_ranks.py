"""Ranks over the tables by method: places, counts and claims by hand, and what must not be counted or mixed."""

import csv
import io

import pytest
from helpers.documents import report_of, table_of
from helpers.report_study import make_plan, make_rows, spoil

from ablations.catalogue import CATALOGUE
from reports.outputs.ranks_text import rank_facts, rank_grid, rank_sentences, to_csv, to_markdown
from reports.tables.ranks import rankings
from study.planning.printed import printed_firsts

METHODS = ("SPADE", "WinCLIP+", "PromptAD")
METRIC = {"table1": "image_auroc", "table4": "pixel_auroc"}
# Mean over the two categories at each of three seeds, by (data set, table): mean and median disagree for SPADE.
MEANS = {
    ("mvtec", "table1"): {
        "SPADE": (0.60, 0.61, 0.80),
        "WinCLIP+": (0.80, 0.808, 0.822),
        "PromptAD": (0.90, 0.91, 0.92),
    },
    # PromptAD leads by 1 point on average, which its seeds do not bear out.
    ("mvtec", "table4"): {"SPADE": (0.70, 0.71, 0.72), "WinCLIP+": (0.80, 0.90, 0.85), "PromptAD": (0.88, 0.82, 0.88)},
    # WinCLIP+ is first and PromptAD second, by 10 points at every seed.
    ("visa", "table1"): {"SPADE": (0.50, 0.51, 0.53), "WinCLIP+": (0.80, 0.81, 0.83), "PromptAD": (0.70, 0.712, 0.73)},
}


def plan_of(ablation, dataset="mvtec", shots=(1,), **changes):
    arms = tuple((name, name, {}) for name in METHODS)
    metric, task = METRIC[ablation], METRIC[ablation].split("_")[0]
    values = {
        "ablation": ablation,
        "title": CATALOGUE[ablation].title,
        "baseline": "PromptAD",
        "dataset": dataset,
        "dataset_title": {"mvtec": "MVTec AD", "visa": "VisA"}[dataset],
        "metrics": [metric],
        "tasks": [task],
        "shown_as": ["arms"],
        "printed": [],
        "printed_firsts": [
            {"dataset": place[0], "metric": place[1], "shots": place[2], "first": first}
            for place, first in printed_firsts(CATALOGUE[ablation]).items()
        ],
    }
    name = changes.pop("name", f"{ablation}-{dataset}")
    plan = make_plan(name, arms=arms, categories=("bolt", "gear"), shots=shots, **(values | changes))
    plan["cells"] = [cell for cell in plan["cells"] if cell["task"] == task]
    return plan


def rows_of(plan, means=None):
    values = means or MEANS[plan["dataset"], plan["ablation"]]
    return make_rows(plan, lambda arm, category, seed, _m: values[arm][seed] + (0.02 if category == "bolt" else -0.02))


def study(*plans, **options):
    return [table_of(plan, rows_of(plan, **options)) for plan in plans]


def sentences(ranking):
    return " ".join(rank_sentences(ranking))


def spots(ranking, label):
    return next(row for row in rank_grid(ranking).rows if row[0].main == label)[1:]


def test_places_are_by_mean_and_a_lead_is_a_claim_only_where_its_effect_is():
    (ranking,) = rankings(study(plan_of("table1"), plan_of("table4"), plan_of("table1", "visa")))
    assert [setting.lead for setting in ranking.settings] == ["claim", "no claim", "claim"]
    assert [spot.main for spot in spots(ranking, "PromptAD")] == ["1", "1", "2"]
    assert [spot.main for spot in spots(ranking, "WinCLIP+")] == ["2", "2", "1"]
    assert [spot.main for spot in spots(ranking, "SPADE")] == ["3", "3", "3"]
    assert [spot.lines for spot in spots(ranking, "PromptAD")] == [
        ("91.0", "lead is a claim"),
        ("86.0", "lead is no claim"),
        ("71.4",),
    ]
    assert spots(ranking, "SPADE")[0].lines == ("67.0",)
    assert spots(ranking, "WinCLIP+")[2].behind == ("table1-visa", "WinCLIP+", "image_auroc", "1")
    assert sentences(ranking) == (
        "PromptAD is first by mean in 2 of 3 settings; its lead over the second is a claim in 1 of these 2. In the "
        "paper's numbers (Table 1 and Table 4) PromptAD is first in 11 of 12."
    )


def test_the_papers_count_is_that_of_all_its_rows():
    # FastRecon's 97.0 is above PromptAD's 96.5: MVTec, pixels, 4 shots. No table here has its row.
    plans = [plan_of("table1"), plan_of("table4")]
    (ranking,) = rankings(study(*plans))
    assert rank_sentences(ranking)[-1].endswith("PromptAD is first in 11 of 12.")
    (image,) = rankings(study(plans[0]))
    assert rank_sentences(image)[-1] == "In the paper's numbers (Table 1) PromptAD is first in 6 of 6."


def test_the_catalogues_own_tables_have_the_papers_eleven_of_twelve():
    firsts = printed_firsts(CATALOGUE["table1"]) | printed_firsts(CATALOGUE["table4"])
    assert (sum(firsts.values()), len(firsts)) == (11, 12)
    assert [place for place, first in firsts.items() if not first] == [("mvtec", "pixel_auroc", 4)]


def test_a_setting_without_a_number_of_every_method_is_shown_and_not_counted():
    plan = plan_of("table1", shots=(1, 2))
    rows = rows_of(plan)
    spoil(plan, rows, "failed", "out of memory", arm="WinCLIP+", shots=2)
    (ranking,) = rankings([table_of(plan, rows)])
    assert [setting.complete for setting in ranking.settings] == [True, False]
    assert sentences(ranking).startswith("PromptAD is first by mean in 1 of 1 setting; its lead")
    assert "1 setting is not counted: a number is missing." in sentences(ranking)
    missing, ours = spots(ranking, "WinCLIP+")[1], spots(ranking, "PromptAD")[1]
    assert (missing.main, missing.notes) == ("no rank", ("failed (6 of 6): out of memory",))
    assert (ours.main, ours.notes) == ("1", ("of 2 with a number",))


def test_a_mean_over_fewer_seeds_has_no_rank():
    plan = plan_of("table1")
    rows = rows_of(plan)
    spoil(plan, rows, None, arm="SPADE", seed=0)
    (ranking,) = rankings([table_of(plan, rows)])
    spot = spots(ranking, "SPADE")[0]
    assert spot.main == "no rank"
    assert spot.notes[0].startswith("70.5, incomplete (2 of 3 seeds)")
    assert ranking.counted == ()
    assert sentences(ranking).startswith("No setting has a number of every method yet")


def test_nothing_run_yet_ranks_nothing():
    (ranking,) = rankings([table_of(plan_of("table1"), {})])
    assert {spot.main for row in rank_grid(ranking).rows for spot in row[1:]} == {"no rank"}
    assert "1 setting is not counted" in sentences(ranking)


def test_equal_means_share_the_first_place():
    equal = {"SPADE": (0.5, 0.6, 0.7), "WinCLIP+": (0.8, 0.81, 0.85), "PromptAD": (0.85, 0.8, 0.81)}
    (ranking,) = rankings(study(plan_of("table1"), means=equal))
    assert [spots(ranking, name)[0].main for name in METHODS] == ["3", "1", "1"]
    assert "claim in 0 of these 1, and 1 of them it shares." in sentences(ranking)


def test_a_lead_between_two_others_is_not_tested_here():
    others = {"SPADE": (0.8, 0.81, 0.82), "WinCLIP+": (0.9, 0.91, 0.92), "PromptAD": (0.5, 0.51, 0.52)}
    (ranking,) = rankings(study(plan_of("table1"), means=others))
    assert ranking.settings[0].lead == "not tested"
    assert spots(ranking, "WinCLIP+")[0].lines == ("91.0", "lead not tested here")
    assert sentences(ranking).startswith("PromptAD is first by mean in 0 of 1 setting. In the paper")


def test_one_seed_makes_no_claim():
    (ranking,) = rankings(study(plan_of("table1", seeds=(0,))))
    assert ranking.settings[0].lead == "no claim"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "RN101:random", "weights_label": "RANDOM"},
        {"weights_label": "another checkpoint"},
        {"protocol": "reference"},
        {"selection": "best_on_test"},
        {"categories": ("bolt", "gear")},
    ],
)
def test_what_was_measured_otherwise_stands_in_a_ranking_of_its_own(changes):
    other = plan_of("table4", **({} if "categories" in changes else changes), name="other")
    if "categories" in changes:
        other["categories"] = ["bolt"]
        other["cells"] = [cell for cell in other["cells"] if cell["category"] == "bolt"]
    found = rankings(study(plan_of("table1"), other))
    assert [[table.plan.name for table in ranking.tables] for ranking in found] == [["table1-mvtec"], ["other"]]
    facts = {rank_facts(ranking) for ranking in found}
    assert len(facts) == (1 if "categories" in changes else 2)
    together = rankings(study(plan_of("table1"), plan_of("table4")))
    assert len(together) == 1


def test_other_weights_under_the_same_name_are_told_by_the_rows():
    first, second = study(plan_of("table1"), plan_of("table4"))
    other_plan = plan_of("table4")
    rows = rows_of(other_plan)
    for row in rows.values():
        row["cell"]["weights"] = "x" * 12
    assert len(rankings([first, second])) == 1
    assert len(rankings([first, table_of(other_plan, rows)])) == 2
    # Where nothing has run nothing contradicts.
    assert len(rankings([first, table_of(other_plan, {})])) == 1


def test_a_setting_is_counted_once():
    again = plan_of("table1", shots=(1, 2), name="again")
    found = rankings(study(plan_of("table1"), again))
    assert [[setting.column.shots for setting in ranking.settings] for ranking in found] == [[1], [1, 2]]
    more = plan_of("table1", shots=(2,), name="more")
    (ranking,) = rankings(study(plan_of("table1"), more))
    assert [setting.column.shots for setting in ranking.settings] == [1, 2]


def test_no_ranking_without_two_methods_or_without_a_table_by_method():
    plan = plan_of("table4")
    assert rankings([table_of(plan | {"ablation": "table9"}, rows_of(plan))]) == ()
    alone = plan_of("table1")
    alone["arms"] = [
        arm if arm["name"] == "PromptAD" else arm | {"runnable": False, "not_runnable_reason": "no"}
        for arm in alone["arms"]
    ]
    alone["cells"] = [cell for cell in alone["cells"] if cell["arm"] == "PromptAD"]
    assert rankings(study(alone)) == ()
    without = plan_of("table1")
    without["arms"][2] |= {"runnable": False, "not_runnable_reason": "needs texts"}
    without["cells"] = [cell for cell in without["cells"] if cell["arm"] != "PromptAD"]
    assert rankings(study(without)) == ()


def test_files_and_page_hold_the_ranks(tmp_path):
    plans = [plan_of("table1"), plan_of("table4")]
    rows = {digest: row for plan in plans for digest, row in rows_of(plan).items()}
    page = report_of(plans=plans, rows=rows, examples=lambda _: None, out=tmp_path).read_text()
    assert '<section id="ranks">' in page
    assert '<a href="#ranks">' in page
    assert 'href="#cells=table4-mvtec/PromptAD/pixel_auroc/1"' in page
    text = (tmp_path / "tables" / "ranks.md").read_text()
    assert "PromptAD is first by mean in 2 of 2 settings" in text
    assert "| PromptAD | 1 (91.0; lead is a claim) | 1 (86.0; lead is no claim) |" in text
    lines = list(csv.DictReader(io.StringIO((tmp_path / "tables" / "ranks.csv").read_text())))
    assert len(lines) == 6
    assert (lines[0]["label"], lines[0]["rank"], lines[0]["mean"], lines[0]["lead"]) == ("SPADE", "3", "0.670000", "NA")
    assert [line["lead"] for line in lines if line["rank"] == "1"] == ["claim", "no claim"]
    tables = [table_of(plan, rows) for plan in plans]
    assert (to_markdown(rankings(tables)), len(to_csv(rankings(tables)).splitlines())) == (text, 7)


@pytest.mark.slow
def test_a_page_without_tables_by_method_has_no_ranks(tmp_path):
    plan = make_plan()
    page = report_of(plans=[plan], rows=make_rows(plan), examples=lambda _: None, out=tmp_path).read_text()
    assert "ranks" not in page
    assert not list((tmp_path / "tables").glob("ranks*"))
