"""Which code runs, told by its content; and code skew as an error."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT

from study.codebase import PACKAGES, SkewError, check_code, check_script, code_digest, folders_in_use
from study.command.cli import main
from study.command.exits import USAGE


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout, as far as run.py looks at it."""
    root = tmp_path / "checkout"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def run(script, *arguments, root=ROOT):
    """run.py in a new process that imports the packages of ``root``."""
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)},
        check=False,
    )


def test_a_copy_has_the_same_digest(checkout):
    digest = code_digest()
    assert len(digest) == 16
    assert code_digest(checkout) == digest == code_digest(ROOT)


def test_compiled_and_hidden_files_do_not_count(checkout):
    before = code_digest(checkout)
    (checkout / "study" / "__pycache__").mkdir()
    (checkout / "study" / "__pycache__" / "cell.cpython-311.pyc").write_bytes(b"x")
    (checkout / "study" / ".cell.py.swp").write_bytes(b"x")
    assert code_digest(checkout) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "promptad" / "prompts" / "losses.py").write_text("# other\n"),
        lambda root: (root / "ablations" / "published.csv").write_text("other\n"),
        lambda root: (root / "reports" / "added.py").touch(),
        lambda root: (root / "study" / "records" / "cell.py").rename(root / "study" / "records" / "cells.py"),
        lambda root: (root / "promptad" / "scoring" / "maps.py").unlink(),
    ],
    ids=["content", "data", "added", "renamed", "removed"],
)
def test_every_change_counts(change, checkout):
    before = code_digest(checkout)
    change(checkout)
    assert code_digest(checkout) != before


def test_all_files_that_count_are_installed():
    """Else a checkout and what was installed from it would differ."""
    import tomllib

    packaging = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert packaging["packages"]["find"] == {
        "include": [f"{package}*" for package in sorted(PACKAGES)],
        "namespaces": False,
    }
    data = {
        path
        for package, patterns in packaging["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
    }
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                folders = [folder for folder in path.parents if folder.is_relative_to(ROOT / package)]
                packaged = path.suffix == ".py" and all((folder / "__init__.py").is_file() for folder in folders)
                assert path in data or packaged, f"{path} is not installed"


def test_the_packages_in_use_are_those_that_would_be_imported():
    import promptad

    assert folders_in_use()["promptad"] == Path(promptad.__file__).resolve().parent


def test_code_asked_for_by_its_digest():
    check_code(code_digest())
    with pytest.raises(SkewError, match=r"--code asks for 0123, but the packages in use, .* are .*ray up --no-restart"):
        check_code("0123")


def test_a_run_with_other_code_than_asked_for_is_an_error(tmp_path, capsys):
    assert main(["run", "--code", "0123", "--study", str(tmp_path / "study")]) == USAGE
    assert "error: --code asks for 0123" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_a_checkout_whose_code_is_not_the_installed_one_is_an_error(checkout):
    assert run(checkout / "study" / "run.py", "digest").stdout.strip() == code_digest()
    (checkout / "promptad" / "losses.py").write_text("# other\n")
    done = run(checkout / "study" / "run.py", "digest")
    assert done.returncode == 2
    assert f"error: the packages in use, {ROOT}, must be those of this checkout, {checkout}" in done.stderr
    assert f'pip install "{checkout}[study]"' in done.stderr


def test_a_script_copied_alone_must_be_the_installed_one(tmp_path):
    script = tmp_path / "run.py"
    shutil.copy(ROOT / "study" / "run.py", script)
    check_script(script)
    assert run(script, "digest").stdout.strip() == code_digest()
    script.write_text(script.read_text() + "# newer\n")
    with pytest.raises(SkewError, match=r"must be the run\.py of the packages in use"):
        check_script(script)
    done = run(script, "--help")
    assert done.returncode == 2
    assert "ray up --no-restart cluster.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_needs_nothing_but_python_for_the_digest(checkout):
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(checkout / "study" / "run.py"), "digest"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == code_digest(), done.stderr


def test_the_digest_is_a_verb(capsys):
    assert main(["digest"]) == 0
    assert capsys.readouterr().out.strip() == code_digest()


@pytest.mark.parametrize(
    "arguments",
    [["run", "--data", "mvtec:/my", "set", "--seeds", "1"], ["status", "--study", "my", "study"]],
)
def test_a_value_that_lost_its_quotes_is_told(arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    assert code == USAGE
    assert "'ray submit' carries it: values must have none" in capsys.readouterr().err
