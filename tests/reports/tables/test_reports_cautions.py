"""Cautions and notes: what was out of view, seeds that share their support images, weights that are random."""

import pytest
from helpers.documents import table_of
from helpers.report_study import comparable, make_plan, make_rows, printed_number

from reports.outputs.latex import to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.terminal import to_text
from reports.outputs.tidy_csv import to_csv
from reports.tables.cautions import cautions
from reports.tables.entries import Column
from reports.tables.notes import effects_note, scores_note
from reports.tables.verdicts import comparable_numbers, no_verdict_text, verdict_note
from reports.views.views import views_of

IMAGE = Column(metric="image_auroc", shots=1)


def seen(plan, view_of, geometry="shorter_edge"):
    """Rows whose view of the test set is ``view_of(category)``."""
    rows = make_rows(plan)
    for row in rows.values():
        row["cell"]["config"]["resize"] = geometry
        row["view"] = view_of(row["cell"]["category"])
    return rows


def view(unseen=(), with_mask=10, **more):
    return {"anomalous": 10, "with_mask": with_mask, "unseen": list(unseen), **more}


def flat(text):
    return " ".join(text.split())


@pytest.mark.slow
def test_anomalies_outside_of_the_view_are_counted_by_category_everywhere():
    plan = make_plan()
    lost = [f"test/crack/{number:03}.png" for number in range(8)]
    table = table_of(plan, seen(plan, lambda name: view(lost) if name == "gear" else view()))
    (caution,) = cautions(table)
    assert caution.startswith("OUT OF VIEW")
    assert "(resize=shorter_edge, which crops images that are not square): 8 of 10 in gear." in caution
    assert "--set resize=squash sees whole images" in caution
    assert caution in to_markdown(table)
    assert "8 of 10 in gear" in to_latex(table)


@pytest.mark.slow
def test_nothing_is_said_where_everything_is_in_view():
    plan = make_plan()
    assert cautions(table_of(plan, seen(plan, lambda _: view()))) == ()
    # Rows from before views were recorded say nothing either way.
    assert cautions(table_of(plan, make_rows(plan))) == ()


def test_where_the_whole_image_is_seen_the_masks_are_empty():
    plan = make_plan()
    (caution,) = cautions(table_of(plan, seen(plan, lambda _: view(["a.png"]), geometry="squash")))
    assert caution.startswith("Some anomalous images have a mask without an anomalous pixel: 1 of 10 in bolt, 1 of 10")


@pytest.mark.slow
def test_anomalies_between_the_pixels_of_a_map_are_another_matter():
    plan = make_plan()
    table = table_of(plan, seen(plan, lambda name: view(vanished=["a.png"] if name == "mesh" else [])))
    (caution,) = cautions(table)
    assert "1 of 10 in mesh. A larger map_size keeps them." in caution


@pytest.mark.slow
def test_without_masks_it_is_not_known_what_is_in_view():
    plan = make_plan()
    table = table_of(plan, seen(plan, lambda name: view(with_mask=0 if name == "ring" else 10)))
    (caution,) = cautions(table)
    assert caution.startswith("Whether every anomaly is in view is not known in ring")


def one_set(plan, arms, categories=None):
    shared = [{"arm": arm, "shots": 1, "categories": list(categories or plan["categories"])} for arm in arms]
    return plan | {"one_support_set": shared}


@pytest.mark.slow
def test_seeds_that_share_one_support_set_are_no_replicates():
    plan = make_plan()
    plan = one_set(plan, [arm["name"] for arm in plan["arms"]])
    table = table_of(plan, make_rows(plan))
    assert cautions(table)[0].startswith("ONE SUPPORT SET: all seeds see the same support images. The intervals are")
    for text in (scores_note(table), to_markdown(table), flat(to_latex(table))):
        assert "t-interval at one support set: over initial tokens, say" in text
        assert "95% t-interval of that mean" not in text
    captions = [shown.caption for name, shown in views_of(table, lambda _: None) if name in ("arms", "effects")]
    assert all("same support images" in caption for caption in captions)
    assert "this one support set" in effects_note(table)


def test_some_rows_that_share_one_support_set_are_marked():
    plan = one_set(make_plan(), ["vad"], ["gear", "mesh"])
    table = table_of(plan, make_rows(plan))
    (caution,) = cautions(table)
    assert "of “VAD alone” see the same support images in gear and mesh" in caution
    assert table.entries["vad", IMAGE].one_support_set == ("gear", "mesh")
    assert table.entries["vad", IMAGE].effect_on_one_set == ("gear", "mesh")
    assert table.entries["sc", IMAGE].effect_on_one_set == ()
    scores = next(line for line in to_markdown(table).splitlines() if line.startswith("| VAD alone"))
    assert "one support set" in scores
    assert "95% t-interval of that mean" in scores_note(table)
    assert to_csv(table).count(",yes,") >= 1


