"""Markdown, CSV, LaTeX and the sentences: right numbers, right marks, and nothing absent that looks like a number."""

import csv
import io
import re

import pytest
from helpers.documents import table_of
from helpers.report_study import damaged_rows, make_plan, make_rows, spoil

from reports.outputs.latex import escape, to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.tidy_csv import to_category_csv, to_csv
from reports.tables.cautions import cautions
from reports.tables.findings import details, lead
from reports.tables.formats import column_groups, listing, percent, points, probability

NUMBER = re.compile(r"[-+−]?\d[\d.,]*|nan|inf|none|null|", re.IGNORECASE)


def built(rows_of=make_rows, **changes):
    plan = make_plan(**changes)
    return table_of(plan, rows_of(plan))


def markdown_tables(text):
    """Cells of every table as lists of lists, without the header rule."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in block.strip().splitlines()]
        for block in blocks
    ]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (percent(0.85149), "85.1"),
        (percent(1.0), "100.0"),
        (percent(-0.031), "−3.1"),
        (points(0.032), "+3.2"),
        (points(-0.0004), "0.0"),
        (points(0.0), "0.0"),
        (points(-0.125), "−12.5"),
        (probability(0.04567), "0.046"),
        (probability(0.0004), "< 0.001"),
        (probability(None), "no test"),
        (listing(["a", "b", "c"]), "a, b and c"),
        (listing([]), "none"),
    ],
)
def test_numbers_as_text(call, text):
    assert call == text


def test_markdown_prints_the_numbers_with_interval_sd_and_n():
    text = to_markdown(built())
    assert "| SC + EAM | yes | yes | no | 71.5 [67.2, 75.8], SD 1.7, n = 3 |" in text
    assert "+9.7 [+9.0, +10.4], n = 3; p < 0.001, Holm 0.004; 5 up, 1 down, 0 equal; higher (Holm p < 0.05)" in text
    assert "±" not in text


def test_every_table_of_every_rendering_names_its_setting():
    table = built(protocol="paper + D2, D5", selection="best_on_test", weights_label="RANDOM weights")
    for text in (to_markdown(table), to_latex(table)):
        for value in ("paper + D2, D5", "best epoch on test", "RANDOM weights", "tiny", "Synthetic inspection set"):
            assert value in text
        assert "Seeds: 0, 1, 2" in text
        assert "Shots: 1" in text
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(lines) == 5 * 4
    for line in lines:
        assert (line["protocol"], line["selection"], line["weights"]) == (
            "paper + D2, D5",
            "best_on_test",
            "RANDOM weights",
        )
        assert (line["backbone"], line["dataset"], line["seeds"], line["shots"]) == ("tiny", "synthetic", "0;1;2", "1")
        assert (line["selected_on_test"], line["random_weights"]) == ("yes", "yes")


@pytest.mark.slow
def test_marks_stand_at_every_table():
    table = built(selection="best_on_test", weights_label="RANDOM weights")
    headings = [line for line in to_markdown(table).splitlines() if line.startswith("## ") and "left out" not in line]
    assert len(headings) == 7
    assert all("[RANDOM WEIGHTS, SELECTED ON TEST]" in line for line in headings)
    captions = re.findall(r"\\caption\{(.*)\}", to_latex(table))
    assert len(captions) == 4
    assert all("RANDOM WEIGHTS" in caption and "SELECTED ON TEST" in caption for caption in captions)
    assert "SELECTED ON TEST" not in to_markdown(built()) + to_latex(built())
    assert "RANDOM WEIGHTS" not in to_markdown(built()) + to_latex(built())


def test_one_arm_selected_on_test_is_marked_at_its_numbers():
    plan = make_plan()
    rows = make_rows(plan)
    for cell in plan["cells"]:
        if cell["arm"] == "all":
            rows[cell["digest"]]["cell"]["config"]["selection"] = "best_on_test"
    text = to_markdown(table_of(plan, rows))
    scores = markdown_tables(text)[0]
    assert all("SELECTED ON TEST" in cell for cell in scores[-1][4:])
    assert not any("SELECTED ON TEST" in cell for line in scores[:-1] for cell in line)
    assert "SELECTED ON TEST (“SC + EAM + VAD”)" in text


def test_missing_never_looks_like_a_number_in_markdown():
    text = to_markdown(built(damaged_rows))
    tables = markdown_tables(text)
    assert len(tables) == 7
    for rows in tables:
        assert len({len(row) for row in rows}) == 1
        for row in rows[2:]:
            for cell in row[1:]:
                assert cell
                assert "nan" not in cell.lower().split()
                if not re.match(r"[+−]?\d+\.\d", cell):
                    assert not NUMBER.fullmatch(cell), cell
    scores = {row[0]: row[4:] for row in tables[0][2:]}
    assert scores["SC + EAM"][0] == "missing (18 of 18): not run yet"
    assert scores["VAD alone"][2] == "unavailable (no masks)"
    assert scores["SC"][0].endswith("incomplete (2 of 3 seeds): 1 failed: CUDA out of memory")


@pytest.mark.slow
def test_missing_never_looks_like_a_number_in_csv():
    for text in (to_csv(built(damaged_rows)), to_category_csv(built(damaged_rows))):
        for line in csv.DictReader(io.StringIO(text)):
            assert all(value not in ("", "nan", "None", "0.000000") for value in line.values()), line
            if line["n_seeds"] == "0":
                assert line["mean"] == line["ci_low"] == line["effect"] == "NA"
                assert line["status"].split()[0] in ("missing", "failed", "pruned", "unavailable", "incomplete")
                assert line["reason"] != "NA"


def test_csv_values_are_fractions():
    lines = {(line["arm"], line["metric"]): line for line in csv.DictReader(io.StringIO(to_csv(built())))}
    line = lines["sc+eam", "image_auroc"]
    assert float(line["mean"]) == pytest.approx(0.715)
    # SD of (0.703, 0.707, 0.735): deviations -0.012, -0.008, 0.02.
    assert float(line["sd"]) == pytest.approx((0.000608 / 2) ** 0.5, abs=1e-6)
    assert (line["n_seeds"], line["n_categories"], line["status"]) == ("3", "6", "ok")
    assert float(line["effect"]) == pytest.approx(0.08 * 0.8 + (0.004 - 0.002 - 0.014) / 3)
    assert (line["published_dataset"], line["published"], line["verdict"]) == ("mvtec", "0.913000", "none")
    assert len(line["digests"].split(";")) == 18
    assert lines["none", "pro"]["effect_status"] == "baseline"


def test_category_csv_has_a_line_per_category():
    lines = list(csv.DictReader(io.StringIO(to_category_csv(built()))))
    assert len(lines) == 5 * 4 * 6
    assert {line["n_seeds"] for line in lines} == {"3"}


def test_one_seed_prints_no_interval():
    text = to_markdown(built(seeds=(0,)))
    assert "69.9" not in text
    assert "70.3, no interval, n = 1" in text
    assert "SD 0" not in text
    line = next(csv.DictReader(io.StringIO(to_csv(built(seeds=(0,))))))
    assert (line["sd"], line["ci_low"], line["n_seeds"]) == ("NA", "NA", "1")


def latex_rows(text):
    return re.findall(r"\\toprule\n(.*?)\\bottomrule", text, flags=re.DOTALL)


def test_latex_is_well_formed():
    table = built(damaged_rows, title="50% of A & B_c {x} [1] τ #1 ~ ^ \\ $")
    text = to_latex(table)
    assert not re.search(r"[^\x00-\x7f]", text)
    depth = 0
    for character in re.sub(r"\\[\\{}]", "", text):
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 4
    columns = re.findall(r"\\begin\{tabular\}\{@\{\}p\{0\.22\\linewidth\}(c+)@\{\}\}", text)
    for specification, body in zip(columns, latex_rows(text), strict=True):
        for line in body.strip().splitlines():
            if line != r"\midrule":
                assert len(re.findall(r"(?<!\\)&", line)) == len(specification)
                assert re.search(r"\\\\(\[3pt\])?$", line)
                assert not line.startswith("[")
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == text.count(r"\label") == 4


def test_latex_prints_numbers_and_words():
    text = to_latex(built(damaged_rows))
    assert r"{\scriptsize {[}55.2, 63.8{]}, SD 1.7, n = 3}" in text
    assert r"\emph{missing (18 of 18)}" in text
    assert r"\emph{unavailable (no masks)}" in text
    assert r"{\scriptsize published, MVTec: 81.5}" in text
    assert "not comparable with ours" in text


@pytest.mark.slow
def test_latex_splits_long_tables():
    arms = tuple((f"a{index}", f"arm {index}", {}) for index in range(13))
    plan = make_plan(arms=arms, baseline="a0")
    text = to_latex(table_of(plan, make_rows(plan, lambda *place: 0.5 + 0.01 * place[2])))
    assert text.count(r"\begin{table}") == 2 * 2 * 2
    assert text.count("continued") == 4


def test_latex_escape():
    assert escape("5% & a_b [x] −1 “q” <") == r"5\% \& a\_b {[}x{]} $-$1 ``q'' $<$"


@pytest.mark.slow
def test_columns_are_grouped_by_task_then_by_metric():
    few, many = built().columns, built(shots=(1, 2, 4)).columns
    assert [len(group) for group in column_groups(few)] == [4]
    assert [[c.metric for c in group] for group in column_groups(few, most=2)] == [
        ["image_auroc", "image_aupr"],
        ["pixel_auroc", "pro"],
    ]
    assert [len(group) for group in column_groups(many)] == [3, 3, 3, 3]


def test_the_lead_names_what_is_claimed_after_correction():
    # The intervals of SC and SC + EAM exclude 0 as well, but Holm's p among 16 tests is above 0.05.
    assert lead(built()) == (
        "Against “baseline (CoOp form)”, after Holm's correction over all 16 tested effects of this table (n = 3): "
        "1-shot image AUROC and pixel AUROC are higher with “SC + EAM + VAD” and are left open with “SC”, “SC + EAM” "
        "and “VAD alone”. The largest mean difference is +9.7 points of 1-shot image AUROC, with “SC + EAM + VAD”: "
        "higher (Holm p < 0.05)."
    )


def test_the_lead_turns_with_the_sign():
    plan = make_plan()

    def worse(arm, _category, seed, _metric):
        return 0.5 + 0.01 * seed - (0.2 + 0.001 * seed * seed) * (arm == "vad")

    table = table_of(plan, make_rows(plan, worse))
    assert "are lower with “VAD alone” and have no interval with “SC”, “SC + EAM” and “SC + EAM + VAD”" in lead(table)


def test_leads_of_incomplete_single_seed_and_empty_studies():
    assert lead(built(damaged_rows)).endswith(
        "Incomplete: 139 of 180 ok, 2 failed, 18 missing, 3 pruned, 18 unavailable."
    )
    assert "have no interval (with one seed), so nothing here separates an effect from chance" in lead(
        built(seeds=(0,))
    )
    assert lead(built(lambda _: {})) == "Nothing can be said yet: 0 of 180 ok, 180 missing."
    assert lead(built(baseline=None)).startswith("No arm is the baseline, so")
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, None, arm="none")
    assert lead(table_of(plan, rows)).startswith("No arm can be compared with “baseline (CoOp form)” yet")


def test_details_give_reasons_and_what_claims_were_corrected_for():
    image, pixel = details(built(damaged_rows))
    assert "no result for “SC + EAM”, missing (18 of 18): not run yet" in image
    assert "open with “SC” (+5.6 [−4.6, +15.8], n = 2)" in image
    assert "claims after Holm's correction over all 10 tested effects of this table, intervals not adjusted" in image
    assert "no result for “VAD alone”, unavailable (no masks)" in pixel


def test_cautions():
    assert cautions(built()) == ()
    said = cautions(built(selection="best_on_test", weights_label="RANDOM weights", seeds=(0,)))
    assert [sentence.split(":")[0] for sentence in said] == ["RANDOM WEIGHTS", "SELECTED ON TEST", "One seed"]
    assert "that choice gained +2.0 points of 1-shot image AUROC and +2.0 points of 1-shot pixel AUROC" in said[1]
