import sys

import pytest
from helpers.places import DOCS

from ablations.catalogue import CATALOGUE, GROUPS
from ablations.loading import listing, named_ablations
from ablations.spec import AblationError
from promptad.configs.promptad_config import PromptADConfig

EXAMPLE = DOCS / "examples" / "my_ablation.py"
OWN = """
from ablations import Ablation, Factor, OneFactorAtATime
X = Ablation(name="NAME", title="", question="", design=OneFactorAtATime(factors=(Factor.of("epochs", 100, 50),)))
"""


def names(asked):
    return [ablation.name for ablation in named_ablations(asked)]


def test_names_are_of_the_catalogue_once_each_and_table_3_is_the_default():
    assert names([]) == ["table3"]
    assert names(["table5", "table3", "table5"]) == ["table5", "table3"]
    assert names(["core", "table3"]) == ["table3", "table5", "table7", "table10", "figure8"]
    assert names(["all"]) == list(CATALOGUE)


def test_the_listing_has_every_name_with_its_title():
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines] == [*CATALOGUE, *GROUPS]
    assert CATALOGUE["figure5"].title in listing()


def test_the_example_of_the_documentation_defines_an_ablation():
    (ablation,) = named_ablations([str(EXAMPLE)])
    configs = ablation.configs(PromptADConfig())
    assert [(config.n_normal_tokens, config.initial_deviation) for config in configs.values()] == [
        (4, 0.02),
        (2, 0.02),
        (8, 0.02),
        (4, 0.2),
    ]


def test_a_file_that_imports_from_the_catalogue_is_read_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN.replace("NAME", "mine"))
    assert names(["table3", str(path)]) == ["table3", "mine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "must define ablations"),
        ("import ablations\n\nnothing.here", "line 3: NameError: name 'nothing'"),
        ("x = (", "line 1: SyntaxError"),
        ("from ablations import Factor\nFactor.of('epochs', 1)", "line 2: DesignError: factor epochs needs"),
        (OWN + "import sys; sys.exit(0)", "must define ablations and go on, but it ended the program"),
        (OWN + OWN.replace("epochs", "margin").replace("100, 50", "0.0, 0.1").replace("X =", "Y ="), "repeats NAME"),
        (OWN.replace('title=""', "title=1"), "title must be text, but is 1"),
        (OWN.replace('title=""', 'title="", shots=1'), r"shots must be a tuple, like \(1, 2\), but is 1"),
        (OWN.replace('title=""', 'title="", shots=(1, 1)'), "shots must differ, but got 1, 1"),
        (OWN.replace('title=""', 'title="", published="table99"'), "published must be one of table1"),
        (OWN[: OWN.index("design=")] + "design=None)", "design must be a design with arms"),
        (OWN.replace('"NAME"', "1"), "name must be text, but is 1"),
        ("x = " + "(" * 500, "line 1: "),
        (OWN.replace("NAME", "table3"), "defines table3, but there is one of that name: rename it"),
    ],
)
def test_a_file_that_defines_none_is_one_error(content, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(AblationError, match=message):
        named_ablations([str(path)])


def test_unknown_names_and_files():
    with pytest.raises(AblationError, match=r"no ablation is called table33, x; there are table1, .*, all, or a file"):
        named_ablations(["table33", "table3", "x"])
    with pytest.raises(AblationError, match=r"none\.py must be a Python file .* no such file"):
        named_ablations(["none.py"])


def test_readme_and_documentation_show_the_example():
    text = EXAMPLE.read_text()
    shown = text[text.index("from ablations") :].strip()
    root = EXAMPLE.parent.parent.parent
    assert shown in (root / "README.md").read_text()
    assert shown in (root / "docs" / "ablations.md").read_text()


def test_a_file_may_import_the_modules_beside_it(tmp_path):
    for folder, levels in (("a", "100, 50"), ("b", "100, 25")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_levels.py").write_text(f"LEVELS = ({levels})", encoding="utf-8")
        text = OWN.replace("NAME", folder).replace('"epochs", 100, 50', '"epochs", *LEVELS')
        (tmp_path / folder / "own.py").write_text(f"from my_levels import LEVELS\n{text}", encoding="utf-8")
    before = list(sys.path)
    found = named_ablations([str(tmp_path / folder / "own.py") for folder in ("a", "b")])
    # Each has its own neighbour, though both are called the same.
    assert [list(ablation.factors()["epochs"]) for ablation in found] == [[100, 50], [100, 25]]
    assert sys.path == before
    assert "my_levels" not in sys.modules


def test_equal_ablations_under_two_names_are_one(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN.replace("NAME", "mine") + "Y = X\n", encoding="utf-8")
    assert names([str(path)]) == ["mine"]
