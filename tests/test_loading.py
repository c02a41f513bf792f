from pathlib import Path

import pytest

from ablations.catalogue import CATALOGUE
from ablations.loading import listing, named_ablations
from ablations.spec import AblationError
from promptad.config import PromptADConfig

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "my_ablation.py"
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
    assert [line.split()[0] for line in lines] == [*CATALOGUE, "core", "all"]
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
