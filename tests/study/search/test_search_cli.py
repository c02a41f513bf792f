"""The verb ``search`` as a user meets it, run in this process with the serial executor."""

import json
import re

import pytest
from helpers.inspection_set import write_inspection_set
from helpers.stored_rows import row_texts, stored_rows

from study.command.cli import main
from study.command.exits import USAGE

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(inspection_root, tmp_path):
    """Arguments of a quick search."""
    return [
        *("--data", f"mvtec:{inspection_root}", "--study", str(tmp_path / "study"), "--seeds", "1", "--shots", "2"),
        *("--set", "epochs=1", "--set", "map_size=48"),
    ]


def documents(tmp_path):
    found = (tmp_path / "study" / "searches").glob("*.json")
    return [json.loads(path.read_text()) for path in found if not path.name.endswith(".sensitivity.json")]


def test_a_search_from_normal_images_alone_to_a_method_that_tables_accept(tmp_path, capsys):
    root = write_inspection_set(tmp_path / "data", ("plate",), good=2, bad=2)
    hidden = tmp_path / "hidden"
    (root / "plate" / "test").rename(hidden)
    common = ["--data", f"mvtec:{root}", "--study", str(tmp_path / "study"), "--seeds", "1", "--executor", "serial"]
    asked = [*common, "--set", "epochs=1", "--set", "map_size=48"]
    assert main(["search", "--trials", "2", *asked, "--promote", "tuned"]) == 0
    said = capsys.readouterr()
    assert "objective synthetic: AUROC on pseudo-anomalies" in said.out
    assert "no test image, no test label" in said.out
    assert "with one support image nothing can be held out" in said.out
    assert "2 trials (2 complete) of 4 different cells" in said.out
    assert "promoted trial" in said.out
    assert "not re-evaluated on fresh seeds: " in said.err
    (document,) = documents(tmp_path)
    assert document["trials"] == 2
    assert [parameter["paper"] for parameter in document["space"]] == [0.001, 1, 4]
    assert document["fresh"] is None
    assert list((tmp_path / "study" / "searches").glob("*.journal"))

    hidden.rename(root / "plate" / "test")
    assert main(["run", "table11_13", *common, "--method", "tuned", "--shots", "1"]) == 0
    (plan,) = [json.loads(path.read_text()) for path in (tmp_path / "study" / "plans").glob("*.json")]
    method = json.loads((tmp_path / "study" / "methods" / "tuned.json").read_text())
    assert plan["method"] == {"name": "tuned", **method["provenance"]}
    configs = {arm["name"]: arm["config"] for arm in plan["arms"]}
    assert configs["PromptAD"] == method["config"]
    assert "The base is method tuned, trial" in plan["method_note"]
    assert "TUNED ON TEST" not in plan["method_note"]


def test_a_config_that_was_tuned_on_the_test_set_is_marked_wherever_it_goes(asked, tmp_path, capsys):
    oracle = ["search", "--objective", "oracle", "--trials", "2", "--executor", "serial", "--sampler", "random"]
    assert main([*oracle, *asked, "--promote", str(tmp_path / "cheat.json")]) == 0
    said = capsys.readouterr().out
    assert said.count("TUNED ON TEST") >= 4
    assert documents(tmp_path)[0]["objective"]["on_test"]
    asked = [*asked, "--method", str(tmp_path / "cheat.json"), "--executor", "serial"]
    assert main(["run", "table11_13", *asked]) == 0
    (plan,) = [json.loads(path.read_text()) for path in (tmp_path / "study" / "plans").glob("*.json")]
    assert "TUNED ON TEST" in plan["method_note"]
    assert "TUNED ON TEST" in (tmp_path / "study" / "report" / "index.html").read_text()


def test_held_out_categories_are_reported_and_never_tuned_on(asked, tmp_path, capsys):
    held_out = ["search", "--objective", "held_out_categories", "--folds", "2", "--trials", "2", "--executor", "serial"]
    assert main([*held_out, *asked]) == 0
    said = capsys.readouterr().out
    assert "tuned on: test labels of plate; the labels of disc are held out" in said
    assert "on the held-out categories (disc)" in said
    (document,) = documents(tmp_path)
    (study,) = [path for path in (tmp_path / "study" / "searches").iterdir() if path.is_dir()]
    for path in study.glob("*.json"):
        assert {step["category"] for step in json.loads(path.read_text())["steps"]} == {"plate"}
    assert document["report"]["held_out"] == ["disc"]
    assert 0 <= document["report"]["winner"]["value"] <= 1
    assert len(document["report"]["base"]["cells"]) == 2
    for who in ("winner", "base"):
        assert [(step["category"], step["task"]) for step in document["report"][who]["steps"]] == [
            ("disc", "image"),
            ("disc", "pixel"),
        ]


