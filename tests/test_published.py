import dataclasses

import pytest

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
            method="PromptAD",
            dataset=dataset,
            shots=1,
            metric=metric,
            value=value,
            std=None,
            factors=f"sc={sc};eam={eam};vad={vad}",
        )
        for sc, eam, vad, *values in TABLE_3
        for (dataset, metric), value in zip(COLUMNS, values, strict=True)
    ]
    assert list(published("table3")) == expected


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
    keys = [dataclasses.replace(cell, value=0.0, std=None) for cell in cells]
    assert len(set(keys)) == len(keys)


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
    with pytest.raises(ValueError, match=r"got 'table11': known are \['table1', 'table2', .*'table10', 'figure1'\]"):
        published("table11")
