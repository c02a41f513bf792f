import random
import zipfile

import numpy as np
import pytest
from helpers.cells import make_cell, make_row
from helpers.older_files import write_older_row
from helpers.report_study import make_plan

from reports.reading.plan_document import Plan
from study.records.folder import LedgerError, StudyFolder
from study.records.ledger import Ledger
from study.records.segment_folder import FAN_IN


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
        ledger.append([row])
    assert ledger.rows() == {row.cell.digest: row for row in rows}
    assert ledger.row(rows[1].cell.digest) == rows[1]
    assert ledger.rows([rows[2].cell.digest, "absent"]) == {rows[2].cell.digest: rows[2]}
    ledger.append([], {"d": {"names": np.array(["a"]), "fused": np.ones((1, 2, 2), np.float32)}})
    assert ledger.examples("d")["fused"].sum() == 4
    ledger.write_plan(Plan.from_json(make_plan("b")))
    ledger.write_plan(Plan.from_json(make_plan("a")))
    assert [plan.name for plan in ledger.plans()] == ["a", "b"]


def many(count):
    return [make_row(cell=make_cell(seed=seed)) for seed in range(count)]


def by_digest(rows):
    return {row.cell.digest: row for row in rows}


def test_a_later_row_of_a_cell_replaces_the_earlier_one(ledger):
    failed = make_row(status="failed", scores=None, reason="no luck")
    ledger.append([failed, *many(3)[1:]])
    ledger.append([failed])
    ledger.append([make_row()])
    assert ledger.row(failed.cell.digest) == make_row()
    assert ledger.states()[failed.cell.digest].status == "ok"
    for _ in range(FAN_IN):
        ledger.append([make_row()])
    ledger.compact()
    assert Ledger(ledger.location).rows() == by_digest(many(3))


def test_of_two_writers_the_later_row_counts_whichever_began_first(tmp_path):
    first, second = Ledger(str(tmp_path)), Ledger(str(tmp_path))
    first.append(many(1))
    for _ in range(3):
        second.append([make_row(status="failed", scores=None, reason="no luck")])
    first.append(many(1))
    assert Ledger(str(tmp_path)).rows() == by_digest(many(1))


def test_documents_are_rows_without_their_test_images(ledger):
    rows = [
        make_row(cell=make_cell(support=("a.png",)), test_images={"name": ["x"], "anomalous": [1], "score": [0.25]}),
        make_row(cell=make_cell(seed=1), status="failed", scores=None, reason="no luck", provenance={"attempts": 2}),
        make_row(cell=make_cell(seed=2), view={"anomalous": 1, "with_mask": 1, "unseen": []}, cost={"fit_flop": 3.0}),
    ]
    ledger.append(rows)
    assert ledger.rows() == by_digest(rows)
    assert ledger.documents() == {row.cell.digest: {**row.plain(), "test_images": None} for row in rows}


def test_a_study_has_few_files_however_often_it_is_written(tmp_path):
    ledger, rows = Ledger(str(tmp_path)), many(3 * FAN_IN)
    for row in rows:
        ledger.append([row], {row.cell.digest: {"names": np.array(["a"])}})
        ledger.compact()
    assert len(list((tmp_path / "rows").iterdir())) < FAN_IN
    assert len(list((tmp_path / "examples").iterdir())) < FAN_IN
    fresh = Ledger(str(tmp_path))
    assert fresh.rows() == ledger.rows() == by_digest(rows)
    assert all(fresh.examples(row.cell.digest)["names"] == ["a"] for row in rows)


def test_who_reads_while_segments_are_put_together_misses_nothing(tmp_path):
    writer, reader, rows = Ledger(str(tmp_path)), Ledger(str(tmp_path)), many(FAN_IN)
    for row in rows:
        writer.append([row])
    reading = reader._each_row(None)
    found = dict([next(reading)])
    writer.compact()
    found |= dict(reading)
    assert found == by_digest(rows)


