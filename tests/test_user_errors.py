"""Every error class of the project is one that the command line prints, or is said here to be none."""

import ast
import pickle
from pathlib import Path

import pytest
from helpers.places import ROOT

from promptad.datasets.sample import UnreadableImageError
from promptad.user_error import UserError
from study.command import look_verbs
from study.command.cli import main

PACKAGES = ("promptad", "ablations", "study", "reports")


def error_classes():
    """Each error class of the project with the names of its bases."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    yield node.name, [ast.unparse(base) for base in node.bases]


@pytest.mark.slow
def test_every_error_class_is_a_users_error():
    bases = dict(error_classes())
    assert len(bases) > 30

    def is_users(name):
        return name == "UserError" or any(is_users(base) for base in bases.get(name, ()))

    assert [name for name in bases if not is_users(name)] == []


def test_the_command_line_prints_a_users_error_and_raises_any_other(monkeypatch, capsys):
    for error in (UserError("use another"), ValueError("a fault of ours")):

        def fail(_, error=error):
            raise error

        monkeypatch.setattr(look_verbs, "cache", fail)
        if isinstance(error, UserError):
            assert main(["cache", "info"]) == 2
            assert capsys.readouterr().err == "error: use another\n"
        else:
            with pytest.raises(ValueError, match="a fault of ours"):
                main(["cache", "info"])


def test_an_error_knows_the_problems_that_it_lists():
    assert UserError("a; b", ["a", "b"]).problems == ("a", "b")
    assert UserError("a; b").problems == ("a; b",)


def test_errors_pass_between_processes():
    for error in (UserError("a; b", ["a", "b"]), UnreadableImageError(Path("a.png"), "truncated")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
