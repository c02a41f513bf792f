"""The locale, the terminal, the notebook and the disk that a command meets are no reason for a traceback."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT

from reports.staging import ReportError, staging
from study.command.driver import _ending
from study.command.exits import INTERRUPTED, USAGE

pytestmark = pytest.mark.slow

PACKAGES = ("study", "reports", "promptad", "ablations")


def run(command, **environment):
    """What a shell command gives that has ``RUN`` for the command line of this project."""
    script = command.replace("RUN", f"'{sys.executable}' '{ROOT / 'study' / 'run.py'}'")
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["bash", "-c", script], capture_output=True, env=known, check=False)


def in_locale(tree):
    """Lines of calls that read or write text in the locale's encoding."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        method = isinstance(node.func, ast.Attribute)
        modes = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        modes += [ast.unparse(each.value) for each in node.keywords if each.arg == "mode"]
        # Path.open has a mode first; other methods of that name take what they open.
        opens = name in ("open", "fdopen") and (not method or not node.args or bool(modes))
        text = name in ("read_text", "write_text") or (opens and not any("b" in mode for mode in modes))
        if text or any(each.arg == "text" and ast.unparse(each.value) == "True" for each in node.keywords):
            found.append(node.lineno)
    return found


def test_text_in_the_locales_encoding_is_found():
    code = "p.read_text()\np.write_text(x)\np.open()\np.open('w')\nopen(p)\nopen(p, mode='a')\nrun(c, text=True)\n"
    assert in_locale(ast.parse(code)) == [1, 2, 3, 4, 5, 6, 7]
    fine = "p.read_text(encoding='utf-8')\np.open('rb')\nImage.open(p)\nopen(p, 'wb')\np.open('w', encoding='utf-8')\n"
    assert in_locale(ast.parse(fine)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_read_and_written_in_utf_8_whatever_the_locale(package):
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py")}
    found = {f"{name}:{line}" for name, tree in trees.items() for line in in_locale(tree)}
    assert trees
    assert found == set()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.nowhere", "misspelled"])
def test_a_notebooks_backend_does_not_matter(backend):
    code = "from study.command import cli; cli.main(['plan', '--list']); import reports.report, matplotlib.figure"
    ran = run(f"'{sys.executable}' -c \"{code}\"", MPLBACKEND=backend)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_signs_that_the_terminal_does_not_have_are_replaced(tmp_path):
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "größe名.json").write_text("{", encoding="utf-8")
    (tmp_path / "driver.json").write_text("{", encoding="utf-8")
    ran = run(f"RUN status --study '{tmp_path}'; RUN report --study '{tmp_path}'", PYTHONIOENCODING="ascii")
    assert b"Traceback" not in ran.stderr
    assert b"holds neither plan nor search" in ran.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_matter(closed, tmp_path):
    ran = run(f"RUN status --study '{tmp_path}' {closed}")
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_pipe_that_closes_ends_a_command_without_a_word():
    ran = run("set -o pipefail; RUN plan --list | head -c 1")
    assert ran.stderr == b""
    assert ran.returncode in (0, INTERRUPTED)


def test_without_asserts_and_with_few_columns(tmp_path):
    ran = run(f"'{sys.executable}' -O '{ROOT}/study/run.py' status --study '{tmp_path}'", COLUMNS="0")
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_report_that_has_no_place_is_an_error_with_the_remedy(place, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ReportError, match=r"report cannot be written to .*file.*; free the disk, check rights, or name"),
        staging(tmp_path / place) as stage,
    ):
        stage.add("index.html", "")


def test_a_disk_that_is_full_while_a_report_is_written(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("earlier", encoding="utf-8")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ReportError, match=r"No space left on device.*every row is kept"), staging(tmp_path) as stage:
        stage.add("index.html", "later")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "earlier"


def test_the_drivers_last_word_is_what_the_terminal_says():
    assert _ending(ReportError("no place")) == ("failed", USAGE, "no place")
    state, code, message = _ending(BrokenPipeError())
    assert (state, code) == ("stopped", INTERRUPTED)
    assert "continues from there" in message