def test_a_killed_compaction_leaves_every_row_once(tmp_path, monkeypatch):
    ledger, rows = Ledger(str(tmp_path)), many(FAN_IN)
    for row in rows:
        ledger.append([row])
    removed = []

    def killed(_, name):
        if len(removed) == 5:
            raise KeyboardInterrupt
        removed.append(name)
        (tmp_path / name).unlink()

    monkeypatch.setattr(StudyFolder, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.compact()
    monkeypatch.undo()
    fresh = Ledger(str(tmp_path))
    assert fresh.rows() == by_digest(rows)
    fresh.append([make_row(status="failed", scores=None, reason="later")])
    fresh.compact()
    assert Ledger(str(tmp_path)).row(make_row().cell.digest).reason == "later"
    assert len(Ledger(str(tmp_path)).rows()) == FAN_IN


@pytest.mark.parametrize("kept", [0, 1, 100, -30])
def test_a_damaged_segment_counts_as_missing_and_is_named(tmp_path, kept):
    ledger = Ledger(str(tmp_path))
    ledger.append(many(2))
    (path,) = (tmp_path / "rows").iterdir()
    path.write_bytes(path.read_bytes()[:kept])
    fresh = Ledger(str(tmp_path))
    assert fresh.rows() == fresh.states() == {}
    assert list(fresh.damaged()) == [f"rows/{path.name}"]
    fresh.append(many(2))
    assert fresh.rows() == by_digest(many(2))
    assert path.exists()


def test_a_damaged_part_of_a_segment_is_found_before_its_rows_are_trusted(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.append(many(2))
    (path,) = (tmp_path / "rows").iterdir()
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("rows/0.jsonl").header_offset
    content[start + 60] ^= 255
    path.write_bytes(content)
    fresh = Ledger(str(tmp_path))
    # The index is whole, but who decides which cells run looks at the rows.
    assert fresh.states().keys() == by_digest(many(2)).keys()
    assert fresh.sound_states(by_digest(many(2))) == {}
    assert fresh.states() == {}
    assert list(fresh.damaged()) == [f"rows/{path.name}"]


@pytest.mark.slow
def test_any_damage_of_a_segment_gives_right_rows_or_none(tmp_path):
    rows = by_digest(many(6))
    ledger = Ledger(str(tmp_path))
    ledger.append(list(rows.values()))
    (path,) = (tmp_path / "rows").iterdir()
    whole, rng, found = path.read_bytes(), random.Random(0), set()
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 40))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content if rng.random() < 0.8 else content[: rng.randrange(len(content))])
        fresh = Ledger(str(tmp_path))
        read = fresh.rows()
        assert read.items() <= rows.items()
        assert len(read) == len(rows) or fresh.damaged().keys() == {f"rows/{path.name}"}
        assert fresh.documents().keys() <= rows.keys()
        found.add(len(read))
    # Damage is found, and what lies beside the content changes nothing.
    assert found == {0, len(rows)}


def test_damaged_segments_are_left_alone_when_others_are_put_together(tmp_path):
    ledger, rows = Ledger(str(tmp_path)), many(FAN_IN + 1)
    for row in rows:
        ledger.append([row])
    victim = min((tmp_path / "rows").iterdir())
    victim.write_bytes(victim.read_bytes()[:-20])
    fresh = Ledger(str(tmp_path))
    fresh.compact()
    assert victim.exists()
    assert fresh.rows() == by_digest(rows[1:])


