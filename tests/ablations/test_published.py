import csv
import dataclasses
import re
from importlib import resources

import pytest

from ablations.arms import PrintedRow
from ablations.published import COLUMNS as FILE_COLUMNS
from ablations.published import PublishedCell, published

# Table 3 as printed: SC, EAM, VAD; MVTec image, MVTec pixel, VisA image, VisA pixel.
TABLE_3 = [
    (0, 0, 0, 81.5, 87.8, 72.6, 85.5),
    (1, 0, 0, 90.4, 91.7, 81.3, 90.5),
    (1, 1, 0, 91.3, 92.5, 83.2, 91.8),
    (0, 0, 1, 85.1, 93.2, 82.7, 95.2),
    (1, 1, 1, 94.6, 95.9, 86.9, 96.7),
]
COLUMNS = [("mvtec", "image_auroc"), ("mvtec", "pixel_auroc"), ("visa", "image_auroc"), ("visa", "pixel_auroc")]


def test_table_3_is_as_printed():
    expected = [
        PublishedCell(
            table="table3",
            dataset=dataset,
            shots=1,
            metric=metric,
            value=value,
            std=None,
            row=PrintedRow.of("PromptAD", sc=bool(sc), eam=bool(eam), vad=bool(vad)),
        )
        for sc, eam, vad, *values in TABLE_3
        for (dataset, metric), value in zip(COLUMNS, values, strict=True)
    ]
    assert [dataclasses.replace(cell, note="") for cell in published("table3")] == expected


def test_table_1_has_the_standard_deviations_of_the_paper():
    found = {
        (cell.dataset, cell.shots): (cell.value, cell.std) for cell in published("table1") if cell.method == "PromptAD"
    }
    assert found == {
        ("mvtec", 1): (94.6, 1.7),
        ("mvtec", 2): (95.7, 1.5),
        ("mvtec", 4): (96.6, 0.9),
        ("visa", 1): (86.9, 2.3),
        ("visa", 2): (88.3, 2.0),
        ("visa", 4): (89.1, 1.7),
    }


def test_levels_are_on_off_names_or_left_empty_and_a_category_tells_no_rows_apart():
    assert {cell.row for cell in published("table7")} == {
        PrintedRow.of("PromptAD", maps=True, laps=True, vad=False),
        PrintedRow.of("PromptAD", maps=True, laps=False, vad=False),
        PrintedRow.of("PromptAD", maps=False, laps=True, vad=False),
        PrintedRow.of("CPE+VV-CLIP", maps=None, laps=None, vad=False),
    }
    layers = [cell for cell in published("table10") if ("memory_layers", "6+9") in cell.row.factors]
    assert {cell.row for cell in layers} == {PrintedRow.of("PromptAD", memory_layers="6+9", pad=False, vad=True)}
    assert sorted(str(cell.category) for cell in layers) == ["None", "grid", "screw", "transistor"]


def test_a_dash_in_the_paper_is_absent_and_not_a_number():
    fast_recon = [cell for cell in published("table1") if cell.method == "FastRecon"]
    assert [(cell.dataset, cell.shots, cell.value, cell.std) for cell in fast_recon] == [
        ("mvtec", 2, 91.0, None),
        ("mvtec", 4, 94.2, None),
    ]


def test_full_shot_is_a_word_and_not_a_count():
    assert {cell.shots for cell in published("table2")} == {1, 4, 8, 10, 16, "full"}


@pytest.mark.parametrize("table", [f"table{number}" for number in range(1, 11)])
def test_every_table_is_percent_and_tells_its_rows_apart(table):
    cells = published(table)
    assert cells
    assert all(10 < cell.value < 100 and (cell.std is None or 0 < cell.std < 10) for cell in cells)
    assert {cell.table for cell in cells} == {table}
    assert {cell.dataset for cell in cells} <= {"mvtec", "visa", "mpdd", "loco"}
    assert {cell.metric for cell in cells} <= {"image_auroc", "pixel_auroc"}
    keys = [dataclasses.replace(cell, value=0.0, std=None, note="") for cell in cells]
    assert len(set(keys)) == len(keys)


def noted():
    """Numbers that the paper contradicts elsewhere, by table, data set, metric, shots and value."""
    names = [f"table{number}" for number in range(1, 11) if number != 2]
    cells = [cell for name in names for cell in published(name) if cell.note]
    return {(cell.table, cell.dataset, cell.metric, cell.shots, cell.value): cell.note for cell in cells}


