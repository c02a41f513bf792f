"""A table that is added as ``docs/architecture.md`` says: an ``Ablation`` in a file of one's own."""

import pytest
from helpers.added_study import page_of

from ablations.designs import PaperTable
from ablations.spec import Ablation
from study.command.cli import main
from study.command.exits import USAGE


def test_a_table_is_a_file_of_ones_own(inspection_root, tmp_path):
    page = page_of(tmp_path, f"mvtec:{inspection_root}")
    assert "My table" in page
    assert "Does it run?" in page
    assert "my row" in page


def test_a_file_that_forgets_its_table_says_so(tmp_path, capsys):
    file = tmp_path / "empty.py"
    file.write_text("from ablations import Ablation\n", encoding="utf-8")
    assert main(["plan", str(file), "--study", str(tmp_path / "study")]) == USAGE
    assert "empty.py must define ablations: a variable that is an Ablation" in capsys.readouterr().err


def test_a_table_that_forgets_a_part_says_which():
    with pytest.raises(TypeError, match="question"):
        Ablation(name="half", title="t", design=PaperTable(rows=(), baseline=None))