def test_an_altered_row_is_no_row(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.append(many(2))
    (path,) = (tmp_path / "rows").iterdir()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["rows/0.jsonl"] = parts["rows/0.jsonl"].replace(b'"seed":1', b'"seed":7')
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    fresh = Ledger(str(tmp_path))
    assert fresh.rows() == by_digest(many(1))
    assert "holds the cell" in fresh.damaged()[f"rows/{path.name}"]


@pytest.mark.parametrize("change", [lambda lines: lines[:1], lambda lines: [*lines, lines[0]]])
def test_a_part_with_other_lines_than_its_index_is_damaged(tmp_path, change):
    ledger = Ledger(str(tmp_path))
    ledger.append(many(2))
    (path,) = (tmp_path / "rows").iterdir()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["rows/0.jsonl"] = b"\n".join(change(parts["rows/0.jsonl"].splitlines()))
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    fresh = Ledger(str(tmp_path))
    assert fresh.rows() == fresh.documents() == {}
    assert "must have a line for each of 2 rows" in fresh.damaged()[f"rows/{path.name}"]


def test_a_folder_of_an_older_version_is_read_and_converted_and_nothing_is_lost(tmp_path):
    ledger, rows = Ledger(str(tmp_path)), many(5)
    for row in rows:
        write_older_row(ledger.folder, row)
    cut = write_older_row(ledger.folder, make_row(cell=make_cell(seed=9)))
    cut.write_text(cut.read_text()[:200])
    (tmp_path / "examples").mkdir()
    arrays = Ledger(str(tmp_path / "other"))
    arrays.append([], {"d": {"names": np.array(["a"])}})
    with zipfile.ZipFile(next((tmp_path / "other" / "examples").iterdir())) as archive:
        (tmp_path / "examples" / "d.npz").write_bytes(archive.read("d.npz"))
    before = ledger.rows()
    assert before == by_digest(rows)
    assert ledger.examples("d")["names"] == ["a"]
    assert ledger.convert() == 5
    for each in (ledger, Ledger(str(tmp_path))):
        assert each.rows() == before
        assert each.examples("d")["names"] == ["a"]
    assert [path.name for path in (tmp_path / "rows").glob("*.json")] == [cut.name]
    assert list((tmp_path / "examples").glob("*.npz")) == []
    assert ledger.convert() == 0


def test_a_conversion_that_is_killed_goes_on(tmp_path, monkeypatch):
    ledger, rows = Ledger(str(tmp_path)), many(5)
    for row in rows:
        write_older_row(ledger.folder, row)
    real, removed = StudyFolder.remove, []

    def killed(self, name):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(name)
        real(self, name)

    monkeypatch.setattr(StudyFolder, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        Ledger(str(tmp_path)).convert()
    monkeypatch.undo()
    assert Ledger(str(tmp_path)).rows() == by_digest(rows)
    Ledger(str(tmp_path)).convert()
    assert Ledger(str(tmp_path)).rows() == by_digest(rows)
    assert len(list((tmp_path / "rows").iterdir())) == 1


def test_a_half_written_file_is_no_row(tmp_path):
    ledger = Ledger(str(tmp_path))
    ledger.append([make_row()])
    (tmp_path / "rows" / "000000000002-0-abcd.zip.123.partial").write_text("{")
    assert len(ledger.rows()) == 1


def test_an_unwritable_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "rows").write_text("a file where a folder should be")
    with pytest.raises(LedgerError, match=r"rows.*cannot be written"):
        Ledger(str(tmp_path)).append([make_row()])


def test_a_row_of_another_version_is_ignored_and_left_alone(tmp_path):
    ledger = Ledger(str(tmp_path))
    path = write_older_row(ledger.folder, make_row())
    newer = path.read_text().replace('"config": {', '"config": {"a_field_of_the_future": 1,')
    path.write_text(newer)
    assert ledger.rows() == {}
    assert ledger.convert() == 0
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
    cut, moved, _ = (write_older_row(ledger.folder, row) for row in rows)
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
    Ledger(str(tmp_path)).append([], {"d": {"names": np.array(["a"])}})
    (path,) = (tmp_path / "examples").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert Ledger(str(tmp_path)).examples("d") is None


def test_an_unknown_file_system_is_an_error_that_names_it():
    with pytest.raises(LedgerError, match="nosuch://bucket cannot be opened"):
        Ledger("nosuch://bucket")
