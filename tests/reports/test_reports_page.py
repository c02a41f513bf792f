"""Figures, example panels, the page and the whole report."""

import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from helpers.documents import report_of, table_of
from helpers.figures import texts
from helpers.report_study import damaged_rows, make_examples, make_plan, make_rows, spoil
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from reports.outputs.provenance import trace
from reports.reading.plan_document import Plan
from reports.reading.rows import TypedRows, planned_rows
from reports.style import png, svg
from reports.tables.entries import Column
from reports.views.effects import category_heatmap, forest_plot
from reports.views.examples import choose_examples, example_panel, overlay, upsampled

pytestmark = pytest.mark.slow

IMAGE = Column(metric="image_auroc", shots=1)


def traced(plan, rows):
    read = Plan.from_json(plan)
    return trace(read, planned_rows(read, TypedRows(rows)))


def built(rows_of=make_rows, **changes):
    plan = make_plan(**changes)
    return table_of(plan, rows_of(plan))


def test_forest_draws_a_dot_per_seed_the_mean_and_the_interval():
    table = built()
    effect = table.entries["sc", IMAGE].effect
    axes = forest_plot(table, IMAGE).axes[0]
    drawn = [tuple(np.atleast_1d(line.get_xdata())) for line in axes.lines]
    assert any(xs == pytest.approx([100 * d for d in effect.differences]) for xs in drawn if len(xs) == 3)
    low, high = effect.summary.interval
    assert any(xs == pytest.approx([100 * low, 100 * high]) for xs in drawn if len(xs) == 2)
    assert any(xs == pytest.approx([100 * effect.summary.mean]) for xs in drawn if len(xs) == 1)
    assert any(xs == pytest.approx([90.4 - 81.5]) for xs in drawn if len(xs) == 1)


def test_figures_say_in_words_what_is_absent():
    table = built(damaged_rows, weights_label="RANDOM weights")
    forest = forest_plot(table, IMAGE)
    assert "missing (18 of 18)" in texts(forest)
    assert any("RANDOM WEIGHTS" in text for text in texts(forest))
    heat = category_heatmap(table, IMAGE)
    assert texts(heat).count("missing") == 6
    assert texts(heat).count("pruned") == 1
    assert "+4.4\nn = 2" in texts(heat)
    colours = np.ma.getmaskarray(heat.axes[0].collections[0].get_array())
    assert colours.sum() == 6 + 1


def test_no_text_of_a_figure_is_cut_off():
    arms = (("none", "a baseline with a rather long name of its own", {}), ("sc", "an arm with a long name, too", {}))
    table = built(damaged_rows, weights_label="RANDOM weights", selection="best_on_test")
    for figure in (
        forest_plot(table, IMAGE),
        category_heatmap(table, IMAGE),
        forest_plot(built(arms=arms), IMAGE),
        category_heatmap(built(arms=arms, categories=("bolt", "plate")), IMAGE),
    ):
        FigureCanvasAgg(figure).draw()
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) >= -0.01
        assert box.x1 <= figure.get_figwidth() + 0.01
        assert box.y1 <= figure.get_figheight() + 0.01


def test_a_figure_of_nothing_but_absence_is_drawn_without_numbers():
    plan = make_plan()
    table = table_of(plan, {})
    assert texts(category_heatmap(table, IMAGE)).count("missing") == 24
    assert texts(forest_plot(table, IMAGE)).count("missing (18 of 18)") == 4
    assert svg(category_heatmap(table, IMAGE))


def test_nothing_to_compare_gives_no_figure():
    table = built(baseline=None)
    assert forest_plot(table, IMAGE) is None
    assert category_heatmap(table, IMAGE) is None


def test_svg_is_valid_dateless_and_equal_on_redrawing():
    table = built()
    first, second = (svg(forest_plot(table, IMAGE)) for _ in range(2))
    assert first == second
    assert ET.fromstring(first).tag.endswith("svg")
    assert b"<dc:date>" not in first


