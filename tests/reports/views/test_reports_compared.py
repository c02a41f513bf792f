"""The comparison of arms on the same test images: which images are drawn, and what stands where a map is missing."""

import numpy as np
import pytest
from helpers.documents import table_of
from helpers.report_study import make_examples, make_plan, make_rows, spoil
from matplotlib.text import Text

from reports.staging import staging
from reports.style import png
from reports.views.compared import choose_compared, compared_drawings
from reports.views.heatmaps import write_heatmaps
from reports.views.views import views_of

ARMS = (("ours", "Ours", {}), ("memory", "Memory", {}), ("windows", "Windows+", {}))
CHOSEN = ["logical", "smallest", "kind", "kind"]


def study(categories=("bolt", "gear", "mesh"), **changes):
    """A plan of three arms; every pixel cell of the first seed keeps the same four images per category.

    An arm's pixel AUROC of an image is 0.9, 0.8 or 0.7 by its place among the arms. Defects shrink from category to
    category.
    """
    plan = make_plan("figure8", arms=ARMS, categories=categories, shown_as=["compared"], seeds=(0, 1), **changes)
    plan |= {"baseline": None, "published": []}
    arrays = make_examples(plan)
    for cell in plan["cells"]:
        kept = arrays.get(cell["digest"])
        if kept is None:
            continue
        place = [name for name, _, _ in ARMS].index(cell["arm"])
        kept["chosen_as"] = np.array(["best", "best", "worst", "worst"])
        kept["logical"] = np.array([True, False, False, False])
        compared = {**kept, "chosen_as": np.array(CHOSEN), "pixel_auroc": np.full(4, 0.9 - 0.1 * place)}
        compared["defect_area"] = np.array([0.2, 0.05, 0.1, 0.1]) / (1 + categories.index(cell["category"]))
        arrays[cell["digest"]] = kept | {f"compared/{name}": values for name, values in compared.items()}
    return plan, make_rows(plan, lambda *_: 0.5), arrays


def shown(plan, rows, arrays):
    ((_, view),) = views_of(table_of(plan, rows), arrays.get)
    return view


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.slow
def test_every_arm_has_its_map_of_the_same_images_with_its_own_auroc():
    plan, rows, arrays = study()
    logical, smallest, kinds = shown(plan, rows, arrays).drawings
    assert [drawing.stem for drawing in (logical, smallest, kinds)] == [
        "compared_logical",
        "compared_smallest",
        "compared_kind",
    ]
    said = {(line["image"], line["category"], line["arm"]): line for line in logical.data}
    assert set(said) == {("test/crack/000.png", category, arm) for category in plan["categories"] for arm, _, _ in ARMS}
    scores = {arm: line["pixel_auroc"] for (_, category, arm), line in said.items() if category == "gear"}
    assert scores == {"ours": "0.900000", "memory": "0.800000", "windows": "0.700000"}
    assert {line["why"] for line in said.values()} == {"ok"}
    words = texts(logical.figure)
    assert {"Ours", "Memory", "Windows+", "AUROC 90.0", "AUROC 80.0", "AUROC 70.0"} <= set(words)
    assert words.count("Logical") == 3
    assert "anomaly maps of Ours, Memory, Windows+" in logical.alt
    assert logical.photographs
    assert len(kinds.data) == 3 * 2 * 3


@pytest.mark.slow
def test_the_smallest_defects_come_first():
    plan, rows, arrays = study()
    smallest = shown(plan, rows, arrays).drawings[1]
    # 0.05, 0.05 / 2 and 0.05 / 3: the categories in reverse.
    assert [line["category"] for line in smallest.data[::3]] == ["mesh", "gear", "bolt"]
    assert [line["defect_area"] for line in smallest.data[::3]] == ["0.016667", "0.025000", "0.050000"]


