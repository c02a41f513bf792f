"""The pictures of sets without masks: which are shown, what the panel says, and damaged ones."""

import numpy as np
import pytest
from helpers.documents import table_of
from helpers.report_study import make_examples, make_plan, make_rows
from matplotlib.text import Text

from reports.reading.kept import sound
from reports.views.scored import choose_scored, scored_drawing
from reports.views.views import views_of


def pictures(plan, *, count=2):
    """Arrays of every image-level cell of the first seed: the score tells cell and place."""
    made = {}
    for number, cell in enumerate(plan["cells"]):
        if cell["task"] == "image" and cell["seed"] == plan["seeds"][0]:
            why = ["highest"] * count + ["lowest"] * count + ["normal"] * count
            made[cell["digest"]] = {
                "scored/names": np.array([f"test/crack/{place:03d}.png" for place in range(3 * count)]),
                "scored/chosen_as": np.array(why),
                "scored/score": np.linspace(0.9, 0.1, 3 * count) + number / 1000,
                "scored/thumbnails": np.full((3 * count, 160, 160, 3), number % 255, np.uint8),
            }
    return made


def examples_view(plan, arrays):
    table = table_of(plan | {"shown_as": ["examples"]}, make_rows(plan))
    (view,) = [view for kind, view in views_of(table, arrays.get) if kind == "examples"]
    return view


@pytest.mark.slow
def test_every_category_has_its_first_image_before_another_has_its_second():
    plan = make_plan()
    chosen = choose_scored(table_of(plan, make_rows(plan)), pictures(plan).get, limit=4)
    categories = plan["categories"]
    assert set(chosen.rows) == {"highest", "lowest", "normal"}
    for row in chosen.rows.values():
        shown = [image.category for image in row]
        assert shown == (categories + categories)[: len(shown)]
    assert [image.name for image in chosen.rows["lowest"]][:1] == ["test/crack/002.png"]


@pytest.mark.slow
def test_the_panel_names_each_image_with_its_score_and_the_caption_says_why_there_is_no_map():
    plan = make_plan()
    view = examples_view(plan, pictures(plan))
    assert "has no masks" in view.caption
    (drawing,) = view.drawings
    words = [text.get_text() for text in drawing.figure.findobj(Text)]
    headings = ("Anomalous, highest score", "Anomalous, lowest score", "Normal, highest score")
    assert all(heading in words for heading in headings)
    for line in drawing.data:
        assert any(line["category"] in text and f"score {float(line['score']):.3f}" in text for text in words)


@pytest.mark.slow
def test_maps_come_before_pictures():
    plan = make_plan()
    assert "located best" in examples_view(plan, {**pictures(plan), **make_examples(plan)}).caption
    assert examples_view(plan, {}).absent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("scored/score", np.full(6, np.nan), "must have a finite number"),
        ("scored/score", np.zeros(5), "must have a finite number"),
        ("scored/chosen_as", np.zeros(6), "chosen_as of scored images must be a list of texts"),
        ("scored/thumbnails", np.zeros((6, 4, 4), np.uint8), "must be pictures"),
        ("scored/names", None, "names of scored images are not there"),
    ],
)
def test_damaged_pictures_are_named_and_not_shown(name, values, why):
    plan = make_plan()
    arrays = pictures(plan)
    digest = next(iter(arrays))
    arrays[digest] |= {name: values}
    arrays[digest] = {key: kept for key, kept in arrays[digest].items() if kept is not None}
    faults = {}
    load = sound(arrays.get, faults)
    assert load(digest) is None
    assert why in faults[f"examples/{digest}.npz"]
    table = table_of(plan, make_rows(plan))
    chosen = choose_scored(table, load)
    assert chosen is None or scored_drawing(table, chosen).data
