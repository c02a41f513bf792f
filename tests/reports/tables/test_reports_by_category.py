"""Arms side by side by category: places by mean, computed by hand, and who has none."""

import pytest
from helpers.documents import table_of
from helpers.report_study import make_plan, make_rows, spoil

from reports.tables.by_category import places, side_by_side
from reports.tables.entries import Column
from reports.views.views import views_of

ARMS = (("a", "method A", {}), ("b", "method B", {}), ("c", "method C", {}))
IMAGE = Column(metric="image_auroc", shots=1)
# Mean and median would disagree on who is second in gear: b has the higher mean, c the higher median.
SCORES = {
    "bolt": {"a": (0.5, 0.5, 0.5), "b": (0.7, 0.7, 0.7), "c": (0.6, 0.6, 0.6)},
    "gear": {"a": (0.9, 0.9, 0.9), "b": (0.6, 0.6, 0.9), "c": (0.65, 0.65, 0.65)},
}


def made(**changes):
    plan = make_plan(
        arms=ARMS,
        categories=("bolt", "gear"),
        baseline="a",
        printed=[],
        metrics=["image_auroc"],
        shown_as=["per_category"],
        **changes,
    )
    return plan, make_rows(plan, lambda arm, category, seed, _m: SCORES[category][arm][seed])


def row_of(grid, name):
    return next(row for row in grid.rows if row[0].main == name)


def marks(row):
    return [(spot.main, spot.tone.split()[-1]) for spot in row[1:]]


def test_methods_stand_side_by_side_with_first_and_second_place_by_mean():
    plan, rows = made()
    (grid,) = side_by_side(table_of(plan, rows))
    assert grid.title == "Image AUROC, 1-shot"
    assert [title for title, _ in grid.head] == ["Category", "method A", "method B", "method C"]
    assert [row[0].main for row in grid.rows] == ["bolt", "gear", "mean of all"]
    assert marks(row_of(grid, "bolt")) == [("50.0", "unplaced"), ("70.0", "first"), ("60.0", "second")]
    assert marks(row_of(grid, "gear")) == [("90.0", "first"), ("70.0", "second"), ("65.0", "unplaced")]
    # Means of all: (50 + 90) / 2, (70 + 70) / 2 and (60 + 65) / 2, the first two equal.
    assert marks(grid.rows[-1]) == [("70.0", "first"), ("70.0", "first"), ("62.5", "unplaced")]
    assert row_of(grid, "gear")[1].lines[0] == "first"
    assert row_of(grid, "gear")[2].behind == ("b", "image_auroc", "1", "gear")


def test_every_metric_and_number_of_shots_has_a_grid():
    plan, rows = made(shots=(1, 2))
    titles = [grid.title for grid in side_by_side(table_of(plan, rows))]
    assert titles == ["Image AUROC, 1-shot", "Image AUROC, 2-shot"]


def test_what_is_incomplete_has_no_place_and_the_others_say_among_how_many():
    plan, rows = made()
    spoil(plan, rows, "failed", "out of memory", arm="b", category="bolt")
    spoil(plan, rows, None, arm="a", category="gear", seed=1)
    (grid,) = side_by_side(table_of(plan, rows))
    bolt = row_of(grid, "bolt")
    assert marks(bolt) == [("50.0", "second"), ("failed (3 of 3)", "unplaced"), ("60.0", "first")]
    assert bolt[3].lines[0] == "first of 2 that are complete"
    # A's two seeds in gear have the highest mean, but are not all of its seeds.
    assert marks(row_of(grid, "gear")) == [("90.0", "unplaced"), ("70.0", "first"), ("65.0", "second")]
    spoil(plan, rows, "failed", "out of memory", arm="c", category="bolt")
    (grid,) = side_by_side(table_of(plan, rows))
    assert [tone for _, tone in marks(row_of(grid, "bolt"))] == ["unplaced"] * 3


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"a": 0.5, "b": 0.7, "c": 0.6}, {"a": 3, "b": 1, "c": 2}),
        ({"a": 0.7, "b": 0.7, "c": 0.6}, {"a": 1, "b": 1, "c": 3}),
        ({"a": 0.1 + 0.2, "b": 0.3}, {"a": 1, "b": 1}),
        ({"a": 0.0}, {"a": 1}),
        ({}, {}),
    ],
)
def test_places(means, expected):
    assert places(means) == expected


def test_the_view_says_that_places_are_no_claims_and_one_arm_keeps_its_shots_side_by_side():
    plan, rows = made(shots=(1, 2))
    ((_, view),) = views_of(table_of(plan, rows), lambda _: None)
    assert "places by mean, and no claim" in view.caption
    alone = make_plan(arms=ARMS[:1], baseline=None, metrics=["image_auroc"], shown_as=["per_category"], shots=(1, 2))
    ((_, view),) = views_of(table_of(alone, make_rows(alone, lambda *_: 0.5)), lambda _: None)
    assert [title for title, _ in view.grids[0].head[:3:2]] == ["Category", "2-shot"]
    assert "claim" not in view.caption
