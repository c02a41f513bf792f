import numpy as np
import pytest
from helpers.cells import make_cell, make_row
from helpers.report_study import make_plan

from reports.reading.plan_document import Plan
from study.records.folder import LedgerError
from study.records.ledger import Ledger


@pytest.fixture(params=["local", "memory"])
def ledger(request, tmp_path):
    return Ledger(str(tmp_path / "study") if request.param == "local" else f"memory://{tmp_path.name}")


def test_an_empty_study_has_nothing(ledger):
    assert ledger.rows() == {}
    assert ledger.plans() == []
    assert ledger.row("ab") is None
    assert ledger.examples("ab") is None


@pytest.mark.slow
def test_what_is_written_is_read(ledger):
    rows = [make_row(cell=make_cell(seed=seed)) for seed in range(3)]
    for row in rows:
        ledger.write_row(row)
    assert ledger.rows() == {row.cell.digest: row for row in rows}
    assert ledger.row(rows[1].cell.digest) == rows[1]
    assert ledger.rows([rows[2].cell.digest, "absent"]) == {rows[2].cell.digest: rows[2]}
    ledger.write_examples("d", {"names": np.array(["a"]), "fused": np.ones((1, 2, 2), np.float32)})
    assert ledger.examples("d")["fused"].sum() == 4
    ledger.write_plan(Plan.from_json(make_plan("b")))
    ledger.write_plan(Plan.from_json(make_plan("a")))
    assert [plan.name for plan in ledger.plans()] == ["a", "b"]


def test_a_damaged_row_counts_as_missing_until_it_is_written_again(tmp_path):
    ledger = Ledger(str(tmp_path))
    row = make_row()
    ledger.write_row(row)
    path = tmp_path / "rows" / f"{row.cell.digest}.json"
    path.write_text(path.read_text()[:200])
    assert ledger.rows() == {}
    ledger.write_row(row)
    assert ledger.rows() == {row.cell.digest: row}


def test_a_half_written_file_is_no_row(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.write_row(make_row())
    (tmp_path / "rows" / "abc.json.123.partial").write_text("{")
    assert len(ledger.rows()) == 1


def test_an_unwritable_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "rows").write_text("a file where a folder should be")
    with pytest.raises(LedgerError, match=r"rows.*cannot be written"):
        Ledger(str(tmp_path)).write_row(make_row())


def test_a_row_of_another_version_is_ignored_and_left_alone(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.write_row(make_row())
    (path,) = (tmp_path / "rows").iterdir()
    newer = path.read_text().replace('"config": {', '"config": {"a_field_of_the_future": 1,')
    path.write_text(newer)
    assert ledger.rows() == {}
    assert path.read_text() == newer


def test_a_study_folder_that_is_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="file cannot be read"):
        Ledger(str(tmp_path / "file")).rows()


@pytest.mark.slow
def test_damaged_files_are_named_and_left_out(tmp_path):
    ledger = Ledger(str(tmp_path))
    assert ledger.damaged() == {}
    for name in ("a", "b", "c"):
        ledger.write_plan(Plan.from_json(make_plan(name)))
    (tmp_path / "plans" / "a.json").write_text("{")
    (tmp_path / "plans" / "c.json").write_text("[]")
    rows = [make_row(cell=make_cell(seed=seed)) for seed in range(3)]
    for row in rows:
        ledger.write_row(row)
    cut, moved, _ = (tmp_path / "rows" / f"{row.cell.digest}.json" for row in rows)
    cut.write_text(cut.read_text()[:100])
    moved.rename(moved.with_name("0123.json"))
    assert [plan.name for plan in ledger.plans()] == ["b"]
    assert ledger.rows() == {rows[2].cell.digest: rows[2]}
    damaged = ledger.damaged()
    assert damaged.keys() == {"plans/a.json", "plans/c.json", f"rows/{cut.name}", "rows/0123.json"}
    assert damaged["plans/c.json"] == "must be a JSON object, but is []"
    assert damaged["rows/0123.json"] == f"holds the row of another cell, {rows[1].cell.digest}"
    assert "not a row" in damaged[f"rows/{cut.name}"]


def test_broken_examples_are_absent(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.write_examples("d", {"names": np.array(["a"])})
    path = tmp_path / "examples" / "d.npz"
    path.write_bytes(path.read_bytes()[:40])
    assert ledger.examples("d") is None


def test_an_unknown_file_system_is_an_error_that_names_it():
    with pytest.raises(LedgerError, match="nosuch://bucket cannot be opened"):
        Ledger("nosuch://bucket")
