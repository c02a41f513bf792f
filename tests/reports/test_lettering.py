"""Names in other scripts: drawn with a font that has their letters, else said in one sentence."""

import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from helpers.documents import report_of
from helpers.report_study import make_plan, make_rows
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from reports import lettering
from reports.lettering import HOUSE_FONT, boxes_text, fonts_for
from reports.style import house_style, png, settle, svg

# Of no script that a font of any machine has: private use.
CIRCLE, SQUARE, CROSS = "\ue801", "\ue802", "\ue803"


def font_file(path, family, letters):
    """A font whose every letter is a black square."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.lineTo if point != (0, 0) else pen.moveTo)(point)
    pen.closePath()
    names = [".notdef", *(f"letter{number}" for number in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def fonts(monkeypatch):
    """The fonts of the machine are those that a test says; what was found before is forgotten."""

    def install(*paths):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(paths))
        for remembered in (lettering.fonts_for, lettering._fonts, lettering._letters_in):
            remembered.cache_clear()

    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    yield install
    for remembered in (lettering.fonts_for, lettering._fonts, lettering._letters_in):
        remembered.cache_clear()


def figure_with(*labels):
    with house_style():
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        axes.set_yticks(range(len(labels)), labels)
    return figure


def test_few_fonts_are_chosen_whatever_order_they_are_found_in(fonts, tmp_path):
    one = font_file(tmp_path / "one.ttf", "Zz One", CIRCLE)
    two = font_file(tmp_path / "two.ttf", "Zz Two", CIRCLE + SQUARE)
    for paths in ((one, two), (two, one)):
        fonts(*paths)
        assert fonts_for(CIRCLE + SQUARE + CROSS) == (("Zz Two",), CROSS)
        assert fonts_for(CIRCLE) == (("Zz One",), "")


def test_a_name_is_drawn_with_a_font_that_has_its_letters(fonts, tmp_path):
    fonts(font_file(tmp_path / "one.ttf", "Zz One", CIRCLE))
    drawn, boxed = figure_with(f"plate {CIRCLE}"), figure_with(f"plate {SQUARE}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Those of other libraries about each other.
        warnings.simplefilter("ignore", DeprecationWarning)
        assert settle(drawn) == ()
        assert settle(boxed) == (SQUARE,)
        assert png(drawn) != png(boxed)
        svg(boxed)
    families = {text.get_text(): text.get_fontfamily() for text in drawn.findobj(lettering.Text)}
    assert families[f"plate {CIRCLE}"] == [HOUSE_FONT, "Zz One"]


def test_what_the_house_font_has_is_left_alone(fonts):
    fonts()
    figure = figure_with("plate", "Stück → ±", "винт", "tab\tand line\nbreak")
    assert settle(figure) == ()
    assert {tuple(text.get_fontfamily()) for text in figure.findobj(lettering.Text)} == {(HOUSE_FONT,)}


def test_a_file_that_is_no_font_is_passed_over(fonts, tmp_path):
    (tmp_path / "no.ttf").write_bytes(b"no font")
    fonts(str(tmp_path / "no.ttf"), font_file(tmp_path / "one.ttf", "Zz One", CIRCLE))
    assert fonts_for(CIRCLE) == (("Zz One",), "")


def test_one_sentence_names_what_is_not_drawn_and_what_to_install():
    assert boxes_text([]) == ""
    text = boxes_text(["d", "b", "a", "c", "a"])
    assert text.startswith("figures show boxes in place of letters of a, b, c and 1 more: no font of this machine")
    assert "install" in text


@pytest.mark.slow
def test_a_report_says_once_which_names_its_figures_do_not_show(fonts, tmp_path):
    fonts()
    plan = make_plan()
    plan = plan | {"arms": [arm | {"label": f"{arm['label']} {CIRCLE}"} for arm in plan["arms"]]}
    said = []
    report_of(plans=[plan], rows=make_rows(plan), examples=lambda _: None, out=tmp_path / "out", say=said.append)
    assert said == [boxes_text([CIRCLE])]
    fonts(font_file(tmp_path / "one.ttf", "Zz One", CIRCLE))
    report_of(plans=[plan], rows=make_rows(plan), examples=lambda _: None, out=tmp_path / "out", say=said.append)
    assert len(said) == 1