def test_upsampling_is_bilinear_on_pixel_centres():
    small = np.array([[0.0, 1.0]], np.float32)
    assert upsampled(small, 1, 4)[0] == pytest.approx([0.0, 0.25, 0.75, 1.0])


def test_overlay_scales_a_map_to_its_own_range_and_keeps_a_flat_one_dark():
    image = np.full((8, 8, 3), 128, np.uint8)
    ramp = np.linspace(0.4, 0.6, 64, dtype=np.float32).reshape(8, 8)
    drawn = overlay(image, ramp).astype(int).sum(axis=2)
    assert drawn[0, 0] < drawn[7, 7]
    flat = overlay(image, np.full((8, 8), 0.5, np.float32)).astype(int).sum(axis=2)
    assert (flat == drawn[0, 0]).all()


def test_examples_are_the_best_and_the_worst_of_the_fullest_arm():
    plan = make_plan()
    table = table_of(plan, make_rows(plan))
    chosen = choose_examples(table, make_examples(plan).get, limit=2)
    assert (chosen.arm.name, chosen.seed, chosen.shots) == ("all", 0, 1)
    assert len({example.category for example in chosen.best}) == 2
    assert min(e.pixel_auroc for e in chosen.best) > 0.95
    assert max(e.pixel_auroc for e in chosen.worst) < 0.6
    assert {e.name for e in chosen.worst} == {"test/crack/003.png"}


def test_examples_leave_out_normal_images_and_need_arrays():
    plan = make_plan()
    table = table_of(plan, make_rows(plan))
    arrays = make_examples(plan)
    for kept in arrays.values():
        kept["anomalous"][:] = False
    assert choose_examples(table, arrays.get) is None
    assert choose_examples(table, lambda _: None) is None


def test_panel_says_which_branch_is_off():
    plan = make_plan(arms=make_plan_arms_without_vad())
    table = table_of(plan, make_rows(plan))
    chosen = choose_examples(table, make_examples(plan).get, limit=1)
    figure = example_panel(chosen, "RANDOM WEIGHTS")
    assert texts(figure).count("branch off") == 2
    assert "RANDOM WEIGHTS" in texts(figure)
    first, second = png(figure), png(example_panel(chosen, "RANDOM WEIGHTS"))
    assert first == second
    assert Image.open(io.BytesIO(first)).width > 800


def make_plan_arms_without_vad():
    return (
        ("none", "baseline", {"SC": False, "VAD": False}),
        ("sc", "SC", {"SC": True, "VAD": False}),
    )


def test_provenance_groups_problems_and_sums_time():
    plan = make_plan()
    rows = damaged_rows(plan)
    rows[plan["cells"][0]["digest"]]["provenance"] |= {"dirty": True, "attempts": 2}
    found = traced(plan, rows)
    assert [(p.status, len(p.cells)) for p in found.problems] == [
        ("failed", 2),
        ("pruned", 3),
        ("unavailable", 18),
        ("missing", 18),
    ]
    assert found.problems[0].reason == "CUDA out of memory\n  at fit"
    facts = dict(found.facts)
    assert facts["Compute"] == "324 s over 162 rows (0.09 h)"
    assert facts["Commit"] == "0123abc, 0123abc with uncommitted changes"
    assert facts["Cells that needed more than one attempt"] == "1"
    assert facts["Versions"] == "numpy 2.4.6, torch 2.9.0"
    assert not found.support_differs
    assert len(found.support) == 18


def test_support_sets_that_differ_between_arms_are_seen():
    plan = make_plan()
    rows = make_rows(plan)
    rows[plan["cells"][0]["digest"]]["support_images"] = ["train/good/099.png"]
    assert traced(plan, rows).support_differs


