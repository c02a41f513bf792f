"""The command line as a user meets it, run in this process with the serial executor."""

import json
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import pytest
from helpers.inspection_set import write_inspection_set
from helpers.places import RUN
from helpers.stored_rows import forget_rows, row_texts

from ablations.catalogue import CATALOGUE
from study.command.cli import main
from study.command.exits import FAILED, USAGE

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(inspection_root, tmp_path):
    """Arguments of a quick study."""
    return [
        *("--data", f"mvtec:{inspection_root}", "--study", str(tmp_path / "study"), "--seeds", "2"),
        *("--set", "epochs=2", "--set", "map_size=48", "--categories", "plate"),
    ]


def rows(tmp_path):
    return row_texts(tmp_path / "study")


def test_a_study_from_plan_to_report(asked, tmp_path, capsys):
    assert main(["plan", "table3", *asked]) == 0
    assert "20 planned, 0 done, 20 to run" in capsys.readouterr().out
    assert not (tmp_path / "study").exists()

    assert main(["run", "table3", *asked, "--executor", "serial"]) == 0
    assert "20 to run" in capsys.readouterr().out
    first = rows(tmp_path)
    assert len(first) == 20
    page = next((tmp_path / "study" / "report").glob("index.html")).read_text()
    assert "SC + EAM + VAD" in page
    tables = {path.name: path.read_bytes() for path in (tmp_path / "study" / "report" / "tables").iterdir()}
    report = tmp_path / "study" / "report"
    written = {path: path.stat().st_mtime_ns for path in report.rglob("*")}
    capsys.readouterr()

    assert main(["run", "table3", *asked, "--executor", "serial"]) == 0
    said = capsys.readouterr().out
    assert "20 need no work, 0 to run" in said
    assert "SC + EAM + VAD" in said
    assert rows(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in report.rglob("*")} == written

    assert not [*report.rglob("*.pdf")]
    assert main(["report", "--study", str(tmp_path / "study"), "--figures", "pdf,svg"]) == 0
    assert len([*report.rglob("*.pdf")]) == len([*report.rglob("figures/*.csv")])
    assert main(["report", "--study", str(tmp_path / "study"), "--figures", "pdf,gif"]) == 2
    assert "--figures must be of svg, png, pdf, with commas, but got 'gif'" in capsys.readouterr().err

    assert main(["report", "--study", str(tmp_path / "study"), "--out", str(tmp_path / "again")]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again" / "tables").iterdir()} == tables

    assert main(["status", "--study", str(tmp_path / "study")]) == 0
    assert "20 of 20 cells done" in capsys.readouterr().out
    assert main(["status", "--json", "--study", str(tmp_path / "study")]) == 0
    assert json.loads(capsys.readouterr().out)["plans"][0]["ok"] == 20

    assert main(["plan", "table3", *asked, "--seeds", "3"]) == 0
    assert "30 planned, 20 done, 10 to run" in capsys.readouterr().out


def test_a_lost_row_is_computed_again_to_the_same_scores(asked, tmp_path):
    assert main(["run", *asked, "--executor", "serial"]) == 0
    before = {name: json.loads(content)["scores"] for name, content in rows(tmp_path).items()}
    forget_rows(tmp_path / "study", set(sorted(before)[:2]))
    # One more in the file of an older version, cut short.
    forget_rows(tmp_path / "study", {third := sorted(before)[2]})
    (tmp_path / "study" / "rows" / f"{third}.json").write_text('{"schema": 1, "dig')
    assert main(["run", *asked, "--executor", "serial"]) == 0
    assert {name: json.loads(content)["scores"] for name, content in rows(tmp_path).items()} == before


def test_failed_cells_are_rows_the_rest_finishes_and_the_exit_code_says_so(asked, tmp_path, monkeypatch, capsys):
    from study.bench.workbench import Workbench

    real = Workbench._prepare

    def failing(self, cell):
        if cell.seed == 1 and cell.config.vad:
            raise MemoryError("no memory left")
        return real(self, cell)

    monkeypatch.setattr(Workbench, "_prepare", failing)
    assert main(["run", *asked, "--executor", "serial"]) == FAILED
    captured = capsys.readouterr()
    assert "4 cells failed" in captured.err
    assert captured.err.count("failed: plate") == 4
    statuses = [json.loads(content)["status"] for content in rows(tmp_path).values()]
    assert sorted(statuses) == ["failed"] * 4 + ["ok"] * 16
    assert "no memory left" in (tmp_path / "study" / "report" / "index.html").read_text()
    monkeypatch.setattr(Workbench, "_prepare", real)
    assert main(["run", *asked, "--executor", "serial"]) == 0


def test_unreadable_images_are_errors_or_left_out_as_asked(tmp_path, capsys):
    root = write_inspection_set(tmp_path / "data", ("plate",))
    broken = root / "plate" / "test" / "good" / "001.png"
    broken.write_bytes(broken.read_bytes()[:300])
    asked = ["--data", f"mvtec:{root}", "--study", str(tmp_path / "study"), "--seeds", "1", "--set", "epochs=1"]
    assert main(["run", *asked, "--executor", "serial"]) == USAGE
    assert "plate/test/good/001.png cannot be decoded" in capsys.readouterr().err
    assert main(["run", *asked, "--skip-bad", "--executor", "serial"]) == 0
    assert "test/good/001.png" in (tmp_path / "study" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "table33"], "no ablation is called table33; there are table1, table2, table3"),
        (["run", "mine.py"], "mine.py must be a Python file that defines ablations, but there is no such file"),
        (["run", "--data", "/some/where"], "--data must be synthetic or LAYOUT:ROOT"),
        (["run", "--data", "mvtec:/no/such/folder"], "there is none at /no/such/folder"),
        (["run", "--backbone", "ViT-B-99:openai"], "open_clip has no model 'ViT-B-99'"),
        (["run", "--set", "lambda=1"], "config has no field lambda"),
        (["run", "--set", "vad"], "--set must be FIELD=VALUE"),
        (["run", "--set", "epochs=ten"], "epochs must be int, but got 'ten'"),
        (["run", "--set", "own_suffixes=x"], "use --suffixes FILE"),
        (["run", "--shots", "one"], "--shots must be whole numbers"),
        (["run", "--set", "vad=false"], "vad already has this value in the base"),
        (["run", "--cpus-per-trial", "0"], "--cpus-per-trial must be at least 1"),
        (["run", "--support", "/no/such/file"], "--support file /no/such/file cannot be read"),
        (
            ["run", "--cache-gb", "nan", "--gpus-per-trial", "-1"],
            "must be at least 0, but got -1.0; --cache-gb",
        ),
        (["run", "--set", "map_size=100000"], "map_size must be between 16 and 2048"),
        (["--set", "lambda=1"], "config has no field lambda"),
        (["table33"], "no ablation is called table33"),
        (["report"], "holds neither plan nor search"),
    ],
)
def test_a_users_mistake_is_one_line_without_a_traceback(arguments, message, inspection_root, tmp_path, capsys):
    data = [] if "--data" in arguments or arguments[0] == "report" else ["--data", f"mvtec:{inspection_root}"]
    assert main([*arguments, *data, "--study", str(tmp_path / "study")]) == USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.slow
