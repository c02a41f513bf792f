"""A study that older code wrote is read by this one: what is stored outlives every room that wrote it."""

import csv
import json
import zipfile

import pytest
from helpers.places import FIXTURES

from promptad.configs.promptad_config import PromptADConfig
from study.command.cli import main
from study.records.ledger import Ledger

KEYS = ("arm", "metric", "shots", "mean", "sd", "ci_low", "ci_high", "effect", "claim", "n_seeds", "status", "digests")


@pytest.fixture
def study(tmp_path):
    with zipfile.ZipFile(FIXTURES / "studies" / "table3-leather.zip") as stored:
        stored.extractall(tmp_path)
    return tmp_path


def values_of(path):
    with path.open(encoding="utf-8") as file:
        return [{key: line[key] for key in KEYS} for line in csv.DictReader(file)]


@pytest.mark.slow
def test_every_row_and_plan_is_read_and_each_digest_is_that_of_its_cell(study):
    files = Ledger(str(study)).everything()
    assert (len(files.rows), len(files.plans), files.damaged) == (20, 1, {})
    assert {path.stem for path in (study / "rows").iterdir()} == set(files.rows)
    assert {cell.digest for cell in files.plans[0].cells} == set(files.rows)


@pytest.mark.slow
def test_a_row_is_written_again_as_it_was_read(study):
    rows = Ledger(str(study)).rows()
    for path in (study / "rows").iterdir():
        before = json.loads(path.read_text(encoding="utf-8"))
        # A field of the config that came later has its default, which is what ran.
        before["cell"]["config"] = PromptADConfig().as_dict() | before["cell"]["config"]
        assert rows[path.stem].plain() == before


@pytest.mark.slow
def test_its_report_has_the_numbers_that_the_older_code_wrote(study, capsys):
    assert main(["report", "--study", str(study)]) == 0
    (table,) = (path for path in (study / "report" / "tables").glob("*.csv") if "categories" not in path.name)
    assert values_of(table) == values_of(study / "expected.csv")
    assert main(["status", "--study", str(study)]) == 0
    assert "20" in capsys.readouterr().out


@pytest.mark.slow
def test_it_is_converted_in_place_and_says_the_same(study):
    before = Ledger(str(study)).rows()
    assert Ledger(str(study)).convert() == 20
    assert list((study / "rows").glob("*.json")) == []
    after = Ledger(str(study)).rows()
    assert {digest: row.to_json() for digest, row in after.items()} == {
        digest: row.to_json() for digest, row in before.items()
    }
    assert main(["report", "--study", str(study)]) == 0
    (table,) = (path for path in (study / "report" / "tables").glob("*.csv") if "categories" not in path.name)
    assert values_of(table) == values_of(study / "expected.csv")
