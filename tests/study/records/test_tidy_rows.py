import csv

import pytest
from helpers.cells import make_cell, make_row

from promptad.configs.promptad_config import PromptADConfig
from study.command.cli import main
from study.command.exits import USAGE
from study.records.cell import PoolMember
from study.records.ledger import Ledger
from study.records.tidy_rows import study_frame, tidy_rows


@pytest.fixture
def study(tmp_path):
    """Two rows, one of them failed."""
    folder = tmp_path / "study"
    failed = make_row(cell=make_cell(seed=1), status="failed", scores=None, reason="no memory", seconds={})
    Ledger(str(folder)).append([make_row(cost={"fit_flop": 2.0}), failed])
    return folder


def test_a_row_is_a_line_of_plain_values(study):
    row, failed = sorted(tidy_rows(Ledger(str(study))), key=lambda each: each["seed"])
    cell = make_cell()
    assert (row["digest"], row["category"], row["seed"], row["status"]) == (cell.digest, cell.category, 0, "ok")
    assert row["score.image_auroc"] == make_row().scores["image_auroc"]
    assert row["seconds.total"] == make_row().seconds["total"]
    assert row["cost.fit_flop"] == 2.0
    assert {name: row[f"config.{name}"] for name in ("epochs", "sc")} == {
        "epochs": cell.config.epochs,
        "sc": cell.config.sc,
    }
    assert all(isinstance(value, str | int | float | bool | None) for value in row.values())
    assert (failed["status"], failed["reason"]) == ("failed", "no memory")
    assert not [name for name in failed if name.startswith("score.")]


def test_a_row_of_one_model_for_all_categories_says_of_which(tmp_path):
    cell = make_cell(
        config=PromptADConfig(setting="multi_class"),
        pool=tuple(PoolMember(category=name, data=name) for name in ("disc", "plate")),
    )
    ledger = Ledger(str(tmp_path))
    ledger.append([make_row(), make_row(cell=cell, provenance={"fit_shared_by": 2, "fit_seconds_in": "this row"})])
    alone, pooled = sorted(tidy_rows(ledger), key=lambda each: each["config.setting"] == "multi_class")
    assert (alone["pool"], alone["fit_seconds_in"], alone["config.setting"]) == (None, None, "one_class")
    assert (pooled["pool"], pooled["fit_seconds_in"]) == ('["disc","plate"]', "this row")
    assert ledger.row(cell.digest).cell == cell


def test_a_missing_score_is_never_a_number(study, tmp_path):
    path = tmp_path / "rows.csv"
    assert main(["export", "--study", str(study), "--to", str(path)]) == 0
    with path.open(encoding="utf-8") as file:
        lines = {line["seed"]: line for line in csv.DictReader(file)}
    assert float(lines["0"]["score.image_auroc"]) == make_row().scores["image_auroc"]
    assert lines["1"]["score.image_auroc"] == ""
    assert lines["1"]["reason"] == "no memory"
    assert study_frame(str(study))["score.image_auroc"].isna().sum() == 1


@pytest.mark.slow
def test_parquet_has_the_same_values(study, tmp_path):
    import pandas as pd

    path = tmp_path / "rows.parquet"
    assert main(["export", "--study", str(study), "--to", str(path)]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(path), study_frame(str(study)), check_dtype=False)


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("rows.xlsx", "--to must name a .csv or .parquet file, but got"),
        ("nowhere/rows.csv", "--to must name a file in a folder that is there"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(study, tmp_path, to, said, capsys):
    assert main(["export", "--study", str(study), "--to", str(tmp_path / to)]) == USAGE
    assert said in capsys.readouterr().err


def test_a_study_without_rows_is_an_error(tmp_path, capsys):
    assert main(["export", "--study", str(tmp_path / "none"), "--to", str(tmp_path / "rows.csv")]) == USAGE
    assert "holds no row" in capsys.readouterr().err