def test_winners_and_base_are_judged_on_test_images_at_seeds_that_the_search_did_not_see(asked, tmp_path, capsys):
    search = ["search", "--trials", "3", "--fresh", "2", "--prune", "0", "--executor", "serial", *asked]
    assert main(search) == 0
    said = capsys.readouterr().out
    (document,) = documents(tmp_path)
    fresh = document["fresh"]
    assert fresh["seeds"] == [1, 2]
    (folder,) = [path for path in (tmp_path / "study" / "searches").iterdir() if path.is_dir()]
    trials = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    best = sorted(trials, key=lambda trial: (-trial["values"][0], trial["number"]))
    assert [int(number) for number in fresh["trials"]] == [trial["number"] for trial in best]
    for digests in (fresh["default"], *fresh["trials"].values()):
        cells = [stored_rows(tmp_path / "study")[digest]["cell"] for digest in digests]
        assert {cell["query"] for cell in cells} == {"test"}
        assert {(cell["seed"], cell["category"], cell["task"]) for cell in cells} == {
            (seed, category, task) for seed in (1, 2) for category in ("disc", "plate") for task in ("image", "pixel")
        }
    assert "On fresh seeds it reaches" in said
    page = (tmp_path / "study" / "report" / "index.html").read_text()
    assert "On fresh seeds it reaches" in page
    assert "It was not re-evaluated" not in page
    rows = row_texts(tmp_path / "study")
    assert main(search) == 0
    assert row_texts(tmp_path / "study") == rows


def test_of_several_objectives_the_best_of_each_is_judged_again(asked, tmp_path):
    search = ["search", "--objective", "pareto", "--trials", "4", "--fresh", "1", "--executor", "serial", *asked]
    assert main([*search, "--sampler", "random"]) == 0
    (document,) = documents(tmp_path)
    (folder,) = [path for path in (tmp_path / "study" / "searches").iterdir() if path.is_dir()]
    trials = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    lead = {max(range(4), key=lambda n: (trials[n]["values"][place], -trials[n]["number"])) for place in (0, 1)}
    lead |= {min(range(4), key=lambda n: (trials[n]["values"][2], trials[n]["number"]))}
    assert {int(number) for number in document["fresh"]["trials"]} == {trials[n]["number"] for n in lead}


def test_the_same_command_again_does_nothing_and_with_more_trials_goes_on(asked, tmp_path, capsys):
    search = ["search", "--sampler", "sobol", "--executor", "serial", *asked]
    assert main([*search, "--trials", "2"]) == 0
    rows = row_texts(tmp_path / "study")
    assert main([*search, "--trials", "2"]) == 0
    assert row_texts(tmp_path / "study") == rows
    assert main([*search, "--trials", "3"]) == 0
    assert "2 are there already" in capsys.readouterr().out
    (document,) = documents(tmp_path)
    assert document["trials"] == 3


