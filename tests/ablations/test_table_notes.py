"""What the notes of the paper's tables must tell a reader, and that the numbers in them are the published ones."""

import re

import pytest

from ablations.paper.tables import TABLE6, TABLE7, TABLE9, TABLES
from ablations.published import published


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_of_elongated_images_says_what_its_geometry_leaves_out(table):
    elongated = {"visa": "VisA's", "loco": "LOCO's"}
    for data_set, whose in elongated.items():
        cropped = f"{whose} images are elongated, and the paper's resizing" in table.note
        assert cropped == (data_set in table.data_sets)
    assert ("resize=squash or D12" in table.note) == bool(set(elongated) & set(table.data_sets))


@pytest.mark.parametrize("table", [TABLE6, TABLE7], ids=lambda table: table.name)
def test_rows_that_are_equal_by_construction_cannot_both_be_met(table):
    assert "by construction" in table.note
    assert "no run here can meet both" in table.note
    printed = [cell for name in ("table6", "table7") for cell in published(name) if cell.method.startswith("CPE+")]
    values = {str(cell.value) for cell in printed if cell.metric == "image_auroc"}
    assert len(values) == 4
    assert values == set(re.findall(r"\d\d\.\d", table.note))


def test_table_9_says_what_the_paper_does_not():
    assert "--suffixes FILE" in TABLE9.note
    assert "logical and structural anomalies are pooled" in TABLE9.note
    assert "PRO is not LOCO's sPRO" in TABLE9.note
