"""Nothing that lies in data or in a study folder is executed, and nothing that it names leaves the folder."""

import ast
import dataclasses
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import make_cell, make_row
from helpers.documents import report_of
from helpers.inspection_set import write_inspection_set
from helpers.places import ROOT
from helpers.report_study import digest_of, make_plan, make_rows

from promptad.datasets import DatasetError, category_names, open_category
from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError
from reports.report import write_report
from study.records import arrays
from study.records.ledger import Ledger
from study.records.row import Row, RowError

OUTSIDE = ("../../x", "../x", "/x", "a/../../x", "..", "x/y")

FORBIDDEN = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}
PROCESSES = {"Parallel", "delayed", "get_reusable_executor"}
"""Of joblib: what starts processes and reads no file."""


def half(*_):
    """The score of every cell."""
    return 0.5


def unsafe(source):
    """``line N: what`` for everything in a module that can execute what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {(node.module or "").partition(".")[0]}
            if modules == {"joblib"} and {alias.name for alias in node.names} <= PROCESSES:
                modules = set()
        else:
            modules = set()
        found += [f"line {node.lineno}: {module}" for module in sorted(modules & FORBIDDEN)]
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if call in ("eval", "exec", "compile"):
            found.append(f"line {node.lineno}: {call}")
        elif call == "torch.load" and keywords.get("weights_only") != "True":
            found.append(f"line {node.lineno}: torch.load")
        elif (call in ("np.load", "numpy.load") and keywords.get("allow_pickle", "False") != "False") or call.endswith(
            ("read_pickle", "Tuner.restore", "from_pickle")
        ):
            found.append(f"line {node.lineno}: {call}")
    return found


@pytest.mark.slow
def test_no_code_of_ours_unpickles_or_evaluates():
    found = {}
    for package in ("promptad", "ablations", "study", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            if problems := unsafe(path.read_text()):
                found[path.relative_to(ROOT).as_posix()] = problems
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import dill.source",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trust)",
        "tune.Tuner.restore(path)",
        "eval(text)",
    ],
)
def test_what_would_execute_is_found(source):
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source", ["torch.load(path, weights_only=True)", "np.load(path)", "np.load(path, allow_pickle=False)", "m.eval()"]
)
def test_what_is_safe_is_not_found(source):
    assert unsafe(source) == []


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_examples_that_hold_a_pickle_are_not_opened(tmp_path):
    ledger = Ledger(str(tmp_path / "study"))
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array([Bomb(tmp_path / "exploded")], dtype=object))
    for content in (buffer.getvalue(), pickle.dumps(Bomb(tmp_path / "exploded"))):
        ledger.folder.write("examples/d.npz", content)
        assert ledger.examples("d") is None
        ledger.folder.write("examples/000000000001-0-ab.zip", arrays.encoded({"d": content}))
        assert Ledger(ledger.location).examples("d") is None
        ledger.folder.remove("examples/000000000001-0-ab.zip")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("category", OUTSIDE)
def test_a_row_lies_in_the_study_whatever_its_cell_is_called(category, tmp_path):
    ledger = Ledger(str(tmp_path / "study"))
    row = make_row(cell=make_cell(category=category))
    ledger.append([row])
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.parent == tmp_path / "study" / "rows"


@pytest.mark.parametrize("digest", OUTSIDE)
def test_a_row_cannot_choose_its_digest(digest):
    row = make_row()
    with pytest.raises(RowError, match="holds the cell"):
        Row.from_json(row.to_json().replace(f'"digest": "{row.cell.digest}"', f'"digest": "{digest}"'))


@pytest.mark.parametrize("name", [*OUTSIDE, "", ".hidden", "a b", "x\n"])
def test_a_report_of_a_plan_whose_name_is_no_file_name_is_refused(name, tmp_path):
    document = make_plan()
    with pytest.raises(DocumentError, match="its name must be at most 200 letters, digits"):
        Plan.from_json({**document, "name": name})
    renamed = dataclasses.replace(Plan.from_json(document), name=name)
    with pytest.raises(ValueError, match="a plan's name must be letters, digits"):
        write_report(plans=[renamed], rows=make_rows(document, half), examples=lambda _: None, out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("category", OUTSIDE)
def test_a_report_stays_in_its_folder_whatever_a_category_is_called(category, tmp_path):
    plan = make_plan(categories=(category, "plate"))
    report_of(plans=[plan], rows=make_rows(plan, half), examples=lambda _: None, out=tmp_path / "a" / "b" / "report")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert "a/b/report/index.html" in files
    assert all(file.startswith("a/b/report/") for file in files)


@pytest.mark.parametrize("shots", [*OUTSIDE, True, 1.5])
def test_shots_that_are_no_numbers_are_refused(shots, tmp_path):
    """They are part of figures' file names."""
    plan = make_plan(shots=(shots,))
    with pytest.raises(ValueError, match=r"shots\[0\] must be one of full, own or a whole number from 0"):
        report_of(plans=[plan], rows=make_rows(plan, half), examples=lambda _: None, out=tmp_path / "a" / "report")


@pytest.mark.slow
def test_markup_in_a_name_is_text_on_the_page(tmp_path):
    plan = make_plan(categories=("<script>alert(1)</script>", "plate"), title="<img src=x onerror=alert(1)>")
    page = report_of(plans=[plan], rows=make_rows(plan, half), examples=lambda _: None, out=tmp_path)
    assert "<script>alert(1)" not in page.read_text()
    assert "<img src=x" not in page.read_text()


@pytest.mark.parametrize("category", OUTSIDE)
def test_a_category_outside_the_data_is_refused(category, tmp_path):
    root = write_inspection_set(tmp_path / "in" / "data", ("plate",))
    write_inspection_set(tmp_path, ("x",))
    with pytest.raises(DatasetError, match="a category must be the name of a folder"):
        open_category("mvtec", root, category)


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_path_in_a_split_file_must_not_leave_its_category(column, tmp_path):
    """VisA's split file is the one place where data names paths."""
    write_inspection_set(tmp_path / "elsewhere", ("plate",))
    inside = {"image": "candle/Data/Images/Anomaly/0.JPG", "mask": "candle/Data/Masks/Anomaly/0.png"}
    for path in inside.values():
        (tmp_path / "visa" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "visa" / path).write_bytes(next((tmp_path / "elsewhere").rglob("*.png")).read_bytes())
    outside = (
        "candle/../../elsewhere/"
        + next((tmp_path / "elsewhere" / "plate").rglob("*.png")).relative_to(tmp_path / "elsewhere").as_posix()
    )
    paths = {**inside, column: outside}
    assert (tmp_path / "visa" / outside).exists()
    (tmp_path / "visa" / "split_csv").mkdir()
    (tmp_path / "visa" / "split_csv" / "1cls.csv").write_text(
        "object,split,label,image,mask\n"
        f"candle,train,normal,{inside['image']},\n"
        f"candle,test,anomaly,{paths['image']},{paths['mask']}\n"
    )
    assert category_names("visa", tmp_path / "visa") == ("candle",)
    with pytest.raises(DatasetError, match=r"elsewhere"):
        open_category("visa", tmp_path / "visa", "candle")


def test_a_digest_in_a_plan_cannot_make_a_report_read_elsewhere(tmp_path):
    """Rows are looked up among the files of the study, never by a path made of what a plan says."""
    ledger = Ledger(str(tmp_path / "study"))
    ledger.append([make_row()])
    (tmp_path / "secret.json").write_text(make_row(cell=make_cell(seed=9)).to_json())
    assert ledger.rows(["../../secret", digest_of("absent")]) == {}
