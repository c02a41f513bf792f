import re

import pytest

from promptad.texts.suffixes import CATEGORY_SUFFIXES, GENERIC_PAPER, GENERIC_REFERENCE, manual_suffixes, object_name

MVTEC = {
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
    *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
}
VISA = {
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1"),
    *("macaroni2", "pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
}


def test_generic_suffixes_are_the_papers_five_and_the_released_codes_eight():
    assert manual_suffixes("gear", "paper") == (
        *("damaged {}", "broken {}"),
        *("{} with flaw", "{} with defect", "{} with damage"),
    )
    assert manual_suffixes("gear", "reference") == (
        *("damaged {}", "flawed {}", "abnormal {}", "imperfect {}", "blemished {}"),
        *("{} with flaw", "{} with defect", "{} with damage"),
    )


def test_every_category_of_both_data_sets_has_suffixes():
    assert set(CATEGORY_SUFFIXES) == MVTEC | VISA


def test_every_published_suffix_is_accepted_and_none_is_empty():
    for category, suffixes in CATEGORY_SUFFIXES.items():
        assert suffixes
        assert set(manual_suffixes(category, "paper")) == {*GENERIC_PAPER, *suffixes}
        assert manual_suffixes(category, "paper") == manual_suffixes(category, "paper", own=suffixes)


def test_numbers_of_suffixes_as_counted_in_figure_7():
    counted = {"screw": 3, "carpet": 6, "toothbrush": 2, "zipper": 6, "candle": 7, "fryum": 6, "pcb1": 4, "pcb4": 7}
    assert {category: len(CATEGORY_SUFFIXES[category]) for category in counted} == counted


def test_texts_are_kept_as_printed():
    assert "{} with foreign particals" in CATEGORY_SUFFIXES["candle"]
    assert "{} with melded wax" in CATEGORY_SUFFIXES["candle"]
    assert CATEGORY_SUFFIXES["capsule"][-1] == "{} squeezed with compression"
    assert CATEGORY_SUFFIXES["metal_nut"][2] == "{} with a flipped orientation"
    assert "{} with color spot" in CATEGORY_SUFFIXES["macaroni1"]
    assert "{} with colour spot" in CATEGORY_SUFFIXES["pipe_fryum"]


def test_screw_equals_what_the_released_code_used():
    assert manual_suffixes("screw", "reference") == (
        *("damaged {}", "flawed {}", "abnormal {}", "imperfect {}", "blemished {}"),
        *("{} with flaw", "{} with defect", "{} with damage"),
        *("{} with manipulated front", "{} with scratch neck", "{} with scratch head"),
    )


@pytest.mark.parametrize(
    ("category", "printed", "released"),
    [("toothbrush", 7, 10), ("transistor", 9, 12), ("fryum", 11, 14), ("pcb4", 12, 15), ("screw", 8, 11)],
)
def test_a_suffix_that_is_listed_twice_counts_twice(category, printed, released):
    for generic, number in (("paper", printed), ("reference", released)):
        assert len(manual_suffixes(category, generic)) == number
    assert manual_suffixes("toothbrush", "paper") == (*GENERIC_PAPER, "{} with defect", "{} with anomaly")
    assert manual_suffixes("gear", "paper", own=["bent {}", "bent {}"])[5:] == ("bent {}", "bent {}")


def test_an_unknown_category_gets_the_generic_suffixes():
    assert manual_suffixes("gear", "paper") == GENERIC_PAPER
    assert manual_suffixes("gear", "reference") == GENERIC_REFERENCE


def test_own_suffixes_replace_the_categorys_and_not_the_generic_ones():
    assert manual_suffixes("screw", "paper", own=["bent {}"]) == (*GENERIC_PAPER, "bent {}")
    assert manual_suffixes("gear", "paper", own=["{} with chipped tooth"])[-1] == "{} with chipped tooth"
    assert manual_suffixes("screw", "paper", own=[]) == GENERIC_PAPER


def test_all_suffixes_without_exactly_one_slot_are_named():
    named = re.escape("['bent', '{} on {}', '', '{0} {}']")
    with pytest.raises(ValueError, match=rf"each manual suffix of gear .* but got {named}"):
        manual_suffixes("gear", "paper", own=["bent", "{} on {}", "{} with rust", "", "{0} {}"])


def test_a_single_string_is_not_taken_for_a_list():
    with pytest.raises(TypeError, match=r"own must be a list of suffixes, but got the string '{} with rust'"):
        manual_suffixes("gear", "paper", own="{} with rust")


def test_an_unknown_generic_list_is_refused():
    with pytest.raises(ValueError, match=r"generic must be one of \['paper', 'reference'\], but got 'both'"):
        manual_suffixes("gear", "both")


@pytest.mark.parametrize(
    ("category", "mapped", "name"),
    [
        ("metal_nut", True, "metal nut"),
        ("pcb1", True, "printed circuit board"),
        ("pcb4", True, "printed circuit board"),
        ("macaroni1", True, "macaroni"),
        ("macaroni2", True, "macaroni"),
        ("pipe_fryum", True, "pipe fryum"),
        ("chewinggum", True, "chewing gum"),
        ("screw", True, "screw"),
        ("worm_gear", True, "worm gear"),
        ("metal_nut", False, "metal nut"),
        ("pcb1", False, "pcb1"),
        ("chewinggum", False, "chewinggum"),
    ],
)
def test_object_names(category, mapped, name):
    assert object_name(category, mapped) == name
