"""Importances of a search: equal bytes, two definitions, what each cannot say, and when they are made again."""

import json
import math
import subprocess
import sys

import pytest
from helpers.places import ROOT
from helpers.searches_of_trials import LR, TOKENS, document, files, many_trials, score_of, trial, write_search

from reports.searches.search_reading import read_search
from study.command.cli import main
from study.records.folder import LedgerError, StudyFolder
from study.search import importances
from study.search.importances import rebuilt, with_sensitivity, write_sensitivity

FILE = "searches/quick.sensitivity.json"


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(importances, "RESAMPLES", 8)


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(str(tmp_path))


def written(folder, trials, **changes):
    write_search(folder, document(**changes), trials)
    assert write_sensitivity(folder, "quick")
    made = json.loads(folder.read(FILE), parse_constant=lambda name: pytest.fail(f"{name} in the file"))
    return [{method["method"]: method for method in objective["methods"]} for objective in made["objectives"]]


@pytest.mark.slow
def test_equal_trials_give_equal_bytes_and_are_computed_once(folder, tmp_path):
    trials = many_trials(20)
    written(folder, trials)
    first = folder.read(FILE)
    assert not write_sensitivity(folder, "quick")
    other = StudyFolder(str(tmp_path / "other"))
    write_search(other, document(), reversed(trials))
    assert write_sensitivity(other, "quick")
    assert other.read(FILE) == first
    write_search(folder, document(), [trial(20, {"lr": 0.01, "tokens": 2, "loss": "off"}, value=0.5)])
    assert write_sensitivity(folder, "quick")
    assert folder.read(FILE) != first


@pytest.mark.slow
def test_damaged_importances_are_made_again(folder):
    written(folder, many_trials(12))
    good = folder.read(FILE)
    folder.write(FILE, b"{half")
    assert write_sensitivity(folder, "quick")
    assert folder.read(FILE) == good


@pytest.mark.slow
def test_both_definitions_find_what_matters_and_say_what_they_cannot(folder):
    (methods,) = written(folder, many_trials(60))
    fanova, ped = methods["fANOVA"], methods["PED-ANOVA"]
    assert fanova["absent"] == {"weight": "active in some trials only, which fANOVA cannot use"}
    assert set(fanova["parameters"]) == {"lr", "tokens", "loss"}
    assert set(ped["parameters"]) == {"lr", "tokens", "loss", "weight"}
    assert max(fanova["parameters"], key=lambda name: fanova["parameters"][name]["mean"]) == "lr"
    for method in (fanova, ped):
        assert math.isclose(sum(one["all_trials"] for one in method["parameters"].values()), 1.0)
        assert all(0 <= one["low"] <= one["mean"] <= one["high"] <= 1 for one in method["parameters"].values())
        assert any(one["low"] < one["high"] for one in method["parameters"].values())
        assert method["trials"] == 60


@pytest.mark.slow
def test_a_minimised_objective_is_the_negative_of_a_maximised_one(folder, tmp_path):
    trials = many_trials(30)
    (up,) = written(folder, trials)
    other = StudyFolder(str(tmp_path / "other"))
    turned = [one | {"values": [-one["values"][0]]} for one in trials]
    (down,) = written(other, turned, directions=("minimize",))
    assert down["PED-ANOVA"]["parameters"] == up["PED-ANOVA"]["parameters"]
    other_way = StudyFolder(str(tmp_path / "way"))
    (wrong,) = written(other_way, trials, directions=("minimize",))
    assert wrong["PED-ANOVA"]["parameters"] != up["PED-ANOVA"]["parameters"]


@pytest.mark.slow
def test_a_logarithmic_range_is_weighed_as_it_was_searched(folder):
    # By the logarithm, the step parts a third of the range from the rest; by the number, a hundredth.
    space = (LR, TOKENS)
    trials = [one | {"params": {k: one["params"][k] for k in ("lr", "tokens")}} for one in many_trials(80)]
    for one in trials:
        lr, tokens = one["params"]["lr"], one["params"]["tokens"]
        one["values"] = [0.5 + 0.05 * (math.log10(lr) > -3) + 0.004 * tokens]
    (methods,) = written(folder, trials, space=space)
    assert methods["fANOVA"]["parameters"]["lr"]["all_trials"] > 0.6


@pytest.mark.slow
def test_every_objective_has_its_own(folder):
    trials = [
        one | {"values": [score_of(one["params"]), 0.5 + 0.04 * one["params"]["tokens"]]} for one in many_trials(40)
    ]
    first, second = written(folder, trials, metrics=("image_auroc", "pixel_auroc"), directions=("maximize", "maximize"))
    assert first["fANOVA"]["parameters"]["lr"]["mean"] > 0.5
    assert second["fANOVA"]["parameters"]["tokens"]["mean"] > 0.9


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (many_trials(9), "needs at least 10 complete trials, but there are 9"),
        (many_trials(14, pruned=3, failed=2), "needs at least 10 complete trials, but there are 9"),
        ([one | {"values": [0.5]} for one in many_trials(12)], "every trial has the same value"),
        ([], "needs at least 10 complete trials, but there are 0"),
    ],
)
def test_too_little_has_a_reason_instead_of_numbers(folder, trials, why):
    (methods,) = written(folder, trials)
    for method in methods.values():
        assert method["why_not"] == why
        assert "parameters" not in method


@pytest.mark.slow
def test_a_trial_outside_the_space_or_damaged_is_left_out(folder):
    trials = many_trials(12)
    trials[3]["params"]["lr"] = 5.0
    trials[4]["values"] = [float("nan")]
    (methods,) = written(folder, trials)
    assert methods["PED-ANOVA"]["trials"] == 10


def test_a_rebuilt_study_is_what_was_searched():
    study = rebuilt(read_search(files(document(), many_trials(12, failed=1))))
    assert [one.number for one in study.trials] == list(range(11))
    assert study.best_trial.params.keys() >= {"lr", "tokens", "loss"}
    assert study.direction.name == "MAXIMIZE"
    assert study.trials[0].params == {"lr": 0.002, "tokens": 4, "loss": '"on"', "weight": 0.5}


@pytest.mark.slow
def test_looking_whether_there_is_a_search_loads_neither_optuna_nor_torch():
    heavy = ("optuna", "torch", "ray")
    code = f"import sys, study.search.importances; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.slow
def test_report_tells_of_searches_without_any_plan(folder, tmp_path, capsys):
    write_search(folder, document(), many_trials(12))
    write_search(folder, document("broken", schema=9), [])
    assert main(["report", "--study", str(tmp_path)]) == 0
    told = capsys.readouterr()
    said = "Search of “quick”: Mean image AUROC, on synthetic\nTUNED ON TEST: the test set that it reports.\nBest of 12"
    assert said in told.out
    assert "left out: searches/broken.json (search schema must be 1, but broken has 9" in told.err
    made = folder.read(FILE)
    assert made is not None
    page = (tmp_path / "report" / "index.html").read_text()
    assert "What matters most: " in page
    assert main(["report", "--study", str(tmp_path)]) == 0
    assert folder.read(FILE) == made
    assert (tmp_path / "report" / "index.html").read_text() == page


@pytest.mark.slow
def test_whoever_may_only_read_gets_importances_all_the_same(folder, monkeypatch):
    write_search(folder, document(), many_trials(12))

    def refuse(*_):
        raise LedgerError("read only")

    monkeypatch.setattr(folder, "write", refuse)
    assert with_sensitivity(folder, "quick").sensitivity["objectives"]
    with pytest.raises(LedgerError, match="read only"):
        write_sensitivity(folder, "quick")
