import math

import pytest
from helpers.documents import documents_of, table_of
from helpers.plans import request
from scipy import stats

from ablations.ours.own import TRANSFER
from promptad.configs.promptad_config import PromptADConfig
from reports.reading.proxy_objectives import PROXIES
from reports.tables.transfer import over_categories, rank_correlation, regret_of, transfer_text, transfers
from reports.views.transfer_figures import transfer_drawings, transfer_grids
from reports.views.views import transfer_view
from study.planning.plan import plan_study


def test_the_rank_correlation_and_its_interval():
    first, second = [0.1, 0.4, 0.2, 0.9, 0.5], [1.0, 2.0, 3.0, 5.0, 4.0]
    r, low, high = rank_correlation(first, second)
    # Ranks 1 3 2 5 4 against 1 2 3 5 4: 1 - 6 * 2 / (5 * 24).
    assert r == pytest.approx(0.9) == pytest.approx(stats.spearmanr(first, second).statistic)
    half = 1.959964 * math.sqrt((1 + 0.81 / 2) / 2)
    assert (low, high) == pytest.approx(
        (math.tanh(math.atanh(0.9) - half), math.tanh(math.atanh(0.9) + half)), abs=1e-6
    )
    assert rank_correlation(second, [-value for value in second])[0] == pytest.approx(-1)
    assert rank_correlation([1.0] * 5, second) is None
    assert rank_correlation(first[:3], second[:3]) is None


def test_regret_is_what_the_chosen_setting_leaves():
    truth = [0.7, 0.9, 0.8]
    assert regret_of([0.1, 0.2, 0.3], truth) == pytest.approx(0.1)
    assert regret_of([0.1, 0.3, 0.2], truth) == 0.0
    # A tie is broken blindly: the mean of 0.7 and 0.8.
    assert regret_of([0.3, 0.1, 0.3], truth) == pytest.approx(0.15)


@pytest.fixture(scope="module")
def planned(inspection_root):
    asked = request(inspection_root, ablations=(TRANSFER,), base=PromptADConfig(epochs=1, map_size=48))
    plan = plan_study(asked)
    (document,) = documents_of(plan)
    return plan, document


def rows_of(plan, document, score):
    """Rows as JSON, scored by setting number, category and whether the cell is a proxy."""
    found = {}
    for kind in ("cells", "proxies"):
        for place in document[kind]:
            number = -1 if place["arm"] == "paper" else int(place["arm"].split()[1])
            cell = plan.cells[place["digest"]]
            value = score(number, place["category"], kind == "proxies")
            names = {"image": ("image_auroc", "image_aupr"), "pixel": ("pixel_auroc", "pro")}[place["task"]]
            found[place["digest"]] = {
                "schema": 1,
                "digest": place["digest"],
                "cell": cell.as_dict(),
                "status": "ok",
                "scores": dict.fromkeys(names, value),
                "seconds": {"total": 1.0},
            }
    return found


def test_every_cell_of_the_test_set_has_a_twin_on_pseudo_anomalies(planned):
    plan, document = planned
    assert len(document["cells"]) == len(document["proxies"]) == 17 * 2 * 2 * 2
    twins = {tuple(cell[key] for key in ("arm", "category", "shots", "seed", "task")) for cell in document["proxies"]}
    assert twins == {
        tuple(cell[key] for key in ("arm", "category", "shots", "seed", "task")) for cell in document["cells"]
    }
    for cell in document["proxies"]:
        assert plan.cells[cell["digest"]].query == "synthetic"
    data = {plan.cells[cell["digest"]].data for cell in document["cells"]}
    assert not data & {plan.cells[cell["digest"]].data for cell in document["proxies"]}


