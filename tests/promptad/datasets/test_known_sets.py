"""The published data sets' counts: their sums, and how a folder's differ from them."""

import pytest
from helpers.places import DOCS

from ablations.catalogue import CATALOGUE
from promptad.datasets import LAYOUTS, KnownSet, full_set_of, known_sets

MPDD_TEST = {
    "bracket_black": 79,
    "bracket_brown": 77,
    "bracket_white": 60,
    "connector": 44,
    "metal_plate": 97,
    "tubes": 101,
}


def known(name: str) -> KnownSet:
    found = full_set_of(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "categories", "train", "normal", "anomalous"),
    [
        ("mvtec", 15, 3629, 467, 1258),
        ("visa", 12, 8659, 962, 1200),
        ("mpdd", 6, 888, 176, 282),
        ("loco", 5, 1778, 575, 993),
    ],
)
def test_the_categories_add_up_to_the_totals(name, categories, train, normal, anomalous):
    found = known(name)
    assert len(found.categories) == len({category.name for category in found.categories}) == categories
    assert found.train_images == train
    assert sum(category.normal for category in found.categories) == normal
    assert sum(category.anomalous for category in found.categories) == anomalous
    assert found.test_images == normal + anomalous


def test_the_test_images_of_some_categories():
    assert {category.name: category.test for category in known("mpdd").categories} == MPDD_TEST
    assert {category.name: category.test for category in known("loco").categories}["screw_bag"] == 341
    assert {category.name: category.test for category in known("visa").categories}["pcb3"] == 201
    assert {category.name: category.test for category in known("mvtec").categories}["toothbrush"] == 42


def test_every_published_set_has_a_layout_of_its_name_and_visa_one_more():
    assert set(known_sets()) == {"mvtec", "visa", "mpdd", "loco"} <= set(LAYOUTS)
    assert all(found is full_set_of(name) for name, found in known_sets().items())
    assert full_set_of("visa_pytorch") is full_set_of("visa") is known_sets()["visa"]
    assert full_set_of("folder") is full_set_of("synthetic") is None


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_docs_show_every_layout(name):
    assert f"\n| `{name}` |" in (DOCS / "formats.md").read_text(encoding="utf-8")


def test_every_data_set_of_an_ablation_is_known():
    assert {name for ablation in CATALOGUE.values() for name in ablation.data_sets} <= set(known_sets())


def test_the_whole_set_differs_in_nothing():
    assert known("mpdd").differences(MPDD_TEST) == ()


def test_a_part_of_the_set_names_what_is_missing():
    some = {name: MPDD_TEST[name] for name in ("tubes", "connector")}
    assert known("mpdd").differences(some) == (
        "4 of the 6 categories of MPDD missing: bracket_black, bracket_brown, bracket_white, metal_plate",
    )
    assert known("mpdd").differences({}) == (
        "6 of the 6 categories of MPDD missing: bracket_black, bracket_brown, bracket_white and 3 more",
    )


def test_one_image_missing_is_another_set():
    assert known("mpdd").differences({**MPDD_TEST, "connector": 43}) == (
        "another number of test images than MPDD has: connector 43 (published: 44)",
    )


def test_equal_totals_do_not_hide_different_categories():
    exchanged = {**MPDD_TEST, "tubes": 79, "bracket_black": 101}
    assert sum(exchanged.values()) == known("mpdd").test_images
    assert known("mpdd").differences(exchanged) == (
        "another number of test images than MPDD has: bracket_black 101 (published: 79), tubes 79 (published: 101)",
    )


def test_other_categories_are_named_beside_what_is_missing():
    renamed = {**MPDD_TEST, "pipes": 101}
    assert known("mpdd").differences(renamed) == ("categories that MPDD does not have: pipes",)
    del renamed["tubes"]
    assert known("mpdd").differences(renamed) == (
        "1 of the 6 categories of MPDD missing: tubes",
        "categories that MPDD does not have: pipes",
    )


def test_a_folder_is_called_by_a_sets_title_only_if_its_images_are_the_sets():
    mvtec = full_set_of("mvtec")
    whole = {category.name: category.test for category in mvtec.categories}
    assert mvtec.title_of(whole) == "MVTec AD"
    assert mvtec.title_of({"screw": 160, "leather": 124}) == "MVTec AD, 2 of 15 categories"
    for other in ({"screw": 159}, {"screw": 160, "mug": 12}, {"mug": 12}, {}):
        assert mvtec.title_of(other) == "images in the layout of MVTec AD"