class Page(HTMLParser):
    """Checks nesting, and collects ids, links, sources and text."""

    void = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.tags, self.words = [], [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a whole and of a damaged plan, written twice from rows in different orders."""
    first = make_plan()
    second = make_plan(
        "damaged", title="With <trouble> & more", weights_label="RANDOM weights", selection="best_on_test"
    )
    rows = make_rows(first) | damaged_rows(second)
    arrays = make_examples(first)
    outs = []
    for name, ordered in (("one", rows), ("two", dict(reversed(rows.items())))):
        out = tmp_path_factory.mktemp(name)
        page = report_of(
            plans=[first, second], rows=ordered, examples=arrays.get, out=out, formats=["svg", "png", "pdf"]
        )
        assert page == out / "index.html"
        outs.append(out)
    return outs


def test_a_report_is_the_same_bytes_again(report):
    files = [sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) for out in report]
    assert files[0] == files[1]
    figures = [file for file in files[0] if file.parts[0] == "figures"]
    assert {file.suffix for file in figures} == {".svg", ".png", ".pdf", ".csv"}
    assert len(figures) == 4 * (2 * 8 + 1)
    for file in files[0]:
        assert (report[0] / file).read_bytes() == (report[1] / file).read_bytes(), file


def test_the_page_is_well_formed_and_every_link_is_there(report):
    text = (report[0] / "index.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\(|@import|https?://", text)
    assert "With &lt;trouble&gt; &amp; more" in text
    for link in [*page.links, *page.sources]:
        if link.startswith("#cells="):
            name, arm = unquote(link[7:]).split("/")[:2]
            assert f'study.cells["{name}"]' in (report[0] / "data" / f"{name}.js").read_text()
            assert arm in {"none", "sc", "sc+eam", "vad", "all"}
        elif link.startswith("#"):
            assert unquote(link[1:]) in page.ids
        elif link != "data:,":
            assert (report[0] / unquote(link)).is_file(), link
    assert not list(report[0].glob(".writing-*"))


def test_the_page_says_what_a_reader_must_know(report):
    page = Page()
    page.feed((report[0] / "index.html").read_text())
    words = re.sub(r"\s+", " ", " ".join(page.words)).replace("\N{NON-BREAKING HYPHEN}", "-")
    whole, damaged = words.split("What do semantic concatenation")[1:3]
    assert "are higher with “SC + EAM + VAD” and are left open with “SC”, “SC + EAM” and “VAD alone”" in whole
    assert "Weights (embedded tiny CLIP; the paper's are others)." in whole
    assert "RANDOM WEIGHTS" not in whole.split("Scores")[1]
    for phrase in (
        "missing (18 of 18)",
        "unavailable (no masks)",
        "incomplete (15 of 18 cells)",
        "CUDA out of memory",
        "stopped after epoch 3",
        "gear/test/crack/003.png: truncated",
        "No example maps were kept",
        "train/good/007.png",
        "324 s over 162 rows",
    ):
        assert phrase in damaged, phrase
    for heading in ("Scores", "Effects against the baseline", "Effects by category", "Examples"):
        assert f"{heading} RANDOM WEIGHTS SELECTED ON TEST" in damaged
    assert not re.search(r"\bnan\b|\bNone\b", words)


def test_write_report_refuses_what_it_cannot_name(tmp_path):
    plan = make_plan()
    with pytest.raises(ValueError, match="at least 1 plan, but got 0"):
        report_of(plans=[], rows={}, examples=lambda _: None, out=tmp_path)
    with pytest.raises(ValueError, match="these repeat: table3"):
        report_of(plans=[plan, plan], rows={}, examples=lambda _: None, out=tmp_path)
    with pytest.raises(ValueError, match=r"its name must be at most .* but is '\.\./x'"):
        report_of(plans=[plan | {"name": "../x"}], rows={}, examples=lambda _: None, out=tmp_path)


def test_a_study_without_any_row_still_has_a_report(tmp_path):
    page = report_of(plans=[make_plan()], rows={}, examples=lambda _: None, out=tmp_path)
    assert "Nothing can be said yet: 0 of 180 ok, 180 missing." in page.read_text()


def test_a_plan_without_comparison_has_a_page_without_effects(tmp_path):
    plan = make_plan(baseline=None)
    rows = make_rows(plan)
    spoil(plan, rows, "failed", None, arm="sc")
    text = report_of(plans=[plan], rows=rows, examples=lambda _: None, out=tmp_path).read_text()
    assert "no reason recorded" in text
    assert "Effects against the baseline" not in text