def test_backbone_and_shots_are_parameters_like_others(inspection_root, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ablations import Choice, Level, Parameter, Space\n"
        "def choice(name, *values):\n"
        "    return Choice(levels=tuple(Level(value=value, changes={name: value}) for value in values))\n"
        "MINE = Space(name='mine', title='', parameters=(\n"
        "    Parameter(name='backbone', label='', domain=choice('backbone', 'tiny', 'RN50:random')),\n"
        "    Parameter(name='shots', label='', domain=choice('shots', 1, 2)),\n"
        "))\n"
    )
    asked = ["search", "--data", f"mvtec:{inspection_root}", "--categories", "disc", "--study", str(tmp_path / "study")]
    asked += ["--space", str(path), "--sampler", "sobol", "--seeds", "1", "--fresh", "0", "--prune", "0"]
    asked += ["--tasks", "image", "--set", "epochs=1", "--executor", "serial", "--objective", "oracle"]
    assert main([*asked, "--trials", "4", "--promote", "chosen"]) == 0
    (folder,) = [each for each in (tmp_path / "study" / "searches").iterdir() if each.is_dir()]
    trials = [json.loads(each.read_text()) for each in sorted(folder.glob("*.json"))]
    for trial in trials:
        (digest,) = trial["cells"]
        cell = stored_rows(tmp_path / "study")[digest]["cell"]
        assert (cell["backbone"], cell["shots"]) == (trial["params"]["backbone"], trial["params"]["shots"])
    assert len({(trial["params"]["backbone"], trial["params"]["shots"]) for trial in trials}) > 2
    best = max(trials, key=lambda trial: trial["values"])
    provenance = json.loads((tmp_path / "study" / "methods" / "chosen.json").read_text())["provenance"]
    assert (provenance["backbone"], provenance["shots"]) == (best["params"]["backbone"], best["params"]["shots"])


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", pytest.param("ray", marks=pytest.mark.faults)])
def test_a_search_that_runs_out_of_time_stops_and_goes_on_later(executor, asked, capsys):
    def trials(*options):
        assert main([*search, *options]) == 0
        return int(re.search(r"^(\d+) trials \(", capsys.readouterr().out, re.MULTILINE)[1])

    search = ["search", "--executor", executor, "--fresh", "0", "--prune", "0", "--sampler", "random", *asked]
    # Workers of Ray begin after many seconds: that none of the trials has ended then is no error.
    count = trials("--trials", "500", "--timeout", "25" if executor == "ray" else "2")
    assert count < 500
    assert trials("--trials", str(count + 2)) == count + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "papre"], "no search space is called papre; there are paper, prompt, full, or a file"),
        (["--objective", "orcale"], "no objective is called orcale; there are synthetic, held_out_categories, oracle"),
        (["--sampler", "tep"], "no sampler is called tep; there are tpe, gp, cmaes, random, sobol, nsga2"),
        (["--sampler", "cmaes", "--objective", "pareto"], "sampler cmaes wants one value a trial"),
        (["--fresh", "-1"], "--fresh must be at least 0, but got -1"),
        (["--trials", "0"], "--trials must be at least 1, but got 0"),
        (["--seed", "-1"], "--seed must be at least 0, but got -1"),
        (["--seed", "99999999999"], "--seed must be at most 4294967295, but got 99999999999"),
        (["--seeds", "1000000000"], "--seeds must be at most 10000, but got 1000000000"),
        (["--set", "epochs=1000000000000"], "--set epochs must be a number of at most 1000000, but got 1000000000000"),
        (["--set", "learning_rate=1e300"], "--set learning_rate must be a number of at most 1000000, but got 1e300"),
        (["--set", "learning_rate=nan"], "--set learning_rate must be a number of at most 1000000, but got nan"),
        (["--prune", "2"], "--prune must be 0 (off) or between 0 and 1, but got 2"),
        (["--shots", "1,2"], "a search has one number of --shots"),
        (["--set", "setting=multi_class"], "setting must be one_class in a search, which judges each trial category"),
        (["--set", "laps=false"], "parameter lambda changes nothing in the base"),
        (["--set", "lambda=1"], "config has no field lambda"),
        (["--protocol", "reference"], "selection=best_on_test does: leave it out of the base"),
        (["--objective", "held_out_categories"], "at least 2 folds and a category for each, but --folds is 4"),
        (["--objective", "held_out_categories", "--folds", "2", "--fold", "3"], "--fold must be between 1 and the 2"),
        (["--objective", "pareto", "--tasks", "image"], "objective pareto needs both tasks"),
        (["--objective", "pareto", "--promote", "x"], "has a front and no single best config to --promote"),
        (["--promote", "../x"], "a method's name must be letters"),
        (["--tasks", "image,sound"], "--tasks must be image, pixel or image,pixel"),
        (["--method", "mine"], "has no method mine; it has none"),
        (["--categories", "plate,cup"], "category must be one of those in"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(arguments, message, asked, tmp_path, capsys):
    assert main(["search", *asked, *arguments]) == USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("parameters", "trials", "message"),
    [
        ("domain=IntRange(low=4, high=2), fields=('n_anomaly_suffixes',)", 2, "its range must not be empty, but is 4"),
        ("domain=IntRange(low=1, high=3), fields=('n_anomaly_suffixes',)", 4, "holds 3 settings, but 4 trials are"),
        ("domain=Choice.of('setting', 'one_class', 'multi_class')", 2, "setting must be one_class in a search"),
        ("domain=IntRange(low=1, high=3), fields=('suffixes',)", 2, "there is no config field suffixes; there are sc"),
        (
            "domain=IntRange(low=1, high=3), fields=('n_anomaly_suffixes',), when=When(parent='laps', values=(True,))",
            2,
            "it depends on laps, which is no parameter before it (there is none): add that toggle",
        ),
    ],
)
def test_a_mistake_in_a_space_of_ones_own_too(parameters, trials, message, asked, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ablations import Choice, IntRange, Parameter, Space, When\n"
        f"MINE = Space(name='mine', title='', parameters=(Parameter(name='L', label='', {parameters}),))\n"
    )
    assert main(["search", *asked, "--space", str(path), "--trials", str(trials)]) == USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / "study").exists()
