import dataclasses

import numpy as np
import pytest
from helpers.cells import make_cell, make_row
from helpers.report_study import make_plan

from reports.reading.plan_document import Plan
from study.command.cli import main
from study.command.exits import FAILED, USAGE
from study.records.ledger import Ledger
from study.records.merging import merge_studies

ROWS = [make_row(cell=make_cell(seed=seed)) for seed in range(4)]
OTHER = {name: value / 2 for name, value in ROWS[0].scores.items()}


@pytest.fixture
def labs(tmp_path):
    """Two studies that share a cell with equal scores, and one whose scores differ."""
    one, two = (Ledger(str(tmp_path / name)) for name in ("one", "two"))
    one.append(ROWS[:3], {ROWS[0].cell.digest: {"names": np.array(["a"])}})
    failed = make_row(cell=ROWS[3].cell, status="failed", scores=None, reason="no memory")
    one.append([failed])
    two.append([dataclasses.replace(ROWS[0], scores=OTHER), ROWS[2], ROWS[3]])
    for ledger, seeds in ((one, range(2)), (two, range(3))):
        ledger.write_plan(Plan.from_json(make_plan("t", seeds=seeds)))
    return one, two


def test_each_cell_has_one_row_and_other_scores_are_kept_apart(labs, tmp_path):
    into = Ledger(str(tmp_path / "both"))
    done = merge_studies(labs, into)
    assert (done.taken, done.equal, done.apart) == (5, 1, (ROWS[0].cell.digest,))
    # The failed row of one lab gave way to the other's; of two that are ok, the first is used.
    assert into.rows() == {row.cell.digest: row for row in ROWS}
    assert into.examples(ROWS[0].cell.digest)["names"] == ["a"]
    (kept,) = (tmp_path / "both" / "apart").iterdir()
    assert kept.name == f"{ROWS[0].cell.digest}-0.json"
    assert str(OTHER["image_auroc"]) in kept.read_text()
    assert [len(plan.seeds) for plan in into.plans()] == [3]


def test_merging_again_changes_nothing(labs, tmp_path):
    into = Ledger(str(tmp_path / "both"))
    merge_studies(labs, into)
    before = into.rows()
    again = merge_studies(labs, into)
    assert again.taken == 0
    assert Ledger(str(tmp_path / "both")).rows() == before
    assert len(list((tmp_path / "both" / "apart").iterdir())) == 1


def test_sources_are_left_as_they_are(labs, tmp_path):
    before = [ledger.rows() for ledger in labs]
    merge_studies(labs, Ledger(str(tmp_path / "both")))
    assert [Ledger(ledger.location).rows() for ledger in labs] == before


def test_the_command_names_what_contradicts_and_fails(labs, tmp_path, capsys):
    locations = [ledger.location for ledger in labs]
    assert main(["merge", *locations, "--into", str(tmp_path / "both")]) == FAILED
    said = capsys.readouterr().out
    assert "5 rows taken in, 1 were there with equal scores" in said
    assert f"1 cells have other scores elsewhere, kept in apart/ and not used: {ROWS[0].cell.digest[:12]}" in said
    assert main(["merge", locations[1], "--into", str(tmp_path / "third")]) == 0
    assert main(["merge", str(tmp_path / "nothing"), "--into", str(tmp_path / "both")]) == USAGE
    assert "holds no row" in capsys.readouterr().err