def test_two_reports_at_once_are_both_whole(asked, tmp_path):
    assert main(["run", *asked, "--executor", "serial"]) == 0
    report = tmp_path / "study" / "report"
    before = {path.relative_to(report): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    command = [sys.executable, str(RUN), "report", "--study", str(tmp_path / "study")]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=RUN.parent.parent) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert {path.relative_to(report): path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_the_whole_catalogue_runs_and_its_page_leads_nowhere_wrong(asked, tmp_path):
    everything = [*asked, "--seeds", "1", "--shots", "1", "--set", "epochs=1", "--executor", "serial"]
    assert main(["run", "all", *everything]) == 0
    report = tmp_path / "study" / "report"
    page = (report / "index.html").read_text()
    sections = [match.partition("-")[0] for match in re.findall(r'<section id="([^"]+)" class="plan"', page)]
    assert sections == [name for name in CATALOGUE if name in sections]
    assert {"table1", "table10", "figure1", "figure7", "figure11_12", "protocol_audit"} <= set(sections)
    links = {unquote(link) for link in re.findall(r'(?:href|src)="([^"#:]+)"', page)}
    assert links
    assert [link for link in links if not (report / link).is_file()] == []


def test_a_users_suffixes_reach_the_cells(asked, tmp_path, capsys):
    path = tmp_path / "suffixes.json"
    path.write_text('{"plate": ["{} with a dark spot"]}')
    assert main(["run", *asked, "--seeds", "1", "--suffixes", str(path), "--executor", "serial"]) == 0
    cells = [json.loads(content)["cell"] for content in rows(tmp_path).values()]
    with_sc = [cell for cell in cells if cell["config"]["sc"] and cell["config"]["pad"]]
    assert {tuple(cell["config"]["own_suffixes"]) for cell in with_sc} == {("{} with a dark spot",)}
    path.write_text('{"plate": ["dark spot"], "cup": ["{}"]}')
    assert main(["plan", *asked, "--suffixes", str(path)]) == USAGE
    assert "names cup, which is no category" in capsys.readouterr().err
    path.write_text('{"plate": ["dark spot"]}')
    assert main(["plan", *asked, "--suffixes", str(path)]) == USAGE
    assert "each of own_suffixes must hold {} once" in capsys.readouterr().err


def test_an_ablation_of_ones_own_runs_from_its_file(asked, tmp_path, capsys):
    example = RUN.parent.parent / "docs" / "examples" / "my_ablation.py"
    asked = [*asked, "--seeds", "1"]
    assert main(["plan", str(example), *asked]) == 0
    assert "arm n_normal_tokens=8 + initial_deviation=0.02: 2 cells" in capsys.readouterr().out
    assert main(["run", str(example), *asked, "--executor", "serial"]) == 0
    tokens = {json.loads(content)["cell"]["config"]["n_normal_tokens"] for content in rows(tmp_path).values()}
    assert tokens == {2, 4, 8}
    assert "Length and spread of the learnable prefix" in (tmp_path / "study" / "report" / "index.html").read_text()


def test_the_list_of_ablations_needs_no_data(capsys):
    assert main(["plan", "--list"]) == 0
    out = capsys.readouterr().out
    assert "figure5 " in out
    assert "Table 8: backbones" in out


def test_what_does_not_fit_is_left_out_of_all_with_its_reason(asked, tmp_path, capsys):
    assert main(["plan", "all", *asked, "--shots", "1", "--set", "temperature=raw_parameter"]) == 0
    captured = capsys.readouterr()
    assert "left out: protocol_audit: arm D1: temperature already has this value" in captured.err
    assert "table3 " in captured.out
    assert not (tmp_path / "study").exists()


def test_a_base_that_a_method_cannot_have_names_the_arm_and_stops_no_other_ablation(asked, tmp_path, capsys):
    assert main(["plan", "all", *asked, "--shots", "1", "--set", "transformation=linear"]) == 0
    captured = capsys.readouterr()
    assert "left out: table6: arm CPE+VV-CLIP: transformation linear is learned" in captured.err
    assert "table3 " in captured.out
    assert main(["plan", "table6", *asked, "--set", "transformation=linear"]) == 2
    assert "arm CoCoOp+VV-CLIP: transformation must be one of clip, maskclip, vv" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("content", ["[1]", '{"plate": []}', '{"plate": "a.png"}', "{"])
def test_a_support_file_must_map_categories_to_names(content, asked, tmp_path, capsys):
    path = tmp_path / "support.json"
    path.write_text(content)
    assert main(["plan", *asked, "--support", str(path)]) == USAGE
    assert f"--support file {path} must" in capsys.readouterr().err


def test_cache_verbs(asked, capsys):
    assert main(["run", *asked, "--executor", "serial"]) == 0
    capsys.readouterr()
    assert main(["cache", "info"]) == 0
    assert "holds 0 features" not in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert main(["cache", "info"]) == 0
    assert "holds 0 features" in capsys.readouterr().out


@pytest.mark.slow
def test_the_script_works_alone_in_any_folder(tmp_path):
    shutil.copy(RUN, tmp_path / "run.py")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for verb in ("plan", "run", "report", "status", "cache"):
        assert f"\n    {verb} " in done.stdout


def test_the_script_imports_nothing_but_the_standard_library():
    import ast

    tree = ast.parse(RUN.read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
