"""An objective, a sampler and a search space that are added as ``docs/architecture.md`` says, in one small search."""

import json
from html import unescape
from types import SimpleNamespace

import pytest
from optuna.samplers import RandomSampler

from ablations.domains import Choice
from ablations.spaces import Parameter, Space, SpaceError
from study.command.cli import main
from study.command.exits import USAGE
from study.search.objectives import OBJECTIVES, SECONDS, Measure, Objective, ObjectiveError
from study.search.samplers import SAMPLERS, SamplerEntry

pytestmark = pytest.mark.slow

SPACE = """
from ablations import Choice, Parameter, Space

MINE = Space(
    name="mine",
    title="Whether the visual memory pays",
    parameters=(Parameter(name="vad", label="my switch of the memory", domain=Choice.of("vad", True, False)),),
)
"""

WORST = Measure(
    name="worst_auroc",
    title="AUROC of the worst cell",
    tasks=("image", "pixel"),
    compute=lambda steps, _: min(step.value for step in steps),
)
OBJECTIVE = Objective(
    name="worst",
    label="the worst cell, and seconds",
    query="synthetic",
    on_test=False,
    tuned_on="pseudo-anomalies on {tune}, the worst of them",
    measures=(WORST, SECONDS),
)


@pytest.fixture(scope="module")
def searched(inspection_root, tmp_path_factory):
    """The page and the document of a search of two trials with all three."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "space.py").write_text(SPACE, encoding="utf-8")
    study = folder / "study"
    arguments = ["search", "--space", str(folder / "space.py"), "--objective", "worst", "--sampler", "coin"]
    quick = [
        "--set",
        "epochs=1",
        "--set",
        "map_size=48",
        "--executor",
        "serial",
        "--seeds",
        "1",
        "--categories",
        "plate",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTAD_CACHE", str(folder / "cache"))
        patch.setitem(OBJECTIVES, "worst", OBJECTIVE)
        patch.setitem(SAMPLERS, "coin", SamplerEntry(make=lambda _, seed: RandomSampler(seed), adaptive=False))
        where = ["--data", f"mvtec:{inspection_root}", "--study", str(study)]
        assert main([*arguments, *where, *quick, "--trials", "2", "--fresh", "0"]) == 0
    (document,) = (study / "searches").glob("*[!y].json")
    # The page is made again where neither of them exists: all that it needs is in the document.
    assert main(["report", "--study", str(study), "--out", str(folder / "report")]) == 0
    page = unescape((folder / "report" / "index.html").read_text(encoding="utf-8"))
    return SimpleNamespace(page=page, document=json.loads(document.read_text(encoding="utf-8")))


def test_an_objective_is_an_entry(searched):
    assert searched.document["objective"]["metrics"] == ["worst_auroc", "seconds"]
    assert searched.document["objective"]["directions"] == ["maximize", "minimize"]
    assert "the worst cell, and seconds" in searched.page
    assert "AUROC of the worst cell" in searched.page
    assert "pseudo-anomalies on plate, the worst of them" in searched.page


def test_a_sampler_is_an_entry_that_says_whether_it_looks_back(searched):
    assert searched.document["sampler"] == "coin"
    assert searched.document["adaptive"] is False
    assert "coin" in searched.page
    assert "adaptive" not in searched.page


def test_a_space_is_a_file_of_ones_own(searched):
    assert searched.document["name"] == "mine"
    assert "Whether the visual memory pays" in searched.page
    assert "my switch of the memory" in searched.page


def test_what_is_unknown_is_refused_with_the_names_that_there_are(capsys, tmp_path):
    where = ["--study", str(tmp_path / "study")]
    for option, name, message in (
        ("--objective", "worst", "no objective is called worst; there are synthetic, held_out_categories"),
        ("--sampler", "coin", "no sampler is called coin; there are tpe, gp, cmaes"),
        ("--space", "mine", "no search space is called mine; there are paper, prompt, full"),
    ):
        assert main(["search", option, name, *where]) == USAGE
        assert message in capsys.readouterr().err


def test_an_objective_that_forgets_a_part_says_which():
    words = {"name": "half", "label": "half", "query": "test", "on_test": True}
    with pytest.raises(ObjectiveError, match="objective half must have measures of different names, but has \\[\\]"):
        Objective(**words, tuned_on="nothing", measures=())
    with pytest.raises(ObjectiveError, match="tuned_on of objective half must have no place but"):
        Objective(**words, tuned_on="labels of {categories}")
    with pytest.raises(TypeError, match="on_test"):
        Objective(name="half", label="half", query="test", tuned_on="nothing")
    with pytest.raises(TypeError, match="compute"):
        Measure(name="half", title="half", tasks=())


def test_a_sampler_that_does_not_say_whether_it_looks_back_is_none():
    with pytest.raises(TypeError, match="adaptive"):
        SamplerEntry(make=lambda _, seed: RandomSampler(seed))


def test_a_space_whose_field_does_not_exist_says_so():
    domain = Choice.of("no_field", 1, 2)
    with pytest.raises(SpaceError, match="space half: parameter x: there is no config field no_field"):
        Space(name="half", title="t", parameters=(Parameter(name="x", label="x", domain=domain),))