@pytest.mark.slow
def test_each_objective_is_compared_with_the_test_set_of_every_category(planned):
    plan, document = planned

    def score(number, category, proxy):
        if number < 0:
            return 0.65
        if proxy:
            return 0.5 + 0.01 * number
        # On plates the pseudo-anomalies rank as the test set does; on discs the other way round.
        return 0.6 + 0.01 * number if category == "plate" else 0.8 - 0.01 * number

    table = table_of(document, rows_of(plan, document, score))
    found = {(t.category, t.metric, t.objective.name): t for t in transfers(table)}
    assert len(found) == 2 * 2 * 2
    plate = found["plate", "image_auroc", "synthetic"]
    assert (plate.n, plate.correlation, plate.regret) == (16, pytest.approx(1.0), pytest.approx(0.0))
    # Blindly: 0.75 minus the mean of 0.60 ... 0.75; the base has 0.65.
    assert (plate.at_random, plate.of_base) == (pytest.approx(0.075), pytest.approx(0.1))
    disc = found["disc", "pixel_auroc", "synthetic"]
    assert (disc.correlation, disc.regret) == (pytest.approx(-1.0), pytest.approx(0.15))
    assert found["plate", "image_auroc", "held_out_categories"].correlation == pytest.approx(-1.0)
    overall = over_categories(found.values())
    synthetic, others = (overall["image_auroc", 2, proxy] for proxy in PROXIES)
    assert (synthetic.correlation, synthetic.ranked, synthetic.n) == (pytest.approx(0.0), 2, 2)
    assert (synthetic.regret, synthetic.at_random.mean) == (pytest.approx(0.075), pytest.approx(0.075))
    # Two categories at +1 and -1: t(0.975, 1) = 12.706 times an SD of sqrt 2 over sqrt 2.
    assert synthetic.interval == pytest.approx((-12.706, 12.706), abs=1e-3)
    # Other categories judge each other, so that their correlations are no sample of independent ones.
    assert (others.correlation, others.interval) == (pytest.approx(-1.0), None)
    grids = transfer_grids(table)
    assert [grid.title for grid in grids] == ["2-shot Image AUROC", "2-shot Pixel AUROC"]
    assert [row[0].main for row in grids[0].rows] == ["disc", "plate", "mean over categories"]
    assert [spot.main for spot in grids[0].rows[1][1:5]] == ["1.00", "0.0", "-1.00", "+15.0"]
    assert [spot.lines for spot in grids[0].rows[2][1:6]] == [
        ("[-12.71, 12.71], n = 2 categories",),
        ("no interval, n = 2 categories",),
        ("no interval, n = 2 categories",),
        ("no interval, n = 2 categories",),
        ("no interval, n = 2 categories",),
    ]
    assert len(transfer_drawings(table)) == 2
    first, second = transfer_text(table).splitlines()[:2]
    assert first.startswith("2-shot Image AUROC, pseudo-anomalies: rank correlation 0.00 [")
    assert first.endswith("regret +7.5 points (blind choice +7.5), n = 2 categories")
    assert "other categories: rank correlation -1.00, no interval, regret" in second
    caption = transfer_view(table, lambda _: None).caption
    assert "Other categories judge each other" in caption


@pytest.mark.slow
def test_settings_that_all_tie_have_no_correlation_and_missing_cells_no_transfer(planned):
    plan, document = planned
    rows = rows_of(plan, document, lambda number, _, proxy: 0.5 if proxy else 0.6 + 0.001 * number)
    found = [t for t in transfers(table_of(document, rows)) if t.objective.name == "synthetic"]
    assert {t.correlation for t in found} == {None}
    # Whatever is chosen is chosen blindly.
    assert all(t.regret == pytest.approx(t.at_random) for t in found)
    lost = next(
        cell
        for cell in document["proxies"]
        if (cell["arm"], cell["task"], cell["category"]) == ("setting 3", "image", "plate")
    )
    del rows[lost["digest"]]
    table = table_of(document, rows)
    places = {(t.category, t.metric, t.objective.name) for t in transfers(table)}
    assert ("plate", "image_auroc", "synthetic") not in places
    assert ("plate", "image_auroc", "held_out_categories") in places
    assert transfer_view(table_of(document, {}), lambda _: None).absent == "No category has all its cells yet."