def test_an_effect_against_a_baseline_with_one_support_set_is_about_that_set():
    plan = one_set(make_plan(), ["none"])
    table = table_of(plan, make_rows(plan))
    assert table.entries["sc", IMAGE].effect_on_one_set == tuple(plan["categories"])
    assert table.entries["sc", IMAGE].one_support_set == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("random", "mark"), [(["sc"], "RANDOM WEIGHTS in “SC”"), (None, "RANDOM WEIGHTS: the backbone")]
)
def test_random_weights_are_those_of_rows(random, mark):
    plan = make_plan()
    for arm in plan["arms"]:
        arm["random_weights"] = random is None or arm["name"] in random
    table = table_of(plan, make_rows(plan))
    assert cautions(table)[0].startswith(mark)
    assert ("RANDOM WEIGHTS IN SOME ROWS" in to_markdown(table)) == (random is not None)


def test_a_file_that_is_called_random_has_no_random_weights():
    plan = make_plan(weights_label="random_init_finetuned.pt")
    assert cautions(table_of(plan, make_rows(plan))) == ()


def test_the_reasons_for_no_verdict_name_the_rows_that_they_are_about():
    plan = comparable(make_plan())
    tower = {"reason": "imagenet", "text": "from other runs"}
    plan["printed"] = [
        number | {"obstacles": [tower] if number["arm"] == "vad" else []} for number in plan["printed"]
    ] + [printed_number("sc", "pro", 60.0, obstacles=({"reason": "unstated_metric", "text": "not said how"},))]
    table = table_of(plan, make_rows(plan))
    assert comparable_numbers(table.plan) == (8, 11)
    assert no_verdict_text(table.plan) == (
        "3 of 11 published numbers are not comparable with ours: from other runs (“VAD alone”); not said how (“SC”, "
        "Pixel PRO)."
    )
    assert "its five seeds are taken to spread as ours do" in verdict_note(table)
    assert "3 of 11 published numbers" in to_markdown(table)


@pytest.mark.slow
def test_what_the_paper_says_otherwise_stands_beside_its_number():
    plan = comparable(make_plan(shown_as=["arms"]))
    note = "Section 5.4 says 8.9; 81.3 - 72.6 = 8.7."
    plan["printed"][2]["note"] = note
    table = table_of(plan, make_rows(plan))
    assert note in to_markdown(table)
    ((_, arms),) = views_of(table, lambda _: None)
    assert note in arms.notes
    assert [spot.notes for row in arms.grids[0].rows for spot in row if note in spot.notes] == [(note,)]


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "said"), [("synthetic", False), ("folder", True)])
def test_the_embedded_model_on_other_images_is_marked_in_page_and_terminal(dataset, said):
    plan = make_plan(dataset=dataset)
    table = table_of(plan, make_rows(plan))
    assert any(caution.startswith("TOY MODEL") for caution in cautions(table)) == said
    assert ("caution: TOY MODEL" in to_text(table)) == said


@pytest.mark.slow
def test_an_auroc_well_below_chance_is_a_caution():
    plan = make_plan()
    rows = make_rows(plan, lambda _a, category, seed, _m: (0.2 if category == "gear" else 0.45) + seed / 1000)
    (caution,) = cautions(table_of(plan, rows))
    assert caution.startswith("BELOW CHANCE: Image AUROC of gear is 20.1 (none) and as low for 4 more and Pixel AUROC")
    assert "mesh" not in caution


@pytest.mark.slow
def test_a_table_of_several_devices_says_so():
    plan = make_plan()
    rows = make_rows(plan)
    assert not any("MIXED" in caution for caution in cautions(table_of(plan, rows)))
    digest = next(iter(rows))
    card = {**rows[digest]["provenance"], "device": "cuda", "card": "NVIDIA H100 80GB HBM3"}
    mixed = rows | {digest: rows[digest] | {"provenance": card}}
    assert any(
        caution.startswith("MIXED DEVICES: cells of this table ran on NVIDIA H100 80GB HBM3 and cpu")
        for caution in cautions(table_of(plan, mixed))
    )


@pytest.mark.slow
def test_what_is_odd_about_the_data_is_said_on_the_page():
    plan = make_plan(data_cautions=["gear: 3 masks are all black"])
    table = table_of(plan, make_rows(plan))
    assert cautions(table) == ("THE DATA: gear: 3 masks are all black",)
    assert table_of(make_plan(), {}).plan.data_cautions == ()