@pytest.mark.slow
def test_categories_take_turns_where_not_all_images_fit():
    categories = ("bolt", "gear", "mesh", "plate", "ring")
    plan, rows, arrays = study(categories)
    view = shown(plan, rows, arrays)
    kinds = view.drawings[2]
    # Two images of each of five categories, eight drawn: the last two categories have one.
    drawn = [line["category"] for line in kinds.data[::3]]
    assert drawn == ["bolt", "bolt", "gear", "gear", "mesh", "mesh", "plate", "ring"]
    # 20 kept: 5 logical, 4 of 5 smallest and 8 of 10 others are drawn.
    assert "3 more are in the heatmap browser." in view.caption


@pytest.mark.slow
def test_a_missing_map_says_why_in_its_column():
    plan, rows, arrays = study()
    plan["arms"][2] |= {"runnable": False, "not_runnable_reason": "Windows+ needs a transformer backbone"}
    plan["cells"] = [cell for cell in plan["cells"] if cell["arm"] != "windows"]
    spoil(plan, rows, "failed", "CUDA out of memory", arm="memory", category="gear", task="pixel")
    spoil(plan, rows, None, arm="memory", category="mesh", task="pixel")
    for cell in plan["cells"]:
        if cell["digest"] not in rows or rows[cell["digest"]]["status"] != "ok":
            arrays.pop(cell["digest"], None)
    view = shown(plan, rows, arrays)
    why = {(line["category"], line["arm"]): line["why"] for line in view.drawings[0].data}
    assert why["bolt", "memory"] == "ok"
    assert why["gear", "memory"] == "failed: CUDA out of memory"
    assert why["mesh", "memory"] == "missing: not run yet"
    assert why["bolt", "windows"] == "not run: Windows+ needs a transformer backbone"
    assert why["mesh", "ours"] == "ok"
    words = texts(view.drawings[0].figure)
    assert "Windows+" in words
    assert words.count("no map") == 3 + 2
    assert "No map of “Windows+”: not run: Windows+ needs a transformer backbone." in view.caption
    assert "“Memory”" not in view.caption
    lines = [line for line in view.drawings[0].data if line["why"] != "ok"]
    assert {line["pixel_auroc"] for line in lines} == {line["minimum"] for line in lines} == {"NA"}


def test_images_are_there_if_the_first_arms_cell_is_not():
    plan, rows, arrays = study()
    spoil(plan, rows, None, arm="ours", category="bolt", task="pixel")
    table = table_of(plan, rows)
    first = choose_compared(table, arrays.get).lines["logical"][0]
    assert first.image.category == "bolt"
    assert first.by_arm["ours"] == "missing: not run yet"
    assert first.by_arm["memory"].pixel_auroc == 0.8


@pytest.mark.slow
def test_a_category_without_images_is_named():
    plan, rows, arrays = study()
    spoil(plan, rows, "unavailable", "mesh has no ground-truth masks", category="mesh", task="pixel")
    assert "No image of mesh: unavailable: mesh has no ground-truth masks." in shown(plan, rows, arrays).caption
    assert shown(plan, rows, {}).absent.startswith("No cell kept maps of the images")


@pytest.mark.slow
def test_a_figure_with_words_in_place_of_maps_can_be_written():
    plan, rows, arrays = study(("bolt",))
    spoil(plan, rows, "failed", "a very long reason " * 30, arm="memory", task="pixel", seed=0)
    table = table_of(plan, rows)
    first, again = (compared_drawings(table, choose_compared(table, arrays.get))[0] for _ in range(2))
    assert png(first.figure) == png(again.figure)


def test_the_browser_has_an_image_once_with_every_reason(tmp_path):
    plan, rows, arrays = study()
    with staging(tmp_path / "report") as stage:
        found = write_heatmaps([table_of(plan, rows)], arrays.get, stage)
    # Four images of 3 arms and 3 categories, each kept as an example and for the comparison.
    assert found["count"] == 4 * 9
    text = (tmp_path / "report" / "data" / "heatmaps.js").read_text(encoding="utf-8")
    assert '"w":["best","logical","compared"]' in text
    assert '"w":["worst","first of its kind","compared"]' in text
