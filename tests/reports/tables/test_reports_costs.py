"""Costs as a table: medians by hand, what is missing, and machines that must not be mixed."""

import pytest
from helpers.documents import table_of
from helpers.report_study import make_plan, make_rows, spoil

from reports.reading.rows import read_row
from reports.tables.costs import cost_grids, count_text, gigaflop_text, machine, seconds_text
from reports.views.views import views_of

ARMS = (("learned", "a method that learns", {}), ("fixed", "a method that does not", {}))
COST = {
    "prompts": 13,
    "learned_parameters": 4096,
    "fit_seconds": 2.0,
    "score_seconds": 0.004,
    "fit_flop": 5.0e11,
    "encode_flop": 33e9,
    "score_flop": 4.0e5,
}


def made(**changes):
    plan = make_plan(
        arms=ARMS,
        categories=("bolt", "gear", "mesh"),
        seeds=(0,),
        baseline=None,
        printed=[],
        metrics=["image_auroc"],
        tasks=["image"],
        shown_as=["cost"],
        **changes,
    )
    plan["cells"] = [cell for cell in plan["cells"] if cell["task"] == "image"]
    rows = make_rows(plan, lambda *_: 0.5)
    for cell in plan["cells"]:
        rows[cell["digest"]]["cost"] = COST | {"fit_flop": COST["fit_flop"] * (cell["arm"] == "learned")}
    return plan, rows


def change(plan, rows, category, arm="learned", **values):
    (digest,) = [cell["digest"] for cell in plan["cells"] if (cell["arm"], cell["category"]) == (arm, category)]
    rows[digest]["cost"] = rows[digest]["cost"] | values
    return rows[digest]


def grid_of(plan, rows):
    (grid,) = cost_grids(table_of(plan, rows))
    return grid


def test_costs_are_medians_with_their_range():
    plan, rows = made()
    change(plan, rows, "bolt", prompts=10, fit_seconds=1.0)
    change(plan, rows, "gear", prompts=17, fit_seconds=9.0)
    grid = grid_of(plan, rows)
    assert grid.title == "Image task, 1-shot"
    assert [f"{title} {unit}".strip() for title, unit in grid.head] == [
        "Arm",
        "Prompts texts",
        "Learned parameters",
        "To fit seconds",
        "To score an image seconds",
        "To fit GFLOP",
        "To encode an image GFLOP",
        "To score an image GFLOP",
    ]
    learned, fixed = grid.rows
    # 10, 13 and 17, whose mean is 13.3; 1, 2 and 9 seconds, whose mean is 4.
    assert [spot.main for spot in learned[1:]] == ["13", "4,096", "2 s", "4 ms", "500", "33", "< 0.001"]
    assert learned[1].lines == ("10 to 17",)
    assert learned[3].lines == ("1 s to 9 s",)
    assert learned[2].lines == ()
    assert learned[1].behind == ("learned", "image_auroc", "1")
    assert fixed[5].main == "0"


def test_what_was_not_measured_says_why_and_is_no_number():
    plan, rows = made()
    spoil(plan, rows, "failed", "out of memory", arm="fixed")
    (digest,) = [c["digest"] for c in plan["cells"] if (c["arm"], c["category"]) == ("learned", "bolt")]
    del rows[digest]
    learned, fixed = grid_of(plan, rows).rows
    assert learned[1].notes == ("of 2 of 3 cells",)
    assert {(spot.main, spot.notes) for spot in fixed[1:]} == {("not measured", ("failed (3 of 3): out of memory",))}
    for row in rows.values():
        row["cost"] = None
    table = table_of(plan, rows)
    assert cost_grids(table) == ()
    ((_, view),) = views_of(table, lambda _: None)
    assert view.absent.startswith("No cell measured its cost yet")


def test_cells_without_a_cost_beside_measured_ones():
    plan, rows = made()
    for cell in plan["cells"]:
        if cell["arm"] == "fixed":
            del rows[cell["digest"]]["cost"]
    _, fixed = grid_of(plan, rows).rows
    assert fixed[1].notes == ("its cells were not asked for it",)


def test_an_arm_that_cannot_run_says_why():
    plan, rows = made()
    plan["arms"][1] |= {"runnable": False, "not_runnable_reason": "needs a text tower"}
    plan["cells"] = [cell for cell in plan["cells"] if cell["arm"] == "learned"]
    _, fixed = grid_of(plan, rows).rows
    assert fixed[0].lines == ("cannot run here: needs a text tower",)
    assert {spot.main for spot in fixed[1:]} == {"not run"}


def test_seconds_of_two_machines_are_never_one_median():
    plan, rows = made()
    ((_, view),) = views_of(table_of(plan, rows), lambda _: None)
    assert view.caption.endswith("Seconds are of one machine: cpu, 1 thread, node-a.")
    row = change(plan, rows, "gear", fit_seconds=0.5)
    row["provenance"] = row["provenance"] | {"device": "cuda", "threads": 4, "host": "node-b"}
    table = table_of(plan, rows)
    learned, fixed = grid_of(plan, rows).rows
    assert (learned[3].main, learned[3].lines) == (
        "2 s on cpu, 1 thread, node-a",
        ("500 ms on cuda, 4 threads, node-b",),
    )
    assert fixed[3].main == "2 s on cpu, 1 thread, node-a"
    # Numbers of prompts and operations are of no machine.
    assert learned[1].main == "13"
    ((_, view),) = views_of(table, lambda _: None)
    assert "Seconds are of 2 machines" in view.caption


def test_a_machine_that_was_not_recorded_says_so():
    _, rows = made()
    digest, raw = next(iter(rows.items()))
    assert machine(read_row(digest, raw | {"provenance": {}})) == (
        "device not recorded, threads not recorded, host not recorded"
    )


@pytest.mark.parametrize("value", [None, "13", True, float("nan"), float("inf"), -1])
def test_a_cost_that_is_no_number_is_not_measured(value):
    _, rows = made()
    digest, raw = next(iter(rows.items()))
    assert "prompts" not in read_row(digest, raw | {"cost": COST | {"prompts": value}}).cost


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        (count_text, 1234567, "1,234,567"),
        (count_text, 12.5, "12.5"),
        (count_text, 0, "0"),
        (seconds_text, 123.4, "123 s"),
        (seconds_text, 1.0, "1 s"),
        (seconds_text, 0.0012345, "1.23 ms"),
        (seconds_text, 1e-7, "< 0.001 ms"),
        (gigaflop_text, 0, "0"),
        (gigaflop_text, 1, "< 0.001"),
        (gigaflop_text, 1.5e6, "0.0015"),
        (gigaflop_text, 33.456e9, "33.5"),
        (gigaflop_text, 1234.5e9, "1,234"),
    ],
)
def test_quantities_as_text(text, value, expected):
    assert text(value) == expected