def test_contradictions_inside_the_paper_stand_at_their_numbers():
    notes = noted()
    # Where, what the text says, and what its own table has.
    for place, said, has in (
        (("table1", "visa", "image_auroc", 1, 86.9), "2.9", "3.1"),
        (("table3", "mvtec", "pixel_auroc", 1, 87.8), "88.8", "4.7"),
        (("table3", "visa", "image_auroc", 1, 81.3), "8.9", "8.7"),
        (("table3", "visa", "pixel_auroc", 1, 91.8), "0.7", "1.3"),
        (("table3", "visa", "image_auroc", 1, 86.9), "86.8", "86.9"),
        (("table5", "visa", "pixel_auroc", 1, 91.8), "9.8", "8.9"),
        (("table6", "mvtec", "image_auroc", 0, 91.8), "90.1", "0.5"),
        (("table6", "mvtec", "pixel_auroc", 0, 85.1), "84.8", "7.4"),
        (("table6", "mvtec", "pixel_auroc", 1, 87.8), "88.8", "4.7"),
        (("table6", "visa", "image_auroc", 1, 83.2), "5.0", "6.0"),
        (("table7", "mvtec", "image_auroc", 1, 87.6), "still better", "2.9"),
        (("table8", "mvtec", "pixel_auroc", 1, 95.5), "better in pixels", "0.4"),
        (("table9", "mpdd", "image_auroc", 4, 79.9), "As printed", "59.78"),
    ):
        assert said in notes[place]
        assert has in notes[place]
    assert len(notes) == 17


def test_what_a_note_computes_is_right_and_of_numbers_of_its_table():
    sums = 0
    for (table, dataset, metric, _, value), note in noted().items():
        printed = {cell.value for cell in published(table) if (cell.dataset, cell.metric) == (dataset, metric)}
        for terms in re.findall(r"([\d.]+) - ([\d.]+) = ([\d.]+\d)", note):
            whole, part, difference = map(float, terms)
            assert {whole, part} <= printed
            assert value in (whole, part)
            assert whole - part == pytest.approx(difference)
            sums += 1
        assert note.endswith(".")
        assert len(note) < 140
    assert sums == 14


def test_numbers_of_other_papers_carry_what_is_known_of_them():
    notes = {(cell.method, cell.metric): cell.note for cell in published("table2") if cell.note}
    selected = {method for (method, _), note in notes.items() if note.startswith("SELECTED ON TEST: ")}
    assert selected == {"RegAD", "SimpleNet"}
    values = {(cell.method, cell.metric): cell.value for cell in published("table2")}
    for metric, theirs in (("image_auroc", "92.1"), ("pixel_auroc", "95.7")):
        note = notes["P-SVDD", metric]
        assert note == f"Its authors print {theirs}; CutPaste is quoted with {values['P-SVDD', metric]}."
    assert "defective images alone" in notes["MKD", "pixel_auroc"]
    assert len(notes) == 7
    assert all(note.endswith(".") and len(note) < 140 for note in notes.values())


def test_every_line_has_every_column():
    text = resources.files("ablations").joinpath("published.csv").read_text(encoding="utf-8")
    lines = list(csv.reader(text.splitlines(), strict=True))
    assert lines[0] == list(FILE_COLUMNS)
    assert {len(line) for line in lines} == {len(lines[0])}


def test_figure_1_has_the_numbers_of_section_1():
    # 91.3 (up 1.2 and 9.8) / 92.5 (up 7.7 and 3.7): "compared with the WinCLIP and Baseline".
    printed = {"image_auroc": (91.3, 1.2, 9.8), "pixel_auroc": (92.5, 7.7, 3.7)}
    found = {(cell.method, cell.metric): (cell.value, cell.shots, cell.dataset) for cell in published("figure1")}
    assert len(found) == len(published("figure1")) == 6
    for metric, (ours, over_winclip, over_baseline) in printed.items():
        assert found["PromptAD", metric] == (ours, 1, "mvtec")
        assert found["WinCLIP", metric] == (pytest.approx(ours - over_winclip), 0, "mvtec")
        assert found["CoOp+VV-CLIP", metric] == (pytest.approx(ours - over_baseline), 1, "mvtec")
    # What the note of Figure 1 says that they contradict.
    table6 = {(cell.method, cell.metric): cell.value for cell in published("table6") if cell.dataset == "mvtec"}
    assert [table6["CPE+WinCLIP", metric] for metric in printed] == [91.8, 85.1]
    assert table6["CoOp+VV-CLIP", "pixel_auroc"] == 87.8


def test_an_unknown_table_is_an_error_that_lists_the_known():
    with pytest.raises(
        ValueError, match=r"got 'table11': known are \['table1', 'table2', .*'table10', 'figure1', 'anople'\]"
    ):
        published("table11")
