"""Sections of a report that would be the same are kept, and the folder is what a fresh report would be."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.report_study import make_examples, make_plan, make_rows

from reports.made import last_made
from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError
from reports.report import write_report
from reports.sections import Again
from reports.style import settle

pytestmark = pytest.mark.slow

FIRST = make_plan(shown_as=["arms", "examples"])
SECOND = make_plan("other", title="Another table", shown_as=["arms", "effects"], metrics=["image_auroc"])
ROWS = make_rows(FIRST) | make_rows(SECOND)
ARRAYS = make_examples(FIRST)
AGAIN = Again(version="1", stamp="a", marks=dict.fromkeys(ARRAYS, "mark"))


def written(out, *, rows=None, examples=ARRAYS.get, again=AGAIN, **options):
    plans = [Plan.from_json(document) for document in (FIRST, SECOND)]
    return write_report(plans=plans, rows=rows or ROWS, examples=examples, out=out, again=again, **options)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    out = tmp_path_factory.mktemp("fresh")
    assert written(out).kept == 0
    return content(out)


@pytest.fixture
def out(fresh, tmp_path):
    """A folder with a report of both plans."""
    for name, each in fresh.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(each)
    return tmp_path


def test_all_is_kept_where_nothing_changed(out, fresh):
    before = {path: path.stat().st_mtime_ns for path in out.glob("figures/*")}
    assert written(out).kept == 2
    assert content(out) == fresh
    assert {path: path.stat().st_mtime_ns for path in out.glob("figures/*")} == before


def test_a_row_that_changed_costs_its_tables_alone(out, tmp_path_factory):
    digest = next(iter(make_rows(SECOND)))
    assert digest not in make_rows(FIRST)
    changed = ROWS | {digest: ROWS[digest] | {"scores": dict.fromkeys(ROWS[digest]["scores"], 0.5)}}
    assert written(out, rows=changed).kept == 1
    other = tmp_path_factory.mktemp("other")
    assert written(other, rows=changed).kept == 0
    assert content(out) == content(other)


def test_arrays_that_changed_are_drawn_anew(out, tmp_path_factory):
    looked = {digest for part in last_made(out).parts.values() for digest, mark in part.arrays.items() if mark}
    digest = min(looked)
    others = ARRAYS | {digest: {**ARRAYS[digest], "score": np.zeros_like(ARRAYS[digest]["score"])}}
    again = replace(AGAIN, marks={**AGAIN.marks, digest: "another"})
    assert written(out, examples=others.get, again=again).kept == 1
    other = tmp_path_factory.mktemp("other")
    written(other, examples=others.get, again=again)
    assert content(out) == content(other)


def test_arrays_of_which_nothing_is_known_are_drawn_anew(out):
    unknown = replace(AGAIN, marks=dict.fromkeys(AGAIN.marks, ""))
    assert written(out, again=unknown).kept == 1
    assert written(out, again=unknown).kept == 1


def test_damaged_arrays_are_named_in_every_report(out):
    looked = {digest for part in last_made(out).parts.values() for digest, mark in part.arrays.items() if mark}
    digest = min(looked)

    def damaged(asked):
        if asked == digest:
            raise DocumentError("half a file")
        return ARRAYS.get(asked)

    again = replace(AGAIN, marks={**AGAIN.marks, digest: "half"})
    for _ in range(2):
        report = written(out, examples=damaged, again=again)
        assert (report.kept, dict(report.said.faults)) == (1, {f"examples/{digest}.npz": "half a file"})
        assert f"examples/{digest}.npz" in report.page.read_text()


@pytest.mark.parametrize("harm", ["remove", "alter"])
def test_a_file_that_is_not_as_it_was_written_is_written_again(out, fresh, harm):
    victim = next(out.glob("figures/other_*.svg"))
    if harm == "remove":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes().replace(b"</svg>", b"<!-- --></svg>"))
    assert not last_made(out).shows(out, "a", "1")
    assert written(out).kept == 1
    assert content(out) == fresh
    assert last_made(out).shows(out, "a", "1")


def test_figures_with_letters_that_no_font_has_are_drawn_anew(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("reports.figure_files.settle", lambda figure: settle(figure) or ("\u6c49",))
    for _ in range(2):
        assert written(tmp_path, say=said.append).kept == 0
        assert not last_made(tmp_path).shows(tmp_path, "a", "1")
    assert len(said) == 2
    assert all("figures show boxes in place of letters of \u6c49" in line for line in said)
    monkeypatch.undo()
    assert written(tmp_path, say=said.append).kept == 0
    assert written(tmp_path, say=said.append).kept == 2
    assert len(said) == 2


def test_other_code_keeps_nothing(out):
    assert written(out, again=replace(AGAIN, version="2")).kept == 0


@pytest.mark.parametrize("record", [b"", b"[]", b'{"schema": 1}', b"\xff"])
def test_a_record_that_cannot_be_read_keeps_nothing(out, fresh, record):
    (out / "made.json").write_bytes(record)
    assert last_made(out) is None
    assert written(out).kept == 0
    assert content(out) == fresh


def test_formats_stay_until_others_are_asked_for(out, fresh):
    assert {path.suffix for path in out.glob("figures/*")} == {".svg", ".png", ".csv"}
    assert written(out, formats=["pdf"]).kept == 0
    assert {path.suffix for path in out.glob("figures/*")} == {".svg", ".png", ".csv", ".pdf"}
    assert '.pdf">PDF</a>' in (out / "index.html").read_text()
    assert written(out).kept == 2
    assert written(out, formats=[]).kept == 0
    assert (out / "index.html").read_bytes() == fresh[(out / "index.html").relative_to(out)]
