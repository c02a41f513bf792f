"""The fabricated study of the reports' tests is what those tests take it for."""

import numpy as np
from helpers.report_study import (
    CATEGORIES,
    SEED_SHIFT,
    SEEDS,
    WOBBLE,
    make_plan,
    make_rows,
    score,
)


def test_every_planned_cell_has_a_row_with_valid_scores():
    plan = make_plan()
    rows = make_rows(plan)
    assert len(plan["cells"]) == len({cell["digest"] for cell in plan["cells"]}) == 5 * 6 * 3 * 2
    assert all(0 <= value <= 1 for row in rows.values() for value in row["scores"].values())


def test_the_fixture_separates_mean_from_median():
    for values in (list(SEED_SHIFT.values()), *(v for arm, v in WOBBLE.items() if arm != "none")):
        assert abs(np.mean(values) - np.median(values)) > 5e-4
    means = [np.mean([score("all", c, s, "pro") for c in CATEGORIES]) for s in SEEDS]
    assert abs(np.mean(means) - np.median(means)) > 5e-3
